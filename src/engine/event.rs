//! The messages between the tasks of a run: events to the ledger, and events from it.
//!
//! Every message in the engine is one of these or a record sent to the next chain. The ledger owns the run's state;
//! whatever displays or stores that state consumes `RunEvent`s.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::gate::WindowFigures;
use super::lending::PermitLenders;
use super::metrics::StageFigures;
use super::record_end::{EndedRecord, Rejection};
use crate::journal::{OutputLines, Spent, StorageError};
use crate::llm::{BatchFigures, EndpointFigures, PoolFigures, Tokens};
use crate::record::{Record, RecordId};
use crate::stage::LeftOut;

/// A record that is being brought through the stages.
#[derive(Debug, Default)]
pub(crate) struct InFlightRecord {
    /// The record.
    pub(crate) record: Record,
    /// The lines that sinks have formatted from it, each with the index of its file.
    pub(crate) lines: OutputLines,
    /// Whether a sink has taken it, or the record it came from.
    pub(crate) written: bool,
    /// The key that the next gate compares; `None` where the gate's `when` does not hold for the record.
    pub(crate) key: Option<Vec<u8>>,
    /// The lenders of the permits that it holds.
    pub(crate) lenders: PermitLenders,
}

impl InFlightRecord {
    /// Another record of the same item.
    pub(crate) fn sibling(&self, record: Record) -> Self {
        let (written, lenders) = (self.written, self.lenders.clone());
        Self { record, written, lenders, ..Self::default() }
    }
}

/// What a task reports to the ledger.
#[derive(Debug)]
pub(crate) enum LedgerEvent {
    /// An item was admitted: it has one record in flight, and holds a permit until it ends.
    Admitted { item: u64, permit: OwnedSemaphorePermit },
    /// The source produced a unit of this many items.
    UnitRead { items: u32 },
    /// A record was split into several.
    Split { item: u64, children: u32 },
    /// A record has ended.
    Ended(Box<EndedRecord>),
    /// A record has arrived at the gate with this index.
    ArrivedAtGate { gate: usize, record: Box<InFlightRecord> },
    /// No further record will arrive at the gate with this index.
    GateClosed { gate: usize },
    /// Events of one item's records in a chain, in order.
    Batch(Vec<LedgerEvent>),
    /// A document or row could not be read.
    SourceFailed { unit: String, message: String },
    /// The source has ended after this many items.
    SourceEnded { items: u64 },
    /// A record stays in flight because of something that concerns the whole run.
    Halted(Halt),
}

/// Why a record stays in flight until a later start.
#[derive(Debug, Clone)]
pub(crate) enum Halt {
    /// The run cannot continue.
    Fatal(FatalError),
    /// The outcome of an effect cannot be journaled.
    Storage(StorageError),
    /// The next request might exceed the budget.
    OutOfBudget,
    /// The run was aborted or stopped while the record was in flight.
    Aborted,
}

impl From<StorageError> for Halt {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// A failure that ends the run; the run can be resumed once the cause is fixed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct FatalError {
    /// The stage that failed.
    pub stage: Arc<str>,
    /// A short word: `auth`, `quota`, `model_not_found`, `unreachable`, ...
    pub class: String,
    /// What happened, and what to do about it.
    pub message: String,
}

/// Something that happened in a run, for display.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// The run's figures, ten times a second.
    Tick(Box<Snapshot>),
    /// A record was rejected. When many are rejected at once some events are lost; `Snapshot` counts all.
    Rejected {
        /// The record.
        id: RecordId,
        /// Why.
        rejection: Rejection,
    },
    /// A document or row could not be read.
    SourceFailed {
        /// The path, or path and row.
        unit: String,
        /// Why.
        message: String,
    },
    /// The run was asked to stop, and waits for the items in flight.
    Draining,
}

/// The figures of a run at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    /// `running`, `draining`, `finished`, `interrupted`, `out_of_budget` or `failed`.
    pub state: &'static str,
    /// What failed, if the state is `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The pipeline's name.
    pub pipeline: String,
    /// Items that were ever admitted, over all starts.
    pub admitted: u64,
    /// Items that ended ok and are committed.
    pub ok: u64,
    /// Items that ended dropped and are committed.
    pub dropped: u64,
    /// Items that ended rejected and are committed.
    pub rejected: u64,
    /// Items between admission and commit.
    pub in_flight: u64,
    /// Questions that were refused or failed, and wait for a retry.
    pub waiting_to_retry: u64,
    /// Documents or rows that could not be read, in this start.
    pub source_failures: u64,
    /// The files that the source reads and leaves out, if it searches folders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_files: Option<LeftOut>,
    /// The number of items there will be, once known.
    pub total: Option<u64>,
    /// The estimated number of items, from the documents read so far; for the time left.
    #[serde(skip)]
    pub estimate: Option<u64>,
    /// Records written, by sink.
    pub records: Vec<(String, u64)>,
    /// Dropped records by reason, in this start.
    pub drops: Vec<(String, u64)>,
    /// Rejected records by class, in this start.
    pub rejections: Vec<(String, u64)>,
    /// Requests to models, in this start.
    pub requests: u64,
    /// Answers that earlier starts of the run paid for and that were found in the journal.
    pub recovered: u64,
    /// Answers of another run that were reused.
    pub reused: u64,
    /// Re-asks because an answer was invalid, in this start.
    pub re_asks: u64,
    /// Attempts at requests after the first, in this start.
    pub retries: u64,
    /// Answers truncated at their token limit, in this start.
    pub cut_off: u64,
    /// Answers by the heuristic in place of a model, in this start.
    pub fallbacks: u64,
    /// Tokens read and written by models, in this start; estimated for answers without usage.
    pub tokens: Tokens,
    /// Answers without usage, in this start: their server did not report tokens. In `spent` each counts with all that
    /// was reserved for it.
    pub without_usage: u64,
    /// Tokens and money spent, over all starts: what counts against the budget.
    pub spent: Spent,
    /// The projected cost of the whole run, from the items that have ended. `None` before any has and once all have,
    /// and where nothing has a price.
    pub projected_cost: Option<f64>,
    /// The records that wait at gates for earlier items, in a run with `accept` or another gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowFigures>,
    /// Seconds since this start.
    pub seconds: f64,
    /// Items that end per second, over the last few seconds.
    pub rate: f64,
    /// Figures by stage, in this start.
    pub stages: Vec<StageFigures>,
    /// The state of the models' endpoints.
    pub endpoints: Vec<EndpointFigures>,
    /// The state of the quotas that the models share.
    pub pools: Vec<PoolFigures>,
    /// The batches that are being filled or processed by a provider.
    pub batches: Vec<BatchFigures>,
}
