//! File descriptors: each connection and each open file takes one, and their number per process is limited.
//!
//! `run` raises the soft limit, which some systems set to 256, as far as the hard limit permits, before anything is
//! opened. If that is not enough, models get fewer connections than they are configured for, with a warning, since
//! a run that can no longer open its own files is lost.

use std::collections::BTreeMap;

use crate::pipeline::{ModelConfig, RequestMode};

/// Descriptors for everything except connections to models and sinks: standard streams, the runtime, the journal,
/// documents being read, files being replaced, name resolution.
const RESERVED: u64 = 48;

/// Reserves descriptors for the connections of these models and the files of this number of sinks.
pub(super) fn reserve(models: &mut BTreeMap<String, ModelConfig>, sinks: usize) {
    let asked: u64 = models.values().map(connections).sum();
    let reserved = RESERVED + sinks as u64;
    if asked == 0 {
        return;
    }
    // If the limit is unknown, nothing is restricted.
    let Ok(limit) = raise(asked + reserved) else { return };
    let Some(share) = share(asked, limit.saturating_sub(reserved)) else { return };
    for (name, model) in models.iter_mut().filter(|(_, model)| connections(model) > 0) {
        let places = ((f64::from(model.places()) * share) as u32).max(1);
        tracing::warn!(
            "model `{name}` gets {places} requests at a time instead of {}: this process may open only {limit} \
             files (`ulimit -n` shows and raises that)",
            model.places()
        );
        model.connections = Some(places);
    }
}

/// Returns how many files this process may open at most, and how many a run with these models and sinks opens.
pub(super) fn limit_and_need(
    models: &BTreeMap<String, ModelConfig>,
    sinks: usize,
) -> std::io::Result<(u64, u64)> {
    let need = models.values().map(connections).sum::<u64>() + RESERVED + sinks as u64;
    let (_, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE)?;
    Ok((hard, need))
}

/// Returns the most connections that a model keeps open. Idle ones linger if several endpoints take turns.
fn connections(model: &ModelConfig) -> u64 {
    if !model.provider.is_remote() || model.mode() == RequestMode::Batch {
        return 0;
    }
    let places = u64::from(model.places());
    if model.base_urls.len() > 1 { places + places / 2 } else { places }
}

/// Raises the soft limit to `needed`, if permitted; returns the limit that then applies.
fn raise(needed: u64) -> std::io::Result<u64> {
    let (soft, _) = rlimit::getrlimit(rlimit::Resource::NOFILE)?;
    if soft >= needed {
        return Ok(soft);
    }
    rlimit::increase_nofile_limit(needed)
}

/// Returns the fraction of the requested connections that is available; `None` if all are.
fn share(asked: u64, left: u64) -> Option<f64> {
    (left < asked).then(|| left as f64 / asked as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_share_the_available_descriptors() {
        assert_eq!(share(64, 900), None);
        assert_eq!(share(64, 64), None);
        assert_eq!(share(1000, 250), Some(0.25));
        let model = |json: serde_json::Value| serde_json::from_value::<ModelConfig>(json).unwrap();
        let check = |json, expected| assert_eq!(connections(&model(json)), expected);
        check(serde_json::json!({"concurrency": 100, "base_urls": ["a"]}), 100);
        check(serde_json::json!({"concurrency": 100, "base_urls": ["a", "b"]}), 150);
        check(serde_json::json!({"provider": "mock", "concurrency": 100}), 0);
        check(serde_json::json!({"mode": "batch"}), 0);
    }
}
