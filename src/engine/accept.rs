//! `accept: N`: the first N items by number that end ok, whatever the order they end in.
//!
//! Items are committed in the order of their numbers, so the result does not depend on which answer came
//! first, and a later start knows how many were accepted from the commits alone. Items behind the N-th are
//! `surplus`. The ledger asks here what may be committed; room is given back only then, which bounds what
//! waits.

use std::collections::BTreeMap;

use tokio::sync::OwnedSemaphorePermit;

use crate::journal::{Lines, Outcome};

/// An item that may be committed now.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) item: u64,
    pub(crate) outcome: Outcome,
    pub(crate) lines: Lines,
    /// It ended ok but comes behind the last one wanted.
    pub(crate) surplus: bool,
    /// Its room in the run.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// Puts items in order and counts the accepted ones.
#[derive(Debug)]
pub(crate) struct InOrder {
    wanted: u64,
    accepted: u64,
    next: u64,
    waiting: BTreeMap<u64, (Outcome, Lines, Option<OwnedSemaphorePermit>)>,
}

impl InOrder {
    /// `accepted` of the `next` items that earlier starts committed were accepted.
    pub(crate) fn new(wanted: u64, accepted: u64, next: u64) -> Self {
        Self { wanted, accepted, next, waiting: BTreeMap::new() }
    }

    /// Whether as many items were accepted as are wanted.
    pub(crate) fn is_reached(&self) -> bool {
        self.accepted >= self.wanted
    }

    /// How many items were accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Whether an item has ended and waits for one before it.
    pub(crate) fn holds(&self, item: u64) -> bool {
        self.waiting.contains_key(&item)
    }

    /// Takes an item that has ended; gives those that may be committed, in order.
    pub(crate) fn push(
        &mut self,
        item: u64,
        outcome: Outcome,
        lines: Lines,
        room: Option<OwnedSemaphorePermit>,
    ) -> Vec<Ready> {
        self.waiting.insert(item, (outcome, lines, room));
        let mut ready = Vec::new();
        while let Some((outcome, lines, room)) = self.waiting.remove(&self.next) {
            ready.push(self.decide(self.next, outcome, lines, room));
            self.next += 1;
        }
        ready
    }

    /// What still waits once enough were accepted: all of it is surplus.
    pub(crate) fn rest(&mut self) -> Vec<Ready> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .into_iter()
            .map(|(item, (outcome, lines, room))| self.decide(item, outcome, lines, room))
            .collect()
    }

    fn decide(
        &mut self,
        item: u64,
        outcome: Outcome,
        lines: Lines,
        room: Option<OwnedSemaphorePermit>,
    ) -> Ready {
        if self.is_reached() {
            return Ready { item, outcome: Outcome::Dropped, lines: Vec::new(), surplus: true, room };
        }
        self.accepted += u64::from(outcome == Outcome::Ok);
        Ready { item, outcome, lines, surplus: false, room }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_by_number_are_accepted_whatever_came_first() {
        let mut order = InOrder::new(2, 0, 0);
        let numbers = |ready: Vec<Ready>| -> Vec<(u64, bool)> {
            ready.into_iter().map(|ready| (ready.item, ready.surplus)).collect()
        };
        assert_eq!(numbers(order.push(3, Outcome::Ok, Vec::new(), None)), []);
        assert_eq!(numbers(order.push(0, Outcome::Ok, Vec::new(), None)), [(0, false)]);
        assert_eq!(numbers(order.push(4, Outcome::Ok, Vec::new(), None)), []);
        assert!(!order.is_reached() && order.holds(4));
        assert_eq!(numbers(order.push(2, Outcome::Ok, Vec::new(), None)), []);
        assert_eq!(
            numbers(order.push(1, Outcome::Rejected, Vec::new(), None)),
            [(1, false), (2, false), (3, true), (4, true)]
        );
        assert!(order.is_reached());
        assert_eq!(order.accepted(), 2);
        order.push(9, Outcome::Ok, Vec::new(), None);
        assert_eq!(numbers(order.rest()), [(9, true)]);
    }
}
