//! The log of batches: what was sent to a provider in files, so that nothing is sent twice.
//!
//! A batch is noted before each step that the provider sees: its questions before the file goes up, the
//! file's id before the batch is made of it, the batch's id as soon as it is known. What a kill leaves in
//! doubt is then at most whether one batch was made, which the provider can be asked. `batch_files` appends;
//! this file has the format and what a start reads from it. A frame's payload is a `BatchEvent` as JSON. A
//! log that begins with `Carried` holds all that was open when its start began, so older ones need not be read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use super::answers::{Key, Recovered};
use super::disk::Disk;
use super::frames::{self, HEADER, Kind, LogError};
use super::open_error::OpenError;
use super::recover;

pub(super) const KIND: Kind = Kind { magic: b"SMBATCHS", name: "log of batches" };

/// A batch whose answers are not all kept yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBatch {
    /// Its number in the run, from 1 on.
    pub number: u32,
    /// The model it is for, by its name in the pipeline.
    pub model: String,
    /// Where it was sent, without secrets.
    pub address: String,
    /// Its questions in the order of their lines; none where the answer is not needed any more.
    pub questions: Vec<Option<Key>>,
    /// The file that went up: its id, and when the provider's clock says it came, in seconds since 1970.
    pub file: Option<(String, i64)>,
    /// The batch's id at the provider.
    pub batch: Option<String>,
}

/// One thing that happened to a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchEvent {
    /// Its questions are known: the item and the name of each, line by line.
    Gathered {
        /// The batch.
        number: u32,
        /// The model's name.
        model: String,
        /// Where it goes.
        address: String,
        /// Item and key, in hexadecimal, of each line; no key where the answer is not needed any more.
        questions: Vec<(u64, String)>,
    },
    /// Its file is with the provider.
    Uploaded {
        /// The batch.
        number: u32,
        /// The file's id.
        file: String,
        /// When it came.
        at: i64,
    },
    /// The provider has made a batch of it.
    Submitted {
        /// The batch.
        number: u32,
        /// The batch's id.
        batch: String,
    },
    /// The provider undid it before any work, for want of room; its file is to be used again.
    Unmade {
        /// The batch.
        number: u32,
    },
    /// Nothing will come of it: the provider refused it whole, or it is not waited for any more.
    Void {
        /// The batch.
        number: u32,
    },
    /// What is open from before follows.
    Carried {
        /// The highest number given so far.
        last: u32,
    },
}

/// A key as it is written in a batch's file.
#[must_use]
pub fn hex(key: &Key) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    key.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The key that `hex` wrote.
#[must_use]
pub fn unhex(text: &str) -> Option<Key> {
    let mut key = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(key)
}

/// Adds the frame of one event to `bytes`.
pub(super) fn push(bytes: &mut Vec<u8>, event: &BatchEvent) {
    let json = serde_json::to_vec(event).unwrap_or_default();
    frames::push(bytes, |bytes| bytes.extend_from_slice(&json));
}

/// The events of a log, and where the last one ends.
fn read(log: &[u8]) -> Result<(Vec<BatchEvent>, u64), LogError> {
    let mut events = Vec::new();
    if frames::check_header(log, KIND)?.is_none() {
        return Ok((events, log.len() as u64));
    }
    let end = frames::each(log, HEADER, |_, payload| events.extend(serde_json::from_slice(payload).ok()))?;
    Ok((events, end))
}

/// Where the log of a generation stands.
pub(super) fn path(root: &Path, generation: u32) -> PathBuf {
    root.join("journal").join(format!("batches-{generation:04}.log"))
}

/// What the logs of a run say of its batches.
#[derive(Debug, Default)]
pub(super) struct Batches {
    by_number: Vec<OpenBatch>,
    items: HashMap<Key, u64>,
    /// The highest number that was given.
    pub(super) last: u32,
    /// Where the logs end that were read.
    pub(super) ends: BTreeMap<u32, u64>,
}

