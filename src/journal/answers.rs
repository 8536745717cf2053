//! The answers' log: what the model said, written before it is passed on, found again after a stop.
//!
//! Within a run an answer is found by record, sample and whole request, and only for items that are not
//! done; across runs by the request alone, each answer used once. What an answer's bytes mean is known to those
//! who make them. `answer_log` appends; this file has the format and the finding.
//!
//! ```text
//! payload = item:u64 key:16 question:16 kind:u8 flags:u8 tokens:u64 cost:f64 body
//! kind    = 0 an answer, 1 one of another run that is used again, 2 what is out
//! flags   = 1 the body is packed by zstd, 2 it may be given to another run's same question
//! body    = the answer's bytes; of kind 2 tokens:u64 cost:f64, the most that the requests that are out may
//!           cost, in place of what an earlier frame says
//! ```
//! Logs of format 2, which `reuse` still reads, have no second flag: there the body itself tells.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Read;

use super::commits::Spent;
use super::frames::{self, HEADER, LogError, LogKind, read_u64};

pub(super) const KIND: LogKind = LogKind { magic: b"SMANSWER", name: "answers' log" };
/// Bytes of a payload before its body.
const FIXED: usize = 58;
/// The kind of a frame that says what is out.
const OUT: u8 = 2;
/// zstd's fastest level that still halves a text; an answer is packed while its record waits.
const LEVEL: i32 = 1;
/// An unpacked body is never longer: answers are cut at 8 MiB by the client.
const LONGEST_BODY: u64 = 64 << 20;
const PACKED: u8 = 1;
const REUSABLE: u8 = 2;
/// The oldest format whose answers can be used again.
pub(super) const OLDEST_REUSED: u32 = 2;
/// How a body of format 2 begins that another run may be given.
const ANSWER_OF_FORMAT_2: &[u8] = br#"{"Answer":"#;

/// A hash that names a question.
pub type RequestKey = [u8; 16];

/// The two names of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKeys {
    /// The item it was asked for.
    pub item: u64,
    /// Record, stage, sample and request.
    pub key: RequestKey,
    /// Stage and request alone.
    pub question: RequestKey,
}

/// An answer as its frame holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JournaledAnswer<'log> {
    body: Cow<'log, [u8]>,
    is_packed: bool,
    /// Whether another run may be given it for the same question.
    is_reusable: bool,
}

impl<'log> JournaledAnswer<'log> {
    /// Packs an answer if it gets smaller by it.
    pub(super) fn new(bytes: &'log [u8], is_reusable: bool, pack: bool) -> Self {
        let packed = if pack { zstd::bulk::compress(bytes, LEVEL).ok() } else { None };
        match packed.filter(|packed| packed.len() < bytes.len()) {
            Some(packed) => Self { body: packed.into(), is_packed: true, is_reusable },
            None => Self { body: bytes.into(), is_packed: false, is_reusable },
        }
    }

    /// The answer's bytes; none where they cannot be unpacked.
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

/// One frame, read.
struct AnswerFrame<'log> {
    names: RequestKeys,
    reused: bool,
    is_out: bool,
    spent: Spent,
    stored: JournaledAnswer<'log>,
}

/// Adds the frame of one answer to `bytes`.
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

/// Adds a frame to `bytes` that says what the run has spent at least, and what is out besides.
pub(super) fn push_out(bytes: &mut Vec<u8>, spent: Spent, out: Spent) {
    frames::push(bytes, |bytes| {
        bytes.extend_from_slice(&[0; 40]);
        bytes.extend_from_slice(&[OUT, 0]);
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
        is_out: *payload.get(40)? == OUT,
        spent: Spent { tokens: read_u64(payload, 42)?, cost: f64::from_bits(read_u64(payload, 50)?) },
        stored: JournaledAnswer {
            body: payload.get(FIXED..)?.into(),
            is_packed: flags & PACKED != 0,
            is_reusable: flags & REUSABLE != 0,
        },
    })
}

