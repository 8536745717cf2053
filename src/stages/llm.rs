//! `llm`: sends a record's messages to a model and stores the answer.
//!
//! Comes after `prompt` or `add_message`, often before `parse`, with which the engine joins it. It only builds the
//! question and stores the answer: sending, retrying and accounting belong to the engine and to `llm::remote`.

mod conversation;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Role, StageDescription};
use crate::llm::{Completion, HEURISTIC, MOCK, Message, ModelRequest};
use crate::pipeline::{Api, CheckContext, FieldType, ModelConfig, Provider};
use crate::pipeline::{ProducedField, RESERVED_PARAMS};
use crate::record::{ModelCall, Record};
use crate::stage::{Ask, BuildContext, BuildError, Processor, StageConfig, StageError};

const REASONING: &str = "reasoning";
const CHOICES: &str = "choices";
const LOGPROBS: &str = "logprobs";
const TOOL_CALLS: &str = "tool_calls";
const FINISH_REASON: &str = "finish_reason";
/// The API's parameter for tools.
const TOOLS: &str = "tools";

/// The field that distinguishes a model's answers from the heuristic's.
pub(super) const ANSWERED_BY: &str = "answered_by";

/// Puts a question to a model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Llm {
    /// The model to ask, by its name in `models`.
    model: String,
    /// The field that holds the question, `prompt` by default: a text, which is sent as one user message, or a list
    /// of messages with `role` and `content`. Of a message's other keys, `tool_calls`, `tool_call_id`,
    /// `function_call`, `name`, `refusal`, `audio`, `reasoning_content`, `reasoning`, `reasoning_details`, `prefix`
    /// and `partial` are sent, the rest is not.
    #[serde(default)]
    #[schemars(default = "input")]
    input: Option<String>,
    /// Instead of `input`: the field that holds a conversation, a list of messages such as `add_message` creates. All
    /// of it is sent, and the answer is appended to it as an assistant message, with its `tool_calls` if it has any.
    /// The answer's text is stored in `output` too.
    #[serde(default, rename = "continue")]
    continues: Option<String>,
    /// The field in which the answer's text is stored. Reasoning that the model returns separately from its answer
    /// (`reasoning_content`, or `<think>...</think>` before it) is stored in `reasoning`, which is removed if there
    /// is none. `cot_expand: {steps: reasoning}` turns it into conversations. `answered_by` names who answered: the
    /// model, by its name in `models`; `mock`; or `heuristic` if the heuristic replaced the model (`--no-llm`,
    /// `on_error` of `parse`), also in all later answers and records that depend on it.
    #[serde(default = "output")]
    output: String,
    /// Sampling parameters of this stage, which override those of the model: `temperature`, `max_tokens`, ...
    #[serde(default)]
    params: Map<String, Value>,
    /// The field that holds the tools which the model may call, as a list in the API's format. A record without them
    /// is asked without tools.
    #[serde(default)]
    tools: Option<String>,
    /// Further parts of the answer that are stored, each in a field of the same name; the field is removed if the
    /// answer has none.
    #[serde(default)]
    keep: Vec<KeptPart>,
}

/// A part of an answer beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum KeptPart {
    /// The texts of all answers if `n` requests several; `output` has the first.
    Choices,
    /// The log probabilities, as the server returns them.
    Logprobs,
    /// The tool calls, as the server returns them.
    ToolCalls,
    /// The finish reason, as the server returns it: `stop`, or `length` if the answer was truncated at `max_tokens`.
    FinishReason,
}

impl KeptPart {
    fn field(self) -> &'static str {
        match self {
            Self::Choices => CHOICES,
            Self::Logprobs => LOGPROBS,
            Self::ToolCalls => TOOL_CALLS,
            Self::FinishReason => FINISH_REASON,
        }
    }

    fn of(self, completion: &Completion) -> Option<Value> {
        let more = completion.more.as_deref();
        match self {
            Self::Choices => {
                let several = more.filter(|more| !more.choices.is_empty());
                let one = || Value::from(vec![&*completion.text]);
                Some(several.map_or_else(one, |more| Value::from(more.choices.clone())))
            }
            Self::Logprobs => more?.logprobs.clone(),
            Self::ToolCalls => more?.tool_calls.clone(),
            // A filter that asks for it must find something.
            Self::FinishReason => Some(completion.finish_reason.as_deref().unwrap_or_default().into()),
        }
    }
}

/// The field of the question where none is named.
const INPUT: &str = "prompt";

/// For the reference: what `input` is if it is not given.
fn input() -> Option<String> {
    Some(INPUT.into())
}

