//! The pipeline file: loaded with places, checked as a whole, resolved into a plan.
//!
//! `load` reads the text into a tree that knows where each value stands; `check` gathers every problem;
//! `plan` is what the engine runs. What the user wrote (`pipeline`) and what it means (`plan`) are two
//! types. Nothing here runs a stage.

mod check;
mod pipeline;
mod plan;
mod problem;

pub use check::CheckContext;
pub use pipeline::{Durability, ErrorBudget, Limits, ModelConfig, Pipeline, Provider, StructuredOutput};
pub use plan::{Plan, PlannedStage};
pub use problem::{Problem, Problems};
