//! Stages for the loader's tests: one of each role, with the kinds of fields that real ones have.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::CheckContext;
use crate::stage::{BuildContext, BuildError, Processor, StageConfig};
use crate::stages::{Role, StageDescription, StageType};

pub(super) static TABLE: &[StageType] = &[
    StageType::of::<Rows>(),
    StageType::of::<Cut>(),
    StageType::of::<Write>(),
    StageType::of::<AskStage>(),
    StageType::of::<Answer>(),
    StageType::of::<ShareMap>(),
    StageType::of::<Out>(),
];

/// Rows of a file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rows {
    /// The file.
    path: String,
    /// Rows at most.
    #[serde(default)]
    limit: Option<u32>,
    /// Whether rows may have any fields.
    #[serde(default)]
    open: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Cut {
    #[serde(default)]
    sizes: Sizes,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
struct Sizes {
    /// Characters at least.
    smallest: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Write {
    /// What is written.
    template: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AskStage {
    model: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Step {
    /// Ask again.
    Retry(#[expect(dead_code, reason = "only its shape matters")] u32),
    /// Give up.
    Reject,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(default)]
    #[expect(dead_code, reason = "only its shape matters")]
    on_error: Vec<Step>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShareMap {
    /// The share of each part.
    ratios: BTreeMap<String, f64>,
}

/// How a line looks.
#[derive(Deserialize, Serialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
enum LineFormat {
    /// Chat messages.
    #[default]
    Messages,
    /// Plain lines.
    Lines,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Out {
    /// The file, in the run directory.
    path: String,
    #[serde(default)]
    #[expect(dead_code, reason = "only its shape matters")]
    format: LineFormat,
    #[serde(default)]
    #[expect(dead_code, reason = "only its shape matters")]
    fallback: Option<LineFormat>,
}

impl StageConfig for Rows {
    fn check(&self, context: &mut CheckContext<'_>) {
        context.render("/path", &self.path);
        if self.limit == Some(0) {
            context.problem("/limit", "no rows").expected("1 or more");
        }
        context.makes(&["text", "source.path"]);
        if self.open {
            context.may_have_other_fields();
        }
    }
    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        Err(BuildError::Other(String::new()))
    }
}

impl StageConfig for Cut {
    fn check(&self, context: &mut CheckContext<'_>) {
        context.needs("", "text");
        context.removes(&["text"]);
        context.makes(&["section.title", "section.facts"]);
        if self.sizes.smallest > 100 {
            context.problem("/sizes/smallest", "too large");
        }
    }
    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        Err(BuildError::Other(String::new()))
    }
}

impl StageConfig for Write {
    fn check(&self, context: &mut CheckContext<'_>) {
        context.template("/template", &self.template);
        context.makes(&["prompt"]);
    }
    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        Err(BuildError::Other(String::new()))
    }
}

impl StageConfig for AskStage {
    fn check(&self, context: &mut CheckContext<'_>) {
        context.model("/model", &self.model);
        context.makes(&["completion"]);
    }
    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        Err(BuildError::Other(String::new()))
    }
}

impl StageConfig for Answer {
    fn check(&self, context: &mut CheckContext<'_>) {
        context.makes(&["question", "answer"]);
    }
    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        Err(BuildError::Other(String::new()))
    }
}

impl StageConfig for ShareMap {
    fn check(&self, context: &mut CheckContext<'_>) {
        for (name, _) in self.ratios.iter().filter(|(_, ratio)| **ratio <= 0.0) {
            context.problem(&format!("/ratios/{name}"), "not positive").expected("more than 0");
        }
        context.makes(&["part"]);
    }
    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        Err(BuildError::Other(String::new()))
    }
}

impl StageConfig for Out {
    fn check(&self, context: &mut CheckContext<'_>) {
        if let Some(path) = context.render("/path", &self.path) {
            context.output("/path", &path);
        }
    }
    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        Err(BuildError::Other(String::new()))
    }
}

impl StageDescription for Rows {
    const NAME: &'static str = "rows";
    const ROLE: Role = Role::Source;
    const PURPOSE: &'static str = "Reads rows.";
    const EXAMPLE: &'static str = "rows";
}

impl StageDescription for Cut {
    const NAME: &'static str = "cut";
    const ROLE: Role = Role::SourceTransform;
    const PURPOSE: &'static str = "Cuts texts.";
    const EXAMPLE: &'static str = "cut";
}

impl StageDescription for Write {
    const NAME: &'static str = "write";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str = "Writes a prompt.";
    const EXAMPLE: &'static str = "write";
}

impl StageDescription for AskStage {
    const NAME: &'static str = "ask";
    const ROLE: Role = Role::Ask;
    const PURPOSE: &'static str = "Asks.";
    const EXAMPLE: &'static str = "ask";
}

impl StageDescription for Answer {
    const NAME: &'static str = "answer";
    const ROLE: Role = Role::AnswerParser;
    const PURPOSE: &'static str = "Reads an answer.";
    const EXAMPLE: &'static str = "answer";
}

impl StageDescription for ShareMap {
    const NAME: &'static str = "part";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str = "Parts records.";
    const EXAMPLE: &'static str = "part";
}

impl StageDescription for Out {
    const NAME: &'static str = "out";
    const ROLE: Role = Role::Sink;
    const PURPOSE: &'static str = "Writes a file.";
    const EXAMPLE: &'static str = "out";
}
