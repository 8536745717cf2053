//! A model as the pipeline file declares it: provider, parameters, limits.
//!
//! The values are checked in `config::check::globals` and used in `llm`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::batch::{BatchConfig, RequestMode};
use super::concurrency::Concurrency;
use super::mock::MockConfig;

/// Anthropic's price of a token written to its five-minute cache, relative to an input token.
const KEPT_FIVE_MINUTES: f64 = 1.25;

/// A model: its API, parameters and limits.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The API through which the model is called.
    #[serde(default)]
    pub provider: Provider,
    /// The URLs of its servers, such as `http://127.0.0.1:8000/v1`; several URLs are replicas of one model.
    #[serde(default)]
    pub base_urls: Vec<String>,
    /// The model's name at the server.
    #[serde(default)]
    pub model: String,
    /// The environment variable that holds the API key; if it is unset, no Authorization header is sent.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// Instead of `api_key_env`: a file that contains only the API key.
    #[serde(default)]
    pub api_key_file: Option<String>,
    /// Additional HTTP headers. `${NAME}` in a value is replaced from the environment when the model is connected,
    /// and never written to a file.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The endpoint that is called: `chat`, or raw `completions`, which base models need.
    #[serde(default)]
    pub api: Api,
    /// How requests are sent: `direct` by default, or collected for the provider's `batch` API.
    #[serde(default)]
    pub mode: Option<RequestMode>,
    /// Settings for `mode: batch`.
    #[serde(default)]
    pub batch: BatchConfig,
    /// The maximum number of requests in flight: a number, or `auto` to find the number that the endpoints can
    /// handle.
    #[serde(default = "concurrency")]
    pub concurrency: Concurrency,
    /// The number of connections that the process can open to it, if the system allows fewer than `concurrency`.
    #[serde(skip)]
    pub connections: Option<u32>,
    /// Sampling parameters, sent unchanged: `temperature`, `max_tokens`, `top_p`, `stop`, `n`, `tools`, ... With
    /// `seed: per_record`, each record has its own seed, derived from the run's.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// Fields added to every request unchanged, replacing others of the same name, for extensions that only some
    /// servers support.
    #[serde(default)]
    pub extra_body: Map<String, Value>,
    /// Whether to mark the shared prefix of requests for Anthropic's prompt cache (`cache_control`): the system
    /// message, and the part of the user message that `prompt` renders from `shared`. Servers with OpenAI's API cache
    /// prefixes without marks.
    #[serde(default)]
    pub prompt_cache: bool,
    /// How the schema of an answer is sent to the server.
    #[serde(default)]
    pub structured_output: StructuredOutput,
    /// Whether to stream answers. Gateways may close connections that are silent for long, such as those of reasoning
    /// models. Streamed answers are the same, and the time to the first token is reported. Not possible in batches.
    #[serde(default)]
    pub stream: bool,
    /// The timeout of an attempt in seconds, from sending the request to the end of its answer, streamed or not.
    #[serde(default = "timeout")]
    pub timeout: f64,
    /// The maximum number of attempts at a request, including the first. Waiting at a server's request does not
    /// count.
    #[serde(default = "max_attempts")]
    pub max_attempts: u32,
    /// The prices of tokens, for `budget` and for reporting the cost.
    #[serde(default)]
    pub prices: Prices,
    /// The provider's rate limits for this model; none by default.
    #[serde(default)]
    pub limits: Limits,
    /// Instead of `limits`: the quota that this model shares with others, by its name in `pools`.
    #[serde(default)]
    pub pool: Option<String>,
    /// The script of a mock that replaces the model, with `provider: mock` or `--mock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mock: Option<MockConfig>,
}

impl ModelConfig {
    /// The prices, with Anthropic's price of cache writes if the file sets none.
    #[must_use]
    pub fn prices_paid(&self) -> Prices {
        let default = self.prompt_cache.then_some(self.prices.input * KEPT_FIVE_MINUTES);
        Prices { cache_write: self.prices.cache_write.or(default), ..self.prices }
    }
}

fn concurrency() -> Concurrency {
    Concurrency::Fixed(16)
}

fn timeout() -> f64 {
    600.0
}

fn max_attempts() -> u32 {
    6
}

/// The API through which a model is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Any server with OpenAI's HTTP API: vLLM, SGLang, LMDeploy, llama.cpp, Ollama, hosted services.
    #[default]
    Openai,
    /// Anthropic's messages API, such as `https://api.anthropic.com/v1`. It does not support `response_format`:
    /// describe the form of the answer in the prompt.
    Anthropic,
    /// No server: answers are built from the words of the record.
    Heuristic,
    /// No server: answers and errors follow the script in `mock` and pass through the same client as a server's, for
    /// tests and dry runs.
    Mock,
}

impl Provider {
    /// Whether it is reached over HTTP.
    #[must_use]
    pub fn is_remote(self) -> bool {
        matches!(self, Self::Openai | Self::Anthropic)
    }
}

/// The prices of a model's tokens, in any one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// The price of a million input tokens.
    #[serde(default)]
    pub input: f64,
    /// The price of a million output tokens.
    #[serde(default)]
    pub output: f64,
    /// The price of a million input tokens that the server reports as cached; by default that of `input`.
    #[serde(default)]
    pub cached_input: Option<f64>,
    /// The price of a million input tokens that the server reports as written to its cache, as Anthropic's does; by
    /// default that of `input`, or 1.25 times that with `prompt_cache`.
    #[serde(default)]
    pub cache_write: Option<f64>,
}

/// The endpoint that is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// `/chat/completions`, which answers a conversation.
    #[default]
    Chat,
    /// `/completions`, which continues a text. The prompt consists of the messages' texts, separated by empty lines.
    Completions,
}

/// How a schema is sent with a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StructuredOutput {
    /// As `response_format: {type: json_schema, ...}`.
    #[default]
    JsonSchema,
    /// As `response_format: {type: json_object}`, without the schema.
    JsonObject,
    /// As `structured_outputs: {json: ...}`, vLLM's own parameter.
    StructuredOutputs,
    /// As `guided_json`, vLLM's parameter before 0.12; later versions ignore it and answer without a schema.
    GuidedJson,
    /// Not at all, for servers that do not support `response_format`.
    Off,
}

/// A provider's rate limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests per minute, evenly paced.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// Tokens per minute, input and output together.
    #[serde(default)]
    pub tokens_per_minute: Option<u64>,
    /// Input tokens per minute.
    #[serde(default)]
    pub input_tokens_per_minute: Option<u64>,
    /// Output tokens per minute.
    #[serde(default)]
    pub output_tokens_per_minute: Option<u64>,
    /// Concurrent requests.
    #[serde(default)]
    pub in_flight: Option<u32>,
}
