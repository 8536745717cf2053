//! Format of the commit log: which items are done, up to where each output file is stable, and from where on the
//! answers of unfinished items are found.
//!
//! Each frame holds a group of items and is written after the outputs it names are synced. `writer` appends,
//! `directory` reads at a start.
//!
//! ```text
//! payload = files:u32 (from:u64 to:u64 lines:u64 crc32:u32)*
//!           items:u32 (item:u64 outcome:u8 (lines:u32)* decision)*      lines in each file
//!           answers: generation:u32 offset:u64
//!           spent: tokens:u64 cost:f64
//! ```
//! Little-endian. The bytes `from..to` of a file are the group's lines, item by item; line count and checksum cover
//! all bytes of the file up to `to`. So every line of a file can be attributed to an item, whatever the line
//! contains. `decision` defines what gates store for an item.

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use super::decision::GateRecord;
use super::frames::{self, HEADER, LogError, LogKind, read_u32, read_u64};

pub(super) const KIND: LogKind = LogKind { magic: b"SMCOMMIT", name: "commit log" };

/// How an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemOutcome {
    /// At least one of its records was written.
    Ok,
    /// Every record was dropped by a filter.
    Dropped,
    /// No record was written and at least one could not be made.
    Rejected,
}

/// The stable prefix of an output file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StablePrefix {
    /// Bytes that belong to committed items.
    pub(super) offset: u64,
    /// Lines in those bytes.
    pub(super) lines: u64,
    /// CRC-32 of those bytes.
    pub(super) crc: u32,
}

/// A position in the answer logs: the start and the offset in its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AnswerLogPosition {
    pub(super) generation: u32,
    pub(super) offset: u64,
}

/// What a run has spent on its models, over all starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// Tokens read and written.
    pub tokens: u64,
    /// Cost in the currency of the models' prices.
    pub cost: f64,
}

impl Spent {
    /// Returns the sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_add(other.tokens), cost: self.cost + other.cost }
    }

    /// Returns the difference, at least zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            // Sums of fractions may be off by a rounding error.
            cost: (self.cost - other.cost).max(0.0),
        }
    }

    /// Returns the later of two readings of the same counter.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        if other.tokens > self.tokens { other } else { self }
    }
}

/// A group of items committed by one frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct CommitGroup {
    pub(super) items: Vec<(u64, ItemOutcome)>,
    /// Lines of each item in each file: those of the first item, then of the second, ...
    pub(super) lines: Vec<u32>,
    /// Gate decisions with the index of their item, in order; items without one are absent.
    pub(super) decisions: Vec<(usize, GateRecord)>,
    /// For each file, the offset of the group's first byte and the stable prefix after the group.
    pub(super) files: Vec<(u64, StablePrefix)>,
    pub(super) answers: AnswerLogPosition,
    pub(super) spent: Spent,
}

/// The sum of all commits.
#[derive(Debug, Default)]
pub(super) struct CommitState {
    pub(super) items: RoaringTreemap,
    pub(super) ok: u64,
    /// The highest number of an item that ended ok.
    pub(super) last_ok: Option<u64>,
    pub(super) dropped: u64,
    pub(super) rejected: u64,
    pub(super) files: Vec<StablePrefix>,
    pub(super) answers: AnswerLogPosition,
    pub(super) spent: Spent,
    /// State from which gates are rebuilt, by item; `None` if it is not collected.
    pub(super) keys: Option<GateKeys>,
}

/// What gates need to rebuild their state from finished items: item number and opaque bytes.
pub type GateKeys = Vec<(u64, Box<[u8]>)>;

impl CommitGroup {
    /// Adds an item with its gate decision; the caller adds its line counts.
    pub(super) fn add(&mut self, item: u64, outcome: ItemOutcome, decision: GateRecord) {
        if !decision.is_empty() {
            self.decisions.push((self.items.len(), decision));
        }
        self.items.push((item, outcome));
    }

