//! The stages, one file each, and the table that lists them.
//!
//! Adding a stage: a new file here with its config struct, its running part, its example and its tests; a
//! `mod` line; a row in `STAGES`. `config` and the command line find it through the table.

mod cot_expand;
mod filter;
mod for_each;
mod generate;
mod ingest;
mod llm;
mod parse;
mod plan_questions;
mod prompt;
mod repeat;
mod sample_injections;
mod section;
mod set;
mod sink;
mod split;

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::pipeline::ProducedField;
use crate::stage::StageConfig;

/// Every stage type, in the order a pipeline usually has them.
pub static STAGES: &[StageType] = &[
    StageType::of::<ingest::Ingest>(),
    StageType::of::<generate::Generate>(),
    StageType::of::<section::Section>(),
    StageType::of::<plan_questions::PlanQuestions>(),
    StageType::of::<sample_injections::SampleInjections>(),
    StageType::of::<prompt::Prompt>(),
    StageType::of::<llm::Llm>(),
    StageType::of::<parse::Parse>(),
    StageType::of::<repeat::Repeat>(),
    StageType::of::<for_each::ForEach>(),
    StageType::of::<cot_expand::CotExpand>(),
    StageType::of::<set::Set>(),
    StageType::of::<filter::Filter>(),
    StageType::of::<split::Split>(),
    StageType::of::<sink::Sink>(),
];

/// What a stage file says of its stage; a row of `STAGES` is made of it.
pub trait StageDescription: StageConfig + DeserializeOwned + JsonSchema + 'static {
    /// The stage's name in pipelines: a verb for transforms, a noun for sources and sinks.
    const NAME: &'static str;
    /// Where it may stand.
    const ROLE: Role;
    /// Whether it may stand in a block. A gate may not: it decides about items as a whole.
    const IN_BLOCKS: bool = !matches!(Self::ROLE, Role::Source | Role::SourceTransform | Role::Sink);
    /// Raised when the same input gives other items, or in another order: an older run is then refused with that
    /// reason instead of being numbered differently. For stages of the source part.
    const VERSION: u32 = 1;
    /// One sentence: what it does to a record.
    const PURPOSE: &'static str;
    /// The fields it makes, of which its check tells.
    const MAKES: &'static [ProducedField] = &[];
    /// A pipeline that shows it and runs as it is, from the project's root, without a model server.
    const EXAMPLE: &'static str;
}

/// Where a stage may stand in a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// First: where records come from.
    Source,
    /// In the source part: deterministic and cheap, before items are numbered.
    SourceTransform,
    /// Anywhere after the source part.
    Transform,
    /// Asks a model.
    Ask,
    /// Reads a model's answer; joined with an `Ask` right before it.
    AnswerParser,
    /// Anywhere after the source part; holds stages of its own.
    Block,
    /// Writes records, and passes them on.
    Sink,
}

/// A body that does not have its stage's shape, with the path to the value.
pub type StageBodyError = serde_path_to_error::Error<serde_json::Error>;

/// A row of the table.
#[derive(Debug)]
pub struct StageType {
    /// The stage's name in pipelines.
    pub name: &'static str,
    /// Where it may stand.
    pub role: Role,
    /// Whether it may stand in a block.
    pub in_blocks: bool,
    /// Raised when the same input gives other items.
    pub version: u32,
    /// One sentence on what it does.
    pub purpose: &'static str,
    /// The fields it makes.
    pub makes: &'static [ProducedField],
    /// A pipeline that runs as it is.
    pub example: &'static str,
    schema: fn() -> Schema,
    declare: fn(Value) -> Result<Box<dyn StageConfig>, StageBodyError>,
}

impl StageType {
    pub(crate) const fn of<T: StageDescription>() -> Self {
        Self {
            name: T::NAME,
            role: T::ROLE,
            in_blocks: T::IN_BLOCKS,
            version: T::VERSION,
            purpose: T::PURPOSE,
            makes: T::MAKES,
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
    pub fn declare(&self, body: Value) -> Result<Box<dyn StageConfig>, StageBodyError> {
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

fn declare<T: StageDescription>(body: Value) -> Result<Box<dyn StageConfig>, StageBodyError> {
    let declared: T = serde_path_to_error::deserialize(body)?;
    Ok(Box::new(declared))
}

#[cfg(test)]
pub(crate) mod testing {
    //! What the stages' tests share: a part from a config, a record from JSON.

    use serde::de::DeserializeOwned;
    use serde_json::{Map, Value};

    use crate::draw::Draws;
    use crate::record::Record;
    use crate::stage::{BuildContext, Processor, StageConfig};

    pub(crate) fn build<T: StageConfig + DeserializeOwned>(config: Value) -> Processor {
        let declared: T = serde_json::from_value(config).unwrap();
        declared.build(&context()).unwrap()
    }

    pub(crate) fn context() -> BuildContext {
        BuildContext {
            vars: Map::new(),
            draws: Draws::new(42, "stage".into()),
            started: "2026-01-31_12-00-00".into(),
            items: Some(100_000),
            fields: Vec::new(),
        }
    }

    pub(crate) fn record(fields: Value) -> Record {
        let Value::Object(fields) = fields else { panic!("a record is an object") };
        Record::new(fields)
    }
}
