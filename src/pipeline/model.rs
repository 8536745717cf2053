//! A model as the pipeline file declares it: provider, parameters, limits.
//!
//! The values are checked in `config::check::globals` and used in `llm`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::batch::{BatchConfig, Mode};
use super::concurrency::Concurrency;
use super::mock::MockConfig;

/// Anthropic's price of a token written to its five-minute cache, relative to an input token.
const KEPT_FIVE_MINUTES: f64 = 1.25;

/// A model: how it is spoken to, and what it is asked with.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// How the model is spoken to.
    #[serde(default)]
    pub provider: Provider,
    /// Where it is served, such as `http://127.0.0.1:8000/v1`; several are replicas of one model.
    #[serde(default)]
    pub base_urls: Vec<String>,
    /// The name the server knows it by.
    #[serde(default)]
    pub model: String,
    /// The environment variable that holds the key; no Authorization header is sent when it is unset.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// A file that holds the key and nothing else, in place of `api_key_env`.
    #[serde(default)]
    pub api_key_file: Option<String>,
    /// Further headers. `${NAME}` in a value is taken from the environment when the model is connected, and is
    /// written to no file.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What is asked for: `chat`, or raw `completions` as base models need them.
    #[serde(default)]
    pub api: Api,
    /// How questions travel: `direct`, the default, or gathered into a provider's `batch`es.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// How questions are gathered, with `mode: batch`.
    #[serde(default)]
    pub batch: BatchConfig,
    /// Requests in flight at a time: a number, or `auto` to find how many the endpoints bear.
    #[serde(default = "concurrency")]
    pub concurrency: Concurrency,
    /// The connections that the process can open to it, where the system allows fewer than `concurrency` asks for.
    #[serde(skip)]
    pub connections: Option<u32>,
    /// Sampling parameters, sent as they are: `temperature`, `max_tokens`, `top_p`, `stop`, `n`, `tools`, ...
    /// `seed: per_record` gives each record a seed of its own, derived from the run's.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// Fields put into every request as they are, over all others, for what a server knows beyond its API.
    #[serde(default)]
    pub extra_body: Map<String, Value>,
    /// Whether Anthropic's API is told to keep what requests begin with (`cache_control`): the system message, and in
    /// the user's what `prompt` made of `shared`. Servers with OpenAI's API keep beginnings without being told.
    #[serde(default)]
    pub prompt_cache: bool,
    /// How an answer's schema is sent to the server.
    #[serde(default)]
    pub structured_output: StructuredOutput,
    /// Whether answers are asked for as events and put together from them. Gateways cut long silent calls off, as
    /// reasoning models make them; a stream is not silent. Answers are the same, and the time to their first token is
    /// told. Not in batches.
    #[serde(default)]
    pub stream: bool,
    /// Seconds one attempt may take, from sending it to the end of its answer, streamed or not.
    #[serde(default = "timeout")]
    pub timeout: f64,
    /// Attempts at one request before it fails, the first counted in. Waits that a server asks for cost none.
    #[serde(default = "max_attempts")]
    pub max_attempts: u32,
    /// What tokens cost, for `budget` and for telling the cost.
    #[serde(default)]
    pub prices: Prices,
    /// What the provider allows this model alone; none by default.
    #[serde(default)]
    pub limits: Limits,
    /// The quota that this model shares with others, by its name in `pools`; in place of `limits`.
    #[serde(default)]
    pub pool: Option<String>,
    /// What a mock in place of the model says, with `provider: mock` or `--mock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mock: Option<MockConfig>,
}

impl ModelConfig {
    /// The prices, with Anthropic's price of cache writes where the file does not set one.
    #[must_use]
    pub fn prices_paid(&self) -> Prices {
        let told = self.prompt_cache.then_some(self.prices.input * KEPT_FIVE_MINUTES);
        Prices { cache_write: self.prices.cache_write.or(told), ..self.prices }
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

/// How a model is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Any server with OpenAI's HTTP API: vLLM, SGLang, LMDeploy, llama.cpp, Ollama, hosted ones.
    #[default]
    Openai,
    /// Anthropic's messages API, such as `https://api.anthropic.com/v1`. It knows no `response_format`: put the
    /// form of the answer into the prompt.
    Anthropic,
    /// No server: answers are built from the record's own words.
    Heuristic,
    /// No server: answers and errors as `mock` scripts them, through the same client as a server's, for tests and
    /// dry runs of a pipeline.
    Mock,
}

impl Provider {
    /// Whether it is reached over HTTP.
    #[must_use]
    pub fn is_remote(self) -> bool {
        matches!(self, Self::Openai | Self::Anthropic)
    }
}

/// What a model's tokens cost, in any one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// A million tokens read.
    #[serde(default)]
    pub input: f64,
    /// A million tokens written.
    #[serde(default)]
    pub output: f64,
    /// A million tokens read that the server says it had in its cache; by default the price of `input`.
    #[serde(default)]
    pub cached_input: Option<f64>,
    /// A million tokens read that the server says it put into its cache, as Anthropic's does; by default the price of
    /// `input`, and with `prompt_cache` 1.25 times that.
    #[serde(default)]
    pub cache_write: Option<f64>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// An answer to a conversation: `/chat/completions`.
    #[default]
    Chat,
    /// The continuation of a text: `/completions`. The messages' texts are the prompt, with an empty line
    /// between them.
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
    /// As `structured_outputs: {json: ...}`, vLLM's own way.
    StructuredOutputs,
    /// As `guided_json`, vLLM's way before 0.12; later ones pass over it and answer without a schema.
    GuidedJson,
    /// Not at all: for servers that know no `response_format`.
    Off,
}

/// What a provider allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests a minute, paced evenly.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, read and written counted together.
    #[serde(default)]
    pub tokens_per_minute: Option<u64>,
    /// Tokens read a minute.
    #[serde(default)]
    pub input_tokens_per_minute: Option<u64>,
    /// Tokens written a minute.
    #[serde(default)]
    pub output_tokens_per_minute: Option<u64>,
    /// Requests under way at a time.
    #[serde(default)]
    pub in_flight: Option<u32>,
}