    /// Removes all items.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.lines.clear();
        self.decisions.clear();
    }

    /// Returns the gate decision of the item at `index`, if there is one.
    pub(super) fn decision_of(&self, index: usize) -> Option<&GateRecord> {
        let found = self.decisions.binary_search_by_key(&index, |(index, _)| *index);
        found.ok().map(|at| &self.decisions[at].1)
    }

    /// Appends the group's frame to `bytes`.
    pub(super) fn push(&self, bytes: &mut Vec<u8>) {
        frames::push(bytes, |bytes| {
            bytes.extend_from_slice(&(self.files.len() as u32).to_le_bytes());
            for (from, file) in &self.files {
                bytes.extend_from_slice(&from.to_le_bytes());
                bytes.extend_from_slice(&file.offset.to_le_bytes());
                bytes.extend_from_slice(&file.lines.to_le_bytes());
                bytes.extend_from_slice(&file.crc.to_le_bytes());
            }
            bytes.extend_from_slice(&(self.items.len() as u32).to_le_bytes());
            for (index, (item, outcome)) in self.items.iter().enumerate() {
                bytes.extend_from_slice(&item.to_le_bytes());
                bytes.push(*outcome as u8);
                for lines in self.lines_of(index) {
                    bytes.extend_from_slice(&lines.to_le_bytes());
                }
                match self.decision_of(index) {
                    Some(decision) => decision.push(bytes),
                    None => GateRecord::default().push(bytes),
                }
            }
            bytes.extend_from_slice(&self.answers.generation.to_le_bytes());
            bytes.extend_from_slice(&self.answers.offset.to_le_bytes());
            bytes.extend_from_slice(&self.spent.tokens.to_le_bytes());
            bytes.extend_from_slice(&self.spent.cost.to_le_bytes());
        });
    }

    /// Returns the number of lines in each file of the item at `index`.
    pub(super) fn lines_of(&self, index: usize) -> &[u32] {
        let files = self.files.len();
        self.lines.get(index * files..(index + 1) * files).unwrap_or_default()
    }

    /// Decodes a frame's payload; `None` if it is not a group.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let mut group = Self::default();
        let files = read_u32(payload, 0)? as usize;
        let mut at = 4;
        for _ in 0..files {
            let stable = StablePrefix {
                offset: read_u64(payload, at + 8)?,
                lines: read_u64(payload, at + 16)?,
                crc: read_u32(payload, at + 24)?,
            };
            group.files.push((read_u64(payload, at)?, stable));
            at += 28;
        }
        let items = read_u32(payload, at)? as usize;
        at += 4;
        for _ in 0..items {
            let outcome = match payload.get(at + 8)? {
                0 => ItemOutcome::Ok,
                1 => ItemOutcome::Dropped,
                2 => ItemOutcome::Rejected,
                _ => return None,
            };
            let item = read_u64(payload, at)?;
            at += 9;
            for _ in 0..files {
                group.lines.push(read_u32(payload, at)?);
                at += 4;
            }
            let mut rest = payload.get(at..)?;
            group.add(item, outcome, GateRecord::read(&mut rest)?);
            at = payload.len() - rest.len();
        }
        group.answers =
            AnswerLogPosition { generation: read_u32(payload, at)?, offset: read_u64(payload, at + 4)? };
        let cost = f64::from_bits(read_u64(payload, at + 20)?);
        group.spent = Spent { tokens: read_u64(payload, at + 12)?, cost };
        (at + 28 == payload.len()).then_some(group)
    }
}

impl CommitState {
    /// Adds the commits of a log. A torn tail is ignored.
    pub(super) fn add_log(&mut self, log: &[u8]) -> Result<(), LogError> {
        if frames::check_header(log, KIND)?.is_none() {
            return Ok(());
        }
        let mut damaged = None;
        frames::for_each(log, HEADER, |offset, payload| match CommitGroup::read(payload) {
            Some(group) => drop(self.add_group(&group)),
            None => damaged = damaged.or(Some(offset)),
        })?;
        match damaged {
            Some(offset) => Err(LogError::Damaged { offset }),
            None => Ok(()),
        }
    }

    /// Adds one group. Returns an item of it that was already committed, if any, which is an error of the log.
    pub(super) fn add_group(&mut self, group: &CommitGroup) -> Option<u64> {
        let mut again = None;
        for (index, (item, outcome)) in group.items.iter().enumerate() {
            if !self.items.insert(*item) {
                again = again.or(Some(*item));
                continue;
            }
            if let Some(keys) = &mut self.keys
                && let Some(decision) = group.decision_of(index).filter(|decision| !decision.keys.is_empty())
            {
                keys.push((*item, decision.keys.as_slice().into()));
            }
            match outcome {
                ItemOutcome::Ok => {
                    self.ok += 1;
                    self.last_ok = self.last_ok.max(Some(*item));
                }
                ItemOutcome::Dropped => self.dropped += 1,
                ItemOutcome::Rejected => self.rejected += 1,
            }
        }
        self.files.clear();
        self.files.extend(group.files.iter().map(|(_, stable)| *stable));
        self.answers = group.answers;
        self.spent = self.spent.later(group.spent);
        again
    }
}

