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

/// The script of a model with `provider: mock`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MockConfig {
    /// The rules that decide about answers; the first that matches applies. If none matches, the answer is built from
    /// the words of the record, as by the heuristic, and matches the schema of `parse`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<MockRule>,
    /// Instead of `rules`: a YAML file with a list of rules. Its path is relative to the working directory and may name
    /// `vars`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_file: Option<String>,
    /// The time in seconds before an answer or error is returned, if its rule has no `delay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// A rate limit; requests beyond it are refused with status 429 before any rule is evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<MockLimit>,
}

/// A rate limit such as providers have: a token bucket from which each accepted request takes one token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MockLimit {
    /// The number of requests per minute that are accepted on average.
    pub requests_per_minute: f64,
    /// The number of requests that are accepted at once after a pause; by default those of one second, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<f64>,
    /// The number of seconds in a refusal's `Retry-After`; none by default. As with a server, more than 900 stops the
    /// run.
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
    /// A text that one of the messages contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// A regular expression that one of the messages matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// An expression that must be true, such as `question_type == 'why'` or `mock.attempt == 1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The share of requests to which the rule applies, from 0 to 1. It is drawn for each attempt or, in a rule with
    /// an answer, for each answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The replica to which the rule applies, by its number in `base_urls`, from 1. Such rules are evaluated before
    /// all others. They have an `error`, or only a `delay`, which is added to that of the rule that answers. Errors
    /// cost attempts, as a server's do: with few replicas or a small `max_attempts` they reject records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<u32>,
    /// The answer: a text, which is a template, or a map or list, which becomes JSON and whose texts are
    /// templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// The reasoning that the server returns separately from the answer; a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Tool calls in the form in which a server returns them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<Value>>,
    /// The log probabilities of the answer's first token, such as `{A: -0.2, B: -1.7}`, for requests that ask for
    /// them. Without an `answer`, the most likely token is the answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub logprobs: BTreeMap<String, f64>,
    /// The finish reason; `stop` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// The usage that is reported; by default the length of the texts in bytes, divided by four.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<MockUsage>,
    /// The error that is returned instead of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
    /// The message of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The number of seconds in the error's `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
    /// The time in seconds before the answer or error is returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
}

/// Tokens that a mock reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MockUsage {
    /// Input tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    /// Output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
}

/// An error, by what the model client makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A response with this status, from 400 on.
    Status(u16),
    /// A timeout, without waiting for it.
    Timeout,
    /// A timeout that is waited for.
    Hang,
    /// A connection closed before any response.
    Reset,
    /// A truncated response.
    CutBody,
    /// A refused connection.
    Unreachable,
    /// HTML instead of JSON.
    NotJson,
    /// A response without an answer.
    EmptyChoices,
    /// A prompt too long for the model.
    ContextLength,
    /// A prompt that the provider's filter refuses.
    ContentFilter,
    /// An account without credit.
    Quota,
}

const FAULTS: [(&str, Fault, &str); 10] = [
    ("timeout", Fault::Timeout, "A timeout, returned immediately."),
    ("hang", Fault::Hang, "No response until the model's `timeout` has passed."),
    ("reset", Fault::Reset, "The connection is closed without a response."),
    ("cut_body", Fault::CutBody, "The response is truncated."),
    ("unreachable", Fault::Unreachable, "The connection is refused."),
    ("not_json", Fault::NotJson, "HTML instead of JSON."),
    ("empty_choices", Fault::EmptyChoices, "A response without an answer."),
    ("context_length", Fault::ContextLength, "Status 400: the prompt is too long."),
    ("content_filter", Fault::ContentFilter, "Status 400: the provider's filter refuses the prompt."),
    ("quota", Fault::Quota, "Status 429: the account has no credit, which stops the run."),
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
            "description": "An HTTP status, handled like a server's."});
        let all: Vec<Value> = std::iter::once(status).chain(words).collect();
        json_schema!({ "anyOf": all })
    }
}

/// A delay in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Delay {
    /// Constant.
    Fixed(f64),
    /// Log-normal, drawn for each attempt.
    Drawn(DrawnDelay),
}

/// A delay that differs from attempt to attempt, by its percentiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrawnDelay {
    /// The median, in seconds.
    pub median: f64,
    /// The 95th percentile, in seconds.
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
