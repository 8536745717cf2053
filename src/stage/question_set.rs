//! Several questions about one record, whose answers become one result: votes, orders, samples.
//!
//! A stage such as `judge` makes the questions and folds the answers. The engine asks them side by side, as it runs
//! the elements of a `for_each`: each has an id of its own (`.judge-0`), so that its draws, its journaled answer and
//! its seed are its own.

use super::{AnswerParser, Ask, ForEachBlock, Transform};

/// The questions of one stage about each record. `engine::build` makes a block of it, with one stage inside that asks
/// and parses, `STAGE/ask`.
pub struct QuestionSet {
    /// The questions, one for each element. `collect` names what is kept of each answer; a question without a valid
    /// answer has no entry there.
    pub questions: Box<dyn ForEachBlock>,
    /// Makes each question and stores its answer.
    pub ask: Box<dyn Ask>,
    /// Parses each answer.
    pub parser: Box<dyn AnswerParser>,
    /// Makes the result of the collected answers, once all questions have ended. It may drop or reject the record.
    pub fold: Box<dyn Transform>,
}
