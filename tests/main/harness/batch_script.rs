//! What a test says of a provider's batches: how each line is answered, which calls fail, how batches end.
//!
//! `batch_server` plays it.

use serde_json::{Value, json};

/// What becomes of one line of a batch.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// An answer of this text.
    Answer(String),
    /// A response with this status and error code.
    Status(u16, String),
    /// Not worked on: the time was up.
    Expired,
    /// No line at all.
    Nothing,
    /// A line that is no JSON.
    Garbage,
}

/// What happens to a call beside, or in place of, what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is done, and this status comes back.
    Status(u16),
    /// It is done, and then this status comes back.
    DoneThen(u16),
    /// It is done, and then the connection breaks.
    DoneThenCut,
    /// The first half of the body comes.
    Half,
}

/// How a whole batch ends.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// `completed`, or `expired` if a line did.
    Done,
    /// For ever in progress.
    Never,
    /// `cancelled`: lines from this one on are not worked on.
    Cancelled(usize),
    /// `failed`, with these errors.
    Failed(Value),
}

type Work = Box<dyn Fn(&str, usize) -> Line + Send>;
type Weather = Box<dyn Fn(&str, usize) -> Option<Fault> + Send>;
type Ends = Box<dyn Fn(usize) -> End + Send>;

/// How a provider behaves.
pub(crate) struct Script {
    /// What becomes of a question (its last message) that was in so many batches before.
    pub(crate) work: Work,
    /// What happens to a call, such as `POST /batches`, made so many times before.
    pub(crate) weather: Weather,
    /// How the batch with this index ends.
    pub(crate) end: Ends,
    /// Looks at a batch before it ends.
    pub(crate) looks: usize,
    /// Answers that a batch says it has beside those that it gives.
    pub(crate) boast: usize,
    /// Looks at an ended batch that do not show its results yet.
    pub(crate) lag: usize,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            work: Box::new(|prompt, _| {
                Line::Answer(json!({"answer": format!("An answer to: {prompt}")}).to_string())
            }),
            weather: Box::new(|_, _| None),
            end: Box::new(|_| End::Done),
            looks: 1,
            boast: 0,
            lag: 0,
        }
    }
}
