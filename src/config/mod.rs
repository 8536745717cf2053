//! The pipeline file: loaded with places, checked as a whole, resolved into a plan.
//!
//! `load` is the way from text to plan: `overrides` puts values in, `head` and `declared` hold the parts against
//! their schemas, `whole` walks the stages with one check context; `plan` is what the engine runs. What the user
//! wrote (`pipeline::Pipeline`) and what it means (`Plan`) are two types. Nothing here runs a stage.

mod declared;
mod diagnostics;
mod fingerprint;
mod head;
mod load;
mod order;
mod overrides;
mod pipeline_reference;
mod plan;
mod reference;
mod schema;
mod whole;

#[cfg(test)]
mod tests;

pub(crate) use fingerprint::without_weather;
pub use overrides::{Overrides, name_in};
pub use pipeline_reference::pipeline_reference;
pub use plan::{LoadError, Plan, PlannedStage, text_of};
pub use reference::{reference, stage_reference};
pub use schema::json_schema;
