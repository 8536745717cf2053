//! The parts of a record that a format needs: their fields, and how their values are read.
//!
//! A prompt is a text or a list of messages; an answer is one of these, or an object with its text in a field (a
//! candidate). If a field is missing or has another type, the record is rejected with the field's name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::conversation::{
    ConversationTurn, LastTurn, check_order, only_text, plain_messages, turn, turns, with_system,
};
use super::refused;
use crate::pipeline::FieldType;
use crate::record::Record;
use crate::stage::StageError;

/// The fields of a candidate that may hold its text; the first that exists is used.
const CANDIDATE_TEXTS: [&str; 5] = ["answer", "text", "completion", "content", "messages"];

/// A part of a record that a format reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// Its name: the default field, and the option that names another one.
    pub name: &'static str,
    /// The types that its value may have.
    pub kind: fn() -> FieldType,
    /// Whether every record must have it.
    pub is_required: bool,
}

impl Part {
    pub(super) const PROMPT: Self = Self::required("prompt", prompt_type);
    pub(super) const CHOSEN: Self = Self::required("chosen", answer_type);
    pub(super) const REJECTED: Self = Self::required("rejected", answer_type);
    pub(super) const COMPLETION: Self = Self::required("completion", answer_type);
    pub(super) const LABEL: Self = Self::required("label", FieldType::boolean);
    pub(super) const COMPLETIONS: Self = Self::required("completions", FieldType::texts);
    pub(super) const LABELS: Self = Self::required("labels", FieldType::any_list);
    pub(super) const TEXT: Self = Self::required("text", FieldType::text);
    pub(super) const PROBABILITIES: Self = Self::required("probabilities", probabilities_type);
    pub(super) const ANSWER: Self = Self::required("answer", expected_type);
    /// An answer that a record may lack.
    pub(super) const SOLUTION: Self = Self::optional("answer", expected_type);
    pub(super) const INFO: Self = Self::optional("info", FieldType::any);
    pub(super) const SPLIT: Self = Self::optional("split", FieldType::text);
    pub(super) const SCORE_CHOSEN: Self = Self::optional("score_chosen", FieldType::number);
    pub(super) const SCORE_REJECTED: Self = Self::optional("score_rejected", FieldType::number);

    const fn required(name: &'static str, kind: fn() -> FieldType) -> Self {
        Self { name, kind, is_required: true }
    }

    const fn optional(name: &'static str, kind: fn() -> FieldType) -> Self {
        Self { name, kind, is_required: false }
    }
}

fn prompt_type() -> FieldType {
    FieldType::text().or(FieldType::messages())
}

fn answer_type() -> FieldType {
    prompt_type().or(FieldType::object())
}

fn expected_type() -> FieldType {
    FieldType::text().or(FieldType::number()).or(FieldType::boolean())
}

fn probabilities_type() -> FieldType {
    FieldType::list(FieldType::number()).or(FieldType::object())
}

/// How prompts and answers are represented.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TurnForm {
    /// As lists of messages, to which trainers apply the model's chat template.
    #[default]
    Messages,
    /// As texts; only for prompts with a single turn.
    Text,
}

/// The options of a sink that concern its format.
#[derive(Debug, Clone, Default)]
pub(crate) struct FormatSettings {
    /// The field of each part of the format, by the part's name.
    pub fields: BTreeMap<&'static str, String>,
    /// The system message that is put before prompts.
    pub system: Option<String>,
    /// How prompts and answers are represented.
    pub turns: TurnForm,
    /// What a step's label 0 is converted to if labels are true or false.
    pub neutral: Option<bool>,
    /// The name of the data set, by which `verl` chooses a reward function.
    pub data_source: String,
    /// The kind of task.
    pub ability: String,
    /// The agent of NeMo Gym that solves the tasks.
    pub agent: Option<String>,
}

/// One record with the settings of its line.
pub(crate) struct LineParts<'r> {
    /// The record.
    pub record: &'r Record,
    /// The sink's options.
    pub settings: &'r FormatSettings,
}

impl<'r> LineParts<'r> {
    /// The field of a part.
    pub(super) fn field<'a>(&'a self, part: &'a str) -> &'a str {
        self.settings.fields.get(part).map_or(part, String::as_str)
    }