#[cfg(test)]
mod tests {
    use super::super::decision::LostTo;
    use super::super::decision::tests::any_decision;
    use super::*;
    use proptest::prelude::*;

    fn keyed(keys: &[u8]) -> GateRecord {
        GateRecord { keys: keys.to_vec(), ..GateRecord::default() }
    }

    fn groups() -> [CommitGroup; 2] {
        let file = |from, offset| (from, StablePrefix { offset, lines: 5, crc: 7 });
        [
            CommitGroup {
                items: vec![(0, ItemOutcome::Ok), (2, ItemOutcome::Rejected)],
                lines: vec![4, 1],
                decisions: vec![(1, keyed(b"two"))],
                files: vec![file(0, 90)],
                answers: AnswerLogPosition { generation: 1, offset: 16 },
                spent: Spent { tokens: 9, cost: 0.25 },
            },
            CommitGroup {
                items: vec![(1, ItemOutcome::Dropped)],
                lines: vec![0],
                decisions: vec![(0, GateRecord { lost_to: LostTo::Items(vec![0]), ..keyed(b"one") })],
                files: vec![file(90, 120)],
                answers: AnswerLogPosition { generation: 1, offset: 400 },
                spent: Spent { tokens: 12, cost: 0.5 },
            },
        ]
    }

    #[test]
    fn commits_are_read_back_as_written() {
        let mut log = frames::header(KIND, frames::TEST_HEADER);
        for group in groups() {
            group.push(&mut log);
        }
        let mut done = CommitState { keys: Some(Vec::new()), ..CommitState::default() };
        done.add_log(&log).unwrap();
        let keys = |item, keys: &[u8]| (item, Box::from(keys));
        assert_eq!(done.keys, Some(vec![keys(2, b"two"), keys(1, b"one")]));
        assert_eq!(done.items.iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((done.ok, done.dropped, done.rejected), (1, 1, 1));
        assert_eq!(done.files, [StablePrefix { offset: 120, lines: 5, crc: 7 }]);
        assert_eq!(done.answers, AnswerLogPosition { generation: 1, offset: 400 });
        assert_eq!(done.spent, Spent { tokens: 12, cost: 0.5 });
    }

    #[test]
    fn an_invalid_payload_is_damage() {
        let mut log = frames::header(KIND, frames::TEST_HEADER);
        frames::push(&mut log, |bytes| bytes.extend_from_slice(b"no group"));
        assert_eq!(CommitState::default().add_log(&log), Err(LogError::Damaged { offset: HEADER as u64 }));
        let mut short = Vec::new();
        groups()[0].push(&mut short);
        assert_eq!(CommitGroup::read(&short[8..short.len() - 1]), None);
    }
    fn any_group() -> impl Strategy<Value = CommitGroup> {
        let outcome =
            prop_oneof![Just(ItemOutcome::Ok), Just(ItemOutcome::Dropped), Just(ItemOutcome::Rejected)];
        let stable = any::<(u64, u64, u64, u32)>()
            .prop_map(|(from, offset, lines, crc)| (from, StablePrefix { offset, lines, crc }));
        let items = prop::collection::vec((any::<u64>(), outcome, any_decision()), 0..20);
        (prop::collection::vec(stable, 0..4), items, any::<u32>(), any::<(u32, u64, u64, u32)>()).prop_map(
            |(files, items, lines, (generation, offset, tokens, cost))| {
                let mut group = CommitGroup {
                    files,
                    answers: AnswerLogPosition { generation, offset },
                    spent: Spent { tokens, cost: f64::from(cost) / 8.0 },
                    ..CommitGroup::default()
                };
                for (item, outcome, decision) in items {
                    group.add(item, outcome, decision);
                    group.lines.extend(group.files.iter().map(|_| lines.wrapping_add(item as u32)));
                }
                group
            },
        )
    }

    proptest! {
        #[test]
        fn groups_round_trip(group in any_group(), cut in any::<prop::sample::Index>()) {
            let mut frame = Vec::new();
            group.push(&mut frame);
            let payload = &frame[8..];
            prop_assert_eq!(CommitGroup::read(&payload[..cut.index(payload.len())]), None);
            prop_assert_eq!(CommitGroup::read(payload), Some(group));
        }
    }
}
