//! The log of batches in the run directory, which ensures that nothing is sent twice, and what a start reads from it.
//!
//! A batch is recorded before each step that the provider sees: its questions before the upload, the file's id before
//! the batch is created from it, the batch's id as soon as it is known. What a kill leaves in doubt is at most whether
//! one batch was created, which the provider can be asked. `files` writes the events; the journal stores them as bytes,
//! each a `BatchEvent` as JSON. `Carried` starts a summary that replaces everything before it.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::journal::{RequestKey, decode_hex, encode_hex};

/// A batch whose answers are not all stored yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenBatch {
    /// Its number within the run, from 1.
    pub(super) number: u32,
    /// The model it is for, by its name in the pipeline.
    pub(super) model: String,
    /// Where it was sent, without secrets.
    pub(super) address: String,
    /// Its questions in the order of their lines; `None` where the answer is no longer needed.
    pub(super) questions: Vec<Option<RequestKey>>,
    /// The uploaded file: its id, and its creation time by the provider's clock, in seconds since 1970.
    pub(super) file: Option<(String, i64)>,
    /// The batch's id at the provider.
    pub(super) batch: Option<String>,
}

/// One step of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BatchEvent {
    /// Its questions are known: the item and the key of each, line by line.
    Gathered {
        /// The batch.
        number: u32,
        /// The model's name.
        model: String,
        /// Where it goes.
        address: String,
        /// The item and the hexadecimal key of each line; an empty key where the answer is no longer needed.
        questions: Vec<(u64, String)>,
    },
    /// Its file is uploaded.
    Uploaded {
        /// The batch.
        number: u32,
        /// The file's id.
        file: String,
        /// The file's creation time.
        at: i64,
    },
    /// The provider has created the batch.
    Submitted {
        /// The batch.
        number: u32,
        /// The batch's id.
        batch: String,
    },
    /// The provider cancelled it before any work because its queue is full; the file will be used again.
    Unmade {
        /// The batch.
        number: u32,
    },
    /// It will have no results: the provider refused it as a whole, or it is no longer waited for.
    Void {
        /// The batch.
        number: u32,
    },
    /// The batches that are still open follow.
    Carried {
        /// The highest number assigned so far.
        last: u32,
    },
}

impl BatchEvent {
    /// Encodes the event for the journal.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Returns the events that a new log begins with: the open batches, without the questions that are no longer awaited.
#[must_use]
pub fn carry_batches(notes: &[Vec<u8>], is_awaited: &dyn Fn(u64, &RequestKey) -> bool) -> Vec<Vec<u8>> {
    let mut batches = Batches::of(notes);
    if batches.last == 0 {
        return Vec::new();
    }
    batches.keep(is_awaited);
    batches.carried().iter().map(BatchEvent::encode).collect()
}

/// Returns the ids of the batches that a run left with a provider, according to its log.
#[must_use]
pub fn batch_ids(notes: &[Vec<u8>]) -> Vec<String> {
    Batches::of(notes).open.into_iter().filter_map(|batch| batch.batch).collect()
}

/// The batches of a run, according to its log.
#[derive(Debug, Default)]
pub(super) struct Batches {
    /// In the order of their numbers.
    pub(super) open: Vec<OpenBatch>,
    items: HashMap<RequestKey, u64>,
    /// The highest number assigned.
    pub(super) last: u32,
}

impl Batches {
    /// Reads the events, oldest first. One that cannot be parsed is skipped.
    pub(super) fn of(notes: &[Vec<u8>]) -> Self {
        let mut batches = Self::default();
        let events = notes.iter().filter_map(|note| serde_json::from_slice(note).ok());
        events.for_each(|event| batches.note(event));
        batches
    }

    fn note(&mut self, event: BatchEvent) {
        match event {
            BatchEvent::Gathered { number, model, address, questions } => {
                self.last = self.last.max(number);
                let keys = || questions.iter().map(|(item, key)| (*item, decode_hex(key)));
                self.items.extend(keys().filter_map(|(item, key)| Some((key?, item))));
                let questions = keys().map(|(_, key)| key).collect();
                self.open.push(OpenBatch { number, model, address, questions, file: None, batch: None });
            }
            BatchEvent::Uploaded { number, file, at } => {
                if let Some(batch) = self.number_mut(number) {
                    batch.file = Some((file, at));
                }
            }
            BatchEvent::Submitted { number, batch } => {
                if let Some(found) = self.number_mut(number) {
                    found.batch = Some(batch);
                }
            }
            BatchEvent::Unmade { number } => {
                if let Some(batch) = self.number_mut(number) {
                    batch.batch = None;
                }
            }
            BatchEvent::Carried { last } => *self = Self { last: self.last.max(last), ..Self::default() },
            BatchEvent::Void { number } => self.open.retain(|batch| batch.number != number),
        }
    }

