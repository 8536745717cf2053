//! Pools under load, on a clock that turns by itself.

use super::headers::RemainingAmount;
use super::*;
use futures::future::join_all;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

fn limits(requests: Option<u32>, tokens: Option<u64>) -> Limits {
    Limits { requests_per_minute: requests, tokens_per_minute: tokens, ..Limits::default() }
}

fn usage(input: u64, output: u64) -> TokenCost {
    TokenCost { input, output }
}

/// The most that any window of `seconds` holds, of amounts at times in order.
fn fullest(sent: &[(f64, f64)], seconds: f64) -> f64 {
    let (mut first, mut sum, mut most) = (0, 0.0, 0.0_f64);
    for (at, amount) in sent {
        sum += amount;
        while sent[first].0 <= at - seconds {
            sum -= sent[first].1;
            first += 1;
        }
        most = most.max(sum);
    }
    most
}

#[tokio::test(start_paused = true)]
async fn requests_stay_within_the_rate_and_use_it() {
    for per_minute in [60, 600, 12_000] {
        let pool = Pool::new("p", limits(Some(per_minute), None));
        let start = Instant::now();
        let count = per_minute * 3;
        let turns = (0..count).map(|_| async {
            let turn = pool.acquire(TokenCost::default()).await;
            (start.elapsed().as_secs_f64(), turn)
        });
        let sent: Vec<(f64, f64)> = join_all(turns).await.iter().map(|(at, _)| (*at, 1.0)).collect();
        let rate = f64::from(per_minute) / 60.0;
        for seconds in [1.0, 10.0, 60.0] {
            let most = fullest(&sent, seconds);
            assert!(most <= rate * seconds * 1.05 + 1.0, "{per_minute}: {most} in {seconds} s");
        }
        let took = sent[sent.len() - 1].0;
        assert!((174.0..=181.0).contains(&took), "{per_minute}: {took}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_stay_within_the_rate_and_use_it() {
    let pool = Pool::new("p", limits(None, Some(60_000)));
    let start = Instant::now();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let requests: Vec<(u64, u64)> =
        (0..1000).map(|_| (rng.random_range(50..500), rng.random_range(0..400))).collect();
    let turns = requests.iter().map(|(input, output)| {
        let pool = &pool;
        async move {
            let turn = pool.acquire(TokenCost { input: *input, output: 400 }).await;
            let at = start.elapsed().as_secs_f64();
            tokio::time::sleep(Duration::from_secs(1)).await;
            turn.settle(usage(*input, *output));
            (at, (input + output) as f64)
        }
    });
    let sent = join_all(turns).await;
    let all: f64 = sent.iter().map(|(_, tokens)| tokens).sum();
    let took = sent[sent.len() - 1].0;
    assert!(fullest(&sent, 60.0) <= 60_000.0 + 5000.0, "{}", fullest(&sent, 60.0));
    assert!(fullest(&sent[..], 1.0) <= 1000.0 + 5000.0);
    let first_minute: f64 = sent.iter().filter(|(at, _)| *at <= 60.0).map(|(_, tokens)| tokens).sum();
    assert!(first_minute <= 60_000.0 * 1.1, "{first_minute}");
    assert!(all / took >= 970.0, "{all} in {took}");
}

#[tokio::test(start_paused = true)]
async fn a_request_over_the_burst_passes_and_each_meter_counts() {
    let limits = Limits {
        input_tokens_per_minute: Some(60_000),
        output_tokens_per_minute: Some(6000),
        ..Limits::default()
    };
    let pool = Pool::new("p", limits);
    let start = Instant::now();
    let need = TokenCost { input: 100, output: 900 };
    pool.acquire(need).await.settle(usage(100, 900));
    // Output is the narrow one: 900 of debt and a full bucket of 500 at 100 a second.
    pool.acquire(need).await.refund();
    assert_eq!(start.elapsed().as_secs(), 14);
    pool.acquire(need).await.settle(usage(100, 900));
    assert_eq!(start.elapsed().as_secs(), 14);
    // One that was dropped counts as used.
    drop(pool.acquire(need).await);
    assert_eq!(start.elapsed().as_secs(), 23);
    pool.acquire(need).await.refund();
    assert_eq!(start.elapsed().as_secs(), 32);
}

#[tokio::test(start_paused = true)]
async fn headers_lower_and_never_raise() {
    let left = |count: f64, reset: Option<u64>| RemainingAmount {
        count,
        limit: Some(600.0),
        reset: reset.map(Duration::from_secs),
    };
    let pool = Pool::new("p", limits(None, Some(60_000)));
    let need = TokenCost { input: 1, output: 0 };
    let level = |pool: &Pool| pool.state().meters.tokens.as_mut().unwrap().level(Instant::now());
    let (old, new) = (pool.acquire(need).await, pool.acquire(need).await);
    tokio::time::advance(Duration::from_secs(4)).await;
    let before = level(&pool);
    for same in [None, Some(left(1e9, None))] {
        new.observe(RemainingQuota { tokens: same, ..RemainingQuota::default() });
        assert!((level(&pool) - before).abs() < 1e-6);
    }
    new.observe(RemainingQuota { tokens: Some(left(100.0, None)), ..RemainingQuota::default() });
    assert!((level(&pool) - 100.0).abs() < 1e-6);
    // What an older request brings late is out of date.
    old.observe(RemainingQuota { tokens: Some(left(5.0, None)), ..RemainingQuota::default() });
    assert!((level(&pool) - 100.0).abs() < 1e-6);
    // Nothing left: one request's share of the time until all is back.
    new.observe(RemainingQuota { requests: Some(left(0.0, Some(60))), ..RemainingQuota::default() });
    let start = Instant::now();
    drop(pool.acquire(need).await);
    assert_eq!(start.elapsed().as_millis(), 100);
}

#[tokio::test(start_paused = true)]
async fn while_the_quota_is_used_up_each_request_waits_for_its_share() {
    let pool = Pool::new("p", limits(None, None));
    let left = |count: f64| RemainingQuota {
        requests: Some(RemainingAmount { count, limit: Some(60.0), reset: Some(Duration::from_secs(60)) }),
        ..RemainingQuota::default()
    };
    pool.acquire(TokenCost::default()).await.observe(left(0.0));
    let start = Instant::now();
    // However many wait, and whether headers come with the answers or not.
    let turns = join_all((0..64).map(|number| {
        let pool = &pool;
        let left = &left;
        async move {
            let turn = pool.acquire(TokenCost::default()).await;
            if number % 2 == 0 {
                turn.observe(left(0.0));
            }
            start.elapsed().as_secs_f64()
        }
    }));
    let times = turns.await;
    for (number, at) in times.iter().enumerate().take(59) {
        assert!((at - (number + 1) as f64).abs() < 0.1, "{number} at {at}");
    }
    // As soon as there is more, nobody is held back.
    pool.acquire(TokenCost::default()).await.observe(left(1000.0));
    let start = Instant::now();
    join_all((0..64).map(|_| pool.acquire(TokenCost::default()))).await;
    assert!(start.elapsed() <= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_changed_limit_applies_at_once_without_a_burst() {
    let pool = Pool::new("p", limits(Some(6), None));
    let start = Instant::now();
    drop(pool.acquire(TokenCost::default()).await);
    let turns = join_all((0..201).map(|_| async {
        drop(pool.acquire(TokenCost::default()).await);
        start.elapsed().as_secs_f64()
    }));
    let change = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        pool.set_limits(limits(Some(6000), None));
    };
    let (times, ()) = tokio::join!(turns, change);
    assert!((1.0..=1.1).contains(&times[0]), "{}", times[0]);
    assert!((2.9..=3.1).contains(&times[200]), "{}", times[200]);
    let sent: Vec<(f64, f64)> = times.iter().map(|at| (*at, 1.0)).collect();
    assert!(fullest(&sent, 0.1) <= 16.0, "{}", fullest(&sent, 0.1));
    pool.set_limits(Limits::default());
    join_all((0..1000).map(|_| pool.acquire(TokenCost::default()))).await;
}

#[tokio::test(start_paused = true)]
async fn many_waiters_are_served_in_order_with_few_wakeups() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let many = 20_000;
    let pool = Pool::new("p", Limits { in_flight: Some(4), ..limits(Some(600_000), None) });
    let (order, polls) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let turns = (0..many).map(|index| {
        let (pool, order, polls) = (&pool, &order, &polls);
        let mut turn = Box::pin(async move {
            let turn = pool.acquire(TokenCost::default()).await;
            order.lock().unwrap().push(index);
            drop(turn);
        });
        std::future::poll_fn(move |context| {
            polls.fetch_add(1, Ordering::Relaxed);
            turn.as_mut().poll(context)
        })
    });
    join_all(turns).await;
    assert!(order.lock().unwrap().is_sorted());
    // One poll each to get in line.
    let woken = polls.load(Ordering::Relaxed) - many;
    assert!(woken <= 2 * many, "{woken}");
}

#[tokio::test(start_paused = true)]
async fn of_two_requested_waits_the_later_end_counts() {
    let pool = Pool::new("p", Limits::default());
    let turns = join_all((0..6).map(|_| pool.acquire(TokenCost::default()))).await;
    for (number, turn) in turns.into_iter().enumerate() {
        let asked = Some(Duration::from_secs(if number == 4 { 40 } else { 20 }));
        turn.refused(asked, Duration::ZERO, "test");
        let paused = pool.figures().paused_seconds;
        assert_eq!(paused, if number < 4 { 0.0 } else { 40.0 }, "{number}");
    }
}

/// A server that takes `rate` requests a second in a bucket of one second, and is down for a while.
struct Server {
    rate: f64,
    level: f64,
    /// Requests that may come at once.
    burst: f64,
    at: Instant,
    down: std::ops::Range<f64>,
}

/// Keeps asking the server with `workers` at a time for `seconds`; returns the times of successes and the attempts.
async fn load(
    pool: &Arc<Pool>,
    server: Server,
    workers: usize,
    retry_after: Option<Duration>,
    seconds: f64,
) -> (Vec<f64>, usize) {
    let (start, taken, attempts) = (Instant::now(), Mutex::new(Vec::new()), Mutex::new(0));
    let server = Mutex::new(server);
    let work = (0..workers).map(|_| async {
        while start.elapsed().as_secs_f64() < seconds {
            let turn = pool.acquire(TokenCost::default()).await;
            let sent = Instant::now();
            let at = sent.duration_since(start).as_secs_f64();
            *attempts.lock().unwrap() += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let refused = {
                let mut server = server.lock().unwrap();
                let risen = server.rate * sent.duration_since(server.at).as_secs_f64();
                server.level = (server.level + risen).min(server.burst);
                server.at = sent;
                let full = server.level < 1.0;
                if !full {
                    server.level -= 1.0;
                }
                full || server.down.contains(&at)
            };
            if refused {
                turn.refused(retry_after, Duration::from_secs(1), "test");
                tokio::time::sleep(retry_after.unwrap_or(Duration::from_secs(1))).await;
                continue;
            }
            tokio::time::sleep(Duration::from_millis(180)).await;
            turn.settle(TokenCost::default());
            taken.lock().unwrap().push(at);
        }
    });
    join_all(work).await;
    (taken.into_inner().unwrap(), attempts.into_inner().unwrap())
}

fn server(rate: f64, down: std::ops::Range<f64>) -> Server {
    Server { rate, level: rate, burst: rate, at: Instant::now(), down }
}

#[tokio::test(start_paused = true)]
async fn an_undeclared_rate_is_discovered() {
    for (burst, least, at_first) in [(200.0, 0.94, 0.7), (50.0, 0.9, 0.58), (10.0, 0.83, 0.5)] {
        for seed in 0..3 {
            let pool = Pool::with_jitter("p", Limits::default(), Jitter::seeded(seed));
            let wait = Some(Duration::from_secs(1));
            let server = Server { burst, level: 0.0, ..server(200.0, 0.0..0.0) };
            let (taken, attempts) = load(&pool, server, 256, wait, 300.0).await;
            let share = taken.len() as f64 / (200.0 * 300.0);
            let first = taken.iter().filter(|at| **at < 30.0).count() as f64 / (200.0 * 30.0);
            assert!(share >= least && first >= at_first, "{burst}, {seed}: {share}, {first}");
            assert!(attempts as f64 <= 1.1 * taken.len() as f64, "{seed}: {attempts} for {}", taken.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_half_an_hour_of_refusals_the_full_rate_returns() {
    for wait in [None, Some(Duration::from_secs(5))] {
        for seed in 0..3 {
            let pool = Pool::with_jitter("p", Limits::default(), Jitter::seeded(seed));
            let (taken, attempts) = load(&pool, server(1e6, 20.0..1820.0), 100, wait, 2000.0).await;
            let rate = |from: f64, to: f64| {
                taken.iter().filter(|at| (from..to).contains(*at)).count() as f64 / (to - from)
            };
            let before = rate(5.0, 20.0);
            assert!(rate(1940.0, 1990.0) >= 0.97 * before, "{seed}: {} after {before}", rate(1940.0, 1990.0));
            assert!(attempts as f64 <= 1.2 * taken.len() as f64 + 10.0 * 1800.0, "{seed}: {attempts}");
        }
    }
}
