//! The stages, one file each, and the table of all stage types.
//!
//! To add a stage, add a file with its options, its processor, its example and its tests; a `mod` line; and a row
//! in `STAGES`. `config` and the command line find it through the table.

mod add_message;
mod check_answer;
mod choose;
mod classify;
mod cot_expand;
mod exec;
mod few_shot;
mod filter;
mod for_each;
mod generate;
mod ingest;
mod judge;
mod llm;
mod parse;
mod plan_questions;
mod prompt;
mod repeat;
mod run_tests;
mod sample_injections;
mod section;
mod set;
mod sink;
mod split;
mod split_text;

pub(crate) use classify::Classification;
pub(crate) use judge::{JudgedQuestion, Judgement, PreferenceOutcome, RatingOutcome};

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
    StageType::of::<few_shot::FewShot>(),
    StageType::of::<prompt::Prompt>(),
    StageType::of::<add_message::AddMessage>(),
    StageType::of::<llm::Llm>(),
    StageType::of::<parse::Parse>(),
    StageType::of::<repeat::Repeat>(),
    StageType::of::<for_each::ForEach>(),
    StageType::of::<judge::Judge>(),
    StageType::of::<check_answer::CheckAnswer>(),
    StageType::of::<choose::Choose>(),
    StageType::of::<exec::Exec>(),
    StageType::of::<run_tests::RunTests>(),
    StageType::of::<split_text::SplitText>(),
    StageType::of::<classify::Classify>(),
    StageType::of::<cot_expand::CotExpand>(),
    StageType::of::<set::Set>(),
    StageType::of::<filter::Filter>(),
    StageType::of::<split::Split>(),
    StageType::of::<sink::Sink>(),
];

/// What a stage file declares about its stage; `StageType::of` makes a row of `STAGES` from it.
pub trait StageDescription: StageConfig + DeserializeOwned + JsonSchema + 'static {
    /// The stage's name in pipelines: a verb for transforms, a noun for sources and sinks.
    const NAME: &'static str;
    /// Where in a pipeline it is allowed.
    const ROLE: Role;
    /// Whether it is allowed in a block. A gate is not: it decides about whole items.
    const IN_BLOCKS: bool = !matches!(Self::ROLE, Role::Source | Role::SourceTransform | Role::Sink);
    /// Raised when the same input produces other items, or in another order: an older run is then refused with
    /// that reason instead of being numbered differently. For stages of the source part.
    const VERSION: u32 = 1;
    /// One sentence: what it does to a record.
    const PURPOSE: &'static str;
    /// The fields it makes, as its check declares them.
    const MAKES: &'static [ProducedField] = &[];
    /// An example pipeline that runs as it is, from the project's root, without a model server.
    const EXAMPLE: &'static str;
}

/// The role of a stage, which decides where in a pipeline it is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Produces records; the first stage.
    Source,
    /// Transforms records in the source part, before items are numbered; deterministic and cheap.
    SourceTransform,
    /// Transforms records anywhere after the source part.
    Transform,
    /// Asks a model.
    Ask,
    /// Parses a model's answer; joined with the `Ask` right before it.
    AnswerParser,
    /// Contains stages; anywhere after the source part.
    Block,
    /// Writes records and passes them on.
    Sink,
}

/// A stage body that does not match the stage's options, with the path to the value.
pub type StageBodyError = serde_path_to_error::Error<serde_json::Error>;

/// A row of the table.
#[derive(Debug)]
pub struct StageType {
    /// The stage's name in pipelines.
    pub name: &'static str,
    /// Where in a pipeline it is allowed.
    pub role: Role,
    /// Whether it is allowed in a block.
    pub in_blocks: bool,
    /// Raised when the same input produces other items.
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

    /// Deserializes the stage's configuration from its body, without `id` and `when`.
    pub fn declare(&self, body: Value) -> Result<Box<dyn StageConfig>, StageBodyError> {
        (self.declare)(body)
    }
}

/// Finds a stage type by name.
#[must_use]
pub fn find(name: &str) -> Option<&'static StageType> {
    STAGES.iter().find(|stage| stage.name == name)
}

fn schema_of<T: JsonSchema>() -> Schema {
    // Inlined, so that a stage's schema is self-contained and can be embedded in the pipeline's.
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
    //! Helpers for the stages' tests: build a processor from options, make a record from JSON.

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
