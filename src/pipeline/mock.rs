//! The script of a mock model as the pipeline file declares it: rules and their answers.
//!
//! Part of `model`; checked by `mock_check`, executed by `llm::mock`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// What a model with `provider: mock` says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MockConfig {
    /// What is answered when: the first rule that fits is taken. Where none fits, the answer is made of the
    /// record's own words, as the heuristic's, and meets the schema of `parse`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<MockRule>,
    /// A YAML file with a list of rules, in place of `rules`. Its path is relative to the working directory and may name
    /// `vars`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_file: Option<String>,
    /// Seconds until an answer or error comes, where its rule has no `delay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// How much it takes; more is refused with status 429, before any rule is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<MockLimit>,
}

/// A limit as providers keep it: a bucket that fills evenly, of which each request takes one. A refused one takes
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MockLimit {
    /// Requests a minute in the long run.
    pub requests_per_minute: f64,
    /// Requests that are taken at once when none came for a while; what a second brings by default, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<f64>,
    /// Seconds that a refusal asks to be left alone for, as `Retry-After` does; by default it names no time. More
    /// than 900 stops the run, as a server's does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
}

/// One rule. It fits if all its conditions hold; without any it fits everything. Expressions and templates
/// see the record's fields, `vars`, `id`, and `mock.prompt` (the texts of all messages, with empty lines
/// between them), `mock.stage` (the path of the stage that asks), `mock.answer` (what is answered where no rule
/// fits), `mock.attempt` (1 for the first attempt at a request, those not counted that `limit` or a rule with an
/// `endpoint` refused), `mock.ask` (1 for the first time the record asks, more after invalid answers).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MockRule {
    /// A text that stands in one of the messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// A regular expression that a message matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// An expression that is true, such as `question_type == 'why'` or `mock.attempt == 1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The share of requests for which the rule fits, from 0 to 1; drawn anew for each attempt, and with an
    /// answer for each that is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The replica that is asked, by its number in `base_urls` from 1. Such a rule is looked at before all others; it
    /// has an `error`, or a `delay` alone, which comes before that of the rule that answers. Errors cost attempts as a
    /// server's do: with few replicas, or a small `max_attempts`, they reject records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<u32>,
    /// The answer: a text, which is a template, or a map or list, which becomes JSON and whose texts are
    /// templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// The reasoning that the server keeps apart from the answer; a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Calls of tools, as a server gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<Value>>,
    /// The log probabilities of the tokens that the answer may begin with, such as `{A: -0.2, B: -1.7}`, for requests that
    /// ask for them. Without an `answer` the likeliest is the answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub logprobs: BTreeMap<String, f64>,
    /// Why the model stopped; `stop` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// The tokens that are reported; by default the texts' bytes divided by four.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<MockUsage>,
    /// What goes wrong instead of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
    /// What the error says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Seconds that the error asks to be left alone for, as `Retry-After` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
    /// Seconds until the answer or error comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
}

/// Tokens that a mock reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MockUsage {
    /// Tokens read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    /// Tokens written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
}

/// What goes wrong, as the model client will judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A response with this status, from 400 on.
    Status(u16),
    /// No answer within the time, known at once.
    Timeout,
    /// No answer within the time, which passes.
    Hang,
    /// A connection closed before any response.
    Reset,
    /// A response that breaks off.
    CutBody,
    /// Nobody listens.
    Unreachable,
    /// A page where JSON should be.
    NotJson,
    /// A response without an answer.
    EmptyChoices,
    /// A prompt too long for the model.
    ContextLength,
    /// A prompt that the provider's filter refuses.
    ContentFilter,
    /// An account without money.
    Quota,
}

const FAULTS: [(&str, Fault, &str); 10] = [
    ("timeout", Fault::Timeout, "No answer within the time; it need not be waited for."),
    ("hang", Fault::Hang, "Nothing comes until the model's `timeout` has passed."),
    ("reset", Fault::Reset, "The connection is closed without a response."),
    ("cut_body", Fault::CutBody, "The response breaks off."),
    ("unreachable", Fault::Unreachable, "Nobody listens there."),
    ("not_json", Fault::NotJson, "A page of HTML instead of an answer."),
    ("empty_choices", Fault::EmptyChoices, "A response without an answer."),
    ("context_length", Fault::ContextLength, "Status 400: the prompt is too long."),
    ("content_filter", Fault::ContentFilter, "Status 400: the provider's filter refuses the prompt."),
    ("quota", Fault::Quota, "Status 429: the account is empty, which stops the run."),
];

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let word = FAULTS.iter().find(|(_, fault, _)| fault == self);
        match (self, word) {
            (Self::Status(status), _) => serializer.serialize_u16(*status),
            (_, word) => serializer.serialize_str(word.map_or("", |(word, ..)| word)),
        }
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FaultVisitor)
    }
}

struct FaultVisitor;

impl Visitor<'_> for FaultVisitor {
    type Value = Fault;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an HTTP status from 400 to 599, or a word such as `timeout`")
    }

    fn visit_u64<E: Error>(self, status: u64) -> Result<Fault, E> {
        match u16::try_from(status) {
            Ok(status @ 400..=599) => Ok(Fault::Status(status)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(status), &self)),
        }
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Fault, E> {
        let known = FAULTS.iter().find(|(name, ..)| *name == word);
        known.map(|(_, fault, _)| *fault).ok_or_else(|| E::invalid_value(Unexpected::Str(word), &self))
    }
}

// By hand, as for all union types here: an untagged enum would lose the location of an error.
impl JsonSchema for Fault {
    fn schema_name() -> Cow<'static, str> {
        "Fault".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words =
            FAULTS.iter().map(|(word, _, what)| serde_json::json!({"const": word, "description": what}));
        let status = serde_json::json!({"type": "integer", "minimum": 400, "maximum": 599,
            "description": "An HTTP status, judged as one from a server."});
        let all: Vec<Value> = std::iter::once(status).chain(words).collect();
        json_schema!({ "anyOf": all })
    }
}

/// How long something takes, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Delay {
    /// Always as long.
    Fixed(f64),
    /// Drawn for each attempt, log-normal.
    Drawn(DrawnDelay),
}

/// A delay that differs from attempt to attempt: half take longer than the median, one in twenty longer than
/// `p95`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrawnDelay {
    /// Seconds that half of the attempts take at most.
    pub median: f64,
    /// Seconds that 95 of 100 attempts take at most.
    pub p95: f64,
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DelayVisitor)
    }
}

struct DelayVisitor;

impl<'de> Visitor<'de> for DelayVisitor {
    type Value = Delay;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seconds, or a map with `median` and `p95`")
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Delay, E> {
        Ok(Delay::Fixed(seconds))
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Delay, E> {
        Ok(Delay::Fixed(seconds as f64))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Delay, E> {
        Ok(Delay::Fixed(seconds as f64))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Delay, A::Error> {
        DrawnDelay::deserialize(MapAccessDeserializer::new(map)).map(Delay::Drawn)
    }
}

impl JsonSchema for Delay {
    fn schema_name() -> Cow<'static, str> {
        "Delay".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let drawn = DrawnDelay::json_schema(generator);
        json_schema!({ "anyOf": [{"type": "number"}, drawn] })
    }
}
