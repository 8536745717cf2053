//! Gates: decisions about more than one item, made in the order of the items' numbers.
//!
//! A gate takes an item as a whole: it waits until all of the item's records have arrived or ended, and until all
//! earlier items are decided. So its decisions do not depend on the order of arrival, and are the same at any
//! concurrency and after any stop. A stage of the role `Gate` is a gate between two chains, `accept` one after the last
//! stage. The ledger drives them (`ledger/gates`), and `GateWindow` limits what waits at them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use super::event::InFlightRecord;
use crate::journal::{GateKeys, OutputLines};
use crate::record::Record;
use crate::stage::GateDecider;

/// Buffers items that arrive in any order and releases them in the order of their numbers.
#[derive(Debug)]
pub(super) struct ReorderBuffer<T> {
    /// Items that earlier starts have decided, which are passed over.
    done: Arc<RoaringTreemap>,
    next: u64,
    waiting: BTreeMap<u64, (T, Weight)>,
}

impl<T> ReorderBuffer<T> {
    /// A buffer for a run in which the items in `done` are committed.
    pub(super) fn new(done: Arc<RoaringTreemap>) -> Self {
        Self { done, next: 0, waiting: BTreeMap::new() }
    }

    /// Adds an item.
    pub(super) fn insert(&mut self, item: u64, held: T, weight: Weight) {
        self.waiting.insert(item, (held, weight));
    }

    /// Removes and returns the next item, if it has arrived.
    pub(super) fn pop(&mut self) -> Option<(u64, T, Weight)> {
        while self.done.contains(self.next) {
            self.next += 1;
        }
        let item = self.next;
        let (held, weight) = self.waiting.remove(&item)?;
        self.next += 1;
        Some((item, held, weight))
    }

    /// Removes and returns all waiting items, in order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u64, T, Weight)> + use<T> {
        std::mem::take(&mut self.waiting).into_iter().map(|(item, (held, weight))| (item, held, weight))
    }

    /// Whether an item waits here.
    pub(super) fn contains(&self, item: u64) -> bool {
        self.waiting.contains_key(&item)
    }

    /// The number of the item that the others wait for.
    pub(super) fn awaited(&self) -> u64 {
        self.next
    }
}

/// A gate between two chains.
pub(super) struct GateStage {
    /// The stage's id.
    pub(super) path: Arc<str>,
    pub(super) decider: Box<dyn GateDecider>,
    pub(super) order: ReorderBuffer<Vec<InFlightRecord>>,
    /// Records that were let through and are to be sent into the next chain.
    pub(super) releasing: VecDeque<(InFlightRecord, Weight)>,
    /// The input of the next chain; `None` once nothing more can be sent.
    pub(super) out: Option<mpsc::Sender<InFlightRecord>>,
    /// Whether the chain before it has ended.
    pub(super) is_closed: bool,
}

/// Restores the gates' state from the keys of the records that earlier starts kept.
pub(super) fn rebuild(gates: &mut [GateStage], keys: GateKeys) {
    for (item, keys) in keys {
        each_key(&keys, |gate, key| {
            if let Some(gate) = gates.get_mut(gate) {
                gate.decider.remember(item, key);
            }
        });
    }
}

/// How much of the window something takes while it waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Weight {
    /// Bytes that a record takes besides its texts.
    const RECORD: u64 = 256;

    pub(super) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self { records: self.records - other.records, bytes: self.bytes - other.bytes }
    }

    /// The weight of the lines of an ended item.
    pub(super) fn of_lines(lines: &OutputLines) -> Self {
        let bytes: usize = lines.iter().map(|(_, line)| line.len()).sum();
        Self { records: 1, bytes: Self::RECORD + bytes as u64 }
    }

    /// The weight of records that wait for a decision.
    pub(super) fn of_records(records: &[InFlightRecord]) -> Self {
        let mut weight = Self::default();
        for record in records {
            let lines = Self::of_lines(&record.lines);
            weight.records += 1;
            let key = record.key.as_ref().map_or(0, Vec::len) as u64;
            weight.bytes += lines.bytes + weigh_record(&record.record) + key;
        }
        weight
    }
}

fn weigh_record(record: &Record) -> u64 {
    record.fields.iter().map(|(name, value)| name.len() as u64 + weigh(value)).sum()
}

