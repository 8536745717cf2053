//! Parsing of an answer: what `parse` offers to the engine, and the errors of an answer that is not accepted.
//!
//! The engine joins a parser with the `Ask` before it (`engine::ask`): the schema goes into the request, and an
//! answer that is not accepted leads to the next step of `on_error`.

use serde_json::Value;

use super::StageError;
use crate::record::Record;

/// Parses a model's answer. The engine joins it with the `Ask` before it: the schema goes into the request, and a
/// failure is handled according to `on_error`.
pub trait AnswerParser: Send + Sync {
    /// The JSON schema the answer must meet, if one is declared.
    fn schema(&self) -> Option<&Value>;

    /// What to do, in order, if parsing fails; after the last step the record is rejected.
    fn on_error(&self) -> &[OnError];

    /// Returns the answer's text from the record.
    fn answer_text<'a>(&self, record: &'a Record) -> Result<&'a str, StageError>;

    /// Parses an answer's text. Has no other effect, so that long work can run on another thread.
    fn parse(&self, text: &str) -> Result<Value, StageError>;

    /// Whether `parse` may take longer than a task of the runtime should.
    fn may_take_long(&self, text: &str) -> bool;

    /// Stores the parsed value in fields and checks them. After an error the record is unchanged.
    fn store(&self, record: &mut Record, value: Value) -> Result<(), AnswerError>;

    /// Parses the answer in the record and stores the result in fields.
    fn parse_record(&self, record: &mut Record) -> Result<(), AnswerError> {
        let value = self.parse(self.answer_text(record)?)?;
        self.store(record, value)
    }
}

/// Why an answer is not accepted.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub enum AnswerError {
    /// The answer is invalid; another one may be valid.
    Invalid(#[from] StageError),
    /// Whether the answer is valid cannot be decided, which no other answer would change.
    Undecidable(StageError),
}

impl From<AnswerError> for StageError {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Invalid(error) | AnswerError::Undecidable(error) => error,
        }
    }
}

/// One step of handling an answer that cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Ask again, showing the error to the model, at most this many times.
    Retry(u32),
    /// Let the heuristic provider answer.
    Heuristic,
    /// Reject the record.
    Reject,
}
