//! A server that refuses above a rate that nobody declared: how much of it is used, and that no request is
//! sent before the time a refusal named.

use super::played::Traits;
use super::*;

/// A server, and the least of its rate that is to be used in the first 20 s and in the next.
struct Case {
    name: &'static str,
    traits: Traits,
    concurrency: Concurrency,
    least: [f64; 2],
}

async fn check(case: Case) {
    // The shares differ by a hundredth or two.
    for seed in SEEDS.take(3) {
        check_seed(&case, seed).await;
    }
}

async fn check_seed(case: &Case, seed: u64) {
    let server = Played::new(case.traits, seed);
    let client = Client::new(case.concurrency, Limits::default(), seed);
    let rate = case.traits.rate.unwrap().0;
    for least in case.least {
        let share = client.keep_asking(&server, 256, 20.0).await / rate;
        assert!(share >= least, "{}, {:?}, {seed}: {share} for {least}", case.name, case.concurrency);
    }
    let (refused, answered) = (server.refusals().0, client.answered());
    assert!(refused * 10 <= answered, "{}, {seed}: {refused} refused, {answered} not", case.name);
    assert_eq!(server.refusals().1, 0, "{}, {seed}: sent before its time", case.name);
}

/// Takes 200 a second and 50 at once, and asks those beyond to wait for a second.
const REFUSING: Traits = Traits { rate: Some((200.0, 50.0)), retry_after: Some(1.0), ..Traits::PLAIN };
const FIXED: Concurrency = Concurrency::Fixed(256);

#[tokio::test(start_paused = true)]
async fn t47_a_rate_that_nobody_declared_is_found_within_seconds() {
    let case = |concurrency, least| Case { name: "plain", traits: REFUSING, concurrency, least };
    check(case(FIXED, [0.87, 0.91])).await;
    check(case(Concurrency::Auto, [0.86, 0.92])).await;
    let uneven =
        Case { traits: Traits { jitter: 0.05, ..REFUSING }, ..case(Concurrency::Auto, [0.86, 0.92]) };
    check(uneven).await;
}

#[tokio::test(start_paused = true)]
async fn t43_rates_of_every_kind_are_found() {
    let case = |name, traits, least| Case { name, traits, concurrency: FIXED, least };
    let auto = |name, traits, least| Case { concurrency: Concurrency::Auto, ..case(name, traits, least) };
    let burst = Traits { rate: Some((200.0, 200.0)), ..REFUSING };
    check(case("a second's worth at once", burst, [0.92, 0.92])).await;
    check(case("no time named", Traits { retry_after: None, ..REFUSING }, [0.9, 0.92])).await;
    check(case("5 s named", Traits { retry_after: Some(5.0), ..REFUSING }, [0.42, 0.92])).await;
    let quick = Traits { latency: 0.05, jitter: 0.5, ..REFUSING };
    check(case("quick and uneven answers", quick, [0.86, 0.9])).await;
    check(auto("20 a second", Traits { rate: Some((20.0, 5.0)), ..REFUSING }, [0.84, 0.88])).await;
    check(auto("no time named", Traits { retry_after: None, ..REFUSING }, [0.94, 0.96])).await;
    let slow = Traits { rate: Some((2.0, 1.0)), retry_after: None, ..REFUSING };
    check(auto("2 a second, no time named", slow, [0.55, 0.6])).await;
    check(auto("slow answers", Traits { latency: 1.0, ..REFUSING }, [0.42, 0.6])).await;
    check(auto("counted by the second", Traits { window: Some(1.0), ..REFUSING }, [0.65, 0.82])).await;
}
