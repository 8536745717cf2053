//! Format of the answer log: model answers, written before they are used and looked up again after a stop.
//!
//! Within a run an answer is identified by record, sample and the whole request, and kept only for items that are
//! not done; across runs it is identified by the request alone, and each answer is used once. The bytes of an
//! answer are opaque here. `answer_log` appends; this file defines the format and the lookup.
//!
//! ```text payload = item:u64 key:16 question:16 kind:u8 flags:u8 tokens:u64 cost:f64 body kind    = 0 an answer, 1
//! an answer reused from another run, 2 the outstanding cost flags   = 1 the body is compressed with zstd, 2 another
//! run may reuse it for the same request body    = the answer's bytes; for kind 2 tokens:u64 cost:f64, the most that
//! the outstanding requests may cost, replacing what an earlier frame says ``` Logs of format 2, which `reuse` still
//! reads, have no second flag: there the body says whether it may be reused.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Read;

use super::commits::Spent;
use super::frames::{self, HEADER, LogError, LogKind, read_u64};

pub(super) const KIND: LogKind = LogKind { magic: b"SMANSWER", name: "answers' log" };
/// Bytes of a payload before its body.
const FIXED: usize = 58;
/// The kind of a frame that records the outstanding cost.
const OUTSTANDING: u8 = 2;
/// The fastest zstd level that still halves a text: an answer is compressed while its record waits.
const LEVEL: i32 = 1;
/// The largest decompressed body: the client limits answers to 8 MiB.
const LONGEST_BODY: u64 = 64 << 20;
const PACKED: u8 = 1;
const REUSABLE: u8 = 2;
/// The oldest format whose answers can be reused.
pub(super) const OLDEST_REUSED: u32 = 2;
/// The first bytes of a reusable body in format 2.
const ANSWER_OF_FORMAT_2: &[u8] = br#"{"Answer":"#;

/// A hash that identifies a request.
pub type RequestKey = [u8; 16];

/// The two keys of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKeys {
    /// The item that the request was made for.
    pub item: u64,
    /// Hash of record, stage, sample and request: the key within a run.
    pub key: RequestKey,
    /// Hash of stage and request alone: the key across runs.
    pub question: RequestKey,
}

/// An answer in the encoding of its frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JournaledAnswer<'log> {
    body: Cow<'log, [u8]>,
    is_packed: bool,
    /// Whether another run may use it for the same request.
    is_reusable: bool,
}

impl<'log> JournaledAnswer<'log> {
    /// Returns the answer's bytes; `None` if they cannot be decompressed.
    pub(super) fn unpacked(self) -> Option<Vec<u8>> {
        if !self.is_packed {
            return Some(self.body.into_owned());
        }
        let mut bytes = Vec::new();
        let decoder = zstd::stream::read::Decoder::with_buffer(&*self.body).ok()?;
        decoder.take(LONGEST_BODY + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= LONGEST_BODY).then_some(bytes)
    }

    fn into_owned(self) -> JournaledAnswer<'static> {
        JournaledAnswer { body: self.body.into_owned().into(), ..self }
    }
}

/// Compresses answers, with one context for all of them: a new one for each would cost more than the compression.
pub(super) struct AnswerPacker(Option<zstd::bulk::Compressor<'static>>);

impl AnswerPacker {
    /// A packer that compresses if `pack` is set.
    pub(super) fn new(pack: bool) -> Self {
        Self(if pack { zstd::bulk::Compressor::new(LEVEL).ok() } else { None })
    }

    /// Encodes an answer, compressed if that makes it smaller.
    pub(super) fn pack<'log>(&mut self, bytes: &'log [u8], is_reusable: bool) -> JournaledAnswer<'log> {
        let packed = self.0.as_mut().and_then(|compressor| compressor.compress(bytes).ok());
        match packed.filter(|packed| packed.len() < bytes.len()) {
            Some(packed) => JournaledAnswer { body: packed.into(), is_packed: true, is_reusable },
            None => JournaledAnswer { body: bytes.into(), is_packed: false, is_reusable },
        }
    }
}

