//! Keys and headers of a model: sent with each request, and kept out of everything that is printed.
//!
//! `remote` reads them when the model is connected. They cannot be printed, and are struck out of what a
//! server says.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::connect::ConnectProblem;
use super::dialect::Dialect;
use crate::config::{ModelConfig, expand_secret};
use crate::text_file;

/// A shorter secret is a placeholder such as `EMPTY`: a word, no secret.
const SHORTEST_SECRET: usize = 8;

/// The headers of every request to a model.
pub(super) struct Secrets {
    headers: HeaderMap,
    has_key: bool,
    /// What must not be printed.
    texts: Vec<String>,
}

impl Secrets {
    /// Reads the key and the headers that a model declares.
    pub(super) fn read(config: &ModelConfig, dialect: Dialect) -> Result<Self, ConnectProblem> {
        let mut secrets = Self { headers: HeaderMap::new(), has_key: false, texts: Vec::new() };
        for (name, value) in dialect.headers() {
            secrets.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if let Some(key) = key(config)? {
            let (name, before) = dialect.key_header();
            let mut value =
                HeaderValue::from_str(&format!("{before}{key}")).map_err(|_| wrong_key(config))?;
            value.set_sensitive(true);
            secrets.headers.insert(HeaderName::from_static(name), value);
            secrets.has_key = true;
            secrets.texts.push(key);
        }
        for (name, written) in &config.headers {
            let wrong = |why: String| ConnectProblem::Header { name: name.clone(), why };
            let text = expand_secret(written).map_err(wrong)?;
            let header = HeaderName::try_from(name.as_str())
                .map_err(|_| wrong("this is no name of a header".to_owned()))?;
            let mut value = HeaderValue::from_str(&text)
                .map_err(|_| wrong("its value has characters that no header can carry".to_owned()))?;
            if text != *written {
                value.set_sensitive(true);
                secrets.texts.extend(text.split_whitespace().map(str::to_owned));
            }
            secrets.headers.insert(header, value);
        }
        secrets.texts.retain(|text| text.len() >= SHORTEST_SECRET);
        // A secret that is part of another must not leave half of it behind.
        secrets.texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Ok(secrets)
    }

    pub(super) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    pub(super) fn has_key(&self) -> bool {
        self.has_key
    }

    /// A server's message without the secrets in it: some repeat a wrong key.
    pub(super) fn strike_out(&self, message: &str) -> String {
        self.texts.iter().fold(message.to_owned(), |message, secret| message.replace(secret, "[key]"))
    }
}

/// The key in the variable or file that the model names; `None` if it names none, or it is unset or empty.
fn key(config: &ModelConfig) -> Result<Option<String>, ConnectProblem> {
    let text = match (&config.api_key_env, &config.api_key_file) {
        (Some(variable), _) => match std::env::var_os(variable) {
            Some(value) => value.into_string().map_err(|_| wrong_key(config))?,
            None => return Ok(None),
        },
        (None, Some(path)) => text_file::read(path)
            .map_err(|error| ConnectProblem::KeyFile { path: path.clone(), cause: error.to_string() })?,
        (None, None) => return Ok(None),
    };
    let text = text.trim();
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong_key(config));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

fn wrong_key(config: &ModelConfig) -> ConnectProblem {
    let source = config.api_key_env.as_ref().or(config.api_key_file.as_ref());
    ConnectProblem::Key { source_of_it: source.cloned().unwrap_or_default() }
}
