//! The address of an endpoint, which is only displayed without its secrets.

use reqwest::Url;

use crate::llm::connect::ConnectProblem;
use crate::pipeline::secrets_of_url;

/// The address of an endpoint.
pub(in crate::llm) struct Address {
    /// Where requests are sent.
    pub(in crate::llm) url: Url,
    /// The base URL.
    pub(in crate::llm) base: Url,
    /// The base URL without password and query, for messages.
    pub(in crate::llm) shown: String,
}

impl Address {
    pub(in crate::llm) fn new(base: &str, path: &[&str]) -> Result<Self, ConnectProblem> {
        let shown = without_secrets(base);
        let wrong = || ConnectProblem::BaseUrl { url: shown.clone() };
        let mut url = Url::parse(base.trim()).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong());
        }
        let base = url.clone();
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(path);
        Ok(Self { url, base, shown })
    }
}

/// Returns the address up to its query, without user information and without keys in its path.
fn without_secrets(url: &str) -> String {
    let url = url.trim();
    let secrets = secrets_of_url(url);
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = shown.split_once("://") else { return shown.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = secrets.iter().fold(path.to_owned(), |path, secret| path.replace(secret, "[key]"));
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_joined_and_shown_without_secrets() {
        let check = |base: &str, url: &str, shown: &str| {
            let address = Address::new(base, &["chat", "completions"]).unwrap();
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
        check("https://h/sk-12345678/v1", "https://h/sk-12345678/v1/chat/completions", "https://h/[key]/v1");
        for wrong in ["", "h:1/v1", "ftp://h", "/v1"] {
            assert!(Address::new(wrong, &[]).is_err(), "{wrong}");
        }
    }
}
