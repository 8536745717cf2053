//! `sink`: writes records to a JSONL file of the run directory, as they finish, and passes them on.
//!
//! Decides only what a line holds; the engine hands the lines to the writer when the whole item has ended.
//! The formats are those that trainers read: OpenAI chat messages, ShareGPT, Alpaca, prompt and completion.

mod conversation;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::conversation::{Turn, turn};

use super::{Describe, Role};
use crate::config::CheckContext;
use crate::record::Record;
use crate::stage::{self, ArrayFile, BuildContext, BuildError, Declare, Part, StageError};

/// Writes records as JSON lines to a file of the run directory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sink {
    /// The file, relative to the run directory; ends in `.jsonl`.
    path: String,
    /// What a line holds.
    format: Format,
    /// Fields written beside what the format asks for; for `raw`, the only ones written, all by default.
    /// `id` is the record's id, unless it has a field of that name; `record_id` always is.
    #[serde(default)]
    fields: Vec<String>,
    /// What is written of the record's making, under `provenance`.
    #[serde(default)]
    provenance: Vec<Known>,
    /// A system message put before each conversation.
    #[serde(default)]
    system: Option<String>,
    /// The field that holds the user's turn. When neither `user` nor `assistant` is given, the record's
    /// `messages` are the conversation; without such a field, `question` and `answer` are.
    #[serde(default)]
    user: Option<String>,
    /// The field that holds the assistant's turn; `answer` when only `user` is given.
    #[serde(default)]
    assistant: Option<String>,
    /// A JSON array made of all lines when the run is complete; `{{ started }}` in its path is the time the
    /// run was begun, `YYYY-MM-DD_HH-MM-SS`.
    #[serde(default)]
    array: Option<Array>,
}

/// What a line of a sink holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// `{"messages": [{"role": ..., "content": ...}, ...]}`, as OpenAI's chat fine-tuning takes it; whatever else a
    /// message holds (`tool_calls`, `tool_call_id`, `name`, `weight`, parts, ...) goes with it.
    Messages,
    /// `{"conversations": [{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]}`; calls of tools are turns
    /// from `function_call`, results from `observation`.
    Sharegpt,
    /// `{"instruction": ..., "input": "", "output": ...}`; a conversation that is more than a question and its answer
    /// is rejected.
    Alpaca,
    /// `{"prompt": ..., "completion": ...}`, likewise.
    PromptCompletion,
    /// The record's fields.
    Raw,
}

/// Something known of a record's making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Known {
    /// The model that answered last, by its name in the pipeline and at its server, and its provider.
    Model,
    /// The hash of the last rendered prompt.
    PromptHash,
    /// The sampling parameters.
    Params,
    /// Tokens read and written.
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
    /// The file, relative to the run directory; ends in `.json`.
    path: String,
    /// The key of each line whose value is one element, such as `messages`; the whole line by default.
    #[serde(default)]
    element: Option<String>,
}

/// The fields of the two turns that are not named by options.
const USER: &str = "question";
const ASSISTANT: &str = "answer";

impl Describe for Sink {
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

impl Declare for Sink {
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
        {
            if !path.ends_with(".json") {
                context
                    .problem("/array/path", format!("`{path}` does not end in `.json`"))
                    .expected("a JSON file");
            }
            context.output("/array/path", &path);
        }
        let from_fields = self.user.is_some() || self.assistant.is_some();
        if self.format != Format::Raw && (from_fields || !context.knows("messages")) {
            needs_turn(context, "user", self.user.as_deref(), USER);
            needs_turn(context, "assistant", self.assistant.as_deref(), ASSISTANT);
        }
        for (index, field) in
            self.fields.iter().enumerate().filter(|(_, field)| !["id", "record_id"].contains(&field.as_str()))
        {
            context.needs(&format!("/fields/{index}"), field);
        }
    }

    fn build(&self, context: &BuildContext) -> Result<Part, BuildError> {
        let array = match &self.array {
            Some(array) => {
                Some(ArrayFile { path: context.render(&array.path)?, element: array.element.clone() })
            }
            None => None,
        };
        Ok(Part::Sink(Box::new(Lines {
            path: context.render(&self.path)?,
            format: self.format,
            fields: self.fields.clone(),
            provenance: self.provenance.clone(),
            system: self.system.clone(),
            takes_messages: self.user.is_none() && self.assistant.is_none(),
            user: self.user.clone().unwrap_or_else(|| USER.to_owned()),
            assistant: self.assistant.clone().unwrap_or_else(|| ASSISTANT.to_owned()),
            array,
        })))
    }
}