/// A decoded frame.
struct AnswerFrame<'log> {
    names: RequestKeys,
    reused: bool,
    is_outstanding: bool,
    spent: Spent,
    stored: JournaledAnswer<'log>,
}

/// Appends the frame of one answer to `bytes`.
pub(super) fn push(
    bytes: &mut Vec<u8>,
    names: RequestKeys,
    stored: &JournaledAnswer<'_>,
    spent: Spent,
    reused: bool,
) {
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    frames::push(bytes, |bytes| {
        bytes.extend_from_slice(&names.item.to_le_bytes());
        bytes.extend_from_slice(&names.key);
        bytes.extend_from_slice(&names.question);
        bytes.push(u8::from(reused));
        bytes.push(flag(stored.is_packed, PACKED) | flag(stored.is_reusable, REUSABLE));
        bytes.extend_from_slice(&spent.tokens.to_le_bytes());
        bytes.extend_from_slice(&spent.cost.to_le_bytes());
        bytes.extend_from_slice(&stored.body);
    });
}

/// Appends a frame to `bytes` that records a lower bound of what the run has spent, and the outstanding cost.
pub(super) fn push_outstanding(bytes: &mut Vec<u8>, spent: Spent, out: Spent) {
    frames::push(bytes, |bytes| {
        bytes.extend_from_slice(&[0; 40]);
        bytes.extend_from_slice(&[OUTSTANDING, 0]);
        for sum in [spent, out] {
            bytes.extend_from_slice(&sum.tokens.to_le_bytes());
            bytes.extend_from_slice(&sum.cost.to_le_bytes());
        }
    });
}

fn read(payload: &[u8]) -> Option<AnswerFrame<'_>> {
    let key = |at: usize| payload.get(at..at + 16)?.try_into().ok();
    let flags = *payload.get(41)?;
    Some(AnswerFrame {
        names: RequestKeys { item: read_u64(payload, 0)?, key: key(8)?, question: key(24)? },
        reused: *payload.get(40)? == 1,
        is_outstanding: *payload.get(40)? == OUTSTANDING,
        spent: Spent { tokens: read_u64(payload, 42)?, cost: f64::from_bits(read_u64(payload, 50)?) },
        stored: JournaledAnswer {
            body: payload.get(FIXED..)?.into(),
            is_packed: flags & PACKED != 0,
            is_reusable: flags & REUSABLE != 0,
        },
    })
}

fn outstanding(frame: &AnswerFrame<'_>) -> Option<Spent> {
    let body = &frame.stored.body;
    Some(Spent { tokens: read_u64(body, 0)?, cost: f64::from_bits(read_u64(body, 8)?) })
}

/// The answers of unfinished items, read from the logs of a run's earlier starts.
#[derive(Debug, Default)]
pub(super) struct RecoveredAnswers {
    pub(super) answers: HashMap<RequestKey, (RequestKeys, JournaledAnswer<'static>)>,
    /// What the run had spent at the last answer.
    pub(super) spent: Spent,
    /// The cost that was still outstanding at the end.
    pub(super) outstanding: Spent,
}

impl RecoveredAnswers {
    /// Counts the outstanding cost as spent, since those requests may have been served, on top of the larger of the
    /// recovered and the committed sum. Returns the total.
    pub(super) fn settle(&mut self, committed: Spent) -> Spent {
        self.spent = self.spent.later(committed).plus(std::mem::take(&mut self.outstanding));
        self.spent
    }

