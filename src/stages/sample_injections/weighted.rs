//! Values with scores, and the choice of one or several of them in proportion.
//!
//! Used for every attribute with a list of values, whether the list is in a file, in a table of rows or in the
//! pipeline. `sampler` provides the random numbers.

use serde_json::Value;

/// Values and how often each is drawn.
#[derive(Debug, Clone)]
pub(super) struct WeightedValues {
    pub(super) values: Vec<Value>,
    scores: Scores,
}

/// Cumulative scores of a list of values, to choose by.
#[derive(Debug, Clone)]
pub(super) struct Scores {
    each: Vec<f64>,
    /// The sum of the scores up to and including each value.
    sums: Vec<f64>,
}

/// Why scores are invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScoreError {
    /// There are no values.
    #[error("there is no value")]
    Empty,
    /// Every score is 0.
    #[error("all scores are 0, so nothing can be drawn")]
    AllZero,
    /// A sum is not finite.
    #[error("the scores add up to more than a number can hold")]
    TooLarge,
}

impl Scores {
    /// Checks that scores are non-negative and finite.
    pub(super) fn new(scores: &[f64]) -> Result<Self, ScoreError> {
        let mut total = 0.0;
        let mut sums = Vec::with_capacity(scores.len());
        for score in scores {
            total += score;
            sums.push(total);
        }
        if sums.is_empty() {
            return Err(ScoreError::Empty);
        }
        if !total.is_finite() {
            return Err(ScoreError::TooLarge);
        }
        if total <= 0.0 {
            return Err(ScoreError::AllZero);
        }
        Ok(Self { each: scores.to_vec(), sums })
    }

    /// The value at `fraction`, in [0, 1), of the total.
    pub(super) fn choose(&self, fraction: f64) -> usize {
        let point = fraction * self.total();
        let index = self.sums.partition_point(|sum| *sum <= point);
        // The product may be rounded up to the total, which means the last value with a score.
        index.min(self.sums.partition_point(|sum| *sum < self.total()))
    }

    /// Chooses `count` different values, each in proportion among those still left; fewer if fewer have a score.
    pub(super) fn choose_several(&self, count: usize, mut fraction: impl FnMut() -> f64) -> Vec<usize> {
        let mut scores = self.each.clone();
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let Ok(left) = Self::new(&scores) else { break };
            let index = left.choose(fraction());
            scores[index] = 0.0;
            chosen.push(index);
        }
        chosen
    }

    /// The share of each value; they add up to 1.
    pub(super) fn shares(&self) -> Vec<f64> {
        self.each.iter().map(|score| score / self.total()).collect()
    }

    /// The share of the values before `index`, for `index` from 0 to the number of values.
    pub(super) fn share_before(&self, index: usize) -> f64 {
        index.checked_sub(1).map_or(0.0, |last| self.sums[last] / self.total())
    }

    pub(super) fn len(&self) -> usize {
        self.sums.len()
    }

    fn total(&self) -> f64 {
        self.sums.last().copied().unwrap_or_default()
    }
}

impl WeightedValues {
    /// Values with one score each.
    pub(super) fn new(values: Vec<Value>, scores: &[f64]) -> Result<Self, ScoreError> {
        Ok(Self { values, scores: Scores::new(scores)? })
    }

    pub(super) fn scores(&self) -> &Scores {
        &self.scores
    }

    /// The scores with those of some values replaced; shares of the others keep their proportions.
    pub(super) fn replaced(&self, changes: &[(usize, f64)]) -> Result<Scores, ScoreError> {
        let mut scores = self.scores.each.clone();
        for (index, score) in changes {
            scores[*index] = *score;
        }
        Scores::new(&scores)
    }

    /// The index of the value with this text.
    pub(super) fn position(&self, text: &str) -> Option<usize> {
        self.values.iter().position(|value| text_of(value) == text)
    }

    /// The texts of the values.
    pub(super) fn texts(&self) -> Vec<String> {
        self.values.iter().map(text_of).collect()
    }
}

/// A value as people write it: a text as it is, anything else as JSON.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_falls_on_the_value_whose_share_it_is_in() {
        let scores = Scores::new(&[0.0, 1.0, 0.0, 3.0, 0.0]).unwrap();
        for (fraction, expected) in [(0.0, 1), (0.2499, 1), (0.25, 3), (0.9999, 3), (1.0, 3)] {
            assert_eq!(scores.choose(fraction), expected, "{fraction}");
        }
        assert_eq!(scores.shares(), [0.0, 0.25, 0.0, 0.75, 0.0]);
        assert_eq!(
            (scores.share_before(0), scores.share_before(2), scores.share_before(5)),
            (0.0, 0.25, 1.0)
        );
    }

    #[test]
    fn several_values_are_different() {
        let scores = Scores::new(&[1.0, 0.0, 5.0, 2.0]).unwrap();
        for start in 0..100 {
            let mut number = f64::from(start) / 100.0;
            let chosen = scores.choose_several(4, || {
                number = (number * 7.0 + 0.13).fract();
                number
            });
            let mut sorted = chosen.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 2, 3], "each value with a score once: {chosen:?}");
        }
    }

    #[test]
    fn scores_that_cannot_be_drawn_by_are_refused() {
        for (scores, expected) in [
            (vec![], ScoreError::Empty),
            (vec![0.0, 0.0], ScoreError::AllZero),
            (vec![f64::MAX, f64::MAX], ScoreError::TooLarge),
        ] {
            assert_eq!(Scores::new(&scores).unwrap_err(), expected, "{scores:?}");
        }
    }
}
