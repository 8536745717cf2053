//! Endpoints under load, on a clock that turns by itself.

mod affinity;

use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use rand::{RngExt, SeedableRng};

use super::*;

fn endpoints(count: usize, concurrency: Concurrency) -> Arc<Endpoints> {
    let address = |index: usize| Address::new(&format!("http://h{index}/v1"), &[]).unwrap();
    Endpoints::new("m", (0..count).map(address).collect(), concurrency, Jitter::seeded(7))
}

fn counts(endpoints: &Endpoints, of: impl Fn(&EndpointFigures) -> u64) -> Vec<u64> {
    endpoints.figures().iter().map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn the_slower_endpoint_gets_less_and_no_request_waits() {
    let endpoints = endpoints(3, Concurrency::Fixed(30));
    let work = (0..600).map(|_| async {
        let mut lease = endpoints.acquire(EndpointPreference::default()).await;
        lease.mark_sent();
        let slow = lease.index == 0;
        tokio::time::sleep(Duration::from_millis(if slow { 400 } else { 100 })).await;
        lease.finish(AttemptOutcome::Answered);
    });
    // Thirty at a time, as the engine would have it.
    let mut running = futures::stream::FuturesUnordered::new();
    for one in work {
        if running.len() == 30 {
            running.next().await;
        }
        running.push(one);
    }
    while running.next().await.is_some() {}
    let answered = counts(&endpoints, |endpoint| endpoint.answered);
    assert_eq!(answered.iter().sum::<u64>(), 600);
    assert!(answered[0] * 2 < answered[1] && answered[0] * 2 < answered[2], "{answered:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_is_suspended_and_recovers() {
    let endpoints = endpoints(2, Concurrency::Fixed(4));
    let start = Instant::now();
    let alive = |at: Instant| at.duration_since(start) >= Duration::from_secs(60);
    let mut back = None;
    for _ in 0..4000 {
        let mut lease = endpoints.acquire(EndpointPreference::default()).await;
        lease.mark_sent();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let dead = lease.index == 0 && !alive(Instant::now());
        if lease.index == 0 && !dead {
            back.get_or_insert(start.elapsed());
        }
        lease.finish(if dead { AttemptOutcome::Failed } else { AttemptOutcome::Answered });
    }
    let failed = counts(&endpoints, |endpoint| endpoint.failed);
    assert!(failed[0] <= 15 && failed[1] == 0, "{failed:?}");
    assert!(back.unwrap() < Duration::from_secs(180), "{back:?}");
    assert!(counts(&endpoints, |endpoint| endpoint.answered)[0] > 200);
}

#[tokio::test(start_paused = true)]
async fn when_all_endpoints_are_down_requests_wait_for_one_probe() {
    let endpoints = endpoints(2, Concurrency::Fixed(4));
    for _ in 0..10 {
        let mut lease = endpoints.try_acquire(EndpointPreference::default()).unwrap();
        lease.mark_sent();
        lease.finish(AttemptOutcome::Failed);
    }
    assert!(endpoints.try_acquire(EndpointPreference::default()).is_none());
    let start = Instant::now();
    let probes = [
        endpoints.acquire(EndpointPreference::default()).await,
        endpoints.acquire(EndpointPreference::default()).await,
    ];
    assert_eq!(start.elapsed().as_secs(), 1);
    assert!(endpoints.try_acquire(EndpointPreference::default()).is_none());
    assert_eq!(endpoints.figures()[0].state, "probing");
    for probe in probes {
        probe.finish(AttemptOutcome::Answered);
    }
    assert!(endpoints.try_acquire(EndpointPreference::default()).is_some());
}

#[tokio::test(start_paused = true)]
async fn leases_are_granted_per_attempt_and_in_order() {
    let endpoints = endpoints(1, Concurrency::Auto);
    let held: Vec<EndpointLease> =
        (0..8).map(|_| endpoints.try_acquire(EndpointPreference::default()).unwrap()).collect();
    assert!(endpoints.try_acquire(EndpointPreference::default()).is_none());
    assert_eq!(endpoints.figures()[0].limit, Some(8));
    let first = async {
        let lease = endpoints.acquire(EndpointPreference::default()).await;
        (Instant::now(), lease)
    };
    let then = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(held);
    };
    let start = Instant::now();
    let ((at, _place), ()) = tokio::join!(first, then);
    assert_eq!(at.duration_since(start).as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_stop_hang_and_start_at_random_lose_nothing() {
    for seed in 0..20 {
        let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
        // For each endpoint and each quarter of a minute: up, refusing, or hanging; up at the end.
        let faults: Vec<Vec<u8>> =
            (0..3).map(|_| (0..20).map(|_| rng.random_range(0..3)).collect()).collect();
        let endpoints = endpoints(3, Concurrency::Fixed(16));
        let start = Instant::now();
        let ask = |_| async {
            loop {
                let mut lease = endpoints.acquire(EndpointPreference::default()).await;
                lease.mark_sent();
                let quarter = start.elapsed().as_secs() as usize / 15;
                let now = faults[lease.index].get(quarter).copied().unwrap_or(0);
                // A hang ends by the time limit.
                let seconds = [0.2, 0.01, 5.0][now as usize];
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                let good = now == 0;
                lease.finish(if good { AttemptOutcome::Answered } else { AttemptOutcome::Failed });
                if good {
                    return start.elapsed();
                }
            }
        };
        let ends: Vec<Duration> = stream::iter(0..40_000).map(ask).buffer_unordered(16).collect().await;
        assert_eq!(ends.len(), 40_000);
        assert!(endpoints.figures().iter().all(|endpoint| endpoint.in_flight == 0));
        // Two minutes after the last change everything is up and used.
        let late = Duration::from_secs(300 + 120);
        assert!(ends.iter().any(|end| *end > late));
        assert!(endpoints.figures().iter().all(|endpoint| endpoint.state == "up"), "{seed}");
    }
}
