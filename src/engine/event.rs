//! The messages between the tasks of a run: events to the ledger, and events from it.
//!
//! Every message in the engine is one of these or a record sent to the next chain. The ledger owns the run's state;
//! whatever displays or stores that state consumes `RunEvent`s.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::lending::PermitLenders;
use super::record_end::{EndedRecord, Rejection};
use super::status::RunStatus;
use crate::journal::{OutputLines, StorageError};
use crate::record::{Record, RecordId};

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
    /// The last items of a unit are about to be admitted; the unit has this number of items.
    UnitRead { items: u32 },
    /// A record was split into several.
    Split { item: u64, children: u32 },
    /// A record has ended.
    Ended(Box<EndedRecord>),
    /// A record has arrived at the gate with this index.
    ArrivedAtGate { gate: usize, record: Box<InFlightRecord> },
    /// No further record will arrive at the gate with this index.
    GateClosed { gate: usize },
    /// Several events, in order.
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

impl FatalError {
    /// The class of failures to run programs.
    pub(crate) const SANDBOX: &str = "sandbox";

    /// Whether a program could not be run, rather than a model asked.
    #[must_use]
    pub fn is_of_sandbox(&self) -> bool {
        self.class == Self::SANDBOX
    }
}

/// Something that happened in a run, for display.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// The run's figures, ten times a second.
    Tick(Box<RunStatus>),
    /// A record was rejected. When many are rejected at once some events are lost; `RunStatus` counts all.
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
