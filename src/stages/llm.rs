//! `llm`: sends a record's messages to a model and stores the answer.
//!
//! Comes after `prompt`, often before `parse`, with which the engine joins it. It only builds the question and
//! stores the answer: sending, retrying and accounting belong to the engine and to `llm::remote`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Role, StageDescription};
use crate::llm::{Completion, HEURISTIC, Message, ModelRequest};
use crate::pipeline::{Api, CheckContext, FieldType, ModelConfig, Provider};
use crate::pipeline::{ProducedField, RESERVED_PARAMS};
use crate::record::Record;
use crate::stage::{Ask, BuildContext, BuildError, Processor, StageConfig, StageError};

const REASONING: &str = "reasoning";
const CHOICES: &str = "choices";
const LOGPROBS: &str = "logprobs";
const TOOL_CALLS: &str = "tool_calls";
/// The API's parameter for tools.
const TOOLS: &str = "tools";

/// The field that distinguishes a model's answers from the heuristic's.
const ANSWERED_BY: &str = "answered_by";

/// Puts a question to a model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Llm {
    /// The model to ask, by its name in `models`.
    model: String,
    /// The field that holds the question: a text, which is asked as one user message, or a list of messages
    /// with `role` and `content`. Messages are sent with their `tool_calls`, `tool_call_id`, `function_call`,
    /// `name`, `refusal`, `audio`, `reasoning_content`, `reasoning`, `reasoning_details`, `prefix` and `partial`,
    /// where they have any of these; what else stands in them is not sent.
    #[serde(default = "input")]
    input: String,
    /// The field the answer's text is put in. Reasoning that the model gives apart from its answer
    /// (`reasoning_content`, or `<think>...</think>` in front of it) goes to `reasoning`, and that field is removed
    /// when there is none. `cot_expand: {steps: reasoning}` makes conversations of it. `answered_by` says who
    /// answered: the model, by its name in `models`; `heuristic` where the heuristic stood in for it (`--no-llm`,
    /// `on_error` of `parse`), and from then on for all that is made of the record; or `mock`.
    #[serde(default = "output")]
    output: String,
    /// Sampling parameters of this stage, over those of the model: `temperature`, `max_tokens`, ...
    #[serde(default)]
    params: Map<String, Value>,
    /// The field that holds the tools which the model may call: a list, as the API takes it. Where a record has none,
    /// none are sent.
    #[serde(default)]
    tools: Option<String>,
    /// What else of the answer is kept, each in a field of its name; the field is removed where there is none.
    #[serde(default)]
    keep: Vec<Keep>,
}

/// A part of an answer beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Keep {
    /// The texts of all answers, where `n` asks for several; `output` has the first.
    Choices,
    /// The log probabilities, as the server gives them.
    Logprobs,
    /// The calls of tools, as the server gives them.
    ToolCalls,
}

impl Keep {
    fn field(self) -> &'static str {
        match self {
            Self::Choices => CHOICES,
            Self::Logprobs => LOGPROBS,
            Self::ToolCalls => TOOL_CALLS,
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
        }
    }
}

fn input() -> String {
    "prompt".into()
}

fn output() -> String {
    "completion".into()
}

const COMPLETION: ProducedField =
    ProducedField::named_by("output", "completion", FieldType::text, "The answer's text.");

impl StageDescription for Llm {
    const NAME: &'static str = "llm";
    const ROLE: Role = Role::Ask;
    const PURPOSE: &'static str = "Puts a record's messages to a model and keeps the answer.";
    const MAKES: &'static [ProducedField] = &[
        COMPLETION,
        ProducedField::new(
            REASONING,
            FieldType::text,
            "What the model thought before it answered; no field where it did not.",
        ),
        ProducedField::new(ANSWERED_BY, FieldType::text, "Who answered: the model, `heuristic` or `mock`."),
        ProducedField::new(CHOICES, FieldType::texts, "The texts of all answers, with `keep: [choices]`."),
        ProducedField::new(
            LOGPROBS,
            FieldType::any,
            "The log probabilities as the server gives them, with `keep: [logprobs]`.",
        ),
        ProducedField::new(
            TOOL_CALLS,
            FieldType::any_list,
            "The calls of tools as the server gives them, with `keep: [tool_calls]`.",
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
        context.needs_type("/input", &self.input, &FieldType::text().or(FieldType::messages()));
        if let Some(tools) = &self.tools {
            context.needs_type("/tools", tools, &FieldType::list(FieldType::object()).or_null());
        }
        if context.has_images(&self.input) && context.models.get(&self.model).is_some_and(takes_no_images) {
            let message =
                format!("`{}` shows images, and `{}` is asked for raw completions", self.input, self.model);
            context.problem("/model", message).expected("a model with `api: chat`");
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
        let optional = [CHOICES, LOGPROBS, TOOL_CALLS];
        context.makes_named(&COMPLETION, &self.output);
        for made in &Self::MAKES[1..] {
            if !optional.contains(&made.name) || kept.contains(&made.name) {
                context.makes_named(made, made.name);
            }
        }
    }

    fn build(&self, _context: &BuildContext) -> Result<Processor, BuildError> {
        Ok(Processor::Ask(Box::new(RequestBuilder {
            model: self.model.clone(),
            input: self.input.clone(),
            output: self.output.clone(),
            params: self.params.clone(),
            tools: self.tools.clone(),
            keep: self.keep.clone(),
        })))
    }
}

/// Whether it is known in advance that the model is asked in a form that cannot contain images.
fn takes_no_images(model: &ModelConfig) -> bool {
    matches!(model.provider, Provider::Openai | Provider::Mock) && model.api == Api::Completions
}

struct RequestBuilder {
    model: String,
    input: String,
    output: String,
    params: Map<String, Value>,
    tools: Option<String>,
    keep: Vec<Keep>,
}

impl Ask for RequestBuilder {
    fn model(&self) -> &str {
        &self.model
    }