impl Batches {
    /// Reads the logs of all these generations.
    pub(super) fn read(
        disk: &dyn Disk,
        root: &Path,
        generations: RangeInclusive<u32>,
    ) -> Result<Self, OpenError> {
        let mut logs = Vec::new();
        let mut ends = BTreeMap::new();
        for generation in generations.rev() {
            let path = path(root, generation);
            let Some(log) = recover::read(disk, &path)? else { continue };
            let (events, end) = read(&log).map_err(|source| OpenError::Log { path, source })?;
            ends.insert(generation, end);
            let is_whole = matches!(events.first(), Some(BatchEvent::Carried { .. }));
            logs.push(events);
            if is_whole {
                break;
            }
        }
        let mut batches = Self::default();
        logs.into_iter().rev().flatten().for_each(|event| batches.note(event));
        Ok(Self { ends, ..batches })
    }

    /// The same of logs that may be damaged; tells which are.
    pub(super) fn salvage(
        disk: &dyn Disk,
        root: &Path,
        generations: RangeInclusive<u32>,
        found: &mut Vec<String>,
    ) -> Result<Self, OpenError> {
        let mut batches = Self::default();
        for generation in generations {
            let path = path(root, generation);
            let Some(log) = recover::read(disk, &path)? else { continue };
            let mut events = Vec::new();
            let bad = frames::salvage(&log, |payload| events.extend(serde_json::from_slice(payload).ok()));
            for (from, to) in bad {
                found.push(format!("`{}`: bytes {from} to {to} are damaged", path.display()));
            }
            events.into_iter().for_each(|event| batches.note(event));
        }
        Ok(batches)
    }

    fn note(&mut self, event: BatchEvent) {
        match event {
            BatchEvent::Gathered { number, model, address, questions } => {
                self.last = self.last.max(number);
                let keys = || questions.iter().map(|(item, key)| (*item, unhex(key)));
                self.items.extend(keys().filter_map(|(item, key)| Some((key?, item))));
                let questions = keys().map(|(_, key)| key).collect();
                self.by_number.push(OpenBatch { number, model, address, questions, file: None, batch: None });
            }
            BatchEvent::Uploaded { number, file, at } => {
                if let Some(batch) = self.of(number) {
                    batch.file = Some((file, at));
                }
            }
            BatchEvent::Submitted { number, batch } => {
                if let Some(found) = self.of(number) {
                    found.batch = Some(batch);
                }
            }
            BatchEvent::Unmade { number } => {
                if let Some(batch) = self.of(number) {
                    batch.batch = None;
                }
            }
            BatchEvent::Carried { last } => *self = Self { last: self.last.max(last), ..Self::default() },
            BatchEvent::Void { number } => self.by_number.retain(|batch| batch.number != number),
        }
    }

    fn of(&mut self, number: u32) -> Option<&mut OpenBatch> {
        self.by_number.iter_mut().find(|batch| batch.number == number)
    }

    /// The batches that have answers to give. A question that was put again counts for the last batch
    /// alone; one whose file never went up is with nobody.
    pub(super) fn open(&mut self, done: &RoaringTreemap, answers: &Recovered) -> Vec<OpenBatch> {
        let mut seen = HashSet::new();
        self.by_number.retain(|batch| batch.file.is_some() || batch.batch.is_some());
        for batch in self.by_number.iter_mut().rev() {
            for question in &mut batch.questions {
                let Some(key) = question else { continue };
                let is_done = self.items.get(key).is_some_and(|item| done.contains(*item));
                if is_done || answers.answers.contains_key(key) || !seen.insert(*key) {
                    *question = None;
                }
            }
        }
        self.by_number.retain(|batch| batch.questions.iter().any(Option::is_some));
        self.by_number.clone()
    }

