//! `sink`: writes records to a JSONL file of the run directory, as they finish, and passes them on.
//!
//! Formats lines only; the engine hands them to the writer when the whole item has ended. The formats that trainers
//! read are in `stages/formats`; this file has the options, `check` what is wrong with them, `line_formatter` the
//! running part.

mod check;
mod column_type;
mod line;
mod line_formatter;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use self::column_type::ColumnType;
use self::line_formatter::LineFormatter;
use super::{Role, StageDescription};
use crate::formats::{Format, FormatSettings, TurnForm};
use crate::journal::ArrayFile;
use crate::pipeline::CheckContext;
use crate::stage::{BuildContext, BuildError, Processor, StageConfig};

/// Writes records as JSON lines to a file of the run directory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sink {
    /// The file, relative to the run directory; ends in `.jsonl`.
    path: String,
    /// What a line holds.
    format: Format,
    /// Fields written beside what the format asks for, null where a record has none; for `raw`, the only ones
    /// written. Without them `raw` writes all: first those that are known before the run, in every line and in the
    /// same order, then what else a record has. `id` is the record's id, unless it has a field of that name;
    /// `record_id` always is.
    #[serde(default)]
    fields: Vec<String>,
    /// What is written of the record's making, under `provenance`: every key in every line, empty texts and zeros where
    /// there is nothing to tell.
    #[serde(default)]
    provenance: Vec<ProvenancePart>,
    /// Own names of the format's columns, by the format's: `{prompt: question}`.
    #[serde(default)]
    columns: BTreeMap<String, String>,
    /// The types of `fields`: a record whose value is of another type is rejected, so that readers who infer a
    /// column's type from the first rows can read all of them. Null is of every type.
    #[serde(default)]
    types: BTreeMap<String, ColumnType>,
    /// A system message put before each conversation or prompt; before the text of the one that it begins with, if any.
    #[serde(default)]
    system: Option<String>,
    /// The field that holds the user's turn. When neither `user` nor `assistant` is given, the record's
    /// `messages` are the conversation; without such a field, `question` and `answer` are.
    #[serde(default)]
    user: Option<String>,
    /// The field that holds the assistant's turn; `answer` when only `user` is given.
    #[serde(default)]
    assistant: Option<String>,
    /// The field of the prompt: a text, or a list of messages whose last is the user's. Like the options after it up to
    /// `split` a name or dotted path, by default the name of the option, and only for the formats that read it:
    /// `prompt` is for all that have a prompt of their own.
    #[serde(default)]
    prompt: Option<String>,
    /// The field of the better answer, for preferences: a text, a list of messages, or a candidate, an object with its
    /// text in `answer`, `text`, `completion`, `content` or `messages`.
    #[serde(default)]
    chosen: Option<String>,
    /// The field of the worse answer, likewise. A record whose answers are equal is rejected.
    #[serde(default)]
    rejected: Option<String>,
    /// The score of the better answer, for `ultrafeedback_binarized`; by default the field `score_chosen`, or `score` in
    /// the candidate.
    #[serde(default)]
    score_chosen: Option<String>,
    /// The score of the worse answer, likewise.
    #[serde(default)]
    score_rejected: Option<String>,
    /// The field of the answer, for `kto`.
    #[serde(default)]
    completion: Option<String>,
    /// Whether the answer is wanted, `true` or `false`, for `kto`.
    #[serde(default)]
    label: Option<String>,
    /// The steps of a solution, for `stepwise` and `prm800k`: a list of texts, or of objects with a `text`.
    #[serde(default)]
    completions: Option<String>,
    /// A label for each step: `true` or `false`, or 1, 0 and -1.
    #[serde(default)]
    labels: Option<String>,
    /// The field of the text, for `text` and `weak_to_strong`.
    #[serde(default)]
    text: Option<String>,
    /// The probability of each class, for `weak_to_strong`: a list, or an object whose values are taken in order.
    #[serde(default)]
    probabilities: Option<String>,
    /// What answers are checked against, for `verl`, `nemo_gym`, `verifiers` and `prm800k`; numbers become texts.
    #[serde(default)]
    answer: Option<String>,
    /// What else a check needs, for `verifiers`: any value, which is written as JSON text.
    #[serde(default)]
    info: Option<String>,
    /// The split that a row is of, for `verl`; null where a record has none.
    #[serde(default)]
    split: Option<String>,
    /// How `prompt_only`, `preference`, `preference_implicit` and `kto` write prompts and answers.
    #[serde(default)]
    turns: Option<TurnForm>,
    /// What the label 0 of a step counts as in `stepwise`; without it a record that has one is rejected.
    #[serde(default)]
    neutral: Option<bool>,
    /// The name of the data set, by which `verl` chooses a reward function; may name `vars`.
    #[serde(default)]
    data_source: Option<String>,
    /// The kind of task, such as `math`, for `verl`; may name `vars`.
    #[serde(default)]
    ability: Option<String>,
    /// The name of the agent that solves the tasks, for `nemo_gym`; may name `vars`.
    #[serde(default)]
    agent: Option<String>,
    /// A JSON array made of all lines when the run is complete; `{{ started }}` in its path is the time the
    /// run was begun, `YYYY-MM-DD_HH-MM-SS`.
    #[serde(default)]
    array: Option<Array>,
}

