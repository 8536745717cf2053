//! ReorderBuffer gates: what must see more than one item decides here, in the order of the items' numbers.
//!
//! A gate takes an item whole: it waits until all of the item's records have arrived or ended before it, and until all
//! items before it are decided. So what it decides depends on no arrival, and is the same at any concurrency and after
//! any stop. `accept` is a gate behind the last stage (`accept`), a stage of the role `Gate` one between two chains.
//! The ledger asks here (`ledger/gating`); what waits is bounded by `GateWindow`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use roaring::RoaringTreemap;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::event::InFlightRecord;
use crate::journal::{GateKeys, OutputLines};
use crate::record::Record;
use crate::stage::GateDecider;

/// Items that are held until it is their turn.
#[derive(Debug)]
pub(super) struct ReorderBuffer<T> {
    /// Items that earlier starts have decided; their turn is over.
    done: Arc<RoaringTreemap>,
    next: u64,
    waiting: BTreeMap<u64, (T, Weight)>,
}

impl<T> ReorderBuffer<T> {
    /// A gate of a run of which the items in `done` are committed.
    pub(super) fn new(done: Arc<RoaringTreemap>) -> Self {
        Self { done, next: 0, waiting: BTreeMap::new() }
    }

    /// Takes an item, whole.
    pub(super) fn hold(&mut self, item: u64, held: T, weight: Weight) {
        self.waiting.insert(item, (held, weight));
    }

    /// The item whose turn it is, if it is here.
    pub(super) fn pop(&mut self) -> Option<(u64, T, Weight)> {
        while self.done.contains(self.next) {
            self.next += 1;
        }
        let item = self.next;
        let (held, weight) = self.waiting.remove(&item)?;
        self.next += 1;
        Some((item, held, weight))
    }

    /// Everything that waits, in order, whether or not it is its turn.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = (u64, T, Weight)> + use<T> {
        std::mem::take(&mut self.waiting).into_iter().map(|(item, (held, weight))| (item, held, weight))
    }

    /// Whether an item waits here.
    pub(super) fn holds(&self, item: u64) -> bool {
        self.waiting.contains_key(&item)
    }

    /// The item that all others wait for.
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
    /// Records that were let through, on their way into the next chain.
    pub(super) releasing: VecDeque<(InFlightRecord, Weight)>,
    /// The way into the next chain; `None` once nothing can come any more.
    pub(super) out: Option<mpsc::Sender<InFlightRecord>>,
    /// The chain before it has ended.
    pub(super) is_closed: bool,
}

/// Shows the gates what earlier starts have kept.
pub(super) fn rebuild(gates: &mut [GateStage], keys: GateKeys) {
    for (item, keys) in keys {
        each_key(&keys, |gate, key| {
            if let Some(gate) = gates.get_mut(gate) {
                gate.decider.remember(item, key);
            }
        });
    }
}

/// How much room something takes while it waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Weight {
    /// Bytes that a record takes beside its texts.
    const RECORD: u64 = 256;

    pub(super) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }

    pub(super) fn less(self, other: Self) -> Self {
        Self { records: self.records - other.records, bytes: self.bytes - other.bytes }
    }

    /// The lines that wait of one ended item.
    pub(super) fn of_lines(lines: &OutputLines) -> Self {
        let bytes: usize = lines.iter().map(|(_, line)| line.len()).sum();
        Self { records: 1, bytes: Self::RECORD + bytes as u64 }
    }

    /// Records that wait for a decision.
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

/// About how many bytes a value takes.
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

/// What may wait at the gates of a run, all together. Once it is full no item is admitted: those that are awaited are
/// in flight already, so it empties.
#[derive(Debug, Default)]
pub(super) struct GateWindow {
    held: Weight,
    most: Weight,
}

/// What waits at the gates, and how much may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WindowFigures {
    /// Records that wait for items before theirs.
    pub records: u64,
    /// The most that ever waited in this start.
    pub most_records: u64,
    /// How many may.
    pub limit_records: u64,
    /// Bytes that they take, about.
    pub bytes: u64,
    /// How many they may take.
    pub limit_bytes: u64,
}

impl GateWindow {
    /// Records that may wait: at a hundred items a second, those of ten minutes.
    pub(super) const RECORDS: u64 = 65_536;
    /// Bytes that they may take.
    pub(super) const BYTES: u64 = 64 << 20;

    pub(super) fn add(&mut self, weight: Weight) {
        self.held.add(weight);
        self.most.records = self.most.records.max(self.held.records);
        self.most.bytes = self.most.bytes.max(self.held.bytes);
    }

    pub(super) fn remove(&mut self, weight: Weight) {
        self.held = self.held.less(weight);
    }

    pub(super) fn is_full(&self) -> bool {
        self.held.records >= Self::RECORDS || self.held.bytes >= Self::BYTES
    }

    pub(super) fn figures(&self) -> WindowFigures {
        WindowFigures {
            records: self.held.records,
            most_records: self.most.records,
            limit_records: Self::RECORDS,
            bytes: self.held.bytes,
            limit_bytes: Self::BYTES,
        }
    }
}

/// Whether admission may go on, as far as the gates are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AdmissionLimit {
    /// Items that may be admitted in this start, those that were counted in.
    pub(super) items: u64,
    /// No room is left in the window.
    pub(super) is_full: bool,
    /// As many items are on their way behind the gates as may be in flight.
    pub(super) is_busy_behind: bool,
}

impl Default for AdmissionLimit {
    fn default() -> Self {
        Self { items: u64::MAX, is_full: false, is_busy_behind: false }
    }
}

impl AdmissionLimit {
    /// Whether one more may be admitted after so many.
    pub(super) fn allows(self, admitted: u64) -> bool {
        !self.is_full && !self.is_busy_behind && admitted < self.items
    }
}

/// The keys of one item's records as a commit holds them: gate, length, bytes, one after the other.
pub(super) fn push_key(keys: &mut Vec<u8>, gate: usize, key: &[u8]) {
    keys.push(u8::try_from(gate).unwrap_or(u8::MAX));
    keys.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    keys.extend_from_slice(key);
}

/// Gives the keys of an item back, with their gates; stops at what is none.
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
    fn items_come_in_order_whatever_came_first() {
        let mut order = ReorderBuffer::new(Arc::new([1, 2, 5].into_iter().collect()));
        order.hold(3, 'd', Weight::default());
        order.hold(6, 'g', Weight::default());
        assert_eq!(popped(&mut order), "");
        assert!(order.holds(6) && order.awaited() == 0);
        order.hold(0, 'a', Weight::default());
        assert_eq!(popped(&mut order), "ad", "1 and 2 are done");
        order.hold(4, 'e', Weight::default());
        assert_eq!(popped(&mut order), "eg", "5 is done");
        order.hold(9, 'j', Weight::default());
        assert_eq!(order.rest().map(|(item, _, _)| item).collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn keys_are_read_back_and_damage_ends_them() {
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
        let large = Weight { records: 1, bytes: GateWindow::BYTES };
        window.add(large);
        assert!(window.is_full());
        window.remove(large);
        assert!(!window.is_full());
        window.add(Weight { records: GateWindow::RECORDS, bytes: 1 });
        assert!(window.is_full());
        assert_eq!(window.figures().most_records, GateWindow::RECORDS);
        let limit = AdmissionLimit { items: 3, ..AdmissionLimit::default() };
        assert!(limit.allows(2) && !limit.allows(3));
    }
}
