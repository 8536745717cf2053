//! Drives the gates of a run: buffers items until it is their turn, applies the decisions, and limits admission.
//!
//! Part of the ledger, since only the ledger knows when all records of an item have arrived at a gate or ended. After
//! an abort nothing is decided: what waits stays in flight.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::future::select_all;

use super::Ledger;
use super::in_flight_item::InFlightItem;
use crate::engine::accept::{AcceptGate, EndedItem};
use crate::engine::event::{FatalError, Halt, InFlightRecord};
use crate::engine::execute::panic_error;
use crate::engine::gate::{AdmissionLimit, GateStage, Weight, push_key};
use crate::engine::record_end::{EndedRecord, RecordEnd};
use crate::journal::{GateRecord, ItemOutcome, LostTo};
use crate::stage::GateDecision;

impl Ledger {
    /// Notes that a record has arrived at a gate.
    pub(super) fn arrive_at_gate(&mut self, gate: usize, record: InFlightRecord) {
        let number = record.record.id.item;
        if let Some(item) = self.items.get_mut(&number) {
            item.gate = gate;
            item.arrived.push(record);
            self.offer_to_gate(number);
        }
    }

    /// Passes an item to the gate it is at, once all its records in flight have arrived there.
    pub(super) fn offer_to_gate(&mut self, number: u64) {
        let Some(item) = self.items.get_mut(&number) else { return };
        if item.arrived.is_empty() || item.arrived.len() < item.in_flight as usize {
            return;
        }
        let mut records = std::mem::take(&mut item.arrived);
        // They arrive in any order; the order of their ids is always the same.
        records.sort_by(|one, other| one.record.id.cmp(&other.record.id));
        let gate = item.gate;
        item.gate += 1;
        // While it waits the window counts it, and another item may be admitted in its place.
        item.permit = None;
        self.past_gates -= u64::from(std::mem::take(&mut item.is_past_gate));
        self.buffer_at_gate(gate, number, records);
    }

    /// Notes that an item has ended: none of its records will arrive at the gate with this index, nor at later gates.
    pub(super) fn pass_gates(&mut self, number: u64, first: usize) {
        for gate in first..self.gates.len() {
            self.buffer_at_gate(gate, number, Vec::new());
        }
    }

    fn buffer_at_gate(&mut self, gate: usize, number: u64, records: Vec<InFlightRecord>) {
        let Some(at) = self.gates.get_mut(gate) else { return };
        let weight = Weight::of_records(&records);
        self.window.add(weight);
        at.order.insert(number, records, weight);
        self.decide(gate);
    }

    /// Decides about the items whose turn it is.
    fn decide(&mut self, gate: usize) {
        while !self.context.stop.is_aborting()
            && let Some(at) = self.gates.get_mut(gate)
            && let Some((number, records, weight)) = at.order.pop()
        {
            if records.is_empty() {
                continue;
            }
            // Records that skip the gate are not shown to the decider.
            let keys: Vec<&[u8]> = records.iter().filter_map(|record| record.key.as_deref()).collect();
            let verdicts = match keys.is_empty() {
                true => Ok(Vec::new()),
                false => catch_unwind(AssertUnwindSafe(|| at.decider.decide(number, &keys))),
            };
            let verdicts = match verdicts {
                Ok(verdicts) => verdicts,
                Err(panic) => {
                    // The decider may have seen half of the item, so it can decide nothing more; the item stays in
                    // flight.
                    let error = panic_error(&*panic);
                    let (stage, class) = (Arc::clone(&at.path), error.class.into_owned());
                    self.halt(Halt::Fatal(FatalError { stage, class, message: error.message }));
                    return;
                }
            };
            let mut verdicts = verdicts.into_iter();
            // An item that waits here has not ended.
            let mut none = InFlightItem::default();
            let item = self.items.get_mut(&number).unwrap_or(&mut none);
            let mut left = weight;
            for mut record in records {
                let key = record.key.take();
                let verdict = key.as_ref().and_then(|_| verdicts.next()).unwrap_or(GateDecision::Keep);
                match verdict {
                    GateDecision::Keep => {
                        if let Some(key) = key {
                            push_key(&mut item.decision.keys, gate, &key);
                        }
                        // Stays in the window until the next chain has accepted it.
                        let own = Weight::of_records(std::slice::from_ref(&record));
                        left = left.minus(own);
                        at.releasing.push_back((record, own));
                        self.past_gates += u64::from(!std::mem::replace(&mut item.is_past_gate, true));
                    }
                    GateDecision::Drop { reason, in_favour_of } => {
                        lose_to(&mut item.decision, in_favour_of);
                        self.dropped.push_back(EndedRecord::stopped(record, RecordEnd::Dropped(reason)));
                    }
                }
            }
            self.window.remove(left);
        }
    }