/// Something known of a record's making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ProvenancePart {
    /// The model that answered last, by its name in the pipeline and at its server, and its provider.
    Model,
    /// The hash of the last rendered prompt.
    PromptHash,
    /// The sampling parameters.
    Params,
    /// Tokens read and written, and those of them that were in a server's cache or are estimates.
    Tokens,
    /// Why the model stopped, how often it was asked again, and why the heuristic answered if it did.
    Answer,
    /// What was drawn at random.
    Draws,
}

/// A file made of all lines at the end of a run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Array {
    /// The file, relative to the run directory; ends in `.json`. A path that renders to nothing makes none.
    path: String,
    /// The key of each line whose value is one element, such as `messages`; the whole line by default.
    #[serde(default)]
    element: Option<String>,
}

/// The field of the conversation, and that of its tools.
const MESSAGES: &str = "messages";
const TOOLS: &str = "tools";
/// The fields of the two turns if no option names them.
const USER: &str = "question";
const ASSISTANT: &str = "answer";

impl StageDescription for Sink {
    const NAME: &'static str = "sink";
    const ROLE: Role = Role::Sink;
    const PURPOSE: &'static str =
        "Writes records to a JSONL file of the run directory as they finish, and passes them on.";
    const EXAMPLE: &'static str = r#"name: sink-example
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - sink:
      path: sections.jsonl
      format: raw
      fields: [id, source, section]
      array: {path: "sections-{{ started }}.json", element: section}
"#;
}

impl StageConfig for Sink {
    fn check(&self, context: &mut CheckContext<'_>) {
        if let Some(path) = context.render("/path", &self.path) {
            if !path.ends_with(".jsonl") {
                context
                    .problem("/path", format!("`{path}` does not end in `.jsonl`"))
                    .expected("a file of JSON lines");
            }
            context.output("/path", &path);
        }
        if let Some(array) = &self.array
            && let Some(path) = context.render("/array/path", &array.path)
            && !path.is_empty()
        {
            if !path.ends_with(".json") {
                context
                    .problem("/array/path", format!("`{path}` does not end in `.json`"))
                    .expected("a JSON file");
            }
            context.output("/array/path", &path);
        }
        self.check_format(context);
        self.check_columns(context);
        self.check_element(context);
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let array = match &self.array {
            Some(array) => {
                let path = context.render(&array.path)?;
                Some(ArrayFile { path, element: array.element.clone() })
                    .filter(|array| !array.path.is_empty())
            }
            None => None,
        };
        Ok(Processor::Sink(Box::new(LineFormatter {
            path: context.render(&self.path)?,
            format: self.format,
            settings: self.settings(context)?,
            names: self.columns.clone(),
            types: self.types.clone(),
            fields: self.fields.clone(),
            provenance: self.provenance.clone(),
            takes_messages: self.takes_messages(),
            columns: self.known_columns(&context.fields),
            user: self.user.clone().unwrap_or_else(|| USER.to_owned()),
            assistant: self.assistant.clone().unwrap_or_else(|| ASSISTANT.to_owned()),
            array,
        })))
    }
}

impl Sink {
    /// The options that name the field of a part, each with its part.
    fn part_options(&self) -> [(&'static str, Option<&str>); 14] {
        [
            ("prompt", self.prompt.as_deref()),
            ("chosen", self.chosen.as_deref()),
            ("rejected", self.rejected.as_deref()),
            ("score_chosen", self.score_chosen.as_deref()),
            ("score_rejected", self.score_rejected.as_deref()),
            ("completion", self.completion.as_deref()),
            ("label", self.label.as_deref()),
            ("completions", self.completions.as_deref()),
            ("labels", self.labels.as_deref()),
            ("text", self.text.as_deref()),
            ("probabilities", self.probabilities.as_deref()),
            ("answer", self.answer.as_deref()),
            ("info", self.info.as_deref()),
            ("split", self.split.as_deref()),
        ]
    }

    fn settings(&self, context: &BuildContext) -> Result<FormatSettings, BuildError> {
        let named = self.part_options().into_iter();
        let render = |text: &Option<String>| text.as_deref().map(|text| context.render(text)).transpose();
        Ok(FormatSettings {
            fields: named.filter_map(|(part, field)| Some((part, field?.to_owned()))).collect(),
            system: self.system.clone(),
            turns: self.turns.unwrap_or_default(),
            neutral: self.neutral,
            data_source: render(&self.data_source)?.unwrap_or_default(),
            ability: render(&self.ability)?.unwrap_or_default(),
            agent: render(&self.agent)?,
        })
    }

    /// The fields that every line has because they are known: all of them for `raw` without `fields`, the tools
    /// for a conversation.
    fn known_columns(&self, known: &[String]) -> Vec<String> {
        let every = self.format == Format::Raw && self.fields.is_empty();
        let tools = matches!(self.format, Format::Messages | Format::Sharegpt) && self.takes_messages();
        let own = |name: &&String| every || tools && *name == TOOLS && !self.fields.contains(name);
        known.iter().filter(own).cloned().collect()
    }

    /// Whether the field `messages` is the conversation, if it exists.
    fn takes_messages(&self) -> bool {
        self.user.is_none() && self.assistant.is_none()
    }

    /// The name of a column of the format in the file.
    fn name_of<'a>(&'a self, column: &'a str) -> &'a str {
        self.columns.get(column).map_or(column, String::as_str)
    }
}

#[cfg(test)]
mod tests;
