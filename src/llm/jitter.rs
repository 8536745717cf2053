//! Randomness in when and where requests are sent: jitter of waits, and which endpoints are compared.
//!
//! It never affects what is asked: a run's reproducible draws are in `draw`. Pools, endpoints and retry policies each
//! own a generator, so that nothing is shared and a test with a fixed seed is reproducible.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// A random number generator for scheduling decisions.
#[derive(Debug)]
pub(super) struct Jitter(ChaCha8Rng);

impl Jitter {
    /// Creates a randomly seeded generator, so that clients of one server do not act in lockstep.
    pub(super) fn new() -> Self {
        Self::seeded(rand::rng().random())
    }

    /// Creates a reproducible generator.
    pub(super) fn seeded(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Returns a random duration from zero to `bound`.
    pub(super) fn up_to(&mut self, bound: Duration) -> Duration {
        bound.mul_f64(self.0.random_range(0.0..=1.0))
    }

    /// Returns two different elements at random, or fewer where there are no more.
    pub(super) fn pick_two<'a, T>(&mut self, of: &'a [T]) -> impl Iterator<Item = &'a T> {
        of.sample(&mut self.0, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(mut jitter: Jitter) -> Vec<Duration> {
        (0..100).map(|_| jitter.up_to(Duration::from_secs(1))).collect()
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
    fn two_picks_differ_and_all_elements_are_picked() {
        let mut jitter = Jitter::seeded(1);
        let pairs: Vec<Vec<i32>> = (0..100).map(|_| jitter.pick_two(&[1, 2, 3]).copied().collect()).collect();
        assert!(pairs.iter().all(|pair| pair.len() == 2 && pair[0] != pair[1]));
        assert!([1, 2, 3].iter().all(|one| pairs.iter().any(|pair| !pair.contains(one))));
        assert_eq!(jitter.pick_two(&[7]).collect::<Vec<_>>(), [&7]);
    }
}
