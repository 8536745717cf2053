//! Replicas, one of which is useless: the throughput of the others, and that its refusals affect only itself.

use super::simulated_server::{Overload, ServerFault, ServerTraits};
use super::*;

/// Answers within 200 ms, of 16 at a time.
const GOOD: ServerTraits =
    ServerTraits { latency: 0.2, jitter: 0.2, places: 16, over: Overload::Wait, ..ServerTraits::PLAIN };

/// Answers a second of four replicas in a minute, the first of them like this.
async fn with_one(first: ServerTraits, concurrency: Concurrency, seed: u64) -> f64 {
    let traits = [first, GOOD, GOOD, GOOD];
    let servers = traits.map(|traits| SimulatedServer::new(traits, seed));
    let pool = Pool::with_jitter("m", Limits::default(), Jitter::seeded(seed));
    let client = SimulatedClient::of(4, concurrency, pool, seed);
    client.keep(&servers, 64, 30.0).await;
    let rate = client.keep(&servers, 64, 60.0).await;
    assert_eq!(client.rejected.load(Ordering::Relaxed), 0, "{first:?}, {seed}");
    assert_eq!(servers[0].refusals().1, 0, "{first:?}, {seed}: sent before its time");
    rate
}

async fn check(name: &str, first: ServerTraits) {
    // What the three others can.
    let three = 3.0 * 16.0 / 0.2;
    for concurrency in [Concurrency::Fixed(64), Concurrency::Auto] {
        let rate = median(async |seed| with_one(first, concurrency, seed).await).await;
        assert!(rate >= 0.9 * three, "{name}, {concurrency:?}: {rate} of {three}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_refusing_replica_of_four_costs_only_its_own_share() {
    let refusing = ServerTraits { faults: &[(ServerFault::Refuse, 1.0)], ..GOOD };
    for retry_after in [None, Some(1.0), Some(20.0)] {
        for refusal in ["rate_limited", "status_503"] {
            check("refuses", ServerTraits { retry_after, refusal, ..refusing }).await;
        }
    }
    check("refuses half", ServerTraits { faults: &[(ServerFault::Refuse, 0.5)], ..GOOD }).await;
    check("has few places", ServerTraits { places: 4, over: Overload::Refuse, ..GOOD }).await;
}

#[tokio::test(start_paused = true)]
async fn one_useless_replica_of_four_costs_only_its_own_share() {
    check("hangs", ServerTraits { faults: &[(ServerFault::Hang, 1.0)], ..GOOD }).await;
    check("empty", ServerTraits { faults: &[(ServerFault::FailLate("empty_choices"), 1.0)], ..GOOD }).await;
    check("empty at once", ServerTraits { faults: &[(ServerFault::Fail("empty_choices"), 1.0)], ..GOOD })
        .await;
    check("rubbish", ServerTraits { faults: &[(ServerFault::FailLate("not_json"), 1.0)], ..GOOD }).await;
    check("down", ServerTraits { faults: &[(ServerFault::Fail("unreachable"), 1.0)], ..GOOD }).await;
    check("slow", ServerTraits { faults: &[(ServerFault::Slow(10.0), 1.0)], ..GOOD }).await;
}
