//! Where questions are sent, and the key that goes with them, kept out of everything that is printed.
//!
//! `openai` holds one `Address` for each base URL and at most one `Key`. Neither can be printed.

use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::llm::connect::ConnectProblem;

/// A shorter key is a placeholder such as `EMPTY`: a word, no secret.
const SHORTEST_SECRET: usize = 8;

/// One address.
pub(in crate::llm) struct Address {
    /// Where questions go.
    pub(in crate::llm) url: Url,
    /// The base URL.
    pub(in crate::llm) base: Url,
    /// What it is called in messages: the base URL without password and query.
    pub(in crate::llm) shown: String,
}

/// A key: as a header that prints nothing, and as the text to strike out of messages.
pub(in crate::llm) struct Key {
    header: HeaderValue,
    text: String,
}

impl Address {
    pub(in crate::llm) fn new(base: &str) -> Result<Self, ConnectProblem> {
        let shown = without_secrets(base);
        let wrong = || ConnectProblem::BaseUrl { url: shown.clone() };
        let mut url = Url::parse(base.trim()).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong());
        }
        let base = url.clone();
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(["chat", "completions"]);
        Ok(Self { url, base, shown })
    }
}

/// The address up to its query, without what stands before an `@`.
fn without_secrets(url: &str) -> String {
    let url = url.trim().split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

impl Key {
    /// The key in an environment variable; `None` if it is unset or empty.
    pub(in crate::llm) fn read(variable: &str) -> Result<Option<Self>, ConnectProblem> {
        let Some(value) = std::env::var_os(variable) else { return Ok(None) };
        let wrong = || ConnectProblem::Key { variable: variable.to_owned() };
        let text = value.into_string().map_err(|_| wrong())?.trim().to_owned();
        if text.is_empty() {
            return Ok(None);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong());
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| wrong())?;
        header.set_sensitive(true);
        Ok(Some(Self { header, text }))
    }

    /// The value of the Authorization header.
    pub(in crate::llm) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// A server's message without the key in it: some repeat a wrong one.
    pub(in crate::llm) fn strike_out(&self, message: &str) -> String {
        if self.text.len() < SHORTEST_SECRET {
            return message.to_owned();
        }
        message.replace(&self.text, "[key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_joined_and_shown_without_secrets() {
        let check = |base: &str, url: &str, shown: &str| {
            let address = Address::new(base).unwrap();
            assert_eq!((address.url.as_str(), &*address.shown), (url, shown));
        };
        check("http://h:1/v1", "http://h:1/v1/chat/completions", "http://h:1/v1");
        check(" http://h/v1/ ", "http://h/v1/chat/completions", "http://h/v1/");
        check("http://h", "http://h/chat/completions", "http://h");
        check(
            "https://u:secret@h/a?k=secret",
            "https://u:secret@h/a/chat/completions?k=secret",
            "https://h/a",
        );
        for wrong in ["", "h:1/v1", "ftp://h", "/v1"] {
            assert!(Address::new(wrong).is_err(), "{wrong}");
        }
    }
}
