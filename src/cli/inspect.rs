//! Reads the status of a run from its directory, without changing anything; for `status` and a finished `run`.
//!
//! The commit logs are the truth for what has ended; rates, requests and tokens are those of `status.json`, which is about
//! a second old while the run lasts, and older after a kill.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::exit::UsageError;
use crate::engine::{RunPhase, RunStatus};
use crate::journal::{self, CommittedTotals, Manifest, RunInspection, RunState, Spent};

/// What `status` reports of a run.
pub(super) struct StatusReport {
    /// `running`, `draining`, `finished`, `interrupted`, `out_of_budget`, `failed` or `killed`.
    pub(super) state: &'static str,
    /// Whether a process works on the run now.
    pub(super) is_live: bool,
    /// The run's manifest.
    pub(super) manifest: Manifest,
    /// What is committed.
    pub(super) done: CommittedTotals,
    /// Items between admission and commit; none unless the run is live.
    pub(super) in_flight: u64,
    /// Requests that wait before they are sent again; none unless the run is live.
    pub(super) waiting_to_retry: u64,
    /// What the run has spent on its models, over all starts.
    pub(super) spent: Option<Spent>,
    /// The contradictions found in the directory, one per entry.
    pub(super) contradictions: Vec<String>,
    /// `status.json`, as the latest start wrote it.
    pub(super) latest: Option<RunStatus>,
}

/// Keys of `status.json` that `status --json` repeats, in its order.
const REPEATED: [&str; 21] = [
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
];

/// Reads the run directory `root`.
pub(super) fn inspect(root: &Path) -> anyhow::Result<StatusReport> {
    let Some(found) = journal::inspect(root)? else {
        let message = format!("`{}` holds no run (it has no manifest.json)", root.display());
        return Err(UsageError(message).into());
    };
    let latest = std::fs::read(root.join("status.json")).ok().and_then(|bytes| RunStatus::parse(&bytes));
    let state = state(&found, latest.as_ref());
    let live = latest.as_ref().filter(|_| found.running);
    let done = found.done.ok + found.done.dropped + found.done.rejected;
    Ok(StatusReport {
        state,
        is_live: found.running,
        in_flight: live.map_or(0, |live| live.admitted.saturating_sub(done)),
        waiting_to_retry: live.map_or(0, |live| live.waiting_to_retry),
        // After a kill, only the journal knows what may have been served.
        spent: if found.running { latest.as_ref().map(|latest| latest.spent) } else { Some(found.spent) },
        manifest: found.manifest,
        done: found.done,
        contradictions: found.contradictions,
        latest,
    })
}

fn state(found: &RunInspection, latest: Option<&RunStatus>) -> &'static str {
    let phase = latest.map(|latest| latest.state);
    let failed = phase == Some(RunPhase::Failed);
    // Written by the very start that the manifest holds as running: it ended by itself, when a file failed.
    let is_last = latest.is_some_and(|latest| latest.start == Some(found.manifest.generation));
    match (found.manifest.state, found.running) {
        (RunState::Finished, _) => "finished",
        (_, true) => match phase.unwrap_or_default() {
            RunPhase::Running | RunPhase::Unknown => "running",
            RunPhase::Draining => "draining",
            RunPhase::Finished => "finished",
            RunPhase::Interrupted => "interrupted",
            RunPhase::OutOfBudget => "out_of_budget",
            RunPhase::Failed => "failed",
        },
        (RunState::Interrupted, false) if failed => "failed",
        (RunState::Running, false) if failed && is_last => "failed",
        (RunState::Interrupted, false) if phase == Some(RunPhase::OutOfBudget) => "out_of_budget",
        (RunState::Interrupted, false) => "interrupted",
        (RunState::Running, false) => "killed",
    }
}

impl StatusReport {
    /// Items that were ever admitted.
    pub(super) fn admitted(&self) -> u64 {
        self.done.ok + self.done.dropped + self.done.rejected + self.in_flight
    }

    /// The number of items of the whole run, if it is known.
    pub(super) fn total(&self) -> Option<u64> {
        self.manifest.items.or_else(|| self.latest.as_ref()?.total)
    }

    /// What failed, if the state is `failed`.
    pub(super) fn failure(&self) -> Option<&str> {
        let latest = self.latest.as_ref().filter(|_| self.state == "failed");
        latest?.failure.as_deref()
    }

    /// The sinks' files, each with its number of lines.
    pub(super) fn records(&self) -> impl Iterator<Item = (&String, u64)> {
        self.manifest.files.iter().zip(self.done.lines.iter().copied()).skip(journal::SINKS)
    }

    /// The report as `status --json` prints it.
    pub(super) fn to_json(&self) -> anyhow::Result<Value> {
        let records: Map<String, Value> =
            self.records().map(|(path, lines)| (path.clone(), json!(lines))).collect();
        let mut status = json!({
            "state": self.state,
            "pipeline": self.manifest.pipeline,
            "started": self.manifest.started,
            "starts": self.manifest.generation,
            "admitted": self.admitted(),
            "ok": self.done.ok,
            "dropped": self.done.dropped,
            "rejected": self.done.rejected,
            "in_flight": self.in_flight,
            "waiting_to_retry": self.waiting_to_retry,
            "total": self.total(),
            "limit": self.manifest.limit,
            "records": records,
        });
        let latest = self.latest.as_ref().map(serde_json::to_value).transpose()?;
        if let Some(spent) = self.spent.filter(|_| !self.is_live) {
            status["spent"] = json!(spent);
        }
        if !self.contradictions.is_empty() {
            status["contradictions"] = json!(self.contradictions);
        }
        if self.state == "failed" {
            status["failure"] = json!(self.failure());
        }
        for key in REPEATED {
            if let Some(value) = latest.as_ref().and_then(|latest| latest.get(key))
                && status.get(key).is_none()
            {
                status[key] = value.clone();
            }
        }
        if latest.is_none() {
            status["requests"] = json!(0);
            status["tokens"] = json!({"prompt": 0, "completion": 0});
        }
        Ok(status)
    }
}
