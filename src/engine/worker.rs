//! The task of one stage: take a record, let the stage handle it, pass on what comes of it.
//!
//! The stage sees one record and nothing else. Ids, fan-out, panics and counting are handled here. Records
//! that end, end in a fact to the ledger; records that go on, go into the next stage's channel.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::admission::panic_message;
use super::event::{End, Ended, Fact, Live, Rejection};
use super::metrics::StageMetrics;
use crate::journal::{PROVENANCE, REJECTED};
use crate::record::Record;
use crate::stage::{Emit, Sink, StageError, Transform};
use crate::template::Expression;

/// What every stage's task has: where records come from and go, and who is told.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) id: Arc<str>,
    pub(crate) when: Option<Expression>,
    pub(crate) input: async_channel::Receiver<Live>,
    /// The next stage; `None` after the last one.
    pub(crate) output: Option<async_channel::Sender<Live>>,
    pub(crate) facts: async_channel::Sender<Fact>,
    pub(crate) metrics: Arc<StageMetrics>,
}

/// A stage that works on one record at a time.
pub(crate) enum Step {
    Transform(Box<dyn Transform>),
    /// A sink and the index of its file.
    Sink(Box<dyn Sink>, usize),
}

/// Why a record is given up.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    /// The stage that failed, where it is not the post's own.
    pub(crate) stage: Option<Arc<str>>,
    pub(crate) class: String,
    pub(crate) message: String,
    /// Attempts made at the model.
    pub(crate) attempts: u32,
    /// The model's last answer, as it came.
    pub(crate) answer: Option<String>,
}

impl Failure {
    pub(crate) fn of(error: &StageError) -> Self {
        Self { class: error.class.to_owned(), message: error.message.clone(), ..Self::default() }
    }
}

/// Runs a stage until its input ends.
pub(crate) async fn run(post: Post, step: Step) {
    while let Ok(mut live) = post.input.recv().await {
        post.metrics.receive(post.input.len());
        // A channel that always has a record would otherwise keep this task on its thread for good.
        tokio::task::consume_budget().await;
        match post.applies(&live.record) {
            Ok(true) => {}
            Ok(false) => {
                post.pass(live).await;
                continue;
            }
            Err(error) => {
                post.reject(live, Failure::of(&error)).await;
                continue;
            }
        }
        let begin = Instant::now();
        let result = handle(&step, &mut live);
        post.metrics.work(begin.elapsed());
        match result {
            Ok(Emit::Pass) => post.pass(live).await,
            Ok(Emit::Many(children)) => post.split(live, children).await,
            Ok(Emit::Drop(reason)) => post.drop_record(live, reason).await,
            Err(error) => post.reject(live, Failure::of(&error)).await,
        }
    }
}

fn handle(step: &Step, live: &mut Live) -> Result<Emit, StageError> {
    let caught = catch_unwind(AssertUnwindSafe(|| match step {
        Step::Transform(transform) => transform.process(&mut live.record),
        Step::Sink(sink, file) => {
            let mut line = sink.line(&live.record)?;
            line.push(b'\n');
            live.lines.push((*file, line));
            live.written = true;
            Ok(Emit::Pass)
        }
    }));
    caught.unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// The error of a stage that panicked.
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> StageError {
    StageError::new("panic", format!("the stage panicked: {}", panic_message(panic)))
}

impl Post {
    /// Whether the record goes through the stage or past it.
    pub(crate) fn applies(&self, record: &Record) -> Result<bool, StageError> {
        match &self.when {
            Some(when) => Ok(when.is_true(record)?),
            None => Ok(true),
        }
    }

    /// Hands the record to the next stage, or ends it after the last one.
    pub(crate) async fn pass(&self, live: Live) {
        self.metrics.send(1);
        let Some(output) = &self.output else {
            let end = if live.written { End::Written } else { End::Dropped { reason: "unrouted".into() } };
            self.end(live, end).await;
            return;
        };
        // Fails only when the next stage is gone, which happens when a run is given up.
        let _ = output.send(live).await;
    }

    async fn split(&self, live: Live, children: Vec<Record>) {
        if children.is_empty() {
            self.drop_record(live, "empty".into()).await;
            return;
        }
        let count = u32::try_from(children.len()).unwrap_or(u32::MAX);
        let id = live.record.id.clone();
        // Told before any child goes on: the ledger must not see the last child end too early.
        let _ = self.facts.send(Fact::Split { item: id.item, children: count }).await;
        let mut lines = live.lines;
        for (index, mut record) in (0..count).zip(children) {
            record.id = id.child(&self.id, index);
            let lines = std::mem::take(&mut lines);
            self.pass(Live { record, lines, written: live.written }).await;
        }
    }

    pub(crate) async fn drop_record(&self, live: Live, reason: Cow<'static, str>) {
        self.metrics.drop_one();
        self.end(live, End::Dropped { reason }).await;
    }

    /// Ends a record that could not be made; it goes to `rejected.jsonl` as it now is.
    pub(crate) async fn reject(&self, mut live: Live, failure: Failure) {
        self.metrics.reject_one();
        let rejection = Rejection {
            id: live.record.id.to_string(),
            stage: failure.stage.unwrap_or_else(|| Arc::clone(&self.id)),
            class: failure.class,
            message: failure.message,
            attempts: failure.attempts,
        };
        live.lines.push((REJECTED, rejected_line(&rejection, &live.record, failure.answer)));
        self.end(live, End::Rejected(rejection)).await;
    }

    async fn end(&self, mut live: Live, end: End) {
        let outcome = match &end {
            End::Written => "ok",
            End::Dropped { reason } => reason.as_ref(),
            End::Rejected(_) => "rejected",
        };
        // Of what was dropped, what was paid for and what was drawn is told.
        let known = &live.record.provenance;
        let is_told = !known.calls.is_empty() || !known.draws.is_empty();
        if is_told || !matches!(end, End::Dropped { .. }) {
            live.lines.push((PROVENANCE, provenance_line(&live.record, outcome)));
        }
        let ended = Ended { id: live.record.id, end, written: live.written, lines: live.lines };
        let _ = self.facts.send(Fact::Ended(Box::new(ended))).await;
    }
}

fn rejected_line(rejection: &Rejection, record: &Record, answer: Option<String>) -> Vec<u8> {
    let line = json!({
        "id": rejection.id,
        "stage": rejection.stage,
        "class": rejection.class,
        "message": rejection.message,
        "attempts": rejection.attempts,
        "answer": answer,
        "record": record.fields,
    });
    json_line(&line)
}

fn provenance_line(record: &Record, outcome: &str) -> Vec<u8> {
    let mut line = Map::new();
    line.insert("id".into(), json!(record.id));
    line.insert("outcome".into(), json!(outcome));
    if let Some(group) = record.fields.get("group") {
        line.insert("group".into(), group.clone());
    }
    if !record.provenance.draws.is_empty() {
        line.insert("draws".into(), Value::Object(record.provenance.draws.clone()));
    }
    line.insert("calls".into(), json!(record.provenance.calls));
    json_line(&Value::Object(line))
}

fn json_line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}