/// Reports a turn's field that no earlier stage makes; one that no option names, at the stage.
fn needs_turn(context: &mut CheckContext<'_>, option: &str, given: Option<&str>, default: &str) {
    match given {
        Some(field) => context.needs(&format!("/{option}"), field),
        None if context.knows(default) => {}
        None => {
            context
                .problem(
                    "",
                    format!("no earlier stage makes `{default}`, which is the {option}'s turn by default"),
                )
                .expected("a field that an earlier stage makes")
                .hint(format!("name the field that holds it: `{option}: FIELD`"));
        }
    }
}

struct Lines {
    path: String,
    format: Format,
    fields: Vec<String>,
    provenance: Vec<Known>,
    system: Option<String>,
    /// Whether a field `messages` is the conversation, where there is one.
    takes_messages: bool,
    user: String,
    assistant: String,
    array: Option<ArrayFile>,
}

impl stage::Sink for Lines {
    fn path(&self) -> &str {
        &self.path
    }

    fn line(&self, record: &Record) -> Result<Vec<u8>, StageError> {
        let mut line = match self.format {
            Format::Raw if self.fields.is_empty() => record.fields.clone(),
            Format::Raw => Map::new(),
            Format::Messages => conversation::messages(self.turns(record)?),
            Format::Sharegpt => conversation::sharegpt(self.turns(record)?)?,
            Format::Alpaca => conversation::pair(&self.turns(record)?, "alpaca", "instruction", "output")?,
            Format::PromptCompletion => {
                conversation::pair(&self.turns(record)?, "prompt_completion", "prompt", "completion")?
            }
        };
        for field in &self.fields {
            let value = match record.get(field) {
                _ if field == "record_id" => json!(record.id),
                Some(value) => value.clone(),
                None if field == "id" => json!(record.id),
                None => Value::Null,
            };
            line.insert(field.clone(), value);
        }
        if !self.provenance.is_empty() {
            line.insert("provenance".into(), Value::Object(self.known(record)));
        }
        serde_json::to_vec(&line).map_err(|error| StageError::new("json", error.to_string()))
    }

    fn array(&self) -> Option<&ArrayFile> {
        self.array.as_ref()
    }
}

impl Lines {
    fn turns(&self, record: &Record) -> Result<Vec<Turn>, StageError> {
        let mut turns: Vec<Turn> = self.system.iter().map(|system| turn("system", system)).collect();
        match record.fields.get("messages").filter(|_| self.takes_messages) {
            Some(messages) => turns.extend(conversation::turns(messages)?),
            None => {
                turns.push(turn("user", text(record, &self.user)?));
                turns.push(turn("assistant", text(record, &self.assistant)?));
            }
        }
        Ok(turns)
    }

    fn known(&self, record: &Record) -> Map<String, Value> {
        let call = record.provenance.calls.last();
        let mut known = Map::new();
        for kind in &self.provenance {
            match (kind, call) {
                (Known::Draws, _) => {
                    known.insert("draws".into(), Value::Object(record.provenance.draws.clone()));
                }
                (_, None) => {}
                (Known::Model, Some(call)) => {
                    known.insert("model".into(), json!(call.model));
                    known.insert("provider".into(), json!(call.provider));
                    if let Some(served_as) = &call.served_as {
                        known.insert("served_as".into(), json!(served_as));
                    }
                }
                (Known::PromptHash, Some(call)) => {
                    known.insert("prompt_hash".into(), json!(call.prompt_hash));
                }
                (Known::Params, Some(call)) => {
                    known.insert("params".into(), json!(call.params));
                }
                (Known::Tokens, Some(call)) => {
                    known.insert("prompt_tokens".into(), json!(call.prompt_tokens));
                    known.insert("completion_tokens".into(), json!(call.completion_tokens));
                    known.insert("estimated_tokens".into(), json!(call.estimated_tokens));
                }
                (Known::Answer, Some(call)) => {
                    known.insert("finish_reason".into(), json!(call.finish_reason));
                    known.insert("re_asks".into(), json!(call.re_asks));
                    known.insert("fallback".into(), json!(call.fallback));
                }
            }
        }
        known
    }
}

fn text<'a>(record: &'a Record, field: &str) -> Result<&'a str, StageError> {
    record.text(field).ok_or_else(|| StageError::new("fields", format!("field `{field}` is not a text")))
}

#[cfg(test)]
mod tests;
