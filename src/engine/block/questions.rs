//! The questions of one stage about a record, in rounds: each round is answered and folded before the next begins.

use super::for_each::ForEachRun;
use crate::engine::event::InFlightRecord;
use crate::engine::execute::{BuiltStage, Executor, StageOutcome};
use crate::stage::{ForEachBlock, Transform};

/// One record and the questions about it.
pub(super) struct QuestionsRun<'a> {
    pub(super) stage: &'a BuiltStage,
    /// The stage that asks and parses.
    pub(super) stages: &'a [BuiltStage],
    /// The first round.
    pub(super) questions: &'a dyn ForEachBlock,
    pub(super) fold: &'a dyn Transform,
    pub(super) executor: &'a Executor,
}

impl QuestionsRun<'_> {
    pub(super) async fn run(&self, record: &mut InFlightRecord) -> StageOutcome {
        let mut round = Some(self.questions);
        // Questions are numbered across all rounds: each has its own id, seed and key.
        let mut asked = 0;
        while let Some(questions) = round {
            let elements = match questions.elements(&record.record) {
                Ok(elements) => elements,
                Err(error) => return self.stage.reject(error),
            };
            if elements.is_empty() && asked > 0 {
                break;
            }
            let count = u32::try_from(elements.len()).unwrap_or(u32::MAX);
            let run = ForEachRun {
                stage: self.stage,
                stages: self.stages,
                for_each: questions,
                executor: self.executor,
            };
            match run.run_from(record, elements, asked).await {
                StageOutcome::Passed => {}
                other => return other,
            }
            match self.stage.transform(self.fold, record) {
                StageOutcome::Passed => {}
                other => return other,
            }
            asked = asked.saturating_add(count);
            round = questions.next_round();
        }
        StageOutcome::Passed
    }
}
