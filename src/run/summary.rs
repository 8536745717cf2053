//! The summary at the end of a run, as text or as JSON.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::empty_run::RunCounts;
use super::progress::format_duration;
use crate::engine::{ErrorRateExceeded, RunEnd, RunReport, StageFigures};
use crate::printable::printable;
use crate::stage::LeftOut;

/// The minimum width of the column with the names of stages.
const NAME_WIDTH: usize = 18;

/// Formats the totals of a run, what was written, and where it is.
#[must_use]
pub fn summary(report: &RunReport, root: &Path) -> String {
    let snapshot = &report.snapshot;
    let mut text =
        format!("{}: {} in {}\n", snapshot.pipeline, end_text(report), format_duration(snapshot.seconds));
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    row(
        "items",
        format!(
            "{} admitted = {} ok + {} dropped + {} rejected + {} in flight",
            snapshot.admitted, snapshot.ok, snapshot.dropped, snapshot.rejected, snapshot.in_flight
        ),
    );
    for (reason, count) in &snapshot.drops {
        row("dropped", format!("{count} records: {reason}"));
    }
    for (class, count) in &snapshot.rejections {
        row("rejected", format!("{count} records: {class}"));
    }
    if let Some(files) = snapshot
        .source_files
        .as_ref()
        .filter(|files| **files != LeftOut { read: files.read, ..LeftOut::default() })
    {
        row("files", files.to_string());
    }
    if snapshot.source_failures > 0 {
        row("unread", format!("{} files or rows could not be read", snapshot.source_failures));
        for (unit, message) in &report.source_failures {
            row("", format!("`{unit}`: {message}"));
        }
    }
    if snapshot.requests > 0 {
        row(
            "model",
            format!(
                "{} requests, {} asked again, {} answered by the heuristic instead, {} tokens read, {} written",
                snapshot.requests,
                snapshot.re_asks,
                snapshot.fallbacks,
                snapshot.tokens.prompt,
                snapshot.tokens.completion
            ),
        );
    }
    if snapshot.tokens.cached > 0 {
        row("cached", cached_tokens(snapshot.tokens.cached, snapshot.tokens.prompt));
    }
    if snapshot.retries > 0 {
        row("retried", format!("{} times, after failures on the way to a model or in it", snapshot.retries));
    }
    if snapshot.cut_off > 0 {
        row("cut off", format!("{} answers, which ended at the limit of their tokens", snapshot.cut_off));
    }
    if snapshot.without_usage > 0 {
        row("no usage", without_usage(snapshot.without_usage));
    }
    if snapshot.spent.cost > 0.0 {
        let projected = snapshot.projected_cost.map(|cost| format!(", about {cost:.4} when complete"));
        let (cost, tokens) = (snapshot.spent.cost, snapshot.spent.tokens);
        row("cost", format!("{cost:.4} over all starts, {tokens} tokens{}", projected.unwrap_or_default()));
    }
    if snapshot.recovered + snapshot.reused > 0 {
        row(
            "answers",
            format!(
                "{} found from earlier starts, {} of another run reused",
                snapshot.recovered, snapshot.reused
            ),
        );
    }
    let sent = || snapshot.batches.iter().filter(|batch| batch.id.is_some());
    if sent().count() > 0 {
        let questions: u64 = sent().map(|batch| batch.questions).sum();
        let then = match report.end {
            RunEnd::Complete => "not needed any more, and can be cancelled there",
            _ => "the same command takes their answers",
        };
        row(
            "batches",
            format!("{} with {questions} questions are with the provider; {then}", sent().count()),
        );
    }
    for stage in stage_rows(&snapshot.stages) {
        row("stage", stage);
    }
    if let Some(window) = snapshot.window.filter(|window| window.most_records > 0) {
        row(
            "waited",
            format!(
                "up to {} records for items before theirs, of {} or {} MiB that may",
                window.most_records,
                window.limit_records,
                window.limit_bytes >> 20
            ),
        );
    }
    for (path, count) in &snapshot.records {
        row("wrote", format!("{count} records to {}", root.join(path).display()));
    }
    for (path, count) in &report.arrays {
        row("wrote", format!("{count} elements to {}", root.join(path).display()));
    }
    if snapshot.rejected > 0 {
        row("see", format!("{}", root.join("rejected.jsonl").display()));
    }
    text.truncate(text.trim_end().len());
    text
}

