//! What is generated from the schemas: the references of the pipeline file and of its stages, and the JSON schema for
//! editors.

mod json_schema;
mod pipeline;
mod stages;

pub use self::json_schema::json_schema;
#[cfg(test)]
pub(super) use self::json_schema::schema_of;
pub use self::pipeline::pipeline_reference;
pub use self::stages::{reference, stage_reference};
