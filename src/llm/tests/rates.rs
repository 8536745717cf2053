//! A server that refuses requests above a rate: how much of it is used, declared or not, and that no request is retried
//! before the time that its refusal named.

use super::simulated_server::{ServerFault, ServerTraits};
use super::*;

/// Takes 50 a second and 12 at once, and asks those beyond to wait for a second.
const REFUSING: ServerTraits =
    ServerTraits { rate: Some((50.0, 12.0)), retry_after: Some(1.0), ..ServerTraits::PLAIN };
const FIXED: Concurrency = Concurrency::Fixed(128);
/// The least that is to be used of a rate that nobody declared.
const FOUND: f64 = 0.85;

/// What is used of a rate in the steady state, and how many are refused for each that is answered.
struct RateUse {
    share: f64,
    refused: f64,
}

/// Of ten times what a refusal asks to wait, a minute at least.
async fn used(traits: ServerTraits, concurrency: Concurrency, limits: Limits, seed: u64) -> RateUse {
    let servers = [SimulatedServer::new(traits, seed)];
    let client = SimulatedClient::new(concurrency, limits, seed);
    client.keep(&servers, 128, 60.0).await;
    let before = (client.answered(), servers[0].refusals().0);
    let seconds =
        (10.0 * traits.retry_after.unwrap_or(0.0)).max(traits.window.unwrap_or(0.0) * 3.0).max(60.0);
    let rate = client.keep(&servers, 128, seconds).await;
    let (answered, refused) = (client.answered() - before.0, servers[0].refusals().0 - before.1);
    assert_eq!(servers[0].refusals().1, 0, "{traits:?}, {seed}: sent before its time");
    let share = rate / traits.rate.unwrap().0 * traits.tokens.map_or(1.0, |most| most / 2.0);
    RateUse { share, refused: refused as f64 / answered as f64 }
}

async fn check(name: &str, traits: ServerTraits) {
    check_for(name, traits, FOUND).await;
}

async fn check_for(name: &str, traits: ServerTraits, least: f64) {
    for concurrency in [FIXED, Concurrency::Auto] {
        let mut refused = Vec::new();
        let share = median(async |seed| {
            let used = used(traits, concurrency, Limits::default(), seed).await;
            refused.push(used.refused);
            used.share
        });
        let share = share.await;
        refused.sort_by(f64::total_cmp);
        assert!(share >= least, "{name}, {concurrency:?}: {share}");
        assert!(refused[4] <= 1.0 - least + 0.1, "{name}, {concurrency:?}: {refused:?} refused");
    }
}

#[tokio::test(start_paused = true)]
async fn an_undeclared_rate_is_discovered() {
    check("plain", REFUSING).await;
    check("no burst", ServerTraits { rate: Some((50.0, 1.0)), ..REFUSING }).await;
    check("a second's worth at once", ServerTraits { rate: Some((50.0, 50.0)), ..REFUSING }).await;
    check("ten seconds' worth at once", ServerTraits { rate: Some((50.0, 500.0)), ..REFUSING }).await;
    check("no time named", ServerTraits { retry_after: None, ..REFUSING }).await;
    check("5 s named", ServerTraits { retry_after: Some(5.0), ..REFUSING }).await;
    check("20 s named", ServerTraits { retry_after: Some(20.0), ..REFUSING }).await;
}

