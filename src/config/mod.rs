//! The pipeline file: loaded with places, checked as a whole, resolved into a plan.
//!
//! `load` is the way from text to plan: `tree` keeps where each value stands, `environment` and `overrides`
//! put values in, `head` and `declared` hold the parts against their schemas (`shape`), `whole` walks the
//! stages with one `check` context. `problem` prints everything that is wrong at once; `plan` is what the
//! engine runs. What the user wrote (`pipeline`) and what it means (`plan`) are two types. Nothing here runs
//! a stage.

mod batch;
mod check;
mod concurrency;
mod count;
mod declared;
mod diagnostics;
mod environment;
mod field_type;
mod fingerprint;
mod head;
mod input;
mod load;
mod mock;
mod mock_check;
mod model;
mod names;
mod order;
mod output_path;
mod overrides;
mod params;
mod pipeline;
mod pipeline_reference;
mod plan;
mod problem;
mod reference;
mod schema;
mod schema_type;
mod schema_words;
mod secrets;
mod shape;
mod stage_ids;
mod tree;
mod unread;
mod whole;

#[cfg(test)]
mod tests;

pub use batch::{BatchConfig, Mode};
pub use check::CheckContext;
pub use concurrency::Concurrency;
pub use count::Count;
pub(crate) use environment::expand_secret;
pub use field_type::{FieldType, Inside};
pub(crate) use fingerprint::without_weather;
pub use input::Input;
pub use mock::{Delay, DrawnDelay, Fault, MockConfig, MockLimit, MockRule, MockUsage};
pub use model::{Api, Limits, ModelConfig, Prices, Provider, StructuredOutput};
pub use names::nearest;
pub use overrides::{Overrides, name_in};
pub use pipeline::{Budget, Durability, ErrorBudget, Pipeline};
pub use pipeline_reference::pipeline_reference;
pub use plan::{LoadError, Plan, PlannedStage, text_of};
pub use problem::{Place, Problem, Problems};
pub use reference::{reference, stage_reference};
pub use schema::json_schema;
pub(crate) use schema_type::{is_closed, leads_somewhere};
pub(crate) use secrets::{SHORTEST_SECRET, secrets_of_url};
