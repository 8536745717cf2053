//! `sink`: writes records to a JSONL file of the run directory, as they finish, and passes them on.
//!
//! Formats lines only; the engine hands them to the writer when the whole item has ended. The formats are those
//! that trainers read: OpenAI chat messages, ShareGPT, Alpaca, prompt and completion.

mod conversation;
mod line;

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use self::conversation::{ConversationTurn, turn};
use self::line::{Line, LineValue};

use super::{Role, StageDescription};
use crate::journal::ArrayFile;
use crate::pipeline::{CheckContext, FieldType};
use crate::record::{ModelCall, Record};
use crate::stage::{self, BuildContext, BuildError, Processor, StageConfig, StageError};

/// The initial capacity of a line.
const LINE: usize = 1024;

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
    /// A system message put before each conversation; before the text of the one that it begins with, if any.
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

/// What a line has where a record has no such field.
const NULL: LineValue<'static> = LineValue::Made(Value::Null);
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
        self.check_conversation(context);
        let own = self.format.keys();
        for (index, field) in self.fields.iter().enumerate() {
            let at = format!("/fields/{index}");
            if own.contains(&field.as_str()) && !(field == "messages" && self.takes_messages()) {
                let message =
                    format!("the format writes a `{field}` of its own, which the field would replace");
                context.problem(&at, message).expected("a field of another name");
            } else if !["id", "record_id"].contains(&field.as_str()) {
                context.needs(&at, field);
            }
        }
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
            fields: self.fields.clone(),
            provenance: self.provenance.clone(),
            system: self.system.clone(),
            takes_messages: self.takes_messages(),
            columns: self.columns(&context.fields),
            user: self.user.clone().unwrap_or_else(|| USER.to_owned()),
            assistant: self.assistant.clone().unwrap_or_else(|| ASSISTANT.to_owned()),
            array,
        })))
    }
}

impl Format {
    /// The keys that it adds to each line.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Messages => &["messages"],
            Self::Sharegpt => &["conversations"],
            Self::Alpaca => &["instruction", "input", "output"],
            Self::PromptCompletion => &["prompt", "completion"],
            Self::Raw => &[],
        }
    }
}

impl Sink {
    /// The fields that every line has because they are known: all of them for `raw` without `fields`, the tools
    /// for a conversation.
    fn columns(&self, known: &[String]) -> Vec<String> {
        let every = self.format == Format::Raw && self.fields.is_empty();
        let tools = matches!(self.format, Format::Messages | Format::Sharegpt) && self.takes_messages();
        let own = |name: &&String| every || tools && *name == TOOLS && !self.fields.contains(name);
        known.iter().filter(own).cloned().collect()
    }

    /// Whether the field `messages` is the conversation, if it exists.
    fn takes_messages(&self) -> bool {
        self.user.is_none() && self.assistant.is_none()
    }

    /// Checks that the fields of the conversation exist and can be one.
    fn check_conversation(&self, context: &mut CheckContext<'_>) {
        if self.format == Format::Raw {
            return;
        }
        if !self.takes_messages() || !context.knows(MESSAGES) {
            needs_turn(context, "user", self.user.as_deref(), USER);
            needs_turn(context, "assistant", self.assistant.as_deref(), ASSISTANT);
            return;
        }
        let kind = context.type_of(MESSAGES);
        if context.has(MESSAGES) && !kind.could_be(&FieldType::messages()) {
            context
                .problem("", format!("`{MESSAGES}`, which is the conversation by default, is {kind}"))
                .expected("a list of messages, each with `role` and `content`")
                .hint("name the fields that hold the turns: `user: FIELD`, `assistant: FIELD`");
        }
    }

    /// Checks that lines have the key from which an array is made.
    fn check_element(&self, context: &mut CheckContext<'_>) {
        let Some(element) = self.array.as_ref().and_then(|array| array.element.as_deref()) else { return };
        let written = |name: &&str| !name.is_empty();
        let provenance = if self.provenance.is_empty() { "" } else { "provenance" };
        let own = self.format.keys().iter().copied().chain(self.fields.iter().map(String::as_str));
        let mut known: Vec<&str> = own.chain([provenance]).filter(written).collect();
        known.dedup();
        let every = self.format == Format::Raw && self.fields.is_empty();
        if every && provenance != element {
            context.needs("/array/element", element);
        } else if !every && !known.contains(&element) && element != TOOLS {
            let problem = context.problem("/array/element", format!("lines have no key `{element}`"));
            problem.expected(format!("one of `{}`", known.join("`, `")));
        }
    }
}

