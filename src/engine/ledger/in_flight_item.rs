//! One item in flight, as the ledger knows it: its records, their ends, and the lines they leave.

use tokio::sync::OwnedSemaphorePermit;

use crate::engine::accept::EndedItem;
use crate::engine::event::InFlightRecord;
use crate::journal::{GateRecord, ItemOutcome, OutputLines};
use crate::record::RecordId;

/// An item in flight.
#[derive(Default)]
pub(super) struct InFlightItem {
    /// Its permit in the run, dropped when it has ended.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// The number of its records that have not ended.
    pub(super) in_flight: u32,
    /// Its records that have ended, and the lines they leave.
    pub(super) ended: Vec<(RecordId, OutputLines)>,
    pub(super) written: bool,
    pub(super) rejected: bool,
    /// Its records that have arrived at the gate it is at.
    pub(super) arrived: Vec<InFlightRecord>,
    /// The index of that gate.
    pub(super) gate: usize,
    /// Whether a gate has released it, after which it holds no permit.
    pub(super) is_past_gate: bool,
    /// What gates decided about it.
    pub(super) decision: GateRecord,
}

impl InFlightItem {
    /// How it ended, once none of its records is in flight. Its lines are sorted by record id, whatever order the
    /// records ended in, so that another run that reads them sees the same.
    pub(super) fn end(mut self) -> EndedItem {
        let outcome = match (self.written, self.rejected) {
            (true, _) => ItemOutcome::Ok,
            (false, true) => ItemOutcome::Rejected,
            (false, false) => ItemOutcome::Dropped,
        };
        self.ended.sort_by(|(one, _), (other, _)| one.cmp(other));
        let lines = self.ended.into_iter().flat_map(|(_, lines)| lines).collect();
        EndedItem { outcome, lines, decision: self.decision }
    }
}
