//! Jitter in when and where requests are sent: jitter of waits, and which endpoints are compared.
//!
//! Never in what is asked: a run's own draws are `draw`'s. Pools, endpoints and retries each hold one, so that
//! nothing is shared and a test that gives the seed sees the same run each time.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// A generator of its own for whoever holds it.
#[derive(Debug)]
pub(super) struct Jitter(ChaCha8Rng);

impl Jitter {
    /// Differs each time, so that clients of one server do not move in step.
    pub(super) fn new() -> Self {
        Self::seeded(rand::rng().random())
    }

    /// The same for the same seed.
    pub(super) fn seeded(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Any time from nothing to `bound`.
    pub(super) fn part_of(&mut self, bound: Duration) -> Duration {
        bound.mul_f64(self.0.random_range(0.0..=1.0))
    }

    /// Two of them, or fewer where there are no more.
    pub(super) fn two<'a, T>(&mut self, of: &'a [T]) -> impl Iterator<Item = &'a T> {
        of.sample(&mut self.0, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(mut chance: Jitter) -> Vec<Duration> {
        (0..100).map(|_| chance.part_of(Duration::from_secs(1))).collect()
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        assert_eq!(waits(Jitter::seeded(1)), waits(Jitter::seeded(1)));
        assert_ne!(waits(Jitter::seeded(1)), waits(Jitter::seeded(2)));
        assert_ne!(waits(Jitter::new()), waits(Jitter::new()));
    }

    #[test]
    fn waits_are_spread_over_the_whole_bound() {
        let waits = waits(Jitter::seeded(1));
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(1)));
        let early = waits.iter().filter(|wait| wait.as_millis() < 500).count();
        assert!((35..=65).contains(&early), "{early}");
    }

    #[test]
    fn two_differ_and_all_get_their_turn() {
        let mut chance = Jitter::seeded(1);
        let pairs: Vec<Vec<i32>> = (0..100).map(|_| chance.two(&[1, 2, 3]).copied().collect()).collect();
        assert!(pairs.iter().all(|pair| pair.len() == 2 && pair[0] != pair[1]));
        assert!([1, 2, 3].iter().all(|one| pairs.iter().any(|pair| !pair.contains(one))));
        assert_eq!(chance.two(&[7]).collect::<Vec<_>>(), [&7]);
    }
}