/// Reports a turn's field that no earlier stage makes, or that cannot be a text; if no option names it, at the
/// stage.
fn needs_turn(context: &mut CheckContext<'_>, option: &str, given: Option<&str>, default: &str) {
    let Some(field) = given else {
        let kind = context.type_of(default);
        let message = match context.knows(default) {
            true if kind.could_be(&FieldType::text()) => return,
            true => format!("`{default}`, which is the {option}'s turn by default, is {kind}"),
            false => format!("no earlier stage makes `{default}`, which is the {option}'s turn by default"),
        };
        let expected = if context.knows(default) { "a text" } else { "a field that an earlier stage makes" };
        let hint = format!("name the field that holds it: `{option}: FIELD`");
        context.problem("", message).expected(expected).hint(hint);
        return;
    };
    context.needs_type(&format!("/{option}"), field, &FieldType::text());
}

struct LineFormatter {
    path: String,
    format: Format,
    fields: Vec<String>,
    provenance: Vec<ProvenancePart>,
    system: Option<String>,
    /// Whether a field `messages` is the conversation, where there is one.
    takes_messages: bool,
    /// Fields that every line has, null if a record has none.
    columns: Vec<String>,
    user: String,
    assistant: String,
    array: Option<ArrayFile>,
}

impl stage::Sink for LineFormatter {
    fn path(&self) -> &str {
        &self.path
    }

    fn line(&self, record: &Record) -> Result<Vec<u8>, StageError> {
        let mut line = match self.format {
            Format::Raw => Line::default(),
            Format::Messages => conversation::messages(self.turns(record)?).into(),
            Format::Sharegpt => conversation::sharegpt(self.turns(record)?)?.into(),
            Format::Alpaca => {
                conversation::pair(&self.turns(record)?, "alpaca", "instruction", "output")?.into()
            }
            Format::PromptCompletion => {
                conversation::pair(&self.turns(record)?, "prompt_completion", "prompt", "completion")?.into()
            }
        };
        for column in &self.columns {
            line.insert(column, record.fields.get(column).map_or(NULL, LineValue::Field));
        }
        if self.format == Format::Raw && self.fields.is_empty() {
            // Fields that were not known before the run come after those that every line has.
            for (name, value) in record.fields.iter().filter(|(name, _)| !self.columns.contains(name)) {
                line.insert(name, LineValue::Field(value));
            }
        }
        for field in &self.fields {
            let value = match record.get(field) {
                _ if field == "record_id" => LineValue::Id(&record.id),
                Some(value) => LineValue::Field(value),
                None if field == "id" => LineValue::Id(&record.id),
                None => NULL,
            };
            line.insert(field, value);
        }
        if !self.provenance.is_empty() {
            line.insert("provenance", LineValue::Object(self.known(record)));
        }
        let mut bytes = Vec::with_capacity(LINE);
        serde_json::to_writer(&mut bytes, &line)
            .map_err(|error| StageError::new("json", error.to_string()))?;
        Ok(bytes)
    }

    fn array(&self) -> Option<&ArrayFile> {
        self.array.as_ref()
    }
}

impl LineFormatter {
    fn turns(&self, record: &Record) -> Result<Vec<ConversationTurn>, StageError> {
        let turns = match record.fields.get("messages").filter(|_| self.takes_messages) {
            Some(messages) => conversation::turns(messages)?,
            None => {
                let (user, assistant) = (text(record, &self.user)?, text(record, &self.assistant)?);
                vec![turn("user", user), turn("assistant", assistant)]
            }
        };
        Ok(match &self.system {
            Some(system) => conversation::with_system(system, turns),
            None => turns,
        })
    }

    fn known<'r>(&self, record: &'r Record) -> Line<'r> {
        // Every line has every key, with a value of one type, even if no model was asked: readers that infer
        // column types from the first lines would fail on a null that becomes a text.
        static NO_CALL: LazyLock<ModelCall> = LazyLock::new(ModelCall::default);
        let call: &ModelCall = record.provenance.calls.last().map_or(&NO_CALL, |call| call);
        let mut known = Line::default();
        let mut put = |name: &'static str, value: LineValue<'r>| known.insert(name, value);
        for kind in &self.provenance {
            match kind {
                ProvenancePart::Draws => put("draws", LineValue::Fields(&record.provenance.draws)),
                ProvenancePart::Model => {
                    put("model", LineValue::Text(&call.model));
                    put("provider", LineValue::Text(&call.provider));
                    put("served_as", LineValue::Text(call.served_as.as_deref().unwrap_or_default()));
                }
                ProvenancePart::PromptHash => put("prompt_hash", LineValue::Text(&call.prompt_hash)),
                ProvenancePart::Params => put("params", LineValue::Fields(&call.params)),
                ProvenancePart::Tokens => {
                    put("prompt_tokens", LineValue::Count(call.prompt_tokens));
                    put("completion_tokens", LineValue::Count(call.completion_tokens));
                    put("cached_tokens", LineValue::Count(call.cached_tokens));
                    put("estimated_tokens", LineValue::Count(call.estimated_tokens));
                }
                ProvenancePart::Answer => {
                    put("finish_reason", LineValue::Text(call.finish_reason.as_deref().unwrap_or_default()));
                    put("re_asks", LineValue::Count(u64::from(call.re_asks)));
                    put("fallback", LineValue::Text(call.fallback.as_deref().unwrap_or_default()));
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
