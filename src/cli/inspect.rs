//! Reads a run directory without touching it: what `status` and a finished `run` tell.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use super::exit::UsageError;
use crate::journal::{self, RunState};

/// What a run directory says.
pub(super) struct Found {
    /// The figures, shaped as `status --json` prints them.
    pub(super) status: Value,
}

/// Reads a run directory: counts from the commit logs, rates and tokens from the last `status.json`.
pub(super) fn inspect(root: &Path) -> anyhow::Result<Found> {
    let Some(found) = journal::inspect(root)? else {
        let message = format!("`{}` holds no run (it has no manifest.json)", root.display());
        return Err(UsageError(message).into());
    };
    let live = read_status(root).unwrap_or_else(|_| json!({}));
    // Written by the start that the manifest knows as running: it ended by itself, when a file failed.
    let failed = live.get("state").is_some_and(|state| state == "failed");
    let told = live.get("start").and_then(Value::as_u64) == Some(found.manifest.generation.into());
    let state = match (found.manifest.state, found.running) {
        (RunState::Finished, _) => "finished",
        (_, true) => live.get("state").and_then(Value::as_str).unwrap_or("running"),
        (RunState::Interrupted, false) if failed => "failed",
        (RunState::Running, false) if failed && told => "failed",
        (RunState::Interrupted, false) if live.get("state").is_some_and(|state| state == "out_of_budget") => {
            "out_of_budget"
        }
        (RunState::Interrupted, false) => "interrupted",
        (RunState::Running, false) => "killed",
    };
    let done = found.done.ok + found.done.dropped + found.done.rejected;
    // The file is at most a second old; the commit logs are the truth for what has ended.
    let in_flight = match (found.running, live.get("admitted").and_then(Value::as_u64)) {
        (true, Some(admitted)) => admitted.saturating_sub(done),
        _ => 0,
    };
    let waiting = live.get("waiting_to_retry").filter(|_| found.running).and_then(Value::as_u64);
    let sinks = found.manifest.files.iter().zip(&found.done.lines).skip(journal::SINKS);
    let records: serde_json::Map<String, Value> =
        sinks.map(|(path, lines)| (path.clone(), json!(lines))).collect();
    let mut status = json!({
        "state": state,
        "pipeline": found.manifest.pipeline,
        "started": found.manifest.started,
        "starts": found.manifest.generation,
        "admitted": done + in_flight,
        "ok": found.done.ok,
        "dropped": found.done.dropped,
        "rejected": found.done.rejected,
        "in_flight": in_flight,
        "waiting_to_retry": waiting.unwrap_or_default(),
        "total": found.manifest.items,
        "limit": found.manifest.limit,
        "records": records,
    });
    // Of a run that was killed only the journal knows what may have been served.
    if !found.running {
        status["spent"] = json!(found.spent);
    }
    if !found.contradictions.is_empty() {
        status["contradictions"] = json!(found.contradictions);
    }
    if state == "failed" {
        status["failure"] = live.get("failure").cloned().unwrap_or_default();
    }
    for key in [
        "requests",
        "recovered",
        "spent",
        "projected_cost",
        "endpoints",
        "pools",
        "batches",
        "stages",
        "reused",
        "re_asks",
        "retries",
        "cut_off",
        "without_usage",
        "fallbacks",
        "tokens",
        "rate",
        "seconds",
        "source_failures",
        "source_files",
        "drops",
        "rejections",
        "total",
    ] {
        if let (Some(value), true) = (live.get(key), status.get(key).is_none_or(Value::is_null)) {
            status[key] = value.clone();
        }
    }
    for (key, default) in [("requests", json!(0)), ("tokens", json!({"prompt": 0, "completion": 0}))] {
        if status.get(key).is_none() {
            status[key] = default;
        }
    }
    Ok(Found { status })
}

fn read_status(root: &Path) -> anyhow::Result<Value> {
    let path = root.join("status.json");
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(serde_json::from_slice(&bytes)?)
}
