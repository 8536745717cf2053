//! Encodes requests for a server's API and decodes its answers: one file for each API.
//!
//! `remote` sends and receives the bytes; an unusable answer becomes a `Failure` here. `stream` assembles the events of
//! a streamed answer into the body that is decoded.

mod anthropic;
mod finish;
mod message;
mod openai;
mod stream;
mod text;
mod usage;

pub(super) use stream::StreamedAnswer;
pub(super) use text::parse;

use serde_json::{Map, Value};

use super::classify::{self, Failure, Verdict};
use super::images::Images;
use super::streaming::Streaming;
use super::{Completion, Message, ModelRequest};
use crate::pipeline::{Api, ModelConfig, Provider, RESERVED_PARAMS, StructuredOutput};

/// The length to which a model's name is truncated, in characters.
const LONGEST_NAME: usize = 200;

/// The initial capacity of a body, besides its images.
const ROOM: usize = 4096;

/// An API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's raw completions, as base models need them.
    Completions,
    /// Anthropic's messages.
    Anthropic,
}

/// Encodes requests with a model's settings.
#[derive(Debug)]
pub(super) struct RequestEncoder {
    pub(super) dialect: Dialect,
    pub(super) model: String,
    pub(super) params: Map<String, Value>,
    pub(super) extra_body: Map<String, Value>,
    /// Whether the common prefix of requests is marked for the server's prompt cache.
    pub(super) prompt_cache: bool,
    pub(super) streaming: Streaming,
}

impl RequestEncoder {
    pub(super) fn new(config: &ModelConfig) -> Self {
        let dialect = match (config.provider, config.api) {
            (Provider::Anthropic, _) => Dialect::Anthropic,
            (_, Api::Completions) => Dialect::Completions,
            (_, Api::Chat) => Dialect::Chat,
        };
        let (model, params) = (config.model.clone(), config.params.clone());
        let (extra_body, prompt_cache) = (config.extra_body.clone(), config.prompt_cache);
        let streaming = Streaming::new(config, dialect);
        Self { dialect, model, params, extra_body, prompt_cache, streaming }
    }

