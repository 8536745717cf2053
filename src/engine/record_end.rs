//! How a record ends: dropped or rejected by a stage, or through the whole pipeline; and the lines it leaves, one for
//! `provenance/` and, if it was rejected, one for `rejected.jsonl`.
//!
//! A failure has one type from the stage that failed to `rejected.jsonl`: the `Rejection`. It is made of a stage's
//! `StageError`, or of the `ModelError` with which a request finally failed. What stops the run rather than the
//! record is a `Halt`.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::event::{InFlightRecord, LedgerEvent};
use crate::journal::{OutputLines, PROVENANCE, REJECTED};
use crate::record::{ModelCall, Record, RecordId, Skipped};
use crate::stage::StageError;

/// Why a record goes no further.
#[derive(Debug)]
pub(crate) enum RecordEnd {
    /// A filter dropped it, or no sink took it; the reason is a short word.
    Dropped(Cow<'static, str>),
    /// It could not be made.
    Rejected(Rejection),
}

/// Why a record could not be made.
#[derive(Debug, Clone, Default)]
pub struct Rejection {
    /// The path of the stage that failed.
    pub stage: Arc<str>,
    /// A short word that reports count by.
    pub class: String,
    /// What went wrong.
    pub message: String,
    /// Model attempts made for the record in this stage.
    pub attempts: u32,
    /// The model's last answer, unparsed; moved into the line for `rejected.jsonl`.
    pub answer: Option<String>,
}

impl Rejection {
    /// The rejection of a record that a stage could not handle.
    pub(crate) fn new(stage: Arc<str>, error: StageError) -> Self {
        let StageError { class, message } = error;
        Self { stage, class: class.into_owned(), message, ..Self::default() }
    }
}

impl RecordEnd {
    /// The provenance entry of a pass or an element of a block that ended and was left out.
    pub(crate) fn skipped(&self, id: &RecordId) -> Skipped {
        let (stage, class, message) = match self {
            Self::Dropped(reason) => (None, reason.to_string(), None),
            Self::Rejected(rejection) => {
                (Some(Arc::clone(&rejection.stage)), rejection.class.clone(), Some(rejection.message.clone()))
            }
        };
        Skipped { id: id.clone(), stage, class, message }
    }
}

/// A record that has ended, and what it leaves.
#[derive(Debug)]
pub(crate) struct EndedRecord {
    pub(crate) id: RecordId,
    /// Why it went no further; `None` if it completed the pipeline and a sink took it.
    pub(crate) end: Option<RecordEnd>,
    /// Whether a sink took it, or the record it came from.
    pub(crate) written: bool,
    pub(crate) lines: OutputLines,
}

impl EndedRecord {
    /// A record that completed the last stage.
    pub(super) fn completed(record: InFlightRecord) -> Self {
        let end = Self::completed_end(&record);
        Self::new(record, end)
    }

    /// How a record ends that completed the last stage.
    pub(super) fn completed_end(record: &InFlightRecord) -> Option<RecordEnd> {
        (!record.written).then(|| RecordEnd::Dropped("unrouted".into()))
    }

    /// A record that a stage dropped or rejected. A rejected one is written to `rejected.jsonl` as it now is.
    pub(super) fn stopped(mut record: InFlightRecord, mut end: RecordEnd) -> Self {
        if let RecordEnd::Rejected(rejection) = &mut end {
            record.lines.push((REJECTED, rejected_line(rejection, &record.record)));
        }
        Self::new(record, Some(end))
    }

    fn new(mut record: InFlightRecord, end: Option<RecordEnd>) -> Self {
        let outcome = match &end {
            None => "ok",
            Some(RecordEnd::Dropped(reason)) => reason.as_ref(),
            Some(RecordEnd::Rejected(_)) => "rejected",
        };
        // A dropped record has a line only for what was paid for or drawn.
        let provenance = &record.record.provenance;
        let is_empty =
            provenance.calls.is_empty() && provenance.draws.is_empty() && provenance.skipped.is_empty();
        if !is_empty || !matches!(end, Some(RecordEnd::Dropped(_))) {
            record.lines.push((PROVENANCE, provenance_line(&record.record, outcome)));
        }
        let InFlightRecord { record, lines, written, .. } = record;
        Self { id: record.id, end, written, lines }
    }
}

impl From<EndedRecord> for LedgerEvent {
    fn from(ended: EndedRecord) -> Self {
        Self::Ended(Box::new(ended))
    }
}

fn rejected_line(rejection: &mut Rejection, record: &Record) -> Vec<u8> {
    let answer = rejection.answer.take();
    json_line(&json!({
        "id": record.id,
        "stage": rejection.stage,
        "class": rejection.class,
        "message": rejection.message,
        "attempts": rejection.attempts,
        "answer": answer,
        "record": record.fields,
    }))
}

/// The line of a record for `provenance/`, in the order in which people read it.
#[derive(Serialize)]
struct ProvenanceLine<'a> {
    id: &'a RecordId,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    draws: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: &'a Map<String, Value>,
    calls: &'a [Arc<ModelCall>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    skipped: &'a [Skipped],
}

fn provenance_line(record: &Record, outcome: &str) -> Vec<u8> {
    json_line(&ProvenanceLine {
        id: &record.id,
        outcome,
        group: record.fields.get("group"),
        draws: &record.provenance.draws,
        fields: &record.provenance.fields,
        calls: &record.provenance.calls,
        skipped: &record.provenance.skipped,
    })
}

/// A value as one line.
fn json_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = json_bytes(value, 1024);
    line.push(b'\n');
    line
}

/// A value as JSON of about `expected` bytes. All keys are strings, so this cannot fail.
pub(super) fn json_bytes(value: &impl Serialize, expected: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(expected);
    match serde_json::to_writer(&mut bytes, value) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}
