//! One item in flight, as the ledger knows it: what is still on its way, and what it leaves.

use tokio::sync::OwnedSemaphorePermit;

use crate::engine::accept::EndedItem;
use crate::engine::event::InFlightRecord;
use crate::journal::{GateRecord, ItemOutcome, OutputLines};
use crate::record::RecordId;

/// An item in flight.
#[derive(Default)]
pub(super) struct InFlightItem {
    /// Its room in the run, given back when it has ended.
    pub(super) room: Option<OwnedSemaphorePermit>,
    /// How many of its records have not ended.
    pub(super) in_flight: u32,
    /// Its records that have ended, and the lines they leave.
    pub(super) ended: Vec<(RecordId, OutputLines)>,
    pub(super) written: bool,
    pub(super) rejected: bool,
    /// Those of its records that have come to the gate it is at.
    pub(super) arrived: Vec<InFlightRecord>,
    /// The number of that gate.
    pub(super) gate: usize,
    /// Whether a gate has let it go on, which it does without room in the run.
    pub(super) is_behind_gate: bool,
    /// What gates decided of it.
    pub(super) decision: GateRecord,
}

impl InFlightItem {
    /// How it ended, once no record is in flight. Lines stand in the order of the records' ids, whatever the order they
    /// ended in: another run that reads them is to see the same.
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
