//! The window: how many records may wait at the gates of a run, and how far admission may go.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::event::InFlightRecord;
use crate::journal::OutputLines;
use crate::record::Record;

/// How much of the window something takes while it waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl Weight {
    /// Bytes that a record takes besides its texts.
    const RECORD: u64 = 256;

    pub(crate) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self { records: self.records - other.records, bytes: self.bytes - other.bytes }
    }

    /// The weight of the lines of an ended item.
    pub(crate) fn of_lines(lines: &OutputLines) -> Self {
        let bytes: usize = lines.iter().map(|(_, line)| line.len()).sum();
        Self { records: 1, bytes: Self::RECORD + bytes as u64 }
    }

    /// The weight of records that wait for a decision.
    pub(crate) fn of_records(records: &[InFlightRecord]) -> Self {
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
pub(crate) struct GateWindow {
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
    pub(crate) const MAX_RECORDS: u64 = 65_536;
    /// The most bytes that they may take.
    pub(crate) const MAX_BYTES: u64 = 64 << 20;

    pub(crate) fn add(&mut self, weight: Weight) {
        self.held.add(weight);
        self.most.records = self.most.records.max(self.held.records);
        self.most.bytes = self.most.bytes.max(self.held.bytes);
    }

    pub(crate) fn remove(&mut self, weight: Weight) {
        self.held = self.held.minus(weight);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.held.records >= Self::MAX_RECORDS || self.held.bytes >= Self::MAX_BYTES
    }

    pub(crate) fn figures(&self) -> WindowFigures {
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
pub(crate) struct AdmissionLimit {
    /// The number of items that may be admitted in this start, including those already admitted.
    pub(crate) items: u64,
    /// Whether the window is full.
    pub(crate) is_full: bool,
    /// Whether as many items are in flight after a gate as may be in flight.
    pub(crate) is_busy_downstream: bool,
}

impl Default for AdmissionLimit {
    fn default() -> Self {
        Self { items: u64::MAX, is_full: false, is_busy_downstream: false }
    }
}

impl AdmissionLimit {
    /// Whether one more item may be admitted after `admitted`.
    pub(crate) fn allows(self, admitted: u64) -> bool {
        !self.is_full && !self.is_busy_downstream && admitted < self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
