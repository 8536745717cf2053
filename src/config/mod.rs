//! The pipeline file: loaded with source locations, checked as a whole, resolved into a plan.
//!
//! `load` turns the text into a plan: it applies overrides, then has `check` validate each part against its schema and
//! the stages against one another. `plan` holds the result, which the engine runs; `reference` documents the format.
//! What the user wrote (`pipeline::Pipeline`) and what it means (`Plan`) are two types. Nothing here runs a stage.

mod check;
mod load;
mod plan;
mod reference;

#[cfg(test)]
mod tests;

pub use load::{Overrides, pipeline_name, read_tests};
pub(crate) use plan::without_transient_faults;
pub use plan::{LoadError, Plan, PlannedStage, read_pipeline_file};
pub use reference::{json_schema, pipeline_reference, reference, stage_reference};