fn output() -> String {
    "completion".into()
}

const COMPLETION: ProducedField =
    ProducedField::named_by("output", "completion", FieldType::text, "The answer's text.");
const CONVERSATION: ProducedField = ProducedField::named_by(
    "continue",
    "FIELD",
    FieldType::messages,
    "With `continue`: the conversation with the answer as its last message.",
);

impl StageDescription for Llm {
    const NAME: &'static str = "llm";
    const ROLE: Role = Role::Ask;
    const PURPOSE: &'static str = "Sends a record's messages to a model and stores the answer.";
    const MAKES: &'static [ProducedField] = &[
        COMPLETION,
        CONVERSATION,
        ProducedField::new(
            REASONING,
            FieldType::text,
            "The model's reasoning before its answer; the field is absent if there is none.",
        ),
        ProducedField::new(ANSWERED_BY, FieldType::text, "Who answered: the model, `heuristic` or `mock`."),
        ProducedField::new(CHOICES, FieldType::texts, "With `keep: [choices]`: the texts of all answers."),
        ProducedField::new(
            LOGPROBS,
            FieldType::any,
            "With `keep: [logprobs]`: the log probabilities as the server returns them.",
        ),
        ProducedField::new(
            TOOL_CALLS,
            FieldType::any_list,
            "With `keep: [tool_calls]`: the tool calls as the server returns them.",
        ),
        ProducedField::new(
            FINISH_REASON,
            FieldType::text,
            "With `keep: [finish_reason]`: the finish reason as the server returns it; empty if it returns none.",
        ),
    ];
    const EXAMPLE: &'static str = r#"name: llm-example
models:
  teacher: {provider: heuristic}
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - plan_questions: {}
  - prompt: {user: "Ask and answer one question about: {{ section.text }}"}
  - llm: {model: teacher, params: {temperature: 0.2}}
  - parse:
      schema:
        type: object
        required: [question, answer]
        properties:
          question: {type: string}
          answer: {type: string}
  - sink: {path: answers.jsonl, format: raw, fields: [question, answer]}
"#;
}

impl StageConfig for Llm {
    fn check(&self, context: &mut CheckContext<'_>) {
        context.model("/model", &self.model);
        self.check_question(context);
        if let Some(tools) = &self.tools {
            context.needs_type("/tools", tools, &FieldType::list(FieldType::object()).or_null());
        }
        for name in RESERVED_PARAMS.iter().filter(|name| self.params.contains_key(**name)) {
            context
                .problem(&format!("/params/{name}"), format!("`{name}` cannot be set in `params`"))
                .expected("a sampling parameter such as `temperature` or `max_tokens`")
                .on_key();
        }
        if self.output.is_empty() || [REASONING, ANSWERED_BY].contains(&self.output.as_str()) {
            context.problem("/output", format!("`{}` cannot hold the answer", self.output));
        }
        let kept: Vec<&str> = self.keep.iter().map(|keep| keep.field()).collect();
        let optional = [CHOICES, LOGPROBS, TOOL_CALLS, FINISH_REASON];
        context.makes_named(&COMPLETION, &self.output);
        if let Some(field) = &self.continues {
            context.makes_named(&CONVERSATION, field);
        }
        for made in &Self::MAKES[2..] {
            if !optional.contains(&made.name) || kept.contains(&made.name) {
                context.makes_named(made, made.name);
            }
        }
    }

    fn build(&self, _context: &BuildContext) -> Result<Processor, BuildError> {
        Ok(Processor::Ask(Box::new(RequestBuilder {
            model: self.model.clone(),
            question: self.question().to_owned(),
            continues: self.continues.is_some(),
            output: self.output.clone(),
            params: self.params.clone(),
            tools: self.tools.clone(),
            keep: self.keep.clone(),
        })))
    }
}

impl Llm {
    /// The field that holds the question.
    fn question(&self) -> &str {
        self.continues.as_deref().or(self.input.as_deref()).unwrap_or(INPUT)
    }

    fn check_question(&self, context: &mut CheckContext<'_>) {
        let question = self.question();
        match (&self.continues, &self.input) {
            (Some(_), Some(_)) => {
                context
                    .problem("/input", "`input` and `continue` are both given")
                    .expected("one of them: with `continue` the conversation is the question");
            }
            (Some(field), None) if *field == self.output => {
                context
                    .problem("/continue", format!("`{field}` cannot hold the answer's text too"))
                    .hint("`output` names the field of the text");
            }
            (Some(field), None) if context.knows(field) && !context.is_field(field) => {
                context
                    .problem("/continue", format!("`{field}` is no field of its own"))
                    .hint(format!("make it one before: `set: {{messages: {{expr: {field}}}}}`"));
            }
            (Some(field), None) => context.needs_type("/continue", field, &FieldType::messages()),
            (None, _) => {
                context.needs_type("/input", question, &FieldType::text().or(FieldType::messages()));
            }
        }
        if context.has_images(question) && context.models.get(&self.model).is_some_and(takes_no_images) {
            let message =
                format!("`{question}` shows images, and `{}` is asked for raw completions", self.model);
            context.problem("/model", message).expected("a model with `api: chat`");
        }
    }
}