/// The approximate number of bytes a value takes.
fn weigh(value: &Value) -> u64 {
    const VALUE: u64 = 32;
    VALUE
        + match value {
            Value::String(text) => text.len() as u64,
            Value::Array(values) => values.iter().map(weigh).sum(),
            Value::Object(map) => map.iter().map(|(name, value)| name.len() as u64 + weigh(value)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

/// Limits what waits at all gates of a run together. While it is full no item is admitted; the items that the others
/// wait for are in flight already, so it empties.
#[derive(Debug, Default)]
pub(super) struct GateWindow {
    held: Weight,
    most: Weight,
}

/// What waits at the gates, and the limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowFigures {
    /// Records that wait for earlier items.
    pub records: u64,
    /// The most that waited at a time in this start.
    pub most_records: u64,
    /// The most records that may wait.
    pub limit_records: u64,
    /// The approximate number of bytes that they take.
    pub bytes: u64,
    /// The most bytes that they may take.
    pub limit_bytes: u64,
}

impl GateWindow {
    /// The most records that may wait: at a hundred items a second, those of ten minutes.
    pub(super) const MAX_RECORDS: u64 = 65_536;
    /// The most bytes that they may take.
    pub(super) const MAX_BYTES: u64 = 64 << 20;

    pub(super) fn add(&mut self, weight: Weight) {
        self.held.add(weight);
        self.most.records = self.most.records.max(self.held.records);
        self.most.bytes = self.most.bytes.max(self.held.bytes);
    }

    pub(super) fn remove(&mut self, weight: Weight) {
        self.held = self.held.minus(weight);
    }

    pub(super) fn is_full(&self) -> bool {
        self.held.records >= Self::MAX_RECORDS || self.held.bytes >= Self::MAX_BYTES
    }

    pub(super) fn figures(&self) -> WindowFigures {
        WindowFigures {
            records: self.held.records,
            most_records: self.most.records,
            limit_records: Self::MAX_RECORDS,
            bytes: self.held.bytes,
            limit_bytes: Self::MAX_BYTES,
        }
    }
}

/// How far the gates let admission go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AdmissionLimit {
    /// The number of items that may be admitted in this start, including those already admitted.
    pub(super) items: u64,
    /// Whether the window is full.
    pub(super) is_full: bool,
    /// Whether as many items are in flight after a gate as may be in flight.
    pub(super) is_busy_downstream: bool,
}

impl Default for AdmissionLimit {
    fn default() -> Self {
        Self { items: u64::MAX, is_full: false, is_busy_downstream: false }
    }
}

impl AdmissionLimit {
    /// Whether one more item may be admitted after `admitted`.
    pub(super) fn allows(self, admitted: u64) -> bool {
        !self.is_full && !self.is_busy_downstream && admitted < self.items
    }
}

/// Appends a key to those of an item's records, as a commit stores them: gate, length and bytes of each.
pub(super) fn push_key(keys: &mut Vec<u8>, gate: usize, key: &[u8]) {
    keys.push(u8::try_from(gate).unwrap_or(u8::MAX));
    keys.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    keys.extend_from_slice(key);
}

/// Calls `see` with each of an item's keys and its gate; stops where the bytes are not valid.
pub(super) fn each_key(mut keys: &[u8], mut see: impl FnMut(usize, &[u8])) {
    while let Some((gate, rest)) = keys.split_first()
        && let Some((length, rest)) = rest.split_first_chunk::<4>()
        && let Some((key, rest)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)
    {
        see(usize::from(*gate), key);
        keys = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn popped(order: &mut ReorderBuffer<char>) -> String {
        std::iter::from_fn(|| order.pop().map(|(_, held, _)| held)).collect()
    }

    #[test]
    fn items_are_popped_in_order_whatever_arrives_first() {
        let mut order = ReorderBuffer::new(Arc::new([1, 2, 5].into_iter().collect()));
        order.insert(3, 'd', Weight::default());
        order.insert(6, 'g', Weight::default());
        assert_eq!(popped(&mut order), "");
        assert!(order.contains(6) && order.awaited() == 0);
        order.insert(0, 'a', Weight::default());
        assert_eq!(popped(&mut order), "ad", "1 and 2 are done");
        order.insert(4, 'e', Weight::default());
        assert_eq!(popped(&mut order), "eg", "5 is done");
        order.insert(9, 'j', Weight::default());
        assert_eq!(order.drain().map(|(item, _, _)| item).collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn keys_are_read_back_until_the_bytes_are_invalid() {
        let mut keys = Vec::new();
        push_key(&mut keys, 0, b"one");
        push_key(&mut keys, 2, b"");
        let mut seen = Vec::new();
        each_key(&keys, |gate, key| seen.push((gate, key.to_vec())));
        assert_eq!(seen, [(0, b"one".to_vec()), (2, Vec::new())]);
        seen.clear();
        each_key(&keys[..6], |gate, key| seen.push((gate, key.to_vec())));
        assert!(seen.is_empty());
    }

    #[test]
    fn the_window_is_full_by_records_or_by_bytes() {
        let mut window = GateWindow::default();
        let large = Weight { records: 1, bytes: GateWindow::MAX_BYTES };
        window.add(large);
        assert!(window.is_full());
        window.remove(large);
        assert!(!window.is_full());
        window.add(Weight { records: GateWindow::MAX_RECORDS, bytes: 1 });
        assert!(window.is_full());
        assert_eq!(window.figures().most_records, GateWindow::MAX_RECORDS);
        let limit = AdmissionLimit { items: 3, ..AdmissionLimit::default() };
        assert!(limit.allows(2) && !limit.allows(3));
    }
}
