//! The answers' log: what the model said, written before it is passed on, found again after a stop.
//!
//! Within a run an answer is found by record, sample and whole request, and only for items that are not
//! done; across runs by the request alone, each answer used once. `answer_log` appends; this file has the
//! format and the finding.
//!
//! ```text
//! payload = item:u64 key:16 question:16 kind:u8 packed:u8 tokens:u64 cost:f64 body
//! kind    = 0 an answer, 1 one of another run that is used again, 2 what is out
//! body    = JSON, packed by zstd if smaller; of kind 2 tokens:u64 cost:f64, the most that the requests that are
//!           out may cost, in place of what an earlier frame says
//! ```

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::commits::Spent;
use super::frames::{self, HEADER, Kind, LogError, read_u64};
use crate::llm::{Completion, ModelError};

pub(super) const KIND: Kind = Kind { magic: b"SMANSWER", name: "answers' log" };
/// Bytes of a payload before its body.
const FIXED: usize = 58;
/// The kind of a frame that says what is out.
const OUT: u8 = 2;
/// zstd's fastest level that still halves a text; an answer is packed while its record waits.
const LEVEL: i32 = 1;
/// An unpacked body is never longer: answers are cut at 8 MiB by the client.
const LONGEST_BODY: u64 = 64 << 20;

/// A hash that names a question.
pub type Key = [u8; 16];

/// What is kept of one request: the answer, or that it finally failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Kept {
    /// The model answered.
    Answer(Box<Completion>),
    /// The request failed for this record; it is not asked again.
    Failure(ModelError),
}

/// The two names of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// The item it was asked for.
    pub item: u64,
    /// Record, stage, sample and request.
    pub key: Key,
    /// Stage and request alone.
    pub question: Key,
}

/// One frame, read.
struct Frame<'log> {
    names: Names,
    reused: bool,
    is_out: bool,
    packed: bool,
    spent: Spent,
    body: &'log [u8],
}

/// Adds the frame of one answer to `bytes`.
pub(super) fn push(bytes: &mut Vec<u8>, names: Names, kept: &Kept, spent: Spent, reused: bool, pack: bool) {
    let json = serde_json::to_vec(kept).unwrap_or_default();
    let small = if pack { zstd::bulk::compress(&json, LEVEL).ok() } else { None };
    let small = small.filter(|small| small.len() < json.len());
    frames::push(bytes, |bytes| {
        bytes.extend_from_slice(&names.item.to_le_bytes());
        bytes.extend_from_slice(&names.key);
        bytes.extend_from_slice(&names.question);
        bytes.push(u8::from(reused));
        bytes.push(u8::from(small.is_some()));
        bytes.extend_from_slice(&spent.tokens.to_le_bytes());
        bytes.extend_from_slice(&spent.cost.to_le_bytes());
        bytes.extend_from_slice(small.as_ref().unwrap_or(&json));
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

fn read(payload: &[u8]) -> Option<Frame<'_>> {
    let key = |at: usize| payload.get(at..at + 16)?.try_into().ok();
    Some(Frame {
        names: Names { item: read_u64(payload, 0)?, key: key(8)?, question: key(24)? },
        reused: *payload.get(40)? == 1,
        is_out: *payload.get(40)? == OUT,
        packed: *payload.get(41)? == 1,
        spent: Spent { tokens: read_u64(payload, 42)?, cost: f64::from_bits(read_u64(payload, 50)?) },
        body: payload.get(FIXED..)?,
    })
}

fn kept(frame: &Frame<'_>) -> Option<Kept> {
    if frame.packed {
        let mut json = Vec::new();
        let unpacked = zstd::stream::read::Decoder::with_buffer(frame.body).ok()?;
        unpacked.take(LONGEST_BODY).read_to_end(&mut json).ok()?;
        return serde_json::from_slice(&json).ok();
    }
    serde_json::from_slice(frame.body).ok()
}

fn out(frame: &Frame<'_>) -> Option<Spent> {
    Some(Spent { tokens: read_u64(frame.body, 0)?, cost: f64::from_bits(read_u64(frame.body, 8)?) })
}

/// Answers found in the logs of a run's earlier starts, of items that are not done.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) answers: HashMap<Key, (Names, Kept)>,
    /// What the run had spent at the last answer.
    pub(super) spent: Spent,
    /// What requests may have cost besides that were out at the end.
    pub(super) out: Spent,
}

impl Recovered {
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
            if let Some(kept) = kept(&frame) {
                self.answers.insert(frame.names.key, (frame.names, kept));
            }
        })
    }
}

/// Answers of another run, found by question, each given out once.
#[derive(Debug, Default)]
pub(super) struct Reusable {
    /// Where the unused answers to a question stand: log and byte, in the order they were given.
    unused: HashMap<Key, VecDeque<(u32, u64)>>,
    seen: HashSet<Key>,
}

impl Reusable {
    /// Adds the answers of one log of the other run. An answer that was written again by a later start of
    /// that run counts once; failures are not reused.
    pub(super) fn add(&mut self, number: u32, log: &[u8]) -> Result<(), LogError> {
        if frames::check_header(log, KIND)?.is_none() {
            return Ok(());
        }
        frames::each(log, HEADER, |offset, payload| {
            let Some(frame) = read(payload) else { return };
            let is_answer = matches!(kept(&frame), Some(Kept::Answer(_)));
            if is_answer && self.seen.insert(frame.names.key) {
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
    pub(super) fn take(&mut self, question: &Key) -> Option<(u32, u64)> {
        self.unused.get_mut(question)?.pop_front()
    }

    /// Answers that were not given out.
    pub(super) fn left(&self) -> usize {
        self.unused.values().map(VecDeque::len).sum()
    }
}

/// The answer in the frame that starts with `bytes`.
pub(super) fn answer_in(payload: &[u8]) -> Option<Completion> {
    match kept(&read(payload)?)? {
        Kept::Answer(completion) => Some(*completion),
        Kept::Failure(_) => None,
    }
}
