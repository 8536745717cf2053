//! Chooses the endpoint of a request: by its affinity key, or the less loaded of two.
//!
//! Requests with the same key have a common prefix, which a server has in its cache once it has processed it. They go
//! to the endpoint with the highest weight for the key (rendezvous hashing), so that few keys move when an endpoint
//! comes or goes; if that endpoint is much more loaded than the others, they go to another. Pure; `mod` has the
//! endpoints' state.

use std::cmp::Reverse;

use crate::llm::jitter::Jitter;

/// The load, relative to the mean, from which requests with a key go to another endpoint. Less than 1 ¼ would separate
/// common prefixes whenever a few requests are slow, and more would let one endpoint queue while others idle.
const MAX_LOAD: (u64, u64) = (5, 4);

/// Which endpoint a request prefers, and which it avoids.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::llm) struct EndpointPreference {
    /// The affinity key, equal for requests with a common prefix.
    pub(in crate::llm) key: Option<u64>,
    /// The index of the endpoint at which it just failed.
    pub(in crate::llm) avoid: Option<usize>,
}

/// An endpoint that is up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// Its index.
    pub(super) index: usize,
    /// A hash of its address.
    pub(super) address: u64,
    /// Its current requests, and how many it may have.
    pub(super) held: u32,
    pub(super) limit: u32,
    pub(super) has_room: bool,
    /// Requests granted to it so far.
    pub(super) granted: u64,
}

/// Returns the endpoint that gets the request; none while no endpoint has room.
pub(super) fn choose(up: &[Candidate], preference: EndpointPreference, jitter: &mut Jitter) -> Option<usize> {
    let mut open: Vec<&Candidate> = up.iter().filter(|one| one.has_room).collect();
    // It returns to where it failed only if there is no other.
    if open.iter().any(|one| Some(one.index) != preference.avoid) {
        open.retain(|one| Some(one.index) != preference.avoid);
    }
    let chosen = match preference.key {
        Some(key) => by_key(up, &open, key),
        None => by_load(&open, jitter),
    };
    chosen.map(|one| one.index)
}

/// The endpoint with the highest weight for the key, among those that are not overloaded.
fn by_key<'a>(up: &[Candidate], open: &[&'a Candidate], key: u64) -> Option<&'a Candidate> {
    let all: u64 = up.iter().map(|one| u64::from(one.held)).sum();
    let (most, of) = MAX_LOAD;
    let most = ((all + 1) * most).div_ceil(of * up.len().max(1) as u64);
    let little = open.iter().copied().filter(|one| u64::from(one.held) < most);
    let heaviest = little.max_by_key(|one| weight(key, one.address));
    heaviest.or_else(|| open.iter().copied().min_by_key(|one| (one.held, Reverse(weight(key, one.address)))))
}

/// Picks two at random and returns the less loaded one relative to its limit; among equals, the one with fewer requests
/// so far.
fn by_load<'a>(open: &[&'a Candidate], jitter: &mut Jitter) -> Option<&'a Candidate> {
    let load = |one: &Candidate| f64::from(one.held) / f64::from(one.limit.max(1));
    let even = open.windows(2).all(|pair| (load(pair[0]) - load(pair[1])).abs() < 1e-9);
    let less = |a: &&&Candidate, b: &&&Candidate| load(a).total_cmp(&load(b)).then(a.granted.cmp(&b.granted));
    let best = match even {
        true => open.iter().min_by(less),
        false => jitter.pick_two(open).min_by(less),
    };
    best.copied()
}

/// The weight of an endpoint for a key: two rounds of the finalizer of SplitMix64, in which each bit changes half of
/// the others.
fn weight(key: u64, address: u64) -> u64 {
    mix(key ^ mix(address))
}

fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn endpoints(count: usize) -> Vec<Candidate> {
        let one = |index: usize| Candidate {
            index,
            address: mix(index as u64 + 1),
            held: 0,
            limit: 64,
            has_room: true,
            granted: 0,
        };
        (0..count).map(one).collect()
    }

    fn with_key(up: &[Candidate], key: u64) -> usize {
        choose(up, EndpointPreference { key: Some(key), avoid: None }, &mut Jitter::seeded(1)).unwrap()
    }

    #[test]
    fn equal_keys_go_to_one_endpoint_and_all_endpoints_get_their_share() {
        let up = endpoints(4);
        let mut counts = [0_u32; 4];
        for key in 0..10_000 {
            let chosen = with_key(&up, mix(key));
            assert_eq!(with_key(&up, mix(key)), chosen);
            counts[chosen] += 1;
        }
        assert!(counts.iter().all(|count| (2300..2700).contains(count)), "{counts:?}");
    }

    #[test]
    fn only_the_keys_of_an_endpoint_that_goes_move_and_a_new_one_takes_its_share() {
        let (four, five) = (endpoints(4), endpoints(5));
        let mut moved = 0;
        for key in (0..10_000).map(mix) {
            let (before, after) = (with_key(&four, key), with_key(&five, key));
            assert!(after == before || after == 4, "keys move to the new one only");
            moved += u32::from(after == 4);
            let without: Vec<_> = four.iter().copied().filter(|one| one.index != 2).collect();
            assert!(before == 2 || with_key(&without, key) == before);
        }
        assert!((1800..2200).contains(&moved), "{moved}");
    }

    /// Whatever the keys are and whichever requests end, no endpoint gets one beyond 1.25 times the mean.
    #[test]
    fn no_endpoint_gets_much_more_than_the_mean() {
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let count = rng.random_range(1..9);
            let (mut up, keys) = (endpoints(count), rng.random_range(1..20));
            for _ in 0..300 {
                let busy: Vec<usize> = (0..count).filter(|index| up[*index].held > 0).collect();
                if !busy.is_empty() && rng.random_range(0..3) == 0 {
                    up[busy[rng.random_range(0..busy.len())]].held -= 1;
                    continue;
                }
                let chosen = with_key(&up, mix(rng.random_range(0..keys)));
                up[chosen].held += 1;
                let all: u32 = up.iter().map(|one| one.held).sum();
                let most = (1.25 * f64::from(all) / count as f64).ceil();
                assert!(f64::from(up[chosen].held) <= most, "seed {seed}: {} of {most}", up[chosen].held);
            }
        }
    }

    #[test]
    fn requests_fail_over_and_wait_only_if_no_endpoint_has_room() {
        let mut up = endpoints(3);
        for key in [Some(7), None] {
            for avoid in 0..3 {
                let preference = EndpointPreference { key, avoid: Some(avoid) };
                assert_ne!(choose(&up, preference, &mut Jitter::seeded(3)), Some(avoid));
            }
        }
        up[0].has_room = false;
        up[1].has_room = false;
        for key in [Some(7), None] {
            let preference = EndpointPreference { key, avoid: Some(2) };
            assert_eq!(choose(&up, preference, &mut Jitter::seeded(3)), Some(2), "there is no other");
        }
        // The others have no room, and a high load is better than waiting.
        (up[2].held, up[2].limit) = (50, 64);
        assert_eq!(with_key(&up, 7), 2);
        up[2].has_room = false;
        assert_eq!(choose(&up, EndpointPreference::default(), &mut Jitter::seeded(3)), None);
    }

    #[test]
    fn without_a_key_the_less_loaded_endpoint_is_chosen() {
        let mut up = endpoints(2);
        (up[0].held, up[0].granted, up[1].granted) = (0, 9, 3);
        assert_eq!(
            choose(&up, EndpointPreference::default(), &mut Jitter::seeded(3)),
            Some(1),
            "given less so far"
        );
        up[1].held = 3;
        assert_eq!(choose(&up, EndpointPreference::default(), &mut Jitter::seeded(3)), Some(0));
    }
}
