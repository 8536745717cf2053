//! What it saves the servers that requests which begin alike go to one of them, played without a clock: four replicas
//! with a prefix cache each, and as the control the choice without a key.

use std::sync::Arc;

use futures::FutureExt;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::super::{Address, AttemptOutcome, EndpointLease, EndpointPreference, Endpoints, affinity};
use crate::llm::jitter::Jitter;
use crate::pipeline::Concurrency;

#[path = "../../../../benches/model_client/block_cache.rs"]
mod block_cache;

use block_cache::{BlockCache, CACHE, QUESTIONS, prompt};

const REPLICAS: usize = 4;
const CONCURRENCY: u32 = 64;
const SECTIONS: u64 = 200;

/// The share of all bytes that the replicas have to read. Requests end in any order.
fn prefilled(with_key: bool, seed: u64) -> f64 {
    let address = |index| Address::new(&format!("http://gpu{index}/v1"), &[]).unwrap();
    let addresses = (0..REPLICAS).map(address).collect();
    let endpoints = Endpoints::new("m", addresses, Concurrency::Fixed(CONCURRENCY), Jitter::seeded(seed));
    let mut caches: Vec<BlockCache> = (0..REPLICAS).map(|_| BlockCache::new(CACHE)).collect();
    let mut under_way: Vec<EndpointLease> = Vec::new();
    let mut ends = ChaCha8Rng::seed_from_u64(seed);
    let (mut read, mut all) = (0, 0);
    for number in 0..SECTIONS * QUESTIONS {
        let (section, question) = (number / QUESTIONS, number % QUESTIONS);
        if under_way.len() == CONCURRENCY as usize {
            under_way.swap_remove(ends.random_range(0..under_way.len())).finish(AttemptOutcome::Answered);
        }
        let key = with_key.then(|| affinity(&section.to_le_bytes()));
        let preference = EndpointPreference { key, avoid: None };
        let mut lease = Arc::clone(&endpoints).acquire(preference).now_or_never().unwrap();
        lease.mark_sent();
        let prompt = prompt(section, question);
        read += prompt.len() - caches[lease.index].read(&prompt);
        all += prompt.len();
        under_way.push(lease);
    }
    read as f64 / all as f64
}

#[test]
fn requests_with_a_common_prefix_go_to_one_replica() {
    for seed in 0..8 {
        let (with, without) = (prefilled(true, seed), prefilled(false, seed));
        assert!(
            with < 0.7 * without,
            "seed {seed}: {with:.3} of all bytes are read, and {without:.3} at random"
        );
    }
}
