//! Counts lengths of any number of texts in bounded memory: a count per length, and sums for a correlation.

use crate::report::findings::{Histogram, LengthSummary, Proportion};

/// Lengths from here on are counted together; the mean and the maximum stay exact.
const LONGEST: usize = 20_000;

/// Bins of a histogram, of which the last is open.
const BINS: u64 = 50;

/// Counts lengths.
#[derive(Debug, Default, Clone)]
pub(crate) struct LengthCounts {
    counts: Vec<u64>,
    count: u64,
    sum: u64,
    max: u64,
}

impl LengthCounts {
    pub(crate) fn add(&mut self, length: u64) {
        let slot = usize::try_from(length).unwrap_or(LONGEST).min(LONGEST);
        if self.counts.len() <= slot {
            self.counts.resize(slot + 1, 0);
        }
        self.counts[slot] += 1;
        self.count += 1;
        self.sum += length;
        self.max = self.max.max(length);
    }

    pub(crate) fn summary(&self) -> LengthSummary {
        LengthSummary {
            count: self.count,
            min: self.quantile(0.0),
            p5: self.quantile(0.05),
            median: self.quantile(0.5),
            mean: if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 },
            p95: self.quantile(0.95),
            max: self.max,
        }
    }

    /// Returns the smallest length that the given share of the texts does not exceed.
    fn quantile(&self, share: f64) -> u64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut below = 0;
        for (length, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= wanted {
                return if length == LONGEST { self.max } else { length as u64 };
            }
        }
        self.max
    }

    /// Returns bins of equal width up to the 99th percentile, then one for the rest. `scale` covers all lengths that are
    /// shown over the same bins.
    pub(crate) fn histogram(&self, asked: Option<&Self>, scale: &BinScale) -> Histogram {
        let BinScale { high, longest } = *scale;
        let width = (high + 1).div_ceil(BINS - 1).max(1);
        let bins = (high + 1).div_ceil(width);
        let mut edges: Vec<u64> = (0..=bins).map(|bin| bin * width).collect();
        if longest >= bins * width {
            edges.push(longest + 1);
        }
        let fill = |lengths: &Self| {
            let mut filled = vec![0; edges.len() - 1];
            for (length, count) in lengths.counts.iter().enumerate() {
                let bin = (length as u64 / width).min(filled.len() as u64 - 1);
                filled[bin as usize] += count;
            }
            filled
        };
        Histogram { actual: fill(self), asked: asked.map(fill), edges }
    }
}

/// The range that bins cover for all lengths that are shown over them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct BinScale {
    high: u64,
    longest: u64,
}

impl BinScale {
    /// Extends the range to cover more lengths.
    pub(crate) fn extend(&mut self, lengths: &LengthCounts) {
        self.high = self.high.max(lengths.quantile(0.99));
        self.longest = self.longest.max(lengths.max);
    }
}

/// The correlation of requested and actual lengths.
#[derive(Debug, Default, Clone)]
pub(crate) struct LengthCorrelation {
    pub(crate) count: u64,
    asked: f64,
    actual: f64,
    asked2: f64,
    actual2: f64,
    product: f64,
    within_25: u64,
    within_50: u64,
}

impl LengthCorrelation {
    pub(crate) fn add(&mut self, asked: u64, actual: u64) {
        let (x, y) = (asked as f64, actual as f64);
        self.count += 1;
        self.asked += x;
        self.actual += y;
        self.asked2 += x * x;
        self.actual2 += y * y;
        self.product += x * y;
        self.within_25 += u64::from((y - x).abs() <= 0.25 * x);
        self.within_50 += u64::from((y - x).abs() <= 0.5 * x);
    }

    /// Returns the Pearson correlation; `None` if either does not vary.
    pub(crate) fn correlation(&self) -> Option<f64> {
        let n = self.count as f64;
        let variance = |sum: f64, squares: f64| squares - sum * sum / n;
        let (of_asked, of_actual) = (variance(self.asked, self.asked2), variance(self.actual, self.actual2));
        if self.count < 2 || of_asked < 1e-9 || of_actual < 1e-9 {
            return None;
        }
        Some((self.product - self.asked * self.actual / n) / (of_asked * of_actual).sqrt())
    }

    /// Returns mean actual over mean requested length.
    pub(crate) fn ratio(&self) -> f64 {
        if self.asked > 0.0 { self.actual / self.asked } else { 0.0 }
    }

    /// Returns the proportions within ± 25 % and ± 50 %.
    pub(crate) fn within(&self) -> (Proportion, Proportion) {
        let part = |count| Proportion { count, of: self.count };
        (part(self.within_25), part(self.within_50))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(lengths: impl Iterator<Item = u64>) -> LengthCounts {
        let mut counts = LengthCounts::default();
        lengths.for_each(|length| counts.add(length));
        counts
    }

    #[test]
    fn quantiles_are_exact() {
        let summary = counts(1..=100).summary();
        assert_eq!((summary.min, summary.p5, summary.median, summary.p95, summary.max), (1, 5, 50, 95, 100));
        assert_eq!(summary.mean, 50.5);
        assert_eq!(counts([30_000].into_iter()).summary().median, 30_000);
        assert_eq!(LengthCounts::default().summary().median, 0);
    }

    #[test]
    fn histograms_hold_every_text_once() {
        let actual = counts((1..=300).chain([9_000]));
        let asked = counts(1..=50);
        let scale = |all: &[&LengthCounts]| {
            let mut scale = BinScale::default();
            all.iter().for_each(|lengths| scale.extend(lengths));
            scale
        };
        let histogram = actual.histogram(Some(&asked), &scale(&[&actual, &asked]));
        assert_eq!(histogram.edges.len(), histogram.actual.len() + 1);
        assert_eq!(histogram.actual.iter().sum::<u64>(), 301);
        assert_eq!(histogram.asked.unwrap().iter().sum::<u64>(), 50);
        assert_eq!(histogram.edges.last(), Some(&9_001));
        let one = counts([0].into_iter());
        assert_eq!(one.histogram(None, &scale(&[&one])).actual, [1]);
        let both = scale(&[&actual, &one]);
        assert_eq!(one.histogram(None, &both).edges, actual.histogram(None, &both).edges);
    }

    #[test]
    fn following_is_measured() {
        let mut follow = LengthCorrelation::default();
        for (asked, actual) in [(10, 10), (20, 25), (30, 44), (40, 100)] {
            follow.add(asked, actual);
        }
        assert_eq!(follow.within(), (Proportion { count: 2, of: 4 }, Proportion { count: 3, of: 4 }));
        assert!((follow.correlation().unwrap() - 0.947_6).abs() < 1e-3, "{:?}", follow.correlation());
        assert!((follow.ratio() - 1.79).abs() < 1e-9);
        assert_eq!(LengthCorrelation::default().correlation(), None);
    }
}
