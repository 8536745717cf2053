//! Blocks: stages that run inside one stage, in passes over a record (`repeat`), for each element of a list
//! (`for_each`), or for each of several questions that one stage asks.
//!
//! A block runs as one future per record. `stages/repeat.rs`, `stages/for_each.rs` and the stages that ask several
//! questions make its decisions; this module handles ids, the fields that exist only in the block, failures, and
//! joining.

mod for_each;
mod questions;
mod repeat;

use serde_json::Value;

use self::for_each::ForEachRun;
use self::questions::QuestionsRun;
use self::repeat::RepeatRun;
use super::event::InFlightRecord;
use super::execute::{BuiltStage, Executor, StageOutcome};
use crate::record::{Provenance, Record};
use crate::stage::{ForEachBlock, RepeatBlock, Transform};

/// The stages of a block, and how a record goes through them.
pub(crate) struct Block {
    pub(crate) stages: Vec<BuiltStage>,
    pub(crate) kind: BlockKind,
}

pub(crate) enum BlockKind {
    Repeat(Box<dyn RepeatBlock>),
    ForEach(Box<dyn ForEachBlock>),
    /// The questions of one stage, and the transform that computes the result from the joined answers.
    Questions(Box<dyn ForEachBlock>, Box<dyn Transform>),
}

impl Block {
    /// Passes a record through the block; `stage` is the block's own stage.
    pub(crate) async fn execute(
        &self,
        stage: &BuiltStage,
        record: &mut InFlightRecord,
        executor: &Executor,
    ) -> StageOutcome {
        let stages = self.stages.as_slice();
        match &self.kind {
            BlockKind::Repeat(repeat) => {
                RepeatRun { stage, stages, repeat: &**repeat, executor }.run(record).await
            }
            BlockKind::ForEach(for_each) => {
                ForEachRun { stage, stages, for_each: &**for_each, executor }.run(record).await
            }
            BlockKind::Questions(questions, fold) => {
                QuestionsRun { stage, stages, questions: &**questions, fold: &**fold, executor }
                    .run(record)
                    .await
            }
        }
    }
}

/// Renames the draws of the stages in the block at `path`, so that those of one pass or element have a name of their
/// own.
fn rename_draws(provenance: &mut Provenance, path: &str, name: &str) {
    let is_inside = |key: &str| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    if !provenance.draws.keys().any(|key| is_inside(key)) {
        return;
    }
    let draws = std::mem::take(&mut provenance.draws);
    let renamed = draws.into_iter().map(|(key, value)| match is_inside(&key) {
        true => (format!("{name}{}", &key[path.len()..]), value),
        false => (key, value),
    });
    provenance.draws = renamed.collect();
}

/// Fields of an outer block that this block's own fields shadow while it runs.
struct ShadowedFields(Vec<(&'static str, Value)>);

impl ShadowedFields {
    fn take(record: &mut Record, names: &[&'static str]) -> Self {
        let mut shadowed = Vec::new();
        for name in names {
            if let Some(value) = record.fields.shift_remove(*name) {
                shadowed.push((*name, value));
            }
        }
        Self(shadowed)
    }

    fn restore(&self, record: &mut Record) {
        for (name, value) in &self.0 {
            record.set(name, value.clone());
        }
    }
}
