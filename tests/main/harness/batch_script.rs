//! A script for a provider's batch API: how lines are answered, which calls fail, how batches end. `batch_server` runs it.

use serde_json::{Value, json};

/// The outcome of one line of a batch.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// An answer with this text.
    Answer(String),
    /// A response with this status and error code.
    Status(u16, String),
    /// Not processed: the batch expired.
    Expired,
    /// The line is missing from the results.
    Nothing,
    /// A line that is not JSON.
    Garbage,
}

/// A fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call has no effect and returns this status.
    Status(u16),
    /// The call takes effect but returns this status.
    DoneThen(u16),
    /// The call takes effect but the connection breaks.
    DoneThenCut,
    /// The response breaks off after half of the body.
    Half,
}

/// How a whole batch ends.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// `completed`, or `expired` if a line did.
    Done,
    /// Stays in progress forever.
    Never,
    /// `cancelled`: lines from this one on are not processed.
    Cancelled(usize),
    /// `failed`, with these errors.
    Failed(Value),
}

type Work = Box<dyn Fn(&str, usize) -> Line + Send>;
type CallFaults = Box<dyn Fn(&str, usize) -> Option<Fault> + Send>;
type Ends = Box<dyn Fn(usize) -> End + Send>;

/// How a provider behaves.
pub(crate) struct Script {
    /// The outcome of a question (its last message) that was in this many batches before.
    pub(crate) work: Work,
    /// The fault of a call, such as `POST /batches`, that was made this many times before.
    pub(crate) call_fault: CallFaults,
    /// How the batch with this index ends.
    pub(crate) end: Ends,
    /// Polls before a batch ends.
    pub(crate) looks: usize,
    /// Answers that a batch claims in addition to those it returns.
    pub(crate) boast: usize,
    /// Polls of a finished batch before its results are shown.
    pub(crate) lag: usize,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            work: Box::new(|prompt, _| {
                Line::Answer(json!({"answer": format!("An answer to: {prompt}")}).to_string())
            }),
            call_fault: Box::new(|_, _| None),
            end: Box::new(|_| End::Done),
            looks: 1,
            boast: 0,
            lag: 0,
        }
    }
}