fn out(frame: &AnswerFrame<'_>) -> Option<Spent> {
    let body = &frame.stored.body;
    Some(Spent { tokens: read_u64(body, 0)?, cost: f64::from_bits(read_u64(body, 8)?) })
}

/// Answers found in the logs of a run's earlier starts, of items that are not done.
#[derive(Debug, Default)]
pub(super) struct RecoveredAnswers {
    pub(super) answers: HashMap<RequestKey, (RequestKeys, JournaledAnswer<'static>)>,
    /// What the run had spent at the last answer.
    pub(super) spent: Spent,
    /// What requests may have cost besides that were out at the end.
    pub(super) out: Spent,
}

impl RecoveredAnswers {
    /// Counts what was out as spent, on top of all that was spent, which the commits may know better: it may have
    /// been served. Returns the sum.
    pub(super) fn settle(&mut self, committed: Spent) -> Spent {
        self.spent = self.spent.later(committed).plus(std::mem::take(&mut self.out));
        self.spent
    }

    /// Adds the answers of a log, either `whole` or from the start of a frame on; `done` says which items
    /// need none. Returns where in `log` the last good frame ends.
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
        frames::each(log, from, |_, payload| {
            let Some(frame) = read(payload) else { return };
            self.spent = self.spent.later(frame.spent);
            if frame.is_out {
                self.out = out(&frame).unwrap_or(self.out);
                return;
            }
            if done(frame.names.item) {
                return;
            }
            self.answers.insert(frame.names.key, (frame.names, frame.stored.into_owned()));
        })
    }
}

/// Answers of another run, found by question, each given out once.
#[derive(Debug, Default)]
pub(super) struct ReuseIndex {
    /// Where the unused answers to a question stand: log and byte, in the order they were given.
    unused: HashMap<RequestKey, VecDeque<(u32, u64)>>,
    seen: HashSet<RequestKey>,
}

impl ReuseIndex {
    /// Adds the answers of one log of the other run. An answer that was written again by a later start of
    /// that run counts once; failures are not reused.
    pub(super) fn add(&mut self, number: u32, log: &[u8]) -> Result<(), LogError> {
        let Some(format) = frames::check_header_since(log, KIND, OLDEST_REUSED)? else { return Ok(()) };
        frames::each(log, HEADER, |offset, payload| {
            let Some(frame) = read(payload).filter(|frame| !frame.is_out) else { return };
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

    /// Takes out the answers that this run has used already, as its own log says.
    pub(super) fn spend(&mut self, log: &[u8]) -> Result<(), LogError> {
        if frames::check_header(log, KIND)?.is_none() {
            return Ok(());
        }
        let mut spent = HashSet::new();
        frames::each(log, HEADER, |_, payload| {
            let Some(frame) = read(payload) else { return };
            if frame.reused && spent.insert(frame.names.key) {
                self.take(&frame.names.question);
            }
        })?;
        Ok(())
    }

    /// Gives the place of an unused answer to a question.
    pub(super) fn take(&mut self, question: &RequestKey) -> Option<(u32, u64)> {
        self.unused.get_mut(question)?.pop_front()
    }

    /// Answers that were not given out.
    pub(super) fn left(&self) -> usize {
        self.unused.values().map(VecDeque::len).sum()
    }
}

/// The bytes of the answer in a frame's payload.
pub(super) fn answer_in(payload: &[u8]) -> Option<Vec<u8>> {
    read(payload)?.stored.unpacked()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_kept_is_found_byte_by_byte(
            item: u64, key: RequestKey, question: RequestKey, answer: Vec<u8>, times in 1_usize..50, reusable: bool, pack: bool
        ) {
            let names = RequestKeys { item, key, question };
            let answer = answer.repeat(times);
            let mut log = frames::header(KIND, frames::OF_TEST);
            push(&mut log, names, &JournaledAnswer::new(&answer, reusable, pack), Spent::default(), false);
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
