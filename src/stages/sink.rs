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
    /// The path of the file, relative to the run directory; it ends in `.jsonl`.
    path: String,
    /// The format of a line.
    format: Format,
    /// Fields that are written in addition to the format's columns, null if a record does not have them; for `raw`,
    /// the only fields written. Without `fields`, `raw` writes all: first those known before the run, in every line
    /// and in the same order, then the others that a record has. `id` is the record's id unless the record has a
    /// field of that name; `record_id` always is.
    #[serde(default)]
    fields: Vec<String>,
    /// Which parts of the record's provenance are written, under `provenance`. Every line has every key; what is
    /// unknown is an empty text or zero.
    #[serde(default)]
    provenance: Vec<ProvenancePart>,
    /// New names for the format's columns, such as `{prompt: question}` to write the column `prompt` as `question`.
    #[serde(default)]
    columns: BTreeMap<String, String>,
    /// The types of `fields`. A record with a value of another type is rejected, so that readers which infer a
    /// column's type from the first rows can read all of them. Null is allowed for every type.
    #[serde(default)]
    types: BTreeMap<String, ColumnType>,
    /// A system message at the start of each conversation or prompt; if there is one already, this text is put before
    /// it. May name `vars`.
    #[serde(default)]
    system: Option<String>,
    /// The field that holds the user's turn. If neither `user` nor `assistant` is given, the conversation is the
    /// record's `messages`, or `question` and `answer` if it has no such field.
    #[serde(default)]
    user: Option<String>,
    /// The field that holds the assistant's turn; `answer` if only `user` is given.
    #[serde(default)]
    assistant: Option<String>,
    /// The field of the prompt: a text, or a list of messages that ends with the user's. This option and those after
    /// it, up to `split`, take a field name or dotted path, default to their own name, and are allowed only with the
    /// formats that read them: `prompt` with all formats that have a separate prompt.
    #[serde(default)]
    prompt: Option<String>,
    /// The field of the better answer, for preferences: a text, a list of messages, or an object with its text in
    /// `answer`, `text`, `completion`, `content` or `messages`.
    #[serde(default)]
    chosen: Option<String>,
    /// The field of the worse answer, as for `chosen`. A record whose answers are equal is rejected.
    #[serde(default)]
    rejected: Option<String>,
    /// The field of the better answer's score, for `ultrafeedback_binarized`; by default `score_chosen`, or `score`
    /// in the object of the answer.
    #[serde(default)]
    score_chosen: Option<String>,
    /// The field of the worse answer's score, as for `score_chosen`.
    #[serde(default)]
    score_rejected: Option<String>,
    /// The field of the answer, for `kto`.
    #[serde(default)]
    completion: Option<String>,
    /// The field that says whether the answer is desirable, `true` or `false`, for `kto`.
    #[serde(default)]
    label: Option<String>,
    /// The field of a solution's steps, for `stepwise` and `prm800k`: a list of texts, or of objects with a `text`.
    #[serde(default)]
    completions: Option<String>,
    /// The field of the steps' labels: `true` or `false`, or 1, 0 and -1.
    #[serde(default)]
    labels: Option<String>,
    /// The field of the text, for `text` and `weak_to_strong`.
    #[serde(default)]
    text: Option<String>,
    /// The field of the probability of each class, for `weak_to_strong`: a list, or an object whose values are used
    /// in order.
    #[serde(default)]
    probabilities: Option<String>,
    /// The field of the reference answer, for `verl`, `nemo_gym`, `verifiers` and `prm800k`; numbers are converted to
    /// texts.
    #[serde(default)]
    answer: Option<String>,
    /// The field with further information for a check, for `verifiers`: any value, written as JSON text.
    #[serde(default)]
    info: Option<String>,
    /// The field with the name of the row's split, for `verl`; null if a record has none.
    #[serde(default)]
    split: Option<String>,
    /// How `prompt_only`, `preference`, `preference_implicit` and `kto` represent prompts and answers.
    #[serde(default)]
    turns: Option<TurnForm>,
    /// What the label 0 of a step is converted to in `stepwise`; without it, records with such a label are rejected.
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
    /// A JSON array of all lines, written when the run is complete; `{{ started }}` in its path is the time at which
    /// the run began, `YYYY-MM-DD_HH-MM-SS`.
    #[serde(default)]
    array: Option<Array>,
}

/// A part of a record's provenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ProvenancePart {
    /// The model that answered last: its name in the pipeline, its name at the server, and its provider.
    Model,
    /// The hash of the last rendered prompt.
    PromptHash,
    /// The sampling parameters.
    Params,
    /// Input and output tokens, with the numbers of those that were cached by the server or are estimates.
    Tokens,
    /// The finish reason, the number of re-asks, and the reason if the heuristic answered.
    Answer,
    /// The random draws.
    Draws,
}

/// A file made of all lines at the end of a run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Array {
    /// The path of the file, relative to the run directory; it ends in `.json`. If it renders to an empty text, no
    /// file is written.
    path: String,
    /// The key of the lines whose value becomes an element, such as `messages`; by default the whole line.
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
        "Writes records to a JSONL file in the run directory as they finish, and passes them on.";
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
            system: render(&self.system)?,
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