    /// Adds the answers of a log, which is either `whole` or starts at a frame; skips items that are `done`.
    /// Returns the offset in `log` at which the last good frame ends.
    pub(super) fn add(
        &mut self,
        log: &[u8],
        whole: bool,
        done: impl Fn(u64) -> bool,
    ) -> Result<u64, LogError> {
        let from = if whole { HEADER } else { 0 };
        if whole && frames::check_header(log, KIND)?.is_none() {
            return Ok(log.len() as u64);
        }
        frames::for_each(log, from, |_, payload| {
            let Some(frame) = read(payload) else { return };
            self.spent = self.spent.later(frame.spent);
            if frame.is_outstanding {
                self.outstanding = outstanding(&frame).unwrap_or(self.outstanding);
                return;
            }
            if done(frame.names.item) {
                return;
            }
            self.answers.insert(frame.names.key, (frame.names, frame.stored.into_owned()));
        })
    }
}

/// Index of another run's answers by request; each is handed out once.
#[derive(Debug, Default)]
pub(super) struct ReuseIndex {
    /// Log and offset of the unused answers to a request, in the order they were stored.
    unused: HashMap<RequestKey, VecDeque<(u32, u64)>>,
    seen: HashSet<RequestKey>,
}

impl ReuseIndex {
    /// Adds the answers of one log of the other run. An answer that a later start of that run copied counts once;
    /// failures are not reused.
    pub(super) fn add(&mut self, number: u32, log: &[u8]) -> Result<(), LogError> {
        let Some(format) = frames::check_header_since(log, KIND, OLDEST_REUSED)? else { return Ok(()) };
        frames::for_each(log, HEADER, |offset, payload| {
            let Some(frame) = read(payload).filter(|frame| !frame.is_outstanding) else { return };
            let is_reusable = match format {
                2 => frame.stored.unpacked().is_some_and(|bytes| bytes.starts_with(ANSWER_OF_FORMAT_2)),
                _ => frame.stored.is_reusable,
            };
            if is_reusable && self.seen.insert(frame.names.key) {
                self.unused.entry(frame.names.question).or_default().push_back((number, offset));
            }
        })?;
        Ok(())
    }

    /// Removes the answers that this run has already used, according to its own log.
    pub(super) fn remove_used(&mut self, log: &[u8]) -> Result<(), LogError> {
        if frames::check_header(log, KIND)?.is_none() {
            return Ok(());
        }
        let mut spent = HashSet::new();
        frames::for_each(log, HEADER, |_, payload| {
            let Some(frame) = read(payload) else { return };
            if frame.reused && spent.insert(frame.names.key) {
                self.take(&frame.names.question);
            }
        })?;
        Ok(())
    }

    /// Takes the location of an unused answer to a request.
    pub(super) fn take(&mut self, question: &RequestKey) -> Option<(u32, u64)> {
        self.unused.get_mut(question)?.pop_front()
    }

    /// Returns the number of unused answers.
    pub(super) fn unused(&self) -> usize {
        self.unused.values().map(VecDeque::len).sum()
    }
}

/// Returns the answer in a frame's payload.
pub(super) fn answer_in(payload: &[u8]) -> Option<Vec<u8>> {
    read(payload)?.stored.unpacked()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stored_answer_is_found_byte_by_byte(
            item: u64, key: RequestKey, question: RequestKey, answer: Vec<u8>, times in 1_usize..50, reusable: bool, pack: bool
        ) {
            let names = RequestKeys { item, key, question };
            let answer = answer.repeat(times);
            let mut log = frames::header(KIND, frames::TEST_HEADER);
            push(&mut log, names, &AnswerPacker::new(pack).pack(&answer, reusable), Spent::default(), false);
            let mut recovered = RecoveredAnswers::default();
            prop_assert_eq!(recovered.add(&log, true, |_| false), Ok(log.len() as u64));
            let (found, stored) = recovered.answers.remove(&key).unwrap();
            prop_assert_eq!((found, stored.unpacked()), (names, Some(answer)));
            let mut other = ReuseIndex::default();
            other.add(0, &log).unwrap();
            prop_assert_eq!(other.take(&question).is_some(), reusable);
        }
    }
}