/// Whether it is known in advance that the model is asked in a form that cannot contain images.
fn takes_no_images(model: &ModelConfig) -> bool {
    matches!(model.provider, Provider::Openai | Provider::Mock) && model.api == Api::Completions
}

/// The question in a field: a text, which is one user message, or a list of messages.
pub(super) fn question(record: &Record, field: &str) -> Result<Vec<Message>, StageError> {
    match record.get(field) {
        Some(Value::String(text)) => Ok(vec![Message::new("user", text)]),
        Some(Value::Array(messages)) if !messages.is_empty() => messages
            .iter()
            .map(Message::read)
            .collect::<Result<_, _>>()
            .map_err(|error| StageError::new("input", format!("`{field}`: {error}"))),
        _ => {
            let message = format!("`{field}` is neither a text nor a list of messages");
            Err(StageError::new("input", message))
        }
    }
}

/// Records who answered. A model's answer that is based on the heuristic's words is not counted as the model's work.
pub(super) fn set_answered_by(record: &mut Record, answered_by: &str) {
    let stood_in = record.provenance.calls.iter().any(|call| call.provider == HEURISTIC);
    record.set(ANSWERED_BY, if stood_in { HEURISTIC } else { answered_by });
}

/// Records who answered the questions of `stage`, which asks several: whoever answered the last. Where nothing was asked, the
/// field stays as it is, null if there is none.
pub(super) fn set_answered_by_of(record: &mut Record, stage: &str) {
    let is_own = |call: &&Arc<ModelCall>| call.stage.strip_prefix(stage) == Some("/ask");
    let last = record.provenance.calls.iter().rev().find(is_own).cloned();
    match last {
        Some(call) if [HEURISTIC, MOCK].contains(&&*call.provider) => set_answered_by(record, &call.provider),
        Some(call) => set_answered_by(record, &call.model),
        None if record.get(ANSWERED_BY).is_none() => record.set(ANSWERED_BY, Value::Null),
        None => {}
    }
}

struct RequestBuilder {
    model: String,
    /// The field that holds the question.
    question: String,
    /// Whether it is a conversation, to which the answer is added.
    continues: bool,
    output: String,
    params: Map<String, Value>,
    tools: Option<String>,
    keep: Vec<KeptPart>,
}

impl Ask for RequestBuilder {
    fn model(&self) -> &str {
        &self.model
    }

    fn request(&self, record: &Record) -> Result<ModelRequest, StageError> {
        let messages = match self.continues {
            true => conversation::messages(record, &self.question)?,
            false => question(record, &self.question)?,
        };
        let mut params = self.params.clone();
        if let Some(tools) = self.tools(record)? {
            params.insert(TOOLS.to_owned(), tools);
        }
        Ok(ModelRequest { messages, params, ..ModelRequest::default() })
    }

    fn accept(&self, record: &mut Record, completion: &Completion, answered_by: &str) {
        record.set(&self.output, completion.text.as_str());
        if self.continues {
            conversation::put_answer(record, &self.question, completion);
        }
        set_answered_by(record, answered_by);
        match &completion.reasoning {
            Some(reasoning) => record.set(REASONING, reasoning.as_str()),
            // An earlier answer's reasoning must not remain beside this answer.
            None => {
                record.fields.shift_remove(REASONING);
            }
        }
        for keep in &self.keep {
            match keep.of(completion) {
                Some(value) => record.set(keep.field(), value),
                None => drop(record.fields.shift_remove(keep.field())),
            }
        }
    }
}

impl RequestBuilder {
    /// The tools of one record; an empty list counts as none.
    fn tools(&self, record: &Record) -> Result<Option<Value>, StageError> {
        let Some(field) = &self.tools else { return Ok(None) };
        match record.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(list)) if list.is_empty() => Ok(None),
            Some(list @ Value::Array(_)) => Ok(Some(list.clone())),
            Some(_) => Err(StageError::new("input", format!("`{field}` is no list of tools"))),
        }
    }
}

#[cfg(test)]
mod tests;
