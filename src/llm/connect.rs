//! Creates the model that a pipeline declares, for any provider.
//!
//! The command line calls `connect` once for each model before a run; nothing is sent yet. Adding a provider:
//! its file beside this one, a variant of `pipeline::Provider`, an arm here.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Model;
use super::batch::Batch;
use super::mock;
use super::quota::Pools;
use super::remote::Remote;
use crate::pipeline::{ModelConfig, Provider, RequestMode};

/// A model that cannot be created as declared.
#[derive(Debug, thiserror::Error)]
#[error("model `{model}`: {what}")]
pub struct ConnectError {
    /// The model's name in the pipeline.
    pub model: String,
    /// What is wrong.
    pub what: ConnectProblem,
}

/// What is wrong with a model's declaration.
#[derive(Debug, thiserror::Error)]
pub enum ConnectProblem {
    /// An `openai` model without an address.
    #[error("`base_urls` is empty")]
    NoBaseUrl,
    /// An invalid address.
    #[error("base URL `{url}` is no http or https address")]
    BaseUrl {
        /// The address, without password.
        url: String,
    },
    /// An `openai` model without the server's name for it.
    #[error("`model` is empty")]
    NoModel,
    /// A key with characters that no header can carry. The message does not contain the key.
    #[error(
        "the key in `{source_of_it}` cannot be sent as a key: it has characters other than visible ASCII"
    )]
    Key {
        /// The environment variable or file that holds it.
        source_of_it: String,
    },
    /// A key file that cannot be read.
    #[error("cannot read the key from `{path}`: {cause}")]
    KeyFile {
        /// The file.
        path: String,
        /// The reason.
        cause: String,
    },
    /// A header that cannot be sent. The message does not contain its value.
    #[error("header `{name}` cannot be sent: {why}")]
    Header {
        /// The header's name.
        name: String,
        /// The reason.
        why: String,
    },
    /// A sampling parameter that the client sets itself.
    #[error("`{param}` cannot be set in `params`")]
    Param {
        /// The parameter.
        param: String,
    },
    /// A number out of range.
    #[error("`{field}` must be greater than 0")]
    Number {
        /// The field.
        field: &'static str,
    },
    /// A rule of a mock that cannot be compiled.
    #[error("rule {rule} of `mock`: {what}")]
    Mock {
        /// The rule's number, from 1.
        rule: usize,
        /// What is wrong.
        what: String,
    },
    /// A provider that this build does not support.
    #[error("there is no such provider")]
    Provider,
    /// An invalid proxy address in the environment. It may contain a password, so the message does not contain it.
    #[error("`{variable}` in the environment is no address of a proxy, such as `http://proxy:3128`")]
    Proxy {
        /// The variable.
        variable: &'static str,
    },
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Client(String),
}

/// What a mock needs from the pipeline.
#[derive(Debug, Clone, Copy)]
pub struct MockContext<'a> {
    /// The run's seed.
    pub seed: u64,
    /// The pipeline's variables, which its templates can use.
    pub vars: &'a Map<String, Value>,
}

/// Creates the model `name` with its quota pool. `heuristic` answers for the provider of that name, and for a mock
/// where none of its rules matches.
pub fn connect(
    name: &str,
    config: &ModelConfig,
    pools: &Pools,
    context: MockContext<'_>,
    heuristic: &Arc<dyn Model>,
) -> Result<Arc<dyn Model>, ConnectError> {
    match config.provider {
        Provider::Openai if config.mode() == RequestMode::Batch => Ok(Arc::new(Batch::new(name, config)?)),
        Provider::Openai | Provider::Anthropic => {
            Ok(Arc::new(Remote::in_pool(name, config, pools.of(name, config))?))
        }
        Provider::Heuristic => Ok(Arc::clone(heuristic)),
        Provider::Mock => {
            let pool = pools.of(name, config);
            Ok(Arc::new(mock::model(name, config, pool, context, Arc::clone(heuristic))?))
        }
    }
}
