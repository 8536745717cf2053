//! The key and headers of a model: sent with each request, and never printed.
//!
//! `http` reads them when the model is connected. They have no printable form, and are redacted from server messages.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::connect::ConnectProblem;
use super::dialect::Dialect;
use crate::pipeline::{ModelConfig, SHORTEST_SECRET, expand_secret, secrets_of_url};
use crate::text_file;

/// The replacement for a secret.
const REDACTED: &str = "[key]";
/// The shortest prefix of a secret that is redacted where a message was truncated within it.
const SHORTEST_PART: usize = 4;

/// The headers of every request to a model.
pub(super) struct Secrets {
    headers: HeaderMap,
    has_key: bool,
    /// The texts that must not be printed.
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
        for url in &config.base_urls {
            secrets.texts.extend(secrets_of_url(url));
        }
        secrets.texts = secrets.texts.iter().flat_map(|text| forms(text)).collect();
        secrets.texts.retain(|text| text.len() >= SHORTEST_SECRET);
        // Longest first, so that a secret within another one does not leave half of it.
        secrets.texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Ok(secrets)
    }

    pub(super) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    pub(super) fn has_key(&self) -> bool {
        self.has_key
    }

    /// Redacts the secrets in a server's message: some servers repeat a wrong key, or the requested URL.
    pub(super) fn redact(&self, message: &str) -> String {
        let mut message =
            self.texts.iter().fold(message.to_owned(), |text, secret| text.replace(secret, REDACTED));
        // A long message was truncated, possibly within a secret.
        let Some(before) = message.strip_suffix("...").map(str::len) else { return message };
        for secret in &self.texts {
            let parts = (SHORTEST_PART..secret.len()).rev().filter(|end| secret.is_char_boundary(*end));
            let cut = parts.map(|end| &secret[..end]).find(|part| message[..before].ends_with(part));
            if let Some(part) = cut {
                message.replace_range(before - part.len()..before, REDACTED);
                return message;
            }
        }
        message
    }
}

/// Returns a secret in the forms in which a server may repeat it: as it is, URL-encoded or decoded, in base64 as in a
/// header of basic authentication.
fn forms(secret: &str) -> Vec<String> {
    let decoded = percent_encoding::percent_decode_str(secret).decode_utf8_lossy().into_owned();
    let encoded =
        percent_encoding::utf8_percent_encode(&decoded, percent_encoding::NON_ALPHANUMERIC).to_string();
    let mut forms = vec![secret.to_owned(), encoded.to_lowercase(), encoded];
    for text in [secret, &decoded] {
        forms.push(BASE64_STANDARD_NO_PAD.encode(text));
        forms.push(BASE64_URL_SAFE_NO_PAD.encode(text));
    }
    // The value of a basic authentication header may be configured in encoded form.
    if let Ok(Ok(pair)) = BASE64_STANDARD.decode(secret).map(String::from_utf8)
        && let Some((_, password)) = pair.split_once(':')
    {
        forms.push(password.to_owned());
        forms.push(pair);
    }
    forms.push(decoded);
    forms.sort();
    forms.dedup();
    forms
}

/// Reads the key from the variable or file that the model names; `None` if it names none, or it is unset or empty.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(base_url: &str, header: &str) -> Secrets {
        let config =
            serde_json::json!({"base_urls": [base_url], "model": "m", "headers": {"x-auth": header}});
        let config: ModelConfig = serde_json::from_value(config).unwrap();
        Secrets::read(&config, Dialect::Chat).unwrap()
    }

    #[test]
    fn secrets_of_a_url_are_redacted_in_every_form() {
        let secrets = secrets("https://user:pa%2Fssword@h/sk-abcdefgh/v1?key=queryvalue", "plain");
        let base64 = BASE64_STANDARD.encode("user:pa/ssword");
        for (message, expected) in [
            (
                "Cannot POST /sk-abcdefgh/v1/chat/completions?key=queryvalue",
                "Cannot POST /[key]/v1/chat/completions?key=[key]",
            ),
            ("Basic {base64} is wrong", "Basic [key]"),
            ("not pa/ssword or pa%2Fssword", "not [key] or [key]"),
            ("cut within sk-abcd...", "cut within [key]..."),
            ("cut elsewhere...", "cut elsewhere..."),
            ("the user asked", "the user asked"),
        ] {
            let struck = secrets.redact(&message.replace("{base64}", &base64));
            assert!(struck.starts_with(expected) && !struck.contains("ssword"), "{struck}");
        }
    }
}