    /// Notes that the chain before a gate has ended. The gate closes once everything that it let through is sent.
    pub(super) fn close_gate(&mut self, gate: usize) {
        if let Some(at) = self.gates.get_mut(gate) {
            at.is_closed = true;
            at.close_if_empty();
        }
    }

    /// Buffers an item that has ended, and accepts those whose turn it is.
    pub(super) fn accept_in_order(&mut self, number: u64, ended: EndedItem) {
        let Some(accept) = &mut self.accept else { return };
        let weight = Weight::of_lines(&ended.lines);
        self.window.add(weight);
        accept.note_ended(ended.outcome);
        accept.order.insert(number, ended, weight);
        while let Some(accept) = &mut self.accept
            && let Some((number, ended, weight)) = accept.order.pop()
        {
            self.window.remove(weight);
            self.accept_or_drop(number, ended);
        }
        if self.accept.as_ref().is_some_and(AcceptGate::is_over) {
            self.context.stop.abort();
        }
    }

    fn accept_or_drop(&mut self, number: u64, mut ended: EndedItem) {
        if self.accept.as_mut().is_some_and(|accept| accept.is_surplus(number, ended.outcome)) {
            ended = surplus();
            *self.drops.entry("surplus".into()).or_default() += 1;
        }
        self.commit(number, ended);
    }

    /// Commits what waits and what was aborted as surplus, once enough items were accepted.
    pub(super) fn commit_surplus(&mut self) {
        let Some(accept) = self.accept.as_mut().filter(|accept| accept.is_over()) else { return };
        let rest: Vec<u64> = accept.order.drain().map(|(number, _, _)| number).collect();
        let aborted: Vec<u64> = self.items.drain().map(|(number, _)| number).collect();
        for number in rest.into_iter().chain(aborted) {
            *self.drops.entry("surplus".into()).or_default() += 1;
            self.commit(number, surplus());
        }
    }

    /// Publishes how far admission may go.
    pub(super) fn limit_admission(&mut self) {
        if self.gates.is_empty() && self.accept.is_none() {
            return;
        }
        let limit = AdmissionLimit {
            items: self.accept.as_ref().map_or(u64::MAX, AcceptGate::may_admit),
            is_full: self.window.is_full(),
            // As before the gates, items that only wait for a retry let others be admitted.
            is_busy_downstream: self.past_gates
                >= self.context.max_in_flight + self.context.permits.lent() as u64,
        };
        let was_full = self.context.admission_limit.borrow().is_full;
        if limit.is_full && !was_full {
            let figures = self.window.figures();
            let accept = self.accept.iter().map(|accept| accept.order.awaited());
            let awaited = self.gates.iter().map(|gate| gate.order.awaited()).chain(accept).min();
            tracing::warn!(
                "{} records wait for item {}, which is not done; {} records or {} MiB may wait, so no further item \
                 is begun until it is",
                figures.records,
                awaited.unwrap_or_default(),
                figures.limit_records,
                figures.limit_bytes >> 20
            );
        }
        self.context.admission_limit.send_if_modified(|known| std::mem::replace(known, limit) != limit);
    }
}

/// The end of an item that is not needed any more.
fn surplus() -> EndedItem {
    let decision = GateRecord { keys: Vec::new(), lost_to: LostTo::EveryKept };
    EndedItem { outcome: ItemOutcome::Dropped, lines: Vec::new(), decision }
}

fn lose_to(decision: &mut GateRecord, item: u64) {
    match &mut decision.lost_to {
        LostTo::Items(items) => items.push(item),
        LostTo::EveryKept => {}
        nobody @ LostTo::Nobody => *nobody = LostTo::Items(vec![item]),
    }
}

impl GateStage {
    fn close_if_empty(&mut self) {
        if self.is_closed && self.releasing.is_empty() {
            self.out = None;
        }
    }

    /// Waits for capacity in the next chain, and sends as many of the released records as fit. Returns their weight
    /// in the window.
    async fn release(&mut self) -> Weight {
        let mut freed = Weight::default();
        if let Some(out) = &self.out
            && let Ok(mut permit) = out.reserve().await
        {
            while let Some((record, weight)) = self.releasing.pop_front() {
                permit.send(record);
                freed.add(weight);
                match out.try_reserve() {
                    Ok(more) => permit = more,
                    Err(_) => break,
                }
            }
        } else {
            // The next chain has ended, which happens when a run is aborted.
            self.releasing.drain(..).for_each(|(_, weight)| freed.add(weight));
        }
        self.close_if_empty();
        freed
    }
}

/// Releases records from the first gate that can. Cancel safe: a record is sent in the same poll in which it is
/// removed.
pub(super) async fn release(gates: &mut [GateStage]) -> Weight {
    let releasing = gates.iter_mut().filter(|gate| !gate.releasing.is_empty());
    let releases: Vec<_> = releasing.map(|gate| Box::pin(gate.release())).collect();
    if releases.is_empty() {
        return std::future::pending().await;
    }
    select_all(releases).await.0
}
