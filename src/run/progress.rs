//! The progress line on a terminal, plain log lines elsewhere, and the log lines of single events.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio_stream::StreamExt;

use crate::engine::{RunEvent, RunStatus};
use crate::llm::BatchFigures;

/// The interval between log lines with the figures, if there is no progress line.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// The interval between log events with the figures of each stage.
const STAGES_EVERY: Duration = Duration::from_secs(5);
/// The number of rejected records that are logged one by one; further ones are only counted.
const REJECTIONS_LOGGED: u64 = 10;

/// Shows a run's events until the channel closes, then pends forever: the end of the run is reported elsewhere.
pub async fn show_progress(events: async_channel::Receiver<RunEvent>, bar: ProgressBar, quiet: bool) {
    let mut shown = ProgressDisplay::new(bar, quiet);
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        shown.handle(event);
    }
    shown.bar.finish_and_clear();
    std::future::pending::<()>().await;
}

struct ProgressDisplay {
    bar: ProgressBar,
    /// Whether log lines replace the progress line, which is not drawn.
    lines: bool,
    rejections: u64,
    last_line: f64,
    last_stages: f64,
}

impl ProgressDisplay {
    fn new(bar: ProgressBar, quiet: bool) -> Self {
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        let lines = bar.is_hidden() && !quiet;
        Self { bar, lines, rejections: 0, last_line: 0.0, last_stages: 0.0 }
    }

    fn handle(&mut self, event: RunEvent) {
        match event {
            RunEvent::Tick(snapshot) => self.tick(&snapshot),
            RunEvent::Rejected { id, rejection } => {
                self.rejections += 1;
                if self.rejections <= REJECTIONS_LOGGED {
                    tracing::warn!(
                        id = %id, stage = %rejection.stage, class = %rejection.class,
                        "rejected: {}", rejection.message
                    );
                } else if self.rejections == REJECTIONS_LOGGED + 1 {
                    tracing::warn!("more records are rejected; all are in rejected.jsonl");
                }
            }
            RunEvent::SourceFailed { unit, message } => tracing::warn!("cannot read `{unit}`: {message}"),
            RunEvent::Draining => tracing::debug!("draining"),
        }
    }

    fn tick(&mut self, snapshot: &RunStatus) {
        self.bar.set_message(line(snapshot));
        self.bar.tick();
        if self.lines && snapshot.seconds - self.last_line >= LOG_EVERY.as_secs_f64() {
            self.last_line = snapshot.seconds;
            tracing::info!("{}", line(snapshot));
        }
        if snapshot.seconds - self.last_stages >= STAGES_EVERY.as_secs_f64() {
            self.last_stages = snapshot.seconds;
            for stage in &snapshot.stages {
                tracing::debug!(
                    stage = %stage.stage, received = stage.received, sent = stage.sent,
                    dropped = stage.dropped, rejected = stage.rejected, queue = stage.queue,
                    busy_seconds = stage.busy_seconds, "stage"
                );
            }
        }
    }
}

/// Formats the figures on one line: items, records, rate, in flight, waiting to retry, rejected, tokens, time left.
fn line(snapshot: &RunStatus) -> String {
    let ended = snapshot.ok + snapshot.dropped + snapshot.rejected;
    let records: u64 = snapshot.records.iter().map(|(_, count)| count).sum();
    let mut line = match snapshot.total {
        Some(total) => format!("{ended}/{total} items"),
        None => format!("{ended} items"),
    };
    line.push_str(&format!(", {records} records, {:.1}/s, {} in flight", snapshot.rate, snapshot.in_flight));
    if snapshot.waiting_to_retry > 0 {
        line.push_str(&format!(", {} waiting to retry", snapshot.waiting_to_retry));
    }
    line.push_str(&format!(", {} rejected", snapshot.rejected));
    let tokens = snapshot.tokens.prompt + snapshot.tokens.completion;
    if tokens > 0 {
        line.push_str(&format!(", {} tokens", abbreviated(tokens)));
    }
    if snapshot.spent.cost > 0.0 {
        line.push_str(&format!(", cost {:.2}", snapshot.spent.cost));
        if let Some(projected) = snapshot.projected_cost {
            line.push_str(&format!(" of about {projected:.2}"));
        }
    }
    if !snapshot.batches.is_empty() {
        let sum = |count: fn(&BatchFigures) -> u64| snapshot.batches.iter().map(count).sum::<u64>();
        let (questions, answered) =
            (sum(|batch| batch.questions), sum(|batch| batch.answered + batch.failed));
        line.push_str(&format!(", in batches {answered} of {questions} answered"));
    }
    let about = if snapshot.total.is_none() { "about " } else { "" };
    if let Some(total) = snapshot.total.or(snapshot.estimate)
        && snapshot.rate > 0.0
        && total > ended
    {
        line.push_str(&format!(", {about}{} left", format_duration((total - ended) as f64 / snapshot.rate)));
    }
    line
}

fn abbreviated(count: u64) -> String {
    match count {
        0..=9_999 => count.to_string(),
        10_000..=9_999_999 => format!("{:.0}k", count as f64 / 1e3),
        _ => format!("{:.1}M", count as f64 / 1e6),
    }
}

/// Formats a duration in its two largest units.
pub(crate) fn format_duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..=9 => format!("{seconds:.1} s"),
        10..=59 => format!("{whole} s"),
        60..=3599 => format!("{} min {} s", whole / 60, whole % 60),
        3600..=86_399 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_line_shows_what_is_known() {
        let mut snapshot =
            RunStatus { ok: 90, rejected: 10, in_flight: 7, rate: 50.0, ..RunStatus::default() };
        assert_eq!(line(&snapshot), "100 items, 0 records, 50.0/s, 7 in flight, 10 rejected");
        snapshot.estimate = Some(600);
        assert_eq!(
            line(&snapshot),
            "100 items, 0 records, 50.0/s, 7 in flight, 10 rejected, about 10 s left"
        );
        snapshot.total = Some(5100);
        snapshot.tokens.prompt = 12_345;
        assert_eq!(
            line(&snapshot),
            "100/5100 items, 0 records, 50.0/s, 7 in flight, 10 rejected, 12k tokens, 1 min 40 s left"
        );
        snapshot.waiting_to_retry = 3;
        assert!(
            line(&snapshot).contains("7 in flight, 3 waiting to retry, 10 rejected"),
            "{}",
            line(&snapshot)
        );
    }

    #[test]
    fn durations_are_readable() {
        for (seconds, expected) in [
            (0.24, "0.2 s"),
            (59.2, "59 s"),
            (61.0, "1 min 1 s"),
            (7260.0, "2 h 1 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(format_duration(seconds), expected);
        }
    }
}