    /// Encodes the body of a request: the model's parameters, overridden by the request's, the schema in the given
    /// form, and `extra_body` over all. `images` are those of the request, as loaded by `images::load`.
    pub(super) fn body(
        &self,
        request: &ModelRequest,
        form: StructuredOutput,
        mut images: Images,
    ) -> Result<Vec<u8>, Failure> {
        self.takes(request, &images)?;
        let room = images.bytes() + ROOM;
        let mut params = self.params.clone();
        params.extend(request.params.iter().map(|(name, value)| (name.clone(), value.clone())));
        params.retain(|name, _| !RESERVED_PARAMS.contains(&name.as_str()));
        let mut body = match self.dialect {
            Dialect::Chat => openai::chat(request, params, form, &mut images),
            Dialect::Completions => openai::completions(request, params, form),
            Dialect::Anthropic => {
                let marks = if self.prompt_cache {
                    anthropic::remaining_cache_marks(request, [&params, &self.extra_body])
                } else {
                    0
                };
                anthropic::body(request, params, marks, &mut images)?
            }
        };
        body.insert("model".to_owned(), Value::String(self.model.clone()));
        body.extend(self.extra_body.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.streaming.ask(&mut body);
        let mut bytes = Vec::with_capacity(room);
        serde_json::to_writer(&mut bytes, &body).map_err(|error| {
            let message = format!("cannot write the request: {error}");
            Failure::new(Verdict::RejectRecord, "request", message)
        })?;
        Ok(bytes)
    }

    /// Checks that the API supports the images and messages of a request.
    fn takes(&self, request: &ModelRequest, images: &Images) -> Result<(), Failure> {
        let wrong = |message: &str| Err(Failure::new(Verdict::RejectRecord, "images", message));
        if images.len() != request.images() {
            return wrong("the images are not those of the request");
        }
        if images.len() > 0 && self.dialect == Dialect::Completions {
            return wrong("raw completions have no place for images; `api: chat` has");
        }
        if self.dialect == Dialect::Completions
            && let Some(what) = request.messages.iter().find_map(Message::beyond_text)
        {
            let message = format!("raw completions have no place for {what}; `api: chat` has");
            return Err(Failure::new(Verdict::RejectRecord, "request", message));
        }
        let mut showing = request.messages.iter().filter(|message| !message.images.is_empty());
        match showing.find(|message| message.role != "user") {
            Some(message) => wrong(&format!("a message of the role `{}` cannot show images", message.role)),
            None => Ok(()),
        }
    }

    /// Whether a request's schema is sent in this form; a schema parameter that the user set takes precedence.
    pub(super) fn sends_schema(&self, request: &ModelRequest, form: StructuredOutput) -> bool {
        let is_set = |name: &&str| self.param(request, name).is_some() || self.extra_body.contains_key(*name);
        request.schema.is_some()
            && form != StructuredOutput::Off
            && self.dialect != Dialect::Anthropic
            && !["response_format", "structured_outputs", "guided_json"].iter().any(is_set)
    }

    /// Returns the names of the settings that all requests have, including nested ones.
    pub(super) fn names(&self, request: &ModelRequest) -> Vec<String> {
        let settings = [&self.params, &request.params, &self.extra_body];
        let mut names: Vec<String> = settings.iter().flat_map(|settings| settings.keys().cloned()).collect();
        let within = settings.iter().flat_map(|settings| settings.values()).filter_map(Value::as_object);
        names.extend(within.flat_map(|settings| settings.keys().cloned()));
        if self.dialect == Dialect::Anthropic {
            // It is always sent.
            names.push("max_tokens".to_owned());
        }
        if self.streaming.is_on() {
            names.push("stream".to_owned());
        }
        names
    }

    /// Whether a failure is the server's refusal to report usage in a stream; it is not requested from then on.
    pub(super) fn refuses_usage(&self, request: &ModelRequest, failure: &Failure) -> bool {
        self.streaming.is_on() && self.streaming.refuses_usage(&self.names(request), failure)
    }

    /// Returns the number of choices that a request asks for.
    pub(super) fn choices(&self, request: &ModelRequest) -> u64 {
        let asked = self.extra_body.get("n").or_else(|| self.param(request, "n"));
        asked.and_then(Value::as_u64).unwrap_or(1)
    }

    /// Returns the effective value of a parameter of a request.
    pub(super) fn param<'a>(&'a self, request: &'a ModelRequest, name: &str) -> Option<&'a Value> {
        request.params.get(name).or_else(|| self.params.get(name))
    }
}

impl Dialect {
    /// The path segments from the base URL to the endpoint.
    pub(super) fn path(self) -> &'static [&'static str] {
        match self {
            Self::Chat => &["chat", "completions"],
            Self::Completions => &["completions"],
            Self::Anthropic => &["messages"],
        }
    }

    /// The headers that the API requires, besides the key's.
    pub(super) fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Chat | Self::Completions => &[],
            Self::Anthropic => &[("anthropic-version", "2023-06-01")],
        }
    }

    /// The key's header, and the prefix of the key in it.
    pub(super) fn key_header(self) -> (&'static str, &'static str) {
        match self {
            Self::Chat | Self::Completions => ("authorization", "Bearer "),
            Self::Anthropic => ("x-api-key", ""),
        }
    }

    /// Decodes the answer from the body of a response with a success status.
    pub(super) fn read(self, body: &[u8]) -> Result<Completion, Failure> {
        match text::parse(body) {
            Some(answer) => self.read_value(answer),
            None => Err(text::not_json(body)),
        }
    }

    /// Decodes the answer from a parsed body.
    pub(super) fn read_value(self, answer: Value) -> Result<Completion, Failure> {
        if let Some(error) = answer.get("error").filter(|error| is_set(error)) {
            return Err(classify::error_in_200(error));
        }
        // MiniMax's status, which is beside every answer.
        let base = answer.get("base_resp").filter(|base| base.get("status_code") != Some(&Value::from(0)));
        if let Some(error) = base.filter(|base| is_set(base)) {
            return Err(classify::error_in_200(error));
        }
        let model = answer.get("model").and_then(Value::as_str).filter(|model| !model.is_empty());
        let model = model.map(|model| model.chars().take(LONGEST_NAME).collect());
        let completion = match self {
            Self::Chat | Self::Completions => openai::read(answer),
            Self::Anthropic => anthropic::read(answer),
        }?;
        Ok(Completion { model, ..completion })
    }
}

/// Whether an error field has content: some gateways always send it, empty.
fn is_set(error: &Value) -> bool {
    match error {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Object(fields) => fields.values().any(|value| !value.is_null()),
        Value::Array(list) => !list.is_empty(),
        Value::Number(_) | Value::Bool(true) => true,
    }
}
