//! The `parse` half of a unit: takes an answer into the record and parses it.

use std::sync::Arc;

use super::AskUnit;
use crate::engine::execute::{BuiltStage, StageOutcome};
use crate::engine::record_end::{RecordEnd, Rejection};
use crate::llm::Completion;
use crate::record::Record;
use crate::stage::{AnswerError, AnswerParser, StageError};
use crate::template::Expression;

/// The `parse` stage of a unit.
pub(crate) struct BuiltParser {
    pub(crate) id: Arc<str>,
    pub(crate) when: Option<Expression>,
    pub(crate) stage: Arc<dyn AnswerParser>,
}

impl AskUnit {
    /// The parser, if there is one and its `when` holds for the record.
    pub(super) fn parser_for(&self, record: &Record) -> Result<Option<&BuiltParser>, StageError> {
        let Some(parser) = &self.parser else { return Ok(None) };
        let applies = match &parser.when {
            Some(when) => when.is_true(record)?,
            None => true,
        };
        Ok(applies.then_some(parser))
    }

    /// Puts an answer into the record and parses it.
    pub(super) async fn accept(
        &self,
        record: &mut Record,
        completion: &Completion,
        answered_by: &str,
        parser: Option<&BuiltParser>,
    ) -> Result<(), AnswerError> {
        self.ask.accept(record, completion, answered_by);
        match parser {
            Some(parser) => self.parse(record, parser).await,
            None => Ok(()),
        }
    }

    /// Parses an answer that is already in the record, which the `llm` stage does not apply to.
    pub(super) async fn parse_only(&self, stage: &BuiltStage, record: &mut Record) -> StageOutcome {
        let parser = match self.parser_for(record) {
            Ok(Some(parser)) => parser,
            Ok(None) => return StageOutcome::Passed,
            Err(error) => return stage.reject(error),
        };
        match self.parse(record, parser).await {
            Ok(()) => StageOutcome::Passed,
            Err(error) => {
                let rejection = Rejection::new(Arc::clone(&parser.id), error.into());
                StageOutcome::Ended(RecordEnd::Rejected(rejection))
            }
        }
    }

    /// Parses the answer in the record. One that may take long is parsed off the runtime's threads, a few at a time, so
    /// that neither other records nor a stop wait for it.
    async fn parse(&self, record: &mut Record, parser: &BuiltParser) -> Result<(), AnswerError> {
        let text = parser.stage.answer_text(record)?;
        if !parser.stage.may_take_long(text) {
            return parser.stage.parse_record(record);
        }
        let (stage, text) = (Arc::clone(&parser.stage), text.to_owned());
        let permit = self.slow_parses.acquire().await;
        let parsed = tokio::task::spawn_blocking(move || stage.parse(&text)).await;
        drop(permit);
        let value = match parsed {
            Ok(parsed) => parsed?,
            // Continues as if it had happened on this thread.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => return Err(StageError::new("stopped", error.to_string()).into()),
        };
        parser.stage.store(record, value)
    }
}