    fn number_mut(&mut self, number: u32) -> Option<&mut OpenBatch> {
        self.open.iter_mut().find(|batch| batch.number == number)
    }

    /// Retains the batches that have answers to deliver. A question that was sent again counts only for its last batch;
    /// a batch whose file was never uploaded is dropped.
    fn keep(&mut self, is_awaited: &dyn Fn(u64, &RequestKey) -> bool) {
        let mut seen = HashSet::new();
        self.open.retain(|batch| batch.file.is_some() || batch.batch.is_some());
        for batch in self.open.iter_mut().rev() {
            for question in &mut batch.questions {
                let Some(key) = question else { continue };
                let item = self.items.get(key).copied().unwrap_or_default();
                if !is_awaited(item, key) || !seen.insert(*key) {
                    *question = None;
                }
            }
        }
        self.open.retain(|batch| batch.questions.iter().any(Option::is_some));
    }

    /// Returns the events that restore these batches.
    fn carried(&self) -> Vec<BatchEvent> {
        let mut events = vec![BatchEvent::Carried { last: self.last }];
        for OpenBatch { number, model, address, questions, file, batch } in &self.open {
            // A line keeps its number, by which a provider may refer to it.
            let questions = questions.iter().map(|key| {
                let item = key.and_then(|key| self.items.get(&key).copied()).unwrap_or_default();
                (item, key.map(|key| encode_hex(&key)).unwrap_or_default())
            });
            let (model, address, number) = (model.clone(), address.clone(), *number);
            events.push(BatchEvent::Gathered { number, model, address, questions: questions.collect() });
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
        let questions = items.iter().map(|item| (u64::from(*item), encode_hex(&[*item; 16]))).collect();
        BatchEvent::Gathered { number, model: "m".into(), address: "a".into(), questions }
    }

    fn uploaded(number: u32) -> BatchEvent {
        BatchEvent::Uploaded { number, file: format!("file-{number}"), at: 7 }
    }

    fn submitted(number: u32) -> BatchEvent {
        BatchEvent::Submitted { number, batch: format!("batch-{number}") }
    }

    fn notes(events: &[BatchEvent]) -> Vec<Vec<u8>> {
        events.iter().map(BatchEvent::encode).collect()
    }

    /// Returns the batches that a start finds open after reading the carried events.
    fn left(events: &[BatchEvent], done: &[u64]) -> Batches {
        Batches::of(&carry_batches(&notes(events), &|item, _| !done.contains(&item)))
    }

    fn open(events: &[BatchEvent], done: &[u64]) -> Vec<(u32, Vec<Option<u8>>)> {
        let first = |key: &Option<RequestKey>| key.map(|key| key[0]);
        let left = left(events, done);
        left.open.iter().map(|batch| (batch.number, batch.questions.iter().map(first).collect())).collect()
    }

    #[test]
    fn open_batches_are_those_that_the_provider_has_and_the_run_needs() {
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
        assert_eq!(left(&unmade, &[]).open[0].batch, None);
        assert_eq!(batch_ids(&notes(&again)), ["batch-1"]);
    }

    #[test]
    fn items_that_are_processed_again_are_removed() {
        let sent = notes(&[gathered(1, &[1, 2]), uploaded(1), submitted(1)]);
        let left = carry_batches(&sent, &|item, _| item != 1);
        let left: Vec<BatchEvent> = left.iter().map(|note| serde_json::from_slice(note).unwrap()).collect();
        assert_eq!(
            (&left[0], &left[2..]),
            (&BatchEvent::Carried { last: 1 }, &[uploaded(1), submitted(1)][..])
        );
        assert_eq!(open(&left, &[]), [(1, vec![None, Some(2)])]);
        let again = Batches::of(&notes(&[&[gathered(7, &[7]), uploaded(7)], &left[..]].concat()));
        assert_eq!((again.last, again.open.len()), (7, 1), "what was carried stands for all before it");
    }

    #[test]
    fn a_run_without_batches_carries_nothing() {
        assert!(carry_batches(&[], &|_, _| true).is_empty());
        let done_with = [gathered(3, &[1]), uploaded(3)];
        assert_eq!(left(&done_with, &[1]).last, 3, "but no number is given twice");
    }

    proptest! {
        #[test]
        fn no_notes_make_the_reader_panic(bad: Vec<Vec<u8>>, at in any::<prop::sample::Index>(), cut in 0_usize..60) {
            let mut mixed = notes(&[gathered(1, &[1, 2]), uploaded(1), submitted(1)]);
            let at = at.index(mixed.len());
            mixed[at].truncate(cut);
            mixed.extend(bad);
            let carried = carry_batches(&mixed, &|_, _| true);
            prop_assert!(Batches::of(&carried).open.len() <= 1);
            prop_assert!(batch_ids(&mixed).len() <= 1);
        }
    }
}
