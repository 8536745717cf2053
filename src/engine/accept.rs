//! `accept: N`: the first N items by number that end ok, whatever the order they end in.
//!
//! A gate behind the last stage: items are committed in the order of their numbers, so the result does not depend on
//! which answer came first, and a later start knows how many were accepted from the commits alone. Items behind the
//! N-th are `surplus`. Few are made for nothing: no more are admitted than are likely to be needed.

use std::sync::Arc;

use roaring::RoaringTreemap;

use super::gate::ReorderBuffer;
use crate::journal::{GateRecord, ItemOutcome, OutputLines};

/// An item that has ended, and waits for those before it.
#[derive(Debug)]
pub(super) struct EndedItem {
    pub(super) outcome: ItemOutcome,
    pub(super) lines: OutputLines,
    pub(super) decision: GateRecord,
}

/// The gate of `accept`.
#[derive(Debug)]
pub(super) struct AcceptGate {
    wanted: u64,
    accepted: u64,
    /// Behind the last item that earlier starts have accepted.
    accepted_to: u64,
    /// Items before that which are to be made again, and how many of them are not decided yet.
    holes: u64,
    holes_left: u64,
    pub(super) order: ReorderBuffer<EndedItem>,
    /// Items that ended in this start, and how many of them ended ok.
    ended: u64,
    ok: u64,
    /// Of those that ended ok, the ones that wait.
    ok_waiting: u64,
}

impl AcceptGate {
    /// Of the items in `done`, `accepted` ended ok, the last of them with the number `last`.
    pub(super) fn new(wanted: u64, (accepted, last): (u64, Option<u64>), done: Arc<RoaringTreemap>) -> Self {
        let accepted_to = last.map_or(0, |last| last + 1);
        let holes = accepted_to - last.map_or(0, |last| done.rank(last));
        let order = ReorderBuffer::new(done);
        Self {
            wanted,
            accepted,
            accepted_to,
            holes,
            holes_left: holes,
            order,
            ended: 0,
            ok: 0,
            ok_waiting: 0,
        }
    }

    /// Whether nothing more is wanted: enough were accepted, and each item before them has ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_reached() && self.holes_left == 0
    }

    /// Whether as many items were accepted as are wanted.
    pub(super) fn is_reached(&self) -> bool {
        self.accepted >= self.wanted
    }

    /// How many items were accepted.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Notes that an item has ended, and waits.
    pub(super) fn note_ended(&mut self, outcome: ItemOutcome) {
        self.ended += 1;
        self.ok += u64::from(outcome == ItemOutcome::Ok);
        self.ok_waiting += u64::from(outcome == ItemOutcome::Ok);
    }

    /// Decides the item whose turn it is: whether it is surplus.
    pub(super) fn is_surplus(&mut self, item: u64, outcome: ItemOutcome) -> bool {
        self.ok_waiting -= u64::from(outcome == ItemOutcome::Ok);
        let is_hole = item < self.accepted_to;
        self.holes_left -= u64::from(is_hole);
        if self.is_reached() {
            // What fills a hole is not behind what was accepted: if it is not ok, it ends as it would have.
            return outcome == ItemOutcome::Ok || !is_hole;
        }
        self.accepted += u64::from(outcome == ItemOutcome::Ok);
        false
    }

    /// How many items this start may admit: those that have ended, and as many more as are likely to end ok in the
    /// number that is missing, going by those that have ended.
    pub(super) fn may_admit(&self) -> u64 {
        let missing = self.wanted.saturating_sub(self.accepted + self.ok_waiting);
        // One is counted in as ok, so that something is always admitted while something is missing.
        let more = u128::from(missing) * u128::from(self.ended + 1);
        let more = more.div_ceil(u128::from(self.ok + 1));
        let items = self.ended.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        items.max(self.holes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gate::Weight;

    /// Ends items in the order given and tells which were accepted and which surplus.
    fn decided(accept: &mut AcceptGate, ended: &[(u64, ItemOutcome)]) -> String {
        let mut decided = String::new();
        for (item, outcome) in ended {
            let held = EndedItem { outcome: *outcome, lines: Vec::new(), decision: GateRecord::default() };
            accept.note_ended(*outcome);
            accept.order.hold(*item, held, Weight::default());
            while let Some((item, held, _)) = accept.order.pop() {
                let surplus = accept.is_surplus(item, held.outcome);
                decided.push_str(&format!("{item}{} ", if surplus { "-" } else { "+" }));
            }
        }
        decided
    }

    #[test]
    fn the_first_by_number_are_accepted_whatever_came_first() {
        use ItemOutcome::{Ok, Rejected};
        let mut accept = AcceptGate::new(2, (0, None), Arc::default());
        assert_eq!(decided(&mut accept, &[(3, Ok), (0, Ok), (4, Ok)]), "0+ ");
        assert!(!accept.is_reached() && accept.order.holds(4));
        assert_eq!(decided(&mut accept, &[(2, Ok), (1, Rejected)]), "1+ 2+ 3- 4- ");
        assert!(accept.is_reached());
        assert_eq!(accept.accepted(), 2);
    }

    #[test]
    fn what_is_made_late_comes_behind_what_was_accepted() {
        // Items 1 and 3 are made again, with one place left.
        let done = [0, 2, 4].into_iter().collect();
        let mut accept = AcceptGate::new(4, (3, Some(4)), Arc::new(done));
        assert_eq!(
            decided(&mut accept, &[(5, ItemOutcome::Ok), (3, ItemOutcome::Ok), (1, ItemOutcome::Ok)]),
            "1+ 3- 5- "
        );
    }

    #[test]
    fn holes_are_filled_before_it_is_over() {
        use ItemOutcome::{Ok, Rejected};
        // As many as are wanted are there, and 1 and 3 are to be made again.
        let mut accept = AcceptGate::new(2, (2, Some(4)), Arc::new([0, 2, 4].into_iter().collect()));
        assert!(accept.is_reached() && !accept.is_over());
        assert_eq!(accept.may_admit(), 2);
        assert_eq!(decided(&mut accept, &[(3, Ok), (1, Rejected)]), "1+ 3- ");
        assert!(accept.is_over());
        assert_eq!(decided(&mut accept, &[(5, Rejected)]), "5- ", "what is behind them is surplus");
    }

    #[test]
    fn no_more_are_admitted_than_are_likely_to_be_needed() {
        let mut accept = AcceptGate::new(10, (0, None), Arc::default());
        assert_eq!(accept.may_admit(), 10);
        decided(&mut accept, &[(0, ItemOutcome::Ok)]);
        assert_eq!(accept.may_admit(), 10);
        decided(&mut accept, &[(1, ItemOutcome::Rejected), (2, ItemOutcome::Rejected)]);
        assert_eq!(accept.may_admit(), 3 + 18, "nine are missing, one of three ended ok, one is counted in");
        let all: Vec<_> = (3..12).map(|item| (item, ItemOutcome::Ok)).collect();
        decided(&mut accept, &all);
        assert_eq!((accept.may_admit(), accept.is_reached()), (12, true));
    }
}