#[tokio::test(start_paused = true)]
async fn rates_of_every_kind_are_discovered() {
    check("uneven answers", ServerTraits { jitter: 0.05, ..REFUSING }).await;
    check("quick and uneven answers", ServerTraits { latency: 0.05, jitter: 0.5, ..REFUSING }).await;
    check("slow answers", ServerTraits { latency: 1.0, ..REFUSING }).await;
    check("20 a second", ServerTraits { rate: Some((20.0, 5.0)), ..REFUSING }).await;
    // Without a burst half of what is a little too much is refused, and it takes seconds to see that.
    let slow = ServerTraits { rate: Some((2.0, 1.0)), ..REFUSING };
    check_for("2 a second", slow, 0.6).await;
    check_for("2 a second, no time named", ServerTraits { retry_after: None, ..slow }, 0.6).await;
    check("counted by the second", ServerTraits { window: Some(1.0), ..REFUSING }).await;
    let minute = ServerTraits { rate: Some((10.0, 600.0)), window: Some(60.0), ..REFUSING };
    check("counted by the minute, 20 s named", ServerTraits { retry_after: Some(20.0), ..minute }).await;
    check("counted by the minute, 1 s named", minute).await;
    check("counted by the minute, no time named", ServerTraits { retry_after: None, ..minute }).await;
    let chance: &[_] = &[(ServerFault::Refuse, 0.03)];
    check("refusals by chance too", ServerTraits { faults: chance, ..REFUSING }).await;
    check(
        "tokens are counted",
        ServerTraits { rate: Some((10_000.0, 2500.0)), tokens: Some(400.0), ..REFUSING },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_declared_rate_is_used_although_the_server_starts_with_less() {
    let limits = Limits { requests_per_minute: Some(3000), ..Limits::default() };
    for burst in [5.0, 12.0] {
        let traits = ServerTraits { rate: Some((50.0, burst)), ..REFUSING };
        let share = median(async |seed| used(traits, FIXED, limits, seed).await.share).await;
        assert!(share >= 0.97, "{burst}: {share}");
        // The first 15 s, with nothing in the bucket.
        let first = median(async |seed| {
            let servers = [SimulatedServer::new(traits, seed)];
            servers[0].empty();
            SimulatedClient::new(FIXED, limits, seed).keep(&servers, 128, 15.0).await / 50.0
        });
        let first = first.await;
        assert!(first >= 0.9, "{burst}, the first 15 s: {first}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_drops_to_a_tenth_and_recovers_is_followed() {
    for (concurrency, retry_after) in [(FIXED, Some(1.0)), (FIXED, None), (Concurrency::Auto, Some(1.0))] {
        let shares = async |seed, part: usize| {
            let servers = [SimulatedServer::new(ServerTraits { retry_after, ..REFUSING }, seed)];
            let client = SimulatedClient::new(concurrency, Limits::default(), seed);
            let mut shares = Vec::new();
            client.keep(&servers, 128, 60.0).await;
            for rate in [50.0, 5.0, 50.0] {
                servers[0].set_rate((rate, rate / 4.0));
                shares.push(client.keep(&servers, 128, 60.0).await / rate);
            }
            assert_eq!(servers[0].refusals().1, 0);
            shares[part]
        };
        for part in 0..3 {
            let share = median(async |seed| shares(seed, part).await).await;
            assert!(share >= FOUND, "{concurrency:?}, {retry_after:?}, minute {part}: {share}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_runs_use_an_account_fully_and_both_progress() {
    for concurrency in [FIXED, Concurrency::Auto] {
        let both = async |seed, which: usize| {
            let servers = [SimulatedServer::new(REFUSING, seed)];
            let runs =
                [0, 1].map(|run| SimulatedClient::new(concurrency, Limits::default(), seed + 100 * run));
            // The second begins when the first has the account to itself.
            runs[0].keep(&servers, 128, 30.0).await;
            tokio::join!(runs[0].keep(&servers, 128, 60.0), runs[1].keep(&servers, 128, 60.0));
            let rates = tokio::join!(runs[0].keep(&servers, 128, 120.0), runs[1].keep(&servers, 128, 120.0));
            assert_eq!(servers[0].refusals().1, 0, "{seed}: sent before its time");
            [(rates.0 + rates.1) / 50.0, rates.0.min(rates.1)][which]
        };
        let used = median(async |seed| both(seed, 0).await).await;
        let less = median(async |seed| both(seed, 1).await).await;
        // Who gets more of it is chance, and changes.
        assert!(used >= FOUND && less >= 0.1, "{concurrency:?}: {used} of it, one of them {less} a second");
    }
}

#[tokio::test(start_paused = true)]
async fn a_daily_quota_is_used_up_and_then_stops_the_run() {
    let day = ServerTraits {
        rate: Some((500.0 / 86_400.0, 500.0)),
        retry_after: Some(8.0 * 3600.0),
        ..ServerTraits::PLAIN
    };
    for seed in SEEDS {
        let servers = [SimulatedServer::new(day, seed)];
        let client = SimulatedClient::new(FIXED, Limits::default(), seed);
        client.keep(&servers, 128, 60.0).await;
        let (refused, given_up) = (servers[0].refusals().0, client.rejected.load(Ordering::Relaxed));
        assert_eq!(client.answered(), 500, "{seed}");
        // Each was refused once, with the reason that stops the run; those that waited for a permit were not sent.
        assert!(
            refused == given_up && (1..=128).contains(&refused),
            "{seed}: {refused}, {given_up} given up"
        );
    }
}
