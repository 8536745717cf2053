//! All randomness: random number generators keyed by run seed, stage id, name of the draw, and record.
//!
//! Stages use no other generator, so a draw depends only on what is written in the pipeline: not on concurrency, on the
//! order of arrival, or on other draws.

use std::fmt::Display;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

/// The draws of one stage.
#[derive(Debug, Clone)]
pub struct Draws {
    seed: u64,
    stage: Arc<str>,
}

impl Draws {
    /// The draws of `stage` in a run with `seed`.
    #[must_use]
    pub fn new(seed: u64, stage: Arc<str>) -> Self {
        Self { seed, stage }
    }

    /// The id of the stage.
    #[must_use]
    pub fn stage(&self) -> &Arc<str> {
        &self.stage
    }

    /// Returns the generator for a named draw of one record. `key` is the record's id, or in the source part, where
    /// records have no id yet, a text that identifies it.
    #[must_use]
    pub fn rng(&self, name: &str, key: impl Display) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.hash(name, &key.to_string()))
    }

    /// Returns a number in [0, 1) that depends only on the key, for decisions by hash such as a split.
    #[must_use]
    pub fn fraction(&self, name: &str, key: &str) -> f64 {
        let hash = self.hash(name, key);
        let mut first = [0_u8; 8];
        first.copy_from_slice(&hash[..8]);
        // 53 bits fill the mantissa of an f64 exactly.
        (u64::from_le_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn hash(&self, name: &str, key: &str) -> [u8; 32] {
        // Each text is preceded by its length, so that different (stage, name, key) never hash the same bytes.
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        for part in [&*self.stage, name, key] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn draws_are_fixed_by_seed_stage_name_and_key() {
        let draws = Draws::new(42, "split".into());
        let first: u64 = draws.rng("ratio", "000001").random();
        assert_eq!(first, draws.rng("ratio", "000001").random::<u64>());
        assert_ne!(first, draws.rng("ratio", "000002").random::<u64>());
        assert_ne!(first, draws.rng("other", "000001").random::<u64>());
        assert_ne!(first, Draws::new(43, "split".into()).rng("ratio", "000001").random::<u64>());
    }

    #[test]
    fn fractions_are_uniform_enough() {
        let draws = Draws::new(7, "split".into());
        let below = (0..20_000).filter(|i| draws.fraction("ratio", &i.to_string()) < 0.9).count();
        assert!((17_870..=18_130).contains(&below), "{below} of 20000");
    }
}