    fn request(&self, record: &Record) -> Result<ModelRequest, StageError> {
        let messages = match record.get(&self.input) {
            Some(Value::String(text)) => vec![Message::new("user", text)],
            Some(Value::Array(messages)) if !messages.is_empty() => messages
                .iter()
                .map(Message::read)
                .collect::<Result<_, _>>()
                .map_err(|error| StageError::new("input", format!("`{}`: {error}", self.input)))?,
            _ => {
                let message = format!("`{}` is neither a text nor a list of messages", self.input);
                return Err(StageError::new("input", message));
            }
        };
        let mut params = self.params.clone();
        if let Some(tools) = self.tools(record)? {
            params.insert(TOOLS.to_owned(), tools);
        }
        Ok(ModelRequest { messages, params, ..ModelRequest::default() })
    }

    fn accept(&self, record: &mut Record, completion: &Completion, answered_by: &str) {
        record.set(&self.output, completion.text.as_str());
        // A model's answer that is based on the heuristic's words is not counted as the model's work.
        let stood_in = record.provenance.calls.iter().any(|call| call.provider == HEURISTIC);
        record.set(ANSWERED_BY, if stood_in { HEURISTIC } else { answered_by });
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
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::llm::CompletionExtras;
    use crate::record::ModelCall;
    use serde_json::json;

    fn builder() -> RequestBuilder {
        RequestBuilder {
            model: "teacher".into(),
            input: input(),
            output: output(),
            params: Map::from_iter([("temperature".to_owned(), json!(0.2))]),
            tools: Some("tools".into()),
            keep: vec![Keep::Logprobs, Keep::Choices],
        }
    }

    fn request(prompt: Value) -> Result<ModelRequest, StageError> {
        builder().request(&Record::new(Map::from_iter([("prompt".to_owned(), prompt)])))
    }

    #[test]
    fn questions_are_messages_or_a_text() {
        let messages =
            json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]);
        let request_made = request(messages).unwrap();
        assert_eq!(
            request_made.messages,
            [Message::new("system", "Be brief."), Message::new("user", "Why?")]
        );
        assert_eq!(request_made.params["temperature"], 0.2);
        assert_eq!(request(json!("Why?")).unwrap().messages, [Message::new("user", "Why?")]);
        for wrong in [json!(null), json!(3), json!([]), json!([{"role": "user"}])] {
            assert_eq!(request(wrong.clone()).unwrap_err().class, "input", "{wrong}");
        }
    }

    #[test]
    fn a_conversation_is_sent_with_its_calls_and_tools() {
        let calls =
            json!([{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]);
        let messages = json!([
            {"role": "user", "content": "Oslo?", "weight": 0},
            {"role": "assistant", "content": null, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c1", "content": "12 C"},
        ]);
        let tools = json!([{"type": "function", "function": {"name": "weather"}}]);
        let Value::Object(mut fields) = json!({"prompt": messages, "tools": tools}) else { unreachable!() };
        let made = builder().request(&Record::new(fields.clone())).unwrap();
        let mut sent = messages.clone();
        sent[0].as_object_mut().unwrap().shift_remove("weight");
        assert_eq!((json!(made.messages), &made.params["tools"]), (sent, &tools));
        for none in [json!(null), json!([])] {
            fields["tools"] = none;
            assert_eq!(builder().request(&Record::new(fields.clone())).unwrap().params.get("tools"), None);
        }
        fields["tools"] = json!("weather");
        assert_eq!(
            builder().request(&Record::new(fields)).unwrap_err().message,
            "`tools` is no list of tools"
        );
    }

    #[test]
    fn the_answer_and_its_reasoning_become_fields() {
        let mut record = Record::default();
        let reasoning = Some("hm".to_owned());
        builder().accept(
            &mut record,
            &Completion { text: "So.".into(), reasoning, ..Completion::default() },
            "teacher",
        );
        assert_eq!((record.text("completion"), record.text("reasoning")), (Some("So."), Some("hm")));
        builder().accept(&mut record, &Completion { text: "No.".into(), ..Completion::default() }, "teacher");
        assert_eq!((record.text("completion"), record.get("reasoning")), (Some("No."), None));
        assert_eq!((record.get("logprobs"), record.get("choices")), (None, Some(&json!(["No."]))));
        let choices = vec!["A".to_owned(), "B".to_owned()];
        let more = CompletionExtras { logprobs: Some(json!([1])), choices, ..CompletionExtras::default() };
        let several = Completion { more: Some(Box::new(more)), ..Completion::default() };
        builder().accept(&mut record, &several, "teacher");
        assert_eq!(record.get("logprobs"), Some(&json!([1])));
        assert_eq!(record.get("choices"), Some(&json!(["A", "B"])));
    }

    #[test]
    fn who_answered_is_recorded_and_the_heuristic_is_not_forgotten() {
        let mut record = Record::default();
        let mut accept = |answered_by: &str, earlier: Option<&str>| {
            record.provenance.calls = earlier
                .map(|provider| Arc::new(ModelCall { provider: provider.into(), ..ModelCall::default() }))
                .into_iter()
                .collect();
            builder().accept(&mut record, &Completion::default(), answered_by);
            record.text(ANSWERED_BY).unwrap().to_owned()
        };
        assert_eq!(accept("teacher", None), "teacher");
        assert_eq!(accept("heuristic", None), "heuristic");
        assert_eq!(accept("second", Some("openai")), "second");
        assert_eq!(accept("second", Some("heuristic")), "heuristic");
    }
}
