//! `accept: N`: accepts the first N items by number that end ok, whatever order they end in.
//!
//! It is a gate after the last stage: items are committed in the order of their numbers, so the result does not
//! depend on which answer arrived first, and a later start derives the number of accepted items from the commits
//! alone. Items after the N-th are `surplus`. Few are made in vain, as no more are admitted than are likely to be
//! needed.

use std::sync::Arc;

use roaring::RoaringTreemap;

use super::gate::ReorderBuffer;
use crate::journal::{GateRecord, ItemOutcome, OutputLines};

/// An item that has ended, and may have to wait for earlier items.
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
    /// The number after that of the last item that earlier starts accepted.
    accepted_to: u64,
    /// Items before that number which are to be made again, and how many of them are still undecided.
    gaps: u64,
    gaps_left: u64,
    pub(super) order: ReorderBuffer<EndedItem>,
    /// Items that ended in this start, and those of them that ended ok.
    ended: u64,
    ok: u64,
    /// Items that ended ok and wait.
    ok_waiting: u64,
}

impl AcceptGate {
    /// Of the items in `done`, `accepted` ended ok; the last of these has the number `last`.
    pub(super) fn new(wanted: u64, (accepted, last): (u64, Option<u64>), done: Arc<RoaringTreemap>) -> Self {
        let accepted_to = last.map_or(0, |last| last + 1);
        let gaps = accepted_to - last.map_or(0, |last| done.rank(last));
        let order = ReorderBuffer::new(done);
        Self { wanted, accepted, accepted_to, gaps, gaps_left: gaps, order, ended: 0, ok: 0, ok_waiting: 0 }
    }

    /// Whether nothing more is needed: enough items were accepted, and every item before them has ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_reached() && self.gaps_left == 0
    }

    /// Whether as many items were accepted as wanted.
    pub(super) fn is_reached(&self) -> bool {
        self.accepted >= self.wanted
    }

    /// The number of accepted items.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Notes that an item has ended and waits.
    pub(super) fn note_ended(&mut self, outcome: ItemOutcome) {
        self.ended += 1;
        self.ok += u64::from(outcome == ItemOutcome::Ok);
        self.ok_waiting += u64::from(outcome == ItemOutcome::Ok);
    }

    /// Decides the next item, and returns whether it is surplus.
    pub(super) fn is_surplus(&mut self, item: u64, outcome: ItemOutcome) -> bool {
        self.ok_waiting -= u64::from(outcome == ItemOutcome::Ok);
        let is_gap = item < self.accepted_to;
        self.gaps_left -= u64::from(is_gap);
        if self.is_reached() {
            // An item that fills a gap does not come after the accepted ones: unless it is ok, it ends as it is.
            return outcome == ItemOutcome::Ok || !is_gap;
        }
        self.accepted += u64::from(outcome == ItemOutcome::Ok);
        false
    }

    /// The number of items this start may admit: those that have ended, and as many more as it likely takes for the
    /// missing ones to end ok, judging by the share that did.
    pub(super) fn may_admit(&self) -> u64 {
        let missing = self.wanted.saturating_sub(self.accepted + self.ok_waiting);
        // Counts one more item as ok, so that some item is always admitted while one is missing.
        let more = u128::from(missing) * u128::from(self.ended + 1);
        let more = more.div_ceil(u128::from(self.ok + 1));
        let items = self.ended.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        items.max(self.gaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gate::Weight;

    /// Ends items in the given order, and returns which were accepted (`+`) and which are surplus (`-`).
    fn decided(accept: &mut AcceptGate, ended: &[(u64, ItemOutcome)]) -> String {
        let mut decided = String::new();
        for (item, outcome) in ended {
            let held = EndedItem { outcome: *outcome, lines: Vec::new(), decision: GateRecord::default() };
            accept.note_ended(*outcome);
            accept.order.insert(*item, held, Weight::default());
            while let Some((item, held, _)) = accept.order.pop() {
                let surplus = accept.is_surplus(item, held.outcome);
                decided.push_str(&format!("{item}{} ", if surplus { "-" } else { "+" }));
            }
        }
        decided
    }

    #[test]
    fn the_first_items_by_number_are_accepted_in_any_order_of_arrival() {
        use ItemOutcome::{Ok, Rejected};
        let mut accept = AcceptGate::new(2, (0, None), Arc::default());
        assert_eq!(decided(&mut accept, &[(3, Ok), (0, Ok), (4, Ok)]), "0+ ");
        assert!(!accept.is_reached() && accept.order.contains(4));
        assert_eq!(decided(&mut accept, &[(2, Ok), (1, Rejected)]), "1+ 2+ 3- 4- ");
        assert!(accept.is_reached());
        assert_eq!(accept.accepted(), 2);
    }

    #[test]
    fn items_made_late_do_not_replace_accepted_ones() {
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
        // Enough items are accepted, and 1 and 3 are to be made again.
        let mut accept = AcceptGate::new(2, (2, Some(4)), Arc::new([0, 2, 4].into_iter().collect()));
        assert!(accept.is_reached() && !accept.is_over());
        assert_eq!(accept.may_admit(), 2);
        assert_eq!(decided(&mut accept, &[(3, Ok), (1, Rejected)]), "1+ 3- ");
        assert!(accept.is_over());
        assert_eq!(decided(&mut accept, &[(5, Rejected)]), "5- ", "later items are surplus");
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
