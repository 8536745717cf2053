//! `status`: the progress of a run, from its directory alone.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use super::inspect::{StatusReport, inspect};
use super::{print, print_data};
use crate::engine::RunStatus;
use crate::run;

/// The arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The run directory, such as `output/docs-to-qa`.
    run_dir: PathBuf,
}

pub(super) fn run(args: &StatusArgs, json: bool) -> anyhow::Result<Exit> {
    let status = inspect(&args.run_dir)?;
    if json {
        print_data(&format!("{}\n", serde_json::to_string_pretty(&status.to_json()?)?));
    } else {
        print(&text(&status));
    }
    Ok(Exit::Complete)
}

fn text(status: &StatusReport) -> String {
    let StatusReport { manifest, done, .. } = status;
    let mut text = format!(
        "{}: {}{}\n  begun     {}, start {}\n  items     {} admitted = {} ok + {} dropped + {} rejected + {} in flight\n",
        manifest.pipeline,
        status.state,
        status.failure().map(|failure| format!(", {failure}")).unwrap_or_default(),
        manifest.started,
        manifest.generation,
        status.admitted(),
        done.ok,
        done.dropped,
        done.rejected,
        status.in_flight,
    );
    for contradiction in &status.contradictions {
        let _ = writeln!(text, "  harmed    {contradiction}");
    }
    if let Some(total) = status.total() {
        let _ = writeln!(text, "  of        {total} items");
    }
    if let Some(files) = status.latest.as_ref().and_then(|latest| latest.source_files.as_ref()) {
        let _ = writeln!(text, "  files     {files}");
    }
    for (path, count) in status.records() {
        let _ = writeln!(text, "  records   {count} in {path}");
    }
    if let Some(latest) = &status.latest {
        requests(&mut text, latest, status.waiting_to_retry);
    }
    if let Some(spent) = status.spent.filter(|spent| spent.cost > 0.0) {
        let projected = status.latest.as_ref().and_then(|latest| latest.projected_cost);
        let projected = projected.map(|cost| format!(", about {cost:.4} when complete")).unwrap_or_default();
        let _ = writeln!(text, "  cost      {:.4} over all starts{projected}", spent.cost);
    }
    if let Some(latest) = &status.latest {
        batches(&mut text, latest);
        if matches!(status.state, "running" | "draining") {
            endpoints(&mut text, latest);
        }
    }
    text
}

/// Prints the requests of the latest start.
fn requests(text: &mut String, latest: &RunStatus, waiting_to_retry: u64) {
    if latest.requests > 0 {
        let tokens = latest.tokens;
        let _ = writeln!(
            text,
            "  model     {} requests, {} tokens read, {} written (latest start)",
            latest.requests, tokens.prompt, tokens.completion,
        );
        if tokens.cached > 0 {
            let cached = run::cached_tokens(tokens.cached, tokens.prompt);
            let _ = writeln!(text, "  cached    {cached} (latest start)");
        }
    }
    if waiting_to_retry > 0 {
        let _ = writeln!(text, "  waiting   {waiting_to_retry} questions before they are sent again");
    }
    if latest.retries > 0 {
        let _ = writeln!(text, "  retried   {} times (latest start)", latest.retries);
    }
    if latest.cut_off > 0 {
        let _ = writeln!(
            text,
            "  cut off   {} answers at the limit of their tokens (latest start)",
            latest.cut_off
        );
    }
    if latest.without_usage > 0 {
        let _ = writeln!(text, "  no usage  {} (latest start)", run::without_usage(latest.without_usage));
    }
}

/// Prints a line for each unanswered batch; the provider works on it whether the run is live or not.
fn batches(text: &mut String, latest: &RunStatus) {
    for batch in &latest.batches {
        let _ = writeln!(
            text,
            "  batch     {} {}: {} questions, {} answered, {} failed{}",
            batch.number,
            batch.state,
            batch.questions,
            batch.answered,
            batch.failed,
            batch.id.as_ref().map(|id| format!(" (`{id}`)")).unwrap_or_default(),
        );
    }
}

/// Prints a line for each endpoint, and for each paused quota pool.
fn endpoints(text: &mut String, latest: &RunStatus) {
    for endpoint in &latest.endpoints {
        let _ = writeln!(
            text,
            "  endpoint  {} {}: {} in flight{}, {} answered, {} failed",
            endpoint.url,
            endpoint.state,
            endpoint.in_flight,
            endpoint.limit.map(|limit| format!(" of {limit}")).unwrap_or_default(),
            endpoint.answered,
            endpoint.failed,
        );
    }
    for pool in latest.pools.iter().filter(|pool| pool.paused_seconds > 0.0) {
        let _ = writeln!(
            text,
            "  paused    {}: for {:.0} s more, the provider refuses",
            pool.pool, pool.paused_seconds
        );
    }
}
