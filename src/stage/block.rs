//! What a block is: a stage that holds stages, declared as any other and then told of what stands inside it.
//!
//! `stages/repeat.rs` and `stages/for_each.rs` say what is to become of a record; the engine brings it through.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StageError;
use crate::pipeline::CheckContext;
use crate::record::Record;

/// A block as the user wrote it, towards the stages inside it. They are checked between `enter` and `leave`, after
/// the block's own `check`.
pub trait BlockConfig {
    /// Says what the stages inside see beside the fields of the record as it came in.
    fn enter(&self, context: &mut CheckContext<'_>);

    /// Says which fields records have after the block, from those that they have at its last stage.
    fn leave(&self, context: &mut CheckContext<'_>);

    /// Whether a record goes through the stages more than once, and finds there what they made of it before.
    fn is_loop(&self) -> bool;

    /// Whether a stage inside may make several records of one.
    fn takes_several(&self) -> bool;
}

/// How a record goes through the stages of a `repeat`: it decides, the engine brings the record through.
pub trait RepeatBlock: Send + Sync {
    /// How many passes there are at most, for the record as it comes in.
    fn times(&self, record: &Record) -> Result<u32, StageError>;

    /// Whether there is to be one more pass, for the record as it now is. Looked at before every pass.
    fn goes_on(&self, record: &Record) -> Result<bool, StageError>;

    /// Whether the start and every pass go on as records of their own, rather than the last pass alone.
    fn keeps_all(&self) -> bool;

    /// What becomes of a record that is dropped or rejected in a pass.
    fn on_fail(&self) -> OnFail;
}

/// What becomes of a record that is dropped or rejected in a pass of a `repeat`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// It ends as it would outside the block, the earlier passes with it.
    #[default]
    End,
    /// It is again as it was before the pass, which counts as one.
    Skip,
    /// It goes on as it was before the pass; there is no further one.
    Stop,
}

/// How a record goes through the stages of a `for_each`: it says which elements there are and what becomes of them.
pub trait ForEachBlock: Send + Sync {
    /// The elements, in order: each is brought through the stages by itself.
    fn elements(&self, record: &Record) -> Result<Vec<Value>, StageError>;

    /// The field that holds the element.
    fn element_field(&self) -> &str;

    /// How the elements are joined again; `None` lets each go on as a record of its own.
    fn collect(&self) -> Option<&Collect>;
}

/// How the elements of a `for_each` become one field of the record again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collect {
    /// The field that becomes a list with an entry for each element that came through.
    pub into: String,
    /// What is taken of each element's record: its entry holds these fields, and `index`.
    pub fields: Vec<String>,
    /// With fewer entries than this the record is rejected.
    pub at_least: usize,
}
