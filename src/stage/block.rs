//! Blocks: stages that contain stages.
//!
//! `stages/repeat.rs` and `stages/for_each.rs` decide what happens to a record; the engine runs it through the
//! inner stages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StageError;
use crate::pipeline::CheckContext;
use crate::record::Record;

/// A block as the user wrote it, with regard to the stages inside it. They are checked between `enter` and
/// `leave`, after the block's own `check`.
pub trait BlockConfig {
    /// Declares what the inner stages see besides the fields of the incoming record.
    fn enter(&self, context: &mut CheckContext<'_>);

    /// Declares which fields records have after the block, given those that they have at its last stage.
    fn leave(&self, context: &mut CheckContext<'_>);

    /// Whether a record passes through the stages more than once and sees what they made of it before.
    fn is_loop(&self) -> bool;

    /// Whether an inner stage may turn one record into several.
    fn takes_several(&self) -> bool;
}

/// How a record passes through the stages of a `repeat`. This trait decides; the engine runs the record.
pub trait RepeatBlock: Send + Sync {
    /// The maximum number of passes for the incoming record.
    fn times(&self, record: &Record) -> Result<u32, StageError>;

    /// Whether to run another pass, given the record as it is now. Evaluated before every pass.
    fn should_continue(&self, record: &Record) -> Result<bool, StageError>;

    /// Whether the start and every pass are passed on as records of their own, rather than the last pass alone.
    fn keeps_all(&self) -> bool;

    /// What becomes of a record that is dropped or rejected in a pass.
    fn on_fail(&self) -> OnFail;
}

/// What becomes of a record that is dropped or rejected in a pass of a `repeat`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// The record ends as it would outside a block; earlier passes are discarded.
    #[default]
    End,
    /// The record is restored to its state before the pass; the pass counts, and the next one runs.
    Skip,
    /// The record is restored to its state before the pass and leaves the block.
    Stop,
}

/// How a record passes through the stages of a `for_each`: which elements there are, and what becomes of them.
pub trait ForEachBlock: Send + Sync {
    /// The elements, in order. Each passes through the stages separately.
    fn elements(&self, record: &Record) -> Result<Vec<Value>, StageError>;

    /// The field that holds the element.
    fn element_field(&self) -> &str;

    /// How the elements are joined again; `None` if each becomes a record of its own.
    fn collect(&self) -> Option<&Collect>;

    /// For a stage that asks several questions: those of the next round, which are created from the record after
    /// these have been answered and folded. If there are none, the rounds end. `None` by default.
    fn next_round(&self) -> Option<&dyn ForEachBlock> {
        None
    }
}

/// How the elements of a `for_each` are collected into one field of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collect {
    /// The field that receives a list with an entry per element that completed.
    pub into: String,
    /// The fields copied from each element's record into its entry, besides `index`.
    pub fields: Vec<String>,
    /// The minimum number of entries; with fewer the record is rejected.
    pub at_least: usize,
}
