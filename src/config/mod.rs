//! The pipeline file: loaded with places, checked as a whole, resolved into a plan.
//!
//! `load` reads the text into a tree that knows where each value stands; `check` gathers every problem;
//! `plan` is what the engine runs. What the user wrote (`pipeline`) and what it means (`plan`) are two
//! types. Nothing here runs a stage.

mod check;
mod declared;
mod environment;
mod fingerprint;
mod head;
mod load;
mod names;
mod output_path;
mod overrides;
mod pipeline;
mod plan;
mod problem;
mod reference;
mod schema;
mod schema_words;
mod secrets;
mod shape;
mod stage_ids;
mod tree;
mod unread;
mod whole;

#[cfg(test)]
mod tests;

pub use check::CheckContext;
pub use names::nearest;
pub use overrides::Overrides;
pub use pipeline::{Durability, ErrorBudget, Limits, ModelConfig, Pipeline, Provider, StructuredOutput};
pub use plan::{LoadError, Plan, PlannedStage};
pub use problem::{Place, Problem, Problems};
pub use reference::{reference, stage_reference};
pub use schema::json_schema;
