//! What the tasks of a run tell each other: events to the ledger, events from the ledger.
//!
//! Every message in the engine is one of these or a record on its way to the next chain. The ledger owns the
//! run's state; whoever shows or stores it consumes `RunEvent`s.

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

/// A record on its way through the stages.
#[derive(Debug, Default)]
pub(crate) struct InFlightRecord {
    /// The record.
    pub(crate) record: Record,
    /// The lines that sinks have taken of it, by file index.
    pub(crate) lines: OutputLines,
    /// Whether a sink has taken it or the record it came from.
    pub(crate) written: bool,
    /// What the gate it has come to compares; `None` where its `when` sends the record past it.
    pub(crate) key: Option<Vec<u8>>,
    /// Whose room it takes.
    pub(crate) lenders: PermitLenders,
}

impl InFlightRecord {
    /// Another record of the same item.
    pub(crate) fn sibling(&self, record: Record) -> Self {
        let (written, lenders) = (self.written, self.lenders.clone());
        Self { record, written, lenders, ..Self::default() }
    }
}

/// What a task tells the ledger.
#[derive(Debug)]
pub(crate) enum LedgerEvent {
    /// An item was admitted: it has one record in flight, and room in the run until it ends.
    Admitted { item: u64, room: OwnedSemaphorePermit },
    /// The source gave a unit of so many items.
    Unit { items: u32 },
    /// A record became several.
    Split { item: u64, children: u32 },
    /// A record has ended.
    Ended(Box<EndedRecord>),
    /// A record has come to the gate with this number.
    Arrived { gate: usize, record: Box<InFlightRecord> },
    /// No further record will come to the gate with this number.
    GateClosed { gate: usize },
    /// What became of the records of one item in a chain, in order.
    Batch(Vec<LedgerEvent>),
    /// A document or row could not be read.
    SourceFailed { unit: String, message: String },
    /// The source has no more; it had this many items.
    SourceEnded { items: u64 },
    /// A record stays in flight, for a reason that is the run's.
    Halted(Halt),
}

/// Why a record stays in flight, to be made at a later start.
#[derive(Debug, Clone)]
pub(crate) enum Halt {
    /// The run cannot go on.
    Fatal(FatalError),
    /// The outcome of an effect cannot be kept.
    Storage(StorageError),
    /// What comes next might exceed the budget.
    OutOfBudget,
    /// The run was given up, or stopped, while the record was on its way.
    Aborted,
}

impl From<StorageError> for Halt {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// A failure that ends the run; it can be resumed once the cause is mended.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct FatalError {
    /// The stage that met it.
    pub stage: Arc<str>,
    /// A short word: `auth`, `quota`, `model_not_found`, `unreachable`, ...
    pub class: String,
    /// What happened and what to do.
    pub message: String,
}

/// Something that happened in a run, for those who show it.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// The run's figures, several times a second.
    Tick(Box<Snapshot>),
    /// A record was rejected. Not every one is told when they come fast; `Snapshot` counts all.
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
    /// The run was asked to stop, and waits for what is in flight.
    Draining,
}

/// The figures of a run at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    /// `running`, `draining`, `finished`, `interrupted`, `out_of_budget` or `failed`.
    pub state: &'static str,
    /// What failed, once the state is `failed`.
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
    /// Questions that were refused or failed, and wait before they are sent again.
    pub waiting_to_retry: u64,
    /// Documents or rows that could not be read, in this start.
    pub source_failures: u64,
    /// What the source reads and leaves out where it looks for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_files: Option<LeftOut>,
    /// The number of items there will be, once known.
    pub total: Option<u64>,
    /// The number of items there may be, going by the documents read so far; for the time left.
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
    /// AnswerLog found that earlier starts of the run had paid for.
    pub recovered: u64,
    /// AnswerLog of another run that were used again.
    pub reused: u64,
    /// Questions put again because an answer was invalid, in this start.
    pub re_asks: u64,
    /// Attempts at requests beside the first ones, in this start.
    pub retries: u64,
    /// AnswerLog that ended at the limit of their tokens, in this start.
    pub cut_off: u64,
    /// AnswerLog given by the heuristic in place of a model, in this start.
    pub fallbacks: u64,
    /// Tokens read and written by models, in this start; those of answers without usage are estimates.
    pub tokens: Tokens,
    /// AnswerLog of which the server did not say how many tokens they took, in this start. Of `spent` they took all
    /// that was reserved for them.
    pub without_usage: u64,
    /// Tokens and money, over all starts: what counts against the budget.
    pub spent: Spent,
    /// What the whole run is going to cost, going by what has ended so far; none before something has, once all
    /// has, and where nothing costs anything.
    pub projected_cost: Option<f64>,
    /// What waits for items before it, in a run with `accept` or another gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowFigures>,
    /// Seconds since this start.
    pub seconds: f64,
    /// Items ended per second, lately.
    pub rate: f64,
    /// Figures by stage, in this start.
    pub stages: Vec<StageFigures>,
    /// How the models' endpoints are doing.
    pub endpoints: Vec<EndpointFigures>,
    /// How the quotas are doing that the models draw on.
    pub pools: Vec<PoolFigures>,
    /// The batches that are gathered or with a provider.
    pub batches: Vec<BatchFigures>,
}
