//! Axes of the charts, for plotters: whole numbers with labels at round steps.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// An axis with labels at round integers only, since lengths and counts are integers.
#[derive(Debug, Clone)]
pub(super) struct RoundAxis {
    from: f64,
    to: f64,
}

impl RoundAxis {
    pub(super) fn new(from: f64, to: f64) -> Self {
        Self { from, to: to.max(from + 1.0) }
    }
}

impl Ranged for RoundAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let part = (value - self.from) / (self.to - self.from);
        limit.0 + (part * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let rough = (self.to - self.from) / hint.max_num_points().max(1) as f64;
        let power = 10f64.powf(rough.max(1.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * power);
        let first = (self.from / step).ceil() as u64;
        let last = (self.to / step).floor() as u64;
        (first..=last).map(|number| number as f64 * step).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for RoundAxis {
    fn format(value: &f64) -> String {
        super::format::count(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters::coord::ranged1d::BoldPoints;

    #[track_caller]
    fn check(from: f64, to: f64, expected: &[f64]) {
        assert_eq!(RoundAxis::new(from, to).key_points(BoldPoints(6)), expected, "{from} to {to}");
    }

    #[test]
    fn labels_are_round_integers() {
        check(0.0, 3.0, &[0.0, 1.0, 2.0, 3.0]);
        check(0.0, 104.0, &[0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        check(7.0, 7.0, &[7.0, 8.0]);
        check(90.0, 1_200.0, &[200.0, 400.0, 600.0, 800.0, 1_000.0, 1_200.0]);
    }
}
