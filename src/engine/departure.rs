//! What a record leaves when it goes no further: its line for `provenance/`, and for `rejected.jsonl` if it could not be
//! made.
//!
//! `chain` tells the ledger, which gathers the lines of an item's records.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::event::{End, Ended, InFlightRecord, LedgerEvent, Rejection};
use super::execute::{Failure, RecordEnd};
use crate::journal::{PROVENANCE, REJECTED};
use crate::record::{ModelCall, Record, RecordId, Skipped};

/// A record that came through the last stage.
pub(super) fn arrived(record: InFlightRecord) -> LedgerEvent {
    let end = if record.written { End::Written } else { End::Dropped { reason: "unrouted".into() } };
    told(record, end)
}

/// A record that a stage dropped or could not handle; of the latter all that it then is goes to `rejected.jsonl`.
pub(super) fn ended(mut record: InFlightRecord, end: RecordEnd) -> LedgerEvent {
    let end = match end {
        RecordEnd::Dropped(reason) => End::Dropped { reason },
        RecordEnd::Rejected(failure) => {
            let Failure { stage, class, message, attempts, answer } = failure;
            let id = record.record.id.to_string();
            let rejection = Rejection { id, stage, class, message, attempts };
            record.lines.push((REJECTED, rejected_line(&rejection, &record.record, answer)));
            End::Rejected(rejection)
        }
    };
    told(record, end)
}

fn told(mut record: InFlightRecord, end: End) -> LedgerEvent {
    let outcome = match &end {
        End::Written => "ok",
        End::Dropped { reason } => reason.as_ref(),
        End::Rejected(_) => "rejected",
    };
    // Of what was dropped, what was paid for and what was drawn is told.
    let known = &record.record.provenance;
    let is_told = !known.calls.is_empty() || !known.draws.is_empty() || !known.skipped.is_empty();
    if is_told || !matches!(end, End::Dropped { .. }) {
        record.lines.push((PROVENANCE, provenance_line(&record.record, outcome)));
    }
    let InFlightRecord { record, lines, written, .. } = record;
    LedgerEvent::Ended(Box::new(Ended { id: record.id, end, written, lines }))
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

/// A value as one line. Nothing in these types can fail to become JSON: keys are texts.
fn json_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
