//! The reading of an answer: what `parse` offers to the engine, and what it says of an answer that will not do.
//!
//! The engine joins a reading part with the `Ask` before it (`engine::ask`): the schema goes into the request, and an
//! answer that is not taken leads to the next step of `on_error`.

use serde_json::Value;

use super::StageError;
use crate::record::Record;

/// The reading of an answer. The engine joins it with the `Ask` before it: the schema goes into the
/// request, a failure is handled as `on_error` says.
pub trait AnswerParser: Send + Sync {
    /// The JSON schema the answer must meet, if one is declared.
    fn schema(&self) -> Option<&Value>;

    /// What to do, in order, when reading fails; after the last step the record is rejected.
    fn on_error(&self) -> &[OnError];

    /// The answer's text in the record.
    fn answer_text<'a>(&self, record: &'a Record) -> Result<&'a str, StageError>;

    /// Reads an answer's text. Touches nothing else, so that long work can be done on another thread.
    fn parse(&self, text: &str) -> Result<Value, StageError>;

    /// Whether `parse` may take longer than a task of the runtime should.
    fn may_take_long(&self, text: &str) -> bool;

    /// Puts what was read into fields and judges them. After an error the record is as it was.
    fn store(&self, record: &mut Record, value: Value) -> Result<(), AnswerError>;

    /// Reads the answer in the record and puts what it says into fields.
    fn parse_record(&self, record: &mut Record) -> Result<(), AnswerError> {
        let value = self.parse(self.answer_text(record)?)?;
        self.store(record, value)
    }
}

/// Why an answer is not taken.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub enum AnswerError {
    /// The answer will not do; another may.
    Invalid(#[from] StageError),
    /// Whether it will do cannot be said, which no other answer would change.
    Undecidable(StageError),
}

impl From<AnswerError> for StageError {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Invalid(error) | AnswerError::Undecidable(error) => error,
        }
    }
}

/// One step of what happens to an answer that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Ask again, with the error shown to the model, at most this many times.
    Retry(u32),
    /// Let the heuristic answer.
    Heuristic,
    /// Give the record up.
    Reject,
}
