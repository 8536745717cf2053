//! A server that refuses above a rate that nobody declared: how much of it is used, and that no request is
//! sent before the time a refusal named.

use super::played::Traits;
use super::*;

/// Shares of the rate that are used in the first 20 s, in the next and after.
async fn shares(traits: Traits, concurrency: Concurrency, seed: u64) -> [f64; 3] {
    let server = Played::new(traits, seed);
    let client = Client::new(concurrency, Limits::default());
    let rate = traits.rate.unwrap().0;
    let mut shares = [0.0; 3];
    for (share, seconds) in shares.iter_mut().zip([20.0, 20.0, 30.0]) {
        *share = client.keep_asking(&server, 256, seconds).await / rate;
    }
    assert_eq!(server.refusals().1, 0, "sent before its time");
    shares
}

#[tokio::test(start_paused = true)]
async fn figures() {
    let base = Traits { rate: Some((200.0, 50.0)), retry_after: Some(1.0), ..Traits::default() };
    let kinds = [
        ("burst 50", base),
        ("burst 1", Traits { rate: Some((200.0, 1.0)), ..base }),
        ("burst 200", Traits { rate: Some((200.0, 200.0)), ..base }),
        ("window 1 s", Traits { window: Some(1.0), ..base }),
        ("window 10 s", Traits { window: Some(10.0), ..base }),
        ("slow answers", Traits { latency: 1.0, ..base }),
        ("quick, jitter", Traits { latency: 0.05, jitter: 0.5, ..base }),
        ("no time named", Traits { retry_after: None, ..base }),
        ("20 a second", Traits { rate: Some((20.0, 5.0)), ..base }),
        ("5 s named", Traits { retry_after: Some(5.0), ..base }),
    ];
    let only = std::env::var("ONLY").unwrap_or_default();
    for (name, traits) in kinds.into_iter().filter(|(name, _)| name.contains(&only)) {
        for concurrency in [Concurrency::Fixed(256), Concurrency::Auto] {
            let mut all: Vec<[f64; 3]> = Vec::new();
            for seed in 0..2 {
                all.push(shares(traits, concurrency, seed).await);
            }
            let min = |at: usize| all.iter().map(|shares| shares[at]).fold(f64::MAX, f64::min);
            let mean = |at: usize| all.iter().map(|shares| shares[at]).sum::<f64>() / all.len() as f64;
            println!(
                "{name:14} {concurrency:?}: min {:.2} {:.2} {:.2} mean {:.3} {:.3} {:.3}",
                min(0), min(1), min(2), mean(0), mean(1), mean(2)
            );
        }
    }
}
