//! Several questions about one record, such as votes, orders or samples, whose answers are combined into one result.
//!
//! A stage such as `judge` creates the questions and folds the answers. The engine asks them concurrently, like the
//! elements of a `for_each`: each has its own id (`.judge-0`), and therefore its own draws, journaled answer and
//! seed.

use super::{AnswerParser, Ask, ForEachBlock, Transform};

/// The questions of one stage about each record. `engine::build` turns it into a block with one inner stage,
/// `STAGE/ask`, which asks and parses.
pub struct QuestionSet {
    /// The questions, one per element. `collect` names the fields that are kept of each answer; a question without a
    /// valid answer has no entry.
    pub questions: Box<dyn ForEachBlock>,
    /// Creates each question and stores its answer.
    pub ask: Box<dyn Ask>,
    /// Parses each answer.
    pub parser: Box<dyn AnswerParser>,
    /// Computes the result from the collected answers once all questions have ended. It may drop or reject the
    /// record.
    pub fold: Box<dyn Transform>,
}