    /// The first events of a new log: all batches, without the questions of the items in `redo`.
    pub(super) fn carried(&self, redo: &RoaringTreemap) -> Vec<BatchEvent> {
        let mut events = vec![BatchEvent::Carried { last: self.last }];
        for OpenBatch { number, model, address, questions, file, batch } in &self.by_number {
            // A line keeps its number, by which a provider may blame it.
            let kept = questions.iter().map(|key| {
                let item = key.and_then(|key| self.items.get(&key).copied()).unwrap_or_default();
                let needed = key.filter(|_| !redo.contains(item));
                (item, needed.map(|key| hex(&key)).unwrap_or_default())
            });
            let (model, address, number) = (model.clone(), address.clone(), *number);
            events.push(BatchEvent::Gathered { number, model, address, questions: kept.collect() });
            if let Some((file, at)) = file.clone() {
                events.push(BatchEvent::Uploaded { number, file, at });
            }
            if let Some(batch) = batch.clone() {
                events.push(BatchEvent::Submitted { number, batch });
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gathered(number: u32, items: &[u8]) -> BatchEvent {
        let questions = items.iter().map(|item| (u64::from(*item), hex(&[*item; 16]))).collect();
        BatchEvent::Gathered { number, model: "m".into(), address: "a".into(), questions }
    }

    fn uploaded(number: u32) -> BatchEvent {
        BatchEvent::Uploaded { number, file: format!("file-{number}"), at: 7 }
    }

    fn submitted(number: u32) -> BatchEvent {
        BatchEvent::Submitted { number, batch: format!("batch-{number}") }
    }

    fn log(events: &[BatchEvent]) -> Vec<u8> {
        let mut log = frames::header(KIND, frames::OF_TEST);
        events.iter().for_each(|event| push(&mut log, event));
        log
    }

    fn open(events: &[BatchEvent], done: &[u64]) -> Vec<(u32, Vec<Option<u8>>)> {
        let open = noted(events).open(&done.iter().copied().collect(), &Recovered::default());
        let first = |key: &Option<Key>| key.map(|key| key[0]);
        open.iter().map(|batch| (batch.number, batch.questions.iter().map(first).collect())).collect()
    }

    fn noted(events: &[BatchEvent]) -> Batches {
        let mut batches = Batches::default();
        read(&log(events)).unwrap().0.into_iter().for_each(|event| batches.note(event));
        batches
    }

    #[test]
    fn open_is_what_the_provider_has_and_the_run_needs() {
        assert_eq!(open(&[gathered(1, &[1, 2])], &[]), [], "its file never went up");
        let sent = [gathered(1, &[1, 2]), uploaded(1), submitted(1)];
        assert_eq!(open(&sent[..2], &[]), [(1, vec![Some(1), Some(2)])]);
        assert_eq!(open(&sent, &[1]), [(1, vec![None, Some(2)])]);
        assert_eq!(open(&sent, &[1, 2]), []);
        let again = [&sent[..], &[gathered(2, &[2]), uploaded(2)]].concat();
        assert_eq!(open(&again, &[]), [(1, vec![Some(1), None]), (2, vec![Some(2)])]);
        let void = [&again[..], &[BatchEvent::Void { number: 2 }]].concat();
        assert_eq!(open(&void, &[]), [(1, vec![Some(1), Some(2)])]);
        let unmade = [&sent[..], &[BatchEvent::Unmade { number: 1 }]].concat();
        assert_eq!(noted(&unmade).open(&RoaringTreemap::new(), &Recovered::default())[0].batch, None);
    }

    #[test]
    fn items_that_are_made_again_are_taken_out() {
        let batches = noted(&[gathered(1, &[1, 2]), uploaded(1), submitted(1)]);
        let left = batches.carried(&[1].into_iter().collect());
        assert_eq!(
            (&left[0], &left[2..]),
            (&BatchEvent::Carried { last: 1 }, &[uploaded(1), submitted(1)][..])
        );
        assert_eq!(open(&left, &[]), [(1, vec![None, Some(2)])]);
        let again = noted(&[&[gathered(7, &[7]), uploaded(7)], &left[..]].concat());
        assert_eq!((again.last, again.by_number.len()), (7, 1), "what was carried stands for all before it");
    }

    proptest! {
        #[test]
        fn keys_are_written_and_read(key: Key, text: String) {
            prop_assert_eq!(unhex(&hex(&key)), Some(key));
            if let Some(key) = unhex(&text) {
                prop_assert_eq!(hex(&key), text.to_lowercase());
            }
        }
    }
}