/// Formats a line for each stage. Paths of stages in blocks may be long, so the longest one sets the column width.
fn stage_rows(stages: &[StageFigures]) -> impl Iterator<Item = String> {
    let width = stages.iter().map(|stage| stage.stage.chars().count()).fold(NAME_WIDTH, usize::max);
    let skips = stages.iter().any(|stage| stage.skipped > 0);
    stages.iter().map(move |stage| {
        let skipped = match skips {
            true => format!(" {:>6} skipped", stage.skipped),
            false => String::new(),
        };
        let first_token = stage.time_to_first_token.map(|times| {
            let (mean, longest) = (per_record(times.mean_seconds), per_record(times.longest_seconds));
            format!(", first token after {mean}, at most {longest}")
        });
        format!(
            "{:<width$} {:>7} in {:>7} out {:>6} dropped {:>6} rejected{skipped}  queue {:>2}  {} each{}",
            stage.stage,
            stage.received,
            stage.sent,
            stage.dropped,
            stage.rejected,
            stage.longest_queue,
            per_record(stage.busy_seconds / stage.received.max(1) as f64),
            first_token.unwrap_or_default()
        )
    })
}

/// Formats the time that one record takes: the sum over concurrent records would exceed the run's own time.
fn per_record(seconds: f64) -> String {
    match seconds {
        ..0.001 => format!("{:.0} us", seconds * 1e6),
        0.001..1.0 => format!("{:.1} ms", seconds * 1e3),
        _ => format_duration(seconds),
    }
}

/// Says how much of the prompt tokens servers had in their caches.
#[must_use]
pub fn cached_tokens(tokens: u64, read: u64) -> String {
    let percent = 100.0 * tokens as f64 / read.max(1) as f64;
    format!("{tokens} of the tokens read, {percent:.0} %, were in the caches of servers")
}

/// Says how answers without token usage are counted.
#[must_use]
pub fn without_usage(answers: u64) -> String {
    format!(
        "{answers} answers without usage, reckoned by estimate; the budget counts the most they may have taken"
    )
}

/// Returns the totals from which `RunCounts` explains why nothing was made.
#[must_use]
pub fn run_counts(report: &RunReport) -> RunCounts {
    let snapshot = &report.snapshot;
    RunCounts {
        ok: snapshot.ok,
        dropped: snapshot.dropped,
        rejected: snapshot.rejected,
        unread: snapshot.source_failures,
        drops: snapshot.drops.clone(),
        limit: report.limit,
    }
}

/// Writes a text to stderr, with terminal control characters escaped.
pub fn print_to_stderr(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = std::io::Write::write_all(&mut stderr, format!("{}\n", printable(text)).as_bytes());
}

/// Returns the summary as JSON.
#[must_use]
pub fn summary_json(report: &RunReport) -> Value {
    let mut value = json!(report.snapshot);
    value["end"] = json!(end_text(report));
    value["records"] =
        report.snapshot.records.iter().map(|(path, count)| (path.clone(), json!(count))).collect();
    value["arrays"] = report.arrays.iter().map(|(path, count)| (path.clone(), json!(count))).collect();
    let failures = report.source_failures.iter();
    value["unread"] = failures.map(|(unit, message)| json!({"unit": unit, "message": message})).collect();
    value
}

/// Says why a run was stopped for its rejected items.
#[must_use]
pub fn error_rate_exceeded(over: &ErrorRateExceeded) -> String {
    let mut text = format!("{}, more than `error_budget` allows; most often:", over.why);
    for (reason, count) in &over.reasons {
        let _ = write!(text, "\n  {count} x {reason}");
    }
    text.push_str("\nthe same command goes on; `error_budget` in the pipeline may be raised");
    text
}

fn end_text(report: &RunReport) -> &'static str {
    match &report.end {
        RunEnd::Complete if run_counts(report).made_nothing() => "complete, but nothing was made",
        RunEnd::Complete => "complete",
        RunEnd::Interrupted => "interrupted, the same command goes on",
        RunEnd::OutOfBudget(_) => "stopped, the budget is used up",
        RunEnd::SourceEnded { .. } => "stopped, the source ended before enough items were accepted",
        RunEnd::ErrorRateExceeded(_) => "stopped, too many items were rejected",
        RunEnd::Fatal(error) if error.is_of_sandbox() => "stopped, a program cannot be run",
        RunEnd::Fatal(_) => "stopped, the model cannot be asked",
        RunEnd::Storage(_) => "stopped, a file cannot be written",
        RunEnd::SourceChanged(_) => "ended, but its source changed meanwhile",
    }
}
