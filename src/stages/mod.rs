//! The stages, one file each, and the table that lists them.
//!
//! Adding a stage: a new file here with its config struct, its running part, its example and its tests; a
//! `mod` line; a row in `STAGES`. `config` and the command line find it through the table.

pub mod plan_questions;

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::stage::Declare;

/// Every stage type, in the order a pipeline usually has them.
pub static STAGES: &[StageType] = &[StageType::of::<plan_questions::PlanQuestions>()];

/// What a stage file says of its stage; a row of `STAGES` is made of it.
pub trait Describe: Declare + DeserializeOwned + JsonSchema + 'static {
    /// The stage's name in pipelines: a verb for transforms, a noun for sources and sinks.
    const NAME: &'static str;
    /// Where it may stand.
    const ROLE: Role;
    /// One sentence: what it does to a record.
    const PURPOSE: &'static str;
    /// A pipeline that shows it and runs as it is, from the project's root, without a model server.
    const EXAMPLE: &'static str;
}

/// Where a stage may stand in a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// First: where records come from.
    Source,
    /// In the source part: deterministic and cheap, before items are numbered.
    Derive,
    /// Anywhere after the source part.
    Transform,
    /// Asks a model.
    Ask,
    /// Reads a model's answer; joined with an `Ask` right before it.
    Read,
    /// Writes records, and passes them on.
    Sink,
}

/// A row of the table.
#[derive(Debug)]
pub struct StageType {
    /// The stage's name in pipelines.
    pub name: &'static str,
    /// Where it may stand.
    pub role: Role,
    /// One sentence on what it does.
    pub purpose: &'static str,
    /// A pipeline that runs as it is.
    pub example: &'static str,
    schema: fn() -> Schema,
    declare: fn(Value) -> Result<Box<dyn Declare>, serde_path_to_error::Error<serde_json::Error>>,
}

impl StageType {
    const fn of<T: Describe>() -> Self {
        Self {
            name: T::NAME,
            role: T::ROLE,
            purpose: T::PURPOSE,
            example: T::EXAMPLE,
            schema: schema_of::<T>,
            declare: declare::<T>,
        }
    }

    /// The JSON schema of the stage's body, without `id` and `when`.
    #[must_use]
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }

    /// The stage's declaration from its body, without `id` and `when`.
    pub fn declare(
        &self,
        body: Value,
    ) -> Result<Box<dyn Declare>, serde_path_to_error::Error<serde_json::Error>> {
        (self.declare)(body)
    }
}

/// The stage type of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static StageType> {
    STAGES.iter().find(|stage| stage.name == name)
}

fn schema_of<T: JsonSchema>() -> Schema {
    // Inlined, so that a stage's schema stands alone and can be put into the pipeline's.
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<T>()
}

fn declare<T: Describe>(
    body: Value,
) -> Result<Box<dyn Declare>, serde_path_to_error::Error<serde_json::Error>> {
    let declared: T = serde_path_to_error::deserialize(body)?;
    Ok(Box::new(declared))
}