    /// A field's value, unless it is null.
    pub(super) fn value_of(&self, field: &str) -> Option<&'r Value> {
        self.record.get(field).filter(|value| !value.is_null())
    }

    /// The value of a part, unless it is null.
    pub(super) fn value(&self, part: &str) -> Option<&'r Value> {
        self.value_of(self.field(part))
    }

    fn required(&self, part: &str) -> Result<&'r Value, StageError> {
        self.value(part).ok_or_else(|| self.wrong(part, "is missing"))
    }

    /// The error for a part whose field has the wrong type or is missing.
    pub(super) fn wrong(&self, part: &str, what: &str) -> StageError {
        StageError::new("fields", format!("field `{}` {what}", self.field(part)))
    }

    /// A text that is not blank.
    pub(super) fn text(&self, part: &str) -> Result<&'r str, StageError> {
        let text = self.required(part)?.as_str().ok_or_else(|| self.wrong(part, "is not a text"))?;
        match text.trim().is_empty() {
            true => Err(refused(format!("field `{}` is empty", self.field(part)))),
            false => Ok(text),
        }
    }

    /// The text of a reference answer; numbers and booleans are converted to texts.
    pub(super) fn expected(&self, part: &str) -> Result<Option<String>, StageError> {
        match self.value(part) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
            Some(_) => Err(self.wrong(part, "is not a text, a number or a truth value")),
        }
    }

    /// A reference answer that the record must have.
    pub(super) fn required_answer(&self, part: &str) -> Result<String, StageError> {
        self.expected(part)?.ok_or_else(|| self.wrong(part, "is missing"))
    }

    pub(super) fn truth(&self, part: &str) -> Result<bool, StageError> {
        self.required(part)?.as_bool().ok_or_else(|| self.wrong(part, "is not `true` or `false`"))
    }

    pub(super) fn list(&self, part: &str) -> Result<&'r [Value], StageError> {
        let list = self.required(part)?.as_array().filter(|list| !list.is_empty());
        list.map(Vec::as_slice).ok_or_else(|| self.wrong(part, "is not a list with elements"))
    }

    /// A number, always with a fraction, so that the column has one type.
    pub(super) fn fraction(&self, part: &str, value: Option<&Value>) -> Result<Value, StageError> {
        let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(Value::Null) };
        value.as_f64().map(Value::from).ok_or_else(|| self.wrong(part, "is not a number"))
    }

    /// The turns of the prompt, beginning with the system message. The last is the user's or a tool's.
    pub(super) fn prompt(&self) -> Result<Vec<ConversationTurn>, StageError> {
        let prompt = self.bare_prompt()?;
        let prompt = match &self.settings.system {
            Some(system) => with_system(system, prompt),
            None => prompt,
        };
        check_order(&prompt, LastTurn::Asker)?;
        Ok(prompt)
    }

    fn bare_prompt(&self) -> Result<Vec<ConversationTurn>, StageError> {
        match self.required("prompt")? {
            Value::String(text) => Ok(vec![turn("user", text)]),
            other => turns(other, self.field("prompt")),
        }
    }

    /// The turns of an answer to the prompt. If it begins with the prompt's turns, they are removed.
    pub(super) fn completion(
        &self,
        part: &str,
        prompt: &[ConversationTurn],
    ) -> Result<Vec<ConversationTurn>, StageError> {
        let mut value = self.required(part)?;
        if let Value::Object(candidate) = value {
            let text = CANDIDATE_TEXTS.iter().find_map(|name| candidate.get(*name));
            value = text.ok_or_else(|| {
                self.wrong(part, &format!("is an object without any of `{}`", CANDIDATE_TEXTS.join("`, `")))
            })?;
        }
        let mut answer = match value {
            Value::String(text) => vec![turn("assistant", text)],
            other => turns(other, self.field(part))?,
        };
        for begun in [prompt, &self.bare_prompt()?] {
            if answer.len() > begun.len() && answer.starts_with(begun) {
                answer.drain(..begun.len());
                break;
            }
        }
        let whole: Vec<ConversationTurn> = prompt.iter().chain(&answer).cloned().collect();
        check_order(&whole, LastTurn::Assistant)?;
        Ok(answer)
    }

    /// The prompt as a column.
    pub(super) fn prompt_column(&self, prompt: &[ConversationTurn]) -> Result<Value, StageError> {
        match self.settings.turns {
            TurnForm::Messages => plain_messages(prompt, "the format"),
            TurnForm::Text => self.prompt_text(prompt).map(Value::from),
        }
    }

    /// The text of a prompt with a single turn, after the system messages.
    pub(super) fn prompt_text(&self, prompt: &[ConversationTurn]) -> Result<String, StageError> {
        let asked = prompt.iter().filter(|turn| turn.get("role").is_some_and(|role| role == "user")).count();
        if asked != 1 || prompt.iter().any(|turn| turn.get("role").is_some_and(|role| role == "assistant")) {
            return Err(refused("a prompt of several turns is no text; `turns: messages` holds it"));
        }
        let texts = prompt.iter().map(|turn| only_text(turn, "a text")).collect::<Result<Vec<_>, _>>()?;
        Ok(texts.join("\n\n"))
    }

    /// An answer as a column.
    pub(super) fn answer_column(&self, answer: &[ConversationTurn]) -> Result<Value, StageError> {
        match (self.settings.turns, answer) {
            (TurnForm::Messages, answer) => plain_messages(answer, "the format"),
            (TurnForm::Text, [one]) => only_text(one, "a text").map(Value::from),
            (TurnForm::Text, _) => {
                Err(refused("an answer of several turns is no text; `turns: messages` holds it"))
            }
        }
    }

    /// The prompt as messages that contain only text.
    pub(super) fn prompt_messages(&self, format: &str) -> Result<Value, StageError> {
        plain_messages(&self.prompt()?, format)
    }

    /// Prompt and answer as two columns.
    pub(super) fn exchange(&self, part: &str) -> Result<Map<String, Value>, StageError> {
        let prompt = self.prompt()?;
        let answer = self.completion(part, &prompt)?;
        Ok(Map::from_iter([
            ("prompt".to_owned(), self.prompt_column(&prompt)?),
            (part.to_owned(), self.answer_column(&answer)?),
        ]))
    }
}
