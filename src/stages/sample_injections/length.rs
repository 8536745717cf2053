//! The requested length of a text: the shifted log-normal distribution of the length file, truncated to whole
//! words.
//!
//! `mean` and `sigma` are those of the underlying normal distribution, not of the length: with mean 2.5, sigma
//! 0.75 and shift 2, half of the lengths are below 15 words and one in a hundred is above 70.

use rand::Rng;
use rand_distr::{Distribution, LogNormal};
use serde::Deserialize;
use serde_json::{Value, json};

/// A distribution with a larger median is taken for a mistake.
const LONGEST_MEDIAN: f64 = 100_000.0;
/// Longer lengths do not contribute to the mean.
const LONGEST_COUNTED: u64 = 10_000_000;
/// Standard normal quantiles of the percentiles that are shown.
const PERCENTILES: [(u8, f64); 7] = [
    (1, -2.326_347_874_040_841),
    (5, -1.644_853_626_951_472_2),
    (25, -0.674_489_750_196_081_7),
    (50, 0.0),
    (75, 0.674_489_750_196_081_7),
    (95, 1.644_853_626_951_472_2),
    (99, 2.326_347_874_040_841),
];

/// The distribution of lengths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    file: LengthFile,
    law: LogNormal<f64>,
}

/// The content of the length file.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct LengthFile {
    /// The mean of the underlying normal distribution; the first layout called it `mu`.
    #[serde(alias = "mu")]
    mean: f64,
    /// Its standard deviation.
    sigma: f64,
    /// Words added to every length; none is shorter.
    shift: f64,
}

impl Length {
    /// Parses a length file; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let file: LengthFile = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| format!("{error}; expected `mean`, `sigma` and `shift`, each a number"))?;
        for (name, value) in [("sigma", file.sigma), ("shift", file.shift)] {
            if value < 0.0 {
                return Err(format!("`{name}` is {value}, expected 0 or more"));
            }
        }
        let law = LogNormal::new(file.mean, file.sigma).map_err(|error| error.to_string())?;
        let median = file.mean.exp() + file.shift;
        if median > LONGEST_MEDIAN {
            return Err(format!(
                "half of the lengths are over {LONGEST_MEDIAN} words; `mean` is the mean of the underlying normal \
                 law: a median of 15 words needs about 2.5"
            ));
        }
        Ok(Self { file, law })
    }

    /// Draws a length in words.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> u64 {
        // Truncates; a length too large for the type becomes its largest.
        (self.law.sample(rng) + self.file.shift) as u64
    }

    /// The probability of a length of at most `words`.
    pub(super) fn share_up_to(&self, words: u64) -> f64 {
        let above = words as f64 + 1.0 - self.file.shift;
        if above <= 0.0 {
            return 0.0;
        }
        let LengthFile { mean, sigma, .. } = self.file;
        if sigma == 0.0 {
            return if above > mean.exp() { 1.0 } else { 0.0 };
        }
        normal_share_below((above.ln() - mean) / sigma)
    }

    /// The mean length.
    pub(super) fn mean(&self) -> f64 {
        // The sum of P(length > words) over all words.
        let mut mean = 0.0;
        for words in 0..LONGEST_COUNTED {
            let longer = 1.0 - self.share_up_to(words);
            mean += longer;
            if longer < 1e-12 {
                break;
            }
        }
        mean
    }

    /// The shown percentiles, each with its length.
    fn percentiles(&self) -> [(u8, u64); 7] {
        let LengthFile { mean, sigma, shift } = self.file;
        PERCENTILES.map(|(percent, z)| (percent, ((mean + sigma * z).exp() + shift) as u64))
    }

    /// Describes the distribution in one line.
    pub(super) fn line(&self) -> String {
        let [.., (_, most)] = self.percentiles();
        let [(_, p1), (_, p5), (_, p25), (_, median), (_, p75), (_, p95), _] = self.percentiles();
        format!(
            "target_words: median {median}, mean {:.2}, at least {}; percentiles 1: {p1}, 5: {p5}, 25: {p25}, 75: {p75}, \
             95: {p95}, 99: {most}",
            self.mean(),
            self.file.shift as u64
        )
    }

    /// The distribution in machine-readable form.
    pub(super) fn data(&self) -> Value {
        let percentiles: serde_json::Map<String, Value> =
            self.percentiles().iter().map(|(percent, words)| (percent.to_string(), json!(words))).collect();
        let LengthFile { mean, sigma, shift } = self.file;
        json!({
            "law": {"mean": mean, "sigma": sigma, "shift": shift},
            "minimum": shift as u64,
            "median": self.percentiles()[3].1,
            "mean": self.mean(),
            "percentiles": percentiles,
        })
    }
}

/// The cumulative distribution function of the standard normal distribution at `z`.
pub(super) fn normal_share_below(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    const SHIPPED: &str = include_str!("../../../config/response_length_distribution.json");

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found}, expected {expected} +- {tolerance}");
    }

    #[test]
    fn the_law_has_the_numbers_of_the_original() {
        let length = Length::parse(SHIPPED).unwrap();
        let shares = [
            (1, 0.0),
            (2, 0.00043),
            (5, 0.0688),
            (10, 0.3432),
            (14, 0.5345),
            (20, 0.7233),
            (30, 0.8762),
            (50, 0.9683),
            (100, 0.9974),
        ];
        for (words, expected) in shares {
            near(length.share_up_to(words), expected, 0.00005);
        }
        near(length.mean(), 17.639, 0.0005);
        let expected = [(1, 4), (5, 5), (25, 9), (50, 14), (75, 22), (95, 43), (99, 71)];
        assert_eq!(length.percentiles(), expected);
        assert_eq!(length.data()["median"], 14);
    }

    #[test]
    fn a_hundred_thousand_draws_follow_the_law() {
        let length = Length::parse(SHIPPED).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(42);
        let mut draws: Vec<u64> = (0..100_000).map(|_| length.draw(&mut rng)).collect();
        draws.sort_unstable();
        near(draws.iter().sum::<u64>() as f64 / 100_000.0, 17.64, 0.14);
        assert!(draws[0] >= 2, "the shortest has {} words", draws[0]);
        assert_eq!(draws[50_000], 14);
        let mut distance: f64 = 0.0;
        for words in 0..=draws[99_999] {
            let up_to = draws.partition_point(|draw| *draw <= words) as f64 / 100_000.0;
            distance = distance.max((up_to - length.share_up_to(words)).abs());
        }
        assert!(distance < 0.006, "Kolmogorov distance {distance}");
    }

    #[test]
    fn wrong_files_are_refused() {
        for (text, expected) in [
            (r#"{"mean": 2.5, "sigma": 0.75}"#, "missing field `shift`"),
            (r#"{"mean": 2.5, "sigma": 0.75, "shift": 2, "max": 9}"#, "unknown field `max`"),
            (r#"{"mean": "2.5", "sigma": 0.75, "shift": 2}"#, "invalid type: string"),
            (r#"{"mean": 2.5, "sigma": -1, "shift": 2}"#, "`sigma` is -1, expected 0 or more"),
            (r#"{"mean": 2.5, "sigma": 0.75, "shift": -2}"#, "`shift` is -2"),
            (r#"{"mean": 18, "sigma": 0.75, "shift": 2}"#, "mean of the underlying normal"),
            (r#"{"mean": NaN, "sigma": 0.75, "shift": 2}"#, "expected value"),
            ("[]", "invalid"),
        ] {
            let error = Length::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        Length::parse("\u{feff}{\"mu\": 2.5, \"sigma\": 0, \"shift\": 0}").unwrap();
    }
}
