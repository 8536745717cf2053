//! The concurrency at which `auto` settles, and how much of the server is used, for several kinds of servers.

use super::simulated_server::{Overload, ServerTraits};
use super::*;

/// A server, how long it is watched, and what must come of it.
struct ServerCase {
    name: &'static str,
    traits: ServerTraits,
    /// Whether it reports the length of its queue.
    reports_queue: bool,
    /// Seconds until the limit has settled.
    settled: f64,
    /// Where the limit then is on average.
    limit: std::ops::RangeInclusive<u32>,
    /// The share of what the best fixed limit brings.
    least: f64,
}

/// What was seen of a server, from the moment that the limit had settled.
struct Observation {
    /// Each half second.
    samples: Vec<ServerSample>,
    /// Answers a second.
    rate: f64,
}

struct ServerSample {
    limit: f64,
    running: f64,
    waiting: f64,
}

impl Observation {
    fn mean(&self, of: fn(&ServerSample) -> f64) -> f64 {
        self.samples.iter().map(of).sum::<f64>() / self.samples.len() as f64
    }
}

async fn watch(
    client: &SimulatedClient,
    servers: &[SimulatedServer],
    reports_queue: bool,
    settled: f64,
) -> Observation {
    let mut seen = Observation { samples: Vec::new(), rate: 0.0 };
    let steps = async {
        client.keep(servers, 1500, settled).await;
        let look = async {
            loop {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let (running, waiting) = servers[0].queue();
                seen.samples.push(ServerSample { limit: f64::from(client.limit()), running, waiting });
            }
        };
        tokio::select! {
            biased;
            rate = client.keep(servers, 1500, 120.0) => seen.rate = rate,
            () = look => {}
        }
    };
    let watching = async {
        match reports_queue {
            true => client.watch(&servers[0]).await,
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = steps => {}
        () = watching => {}
    }
    seen
}

async fn check(case: ServerCase) {
    let best = case.traits.places as f64 / case.traits.latency;
    let limit = median(async |seed| look(&case, seed).await.mean(|seen| seen.limit)).await;
    assert!(case.limit.contains(&(limit.round() as u32)), "{}: {limit}", case.name);
    let share = median(async |seed| look(&case, seed).await.rate / best).await;
    assert!(share >= case.least, "{}: {share}", case.name);
    if case.reports_queue {
        let running = median(async |seed| look(&case, seed).await.mean(|seen| seen.running)).await;
        let waiting = median(async |seed| look(&case, seed).await.mean(|seen| seen.waiting)).await;
        assert!(waiting <= running / 10.0 + 2.0, "{}: {waiting} wait beside {running}", case.name);
    }
}

async fn look(case: &ServerCase, seed: u64) -> Observation {
    let servers = [SimulatedServer::new(case.traits, seed)];
    let client = SimulatedClient::new(Concurrency::Auto, Limits::default(), seed);
    watch(&client, &servers, case.reports_queue, case.settled).await
}

/// A server with places for 32 whose answers take a second, more or less.
fn case(name: &'static str, over: Overload, limit: std::ops::RangeInclusive<u32>, least: f64) -> ServerCase {
    let traits = ServerTraits { latency: 1.0, jitter: 0.3, places: 32, over, ..ServerTraits::PLAIN };
    ServerCase { name, traits, reports_queue: false, settled: 60.0, limit, least }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_reports_its_queue_is_used_but_not_flooded() {
    check(ServerCase { reports_queue: true, ..case("reports its queue", Overload::Wait, 24..=48, 0.95) })
        .await;
    let even = case("reports, answers alike", Overload::Wait, 24..=48, 0.95);
    check(ServerCase { traits: ServerTraits { jitter: 0.0, ..even.traits }, reports_queue: true, ..even })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_limit_settles_near_what_a_server_sustains() {
    check(case("lets them wait and says nothing", Overload::Wait, 24..=112, 0.95)).await;
    check(case("gets slower with each", Overload::Slow, 24..=136, 0.85)).await;
    check(case("drops what is too much", Overload::Drop, 24..=80, 0.88)).await;
    check(case("refuses what is too much", Overload::Refuse, 20..=40, 0.88)).await;
    let uneven = case("answers differ much", Overload::Wait, 24..=192, 0.93);
    check(ServerCase { traits: ServerTraits { jitter: 1.0, ..uneven.traits }, ..uneven }).await;
}

/// Capacity falls from 200 to 20 and recovers. Returns the shares of it that are used in each period, the last one
/// from so many seconds after the return, each the time of an answer.
async fn falls_and_returns(over: Overload, reports_queue: bool, back: f64, seed: u64) -> [f64; 3] {
    let traits = ServerTraits { latency: 1.0, jitter: 0.1, places: 200, over, ..ServerTraits::PLAIN };
    let servers = [SimulatedServer::new(traits, seed)];
    let client = SimulatedClient::new(Concurrency::Auto, Limits::default(), seed);
    let mut shares = [0.0; 3];
    let steps = async {
        for (share, (places, settle)) in shares.iter_mut().zip([(200, 60.0), (20, 60.0), (200, back)]) {
            servers[0].set_places(places);
            client.keep(&servers, 1500, settle).await;
            let before = client.answered();
            client.keep(&servers, 1500, 30.0).await;
            *share = (client.answered() - before) as f64 / (30.0 * places as f64);
        }
    };
    let watching = async {
        match reports_queue {
            true => client.watch(&servers[0]).await,
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = steps => {}
        () = watching => {}
    }
    shares
}

#[tokio::test(start_paused = true)]
async fn capacity_that_falls_and_returns_is_used_again_within_ten_windows() {
    // A refusal without a time is of how many came at once: the quota holds nothing back for it.
    for (over, reports_queue, least) in [(Overload::Wait, true, 0.95), (Overload::Refuse, false, 0.8)] {
        for part in 0..3 {
            let share =
                median(async |seed| falls_and_returns(over, reports_queue, 10.0, seed).await[part]).await;
            assert!(share >= least, "{over:?}, part {part}: {share}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn half_an_hour_of_refusals_without_a_named_wait_rejects_nothing_and_leaves_no_trace() {
    for seed in SEEDS {
        let traits = ServerTraits { jitter: 0.1, places: 40, over: Overload::Refuse, ..ServerTraits::PLAIN };
        let servers = [SimulatedServer::new(traits, seed)];
        let client = SimulatedClient::new(Concurrency::Auto, Limits::default(), seed);
        client.keep(&servers, 100, 20.0).await;
        servers[0].set_places(0);
        client.keep(&servers, 100, 1800.0).await;
        servers[0].set_places(traits.places);
        client.keep(&servers, 100, 90.0).await;
        let before = client.answered();
        client.keep(&servers, 100, 10.0).await;
        let share = (client.answered() - before) as f64 * traits.latency / (10.0 * traits.places as f64);
        let (refused, allowed) = (servers[0].refusals().0, 0.2 * client.answered() as f64 + 10.0 * 1920.0);
        assert!(share >= 0.8, "{seed}: {share}");
        assert!(refused as f64 <= allowed, "{seed}: {refused} for {allowed}");
        assert_eq!(client.rejected.load(Ordering::Relaxed), 0, "{seed}");
    }
}
