//! Transient faults: random refusals and failures that do not depend on the load.
//!
//! Each is simulated in a steady state, for ten times the wait of a refusal and more, and compared with a run without
//! faults.

use super::simulated_server::{Overload, ServerFault, ServerTraits};
use super::*;

/// Answers within 400 ms, of 16 at a time.
const CLEAR: ServerTraits =
    ServerTraits { latency: 0.4, jitter: 0.2, places: 16, over: Overload::Wait, ..ServerTraits::PLAIN };
const FIXED: Concurrency = Concurrency::Fixed(16);

/// Answers a second, once it is steady.
async fn steady(traits: ServerTraits, concurrency: Concurrency, seed: u64) -> f64 {
    let seconds = 10.0 * traits.retry_after.unwrap_or(0.0) + 60.0;
    let servers = [SimulatedServer::new(traits, seed)];
    let client = SimulatedClient::new(concurrency, Limits::default(), seed);
    let places = if concurrency == Concurrency::Auto { 256 } else { 16 };
    client.keep(&servers, places, 60.0).await;
    let rate = client.keep(&servers, places, seconds).await;
    assert_eq!(servers[0].refusals().1, 0, "{traits:?}, {seed}: sent before its time");
    rate
}

async fn refusals_by_chance(concurrency: Concurrency) {
    const SHARES: [(f64, &[(ServerFault, f64)]); 3] = [
        (0.005, &[(ServerFault::Refuse, 0.005)]),
        (0.02, &[(ServerFault::Refuse, 0.02)]),
        (0.05, &[(ServerFault::Refuse, 0.05)]),
    ];
    let clear = median(async |seed| steady(CLEAR, concurrency, seed).await).await;
    for (refused, faults) in SHARES {
        for retry_after in [Some(0.0), Some(1.0), Some(20.0), None] {
            for refusal in ["rate_limited", "status_503"] {
                let traits = ServerTraits { faults, retry_after, refusal, ..CLEAR };
                let share = median(async |seed| steady(traits, concurrency, seed).await).await / clear;
                assert!(
                    share >= 0.9 * (1.0 - refused),
                    "{refused} of all as {refusal}, {retry_after:?} s: {share}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn random_refusals_do_not_delay_other_requests() {
    refusals_by_chance(FIXED).await;
}

#[tokio::test(start_paused = true)]
async fn random_refusals_do_not_lower_the_concurrency() {
    refusals_by_chance(Concurrency::Auto).await;
}

#[tokio::test(start_paused = true)]
async fn rare_failures_do_not_lower_the_concurrency() {
    const FAULTS: [&[(ServerFault, f64)]; 4] = [
        &[(ServerFault::Fail("status_500"), 0.01)],
        &[(ServerFault::Fail("reset"), 0.01)],
        &[
            (ServerFault::Fail("status_500"), 0.01),
            (ServerFault::Fail("reset"), 0.01),
            (ServerFault::FailLate("cut_body"), 0.01),
        ],
        &[(ServerFault::Fail("status_500"), 0.05)],
    ];
    for faults in FAULTS {
        let best = median(async |seed| steady(ServerTraits { faults, ..CLEAR }, FIXED, seed).await).await;
        let found =
            median(async |seed| steady(ServerTraits { faults, ..CLEAR }, Concurrency::Auto, seed).await)
                .await;
        assert!(found >= 0.7 * best, "{faults:?}: {found} of {best}");
    }
}

/// All at once: what a bad day of a provider looks like.
const MIXTURE: &[(ServerFault, f64)] = &[
    (ServerFault::Fail("status_500"), 0.04),
    (ServerFault::Refuse, 0.02),
    (ServerFault::Fail("reset"), 0.03),
    (ServerFault::FailLate("cut_body"), 0.03),
    (ServerFault::FailLate("not_json"), 0.02),
    (ServerFault::FailLate("empty_choices"), 0.02),
];

#[tokio::test(start_paused = true)]
async fn all_faults_together_delay_few_and_lose_none() {
    for concurrency in [FIXED, Concurrency::Auto] {
        let places = if concurrency == Concurrency::Auto { 256 } else { 16 };
        let places = 4 * places;
        let finish = async |traits: ServerTraits, seed| {
            let servers = [SimulatedServer::new(traits, seed)];
            let client = SimulatedClient::new(concurrency, Limits::default(), seed);
            let answers = client.finish(&servers, places, 1500).await;
            assert_eq!(answers.len(), 1500, "{traits:?}, {seed}");
            answers
        };
        let quick = ServerTraits { latency: 0.05, places: 64, ..CLEAR };
        let clear = median(async |seed| finish(quick, seed).await[1499]).await;
        let bad = ServerTraits { faults: MIXTURE, retry_after: Some(1.0), ..quick };
        let most = median(async |seed| finish(bad, seed).await[1484]).await;
        let last = median(async |seed| finish(bad, seed).await[1499]).await;
        assert!(
            most <= 4.0 * clear,
            "{concurrency:?}: 99 % after {most} s, without faults all after {clear} s"
        );
        assert!(last <= 30.0, "{concurrency:?}: all after {last} s");
    }
}

#[tokio::test(start_paused = true)]
async fn transient_faults_that_end_are_forgotten() {
    for seed in SEEDS {
        let servers =
            [SimulatedServer::new(ServerTraits { faults: &[(ServerFault::Refuse, 0.3)], ..CLEAR }, seed)];
        let client = SimulatedClient::new(FIXED, Limits::default(), seed);
        client.keep(&servers, 16, 120.0).await;
        servers[0].set_faults(&[]);
        client.keep(&servers, 16, 30.0).await;
        let rate = client.keep(&servers, 16, 30.0).await;
        assert!(rate >= 0.95 * 16.0 / 0.4, "{seed}: {rate}");
    }
}
