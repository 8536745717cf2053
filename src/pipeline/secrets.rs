//! Keeps passwords and keys out of messages, source lines and the resolved pipeline.
//!
//! Secrets are masked character by character, so that locations stay valid. In the resolved pipeline the name of
//! a variable replaces its value again, so that the file can be run as it is.

use serde_json::Value;

/// Keys whose value on the same line is masked in source lines: a secret was written into the file.
const SECRET_KEYS: [&str; 7] =
    ["api_key", "apikey", "api-key", "authorization", "password", "secret", "token"];

/// Parts of a variable's name that mark its value as a secret.
const SECRET_NAMES: [&str; 6] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"];
/// A shorter value is a placeholder such as `EMPTY`, or a word.
pub(crate) const SHORTEST_SECRET: usize = 8;
/// A path segment of at least this length that consists of letters and digits is a key, not a word.
const KEY_IN_PATH: usize = 24;

/// Masks passwords in URLs, and values of keys that look secret.
pub(crate) fn mask(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let line = mask_urls(line);
        match secret_value(&line) {
            Some(start) => {
                let end = line.trim_end().len().max(start);
                out.push_str(&line[..start]);
                out.push_str(&stars(&line[start..end]));
                out.push_str(&line[end..]);
            }
            None => out.push_str(&line),
        }
    }
    out
}

/// The environment variables whose names mark them as secrets, as (name, value).
fn secret_variables() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| {
            let name = name.to_uppercase();
            value.len() >= SHORTEST_SECRET && SECRET_NAMES.iter().any(|part| name.contains(part))
        })
        .collect();
    // A secret that is part of another must not leave half of it unmasked.
    found.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    found
}

/// The secret parts of a URL: user and password, values of secret names in its query, path segments that look
/// like keys, and values of secret variables anywhere in it.
pub(crate) fn secrets_of_url(url: &str) -> Vec<String> {
    let mut found: Vec<String> =
        secret_variables().into_iter().map(|(_, value)| value).filter(|value| url.contains(value)).collect();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = before_query.split_once('/').unwrap_or((before_query, ""));
    if let Some((user, _)) = authority.rsplit_once('@') {
        // With a password, the user's name is not secret; both together are what a header contains.
        found.push(user.to_owned());
        found.extend(user.split_once(':').map(|(_, password)| password.to_owned()));
    }
    let pairs = query.split(['&', '#']).filter_map(|pair| pair.split_once('='));
    found.extend(pairs.filter(|(name, _)| is_secret_in_query(name)).map(|(_, value)| value.to_owned()));
    found.extend(path.split('/').filter(|piece| is_key(piece)).map(str::to_owned));
    found.retain(|secret| !secret.is_empty());
    found
}

/// Replaces the values of secret variables by their names.
fn with_names(text: &str, variables: &[(String, String)]) -> String {
    variables.iter().fold(text.to_owned(), |text, (name, value)| text.replace(value, &format!("${{{name}}}")))
}

/// Replaces the values of secret variables in all texts of a value, and masks the rest of its URLs.
pub(crate) fn redact(value: &mut Value) {
    fn each(value: &mut Value, variables: &[(String, String)]) {
        match value {
            Value::String(text) => *text = mask_urls(&with_names(text, variables)),
            Value::Array(items) => items.iter_mut().for_each(|item| each(item, variables)),
            Value::Object(fields) => fields.values_mut().for_each(|field| each(field, variables)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    each(value, &secret_variables());
}

fn is_secret_in_query(name: &str) -> bool {
    is_secret(name) || name.eq_ignore_ascii_case("key") || name.eq_ignore_ascii_case("sig")
}

/// Whether a path segment looks like a key: long, of letters and digits without a separator.
fn is_key(piece: &str) -> bool {
    let known = ["sk-", "key-", "pat-", "hf_", "gsk_", "xai-"].iter().any(|start| piece.starts_with(start));
    let mixed = piece.bytes().any(|byte| byte.is_ascii_digit())
        && piece.bytes().any(|byte| byte.is_ascii_alphabetic())
        && piece.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (known && piece.len() >= SHORTEST_SECRET) || (mixed && piece.len() >= KEY_IN_PATH)
}

/// Masks the secret parts of each URL in the text.
pub(crate) fn mask_urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find("://") {
        let (before, after) = rest.split_at(found + 3);
        out.push_str(before);
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | '<' | '>');
        let (url, tail) = after.split_at(after.find(ends).unwrap_or(after.len()));
        let url = mask_path(&mask_query(&mask_password(url)));
        out.push_str(&url);
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn mask_path(url: &str) -> String {
    let (path, query) = url.split_at(url.find('?').unwrap_or(url.len()));
    let pieces = path.split('/').map(|piece| if is_key(piece) { stars(piece) } else { piece.to_owned() });
    pieces.collect::<Vec<_>>().join("/") + query
}

fn mask_password(url: &str) -> String {
    let authority = &url[..url.find('/').unwrap_or(url.len())];
    let Some(at) = authority.rfind('@') else { return url.to_owned() };
    // Without a colon the user part may itself be a token.
    let start = authority[..at].find(':').map_or(0, |colon| colon + 1);
    format!("{}{}{}", &url[..start], stars(&url[start..at]), &url[at..])
}

fn mask_query(url: &str) -> String {
    let Some((path, query)) = url.split_once('?') else { return url.to_owned() };
    let mut pairs = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some((name, value)) if is_secret_in_query(name) => {
                pairs.push(format!("{name}={}", stars(value)));
            }
            _ => pairs.push(pair.to_owned()),
        }
    }
    format!("{path}?{}", pairs.join("&"))
}

/// Where the value of a secret key begins on this line. `api_key_env` counts if its value cannot be a variable's
/// name: then it is the key itself.
fn secret_value(line: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(colon) = line[from..].find(':').map(|found| from + found) {
        let key = line[..colon].trim_end().trim_end_matches(['"', '\'']);
        let key = &key[key
            .rfind(|c: char| !(c.is_alphanumeric() || "_-".contains(c)))
            .map_or(0, |at| at + key[at..].chars().next().map_or(1, char::len_utf8))..];
        let after = &line[colon + 1..];
        let value = after.trim_start();
        let start = line.len() - value.len();
        let bare = value.trim_end().trim_matches(['"', '\'', '}', ' ']);
        let names_a_variable =
            super::environment::is_name(bare.split([',', ' ', '}']).next().unwrap_or(bare));
        if is_secret(key) || (key.ends_with("api_key_env") && !bare.is_empty() && !names_a_variable) {
            return Some(start);
        }
        from = colon + 1;
    }
    None
}

pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    SECRET_KEYS.iter().any(|secret| key.ends_with(secret))
}

fn stars(text: &str) -> String {
    text.chars().map(|_| '*').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_secrets_and_nothing_else() {
        for (text, expected) in [
            ("base_urls: [\"http://u:pw@h/v1\"]", "base_urls: [\"http://u:**@h/v1\"]"),
            ("https://h/v1?api-version=2&key=abc", "https://h/v1?api-version=2&key=***"),
            ("see https://h/sk-12345678/v1?x=1", "see https://h/***********/v1?x=1"),
            ("https://h/a1b2c3d4e5f6a1b2c3d4e5f6/v1", "https://h/************************/v1"),
            ("https://h/deployments/gpt-4o-mini-2024-07-18", "https://h/deployments/gpt-4o-mini-2024-07-18"),
            ("  api_key: sk-1\n  max_tokens: 5\n", "  api_key: ****\n  max_tokens: 5\n"),
            ("  api_key_env: LLM_API_KEY # name\n", "  api_key_env: LLM_API_KEY # name\n"),
            ("  api_key_env: sk-123", "  api_key_env: ******"),
            ("{model: x, token: abc}", "{model: x, token: ****"),
            ("system: a: token of thanks", "system: a: token of thanks"),
        ] {
            assert_eq!(mask(text), expected);
        }
    }

    #[test]
    fn finds_what_is_secret_in_a_url() {
        let check = |url: &str, expected: &[&str]| assert_eq!(secrets_of_url(url), expected, "{url}");
        check("http://127.0.0.1:8000/v1", &[]);
        check("https://u:p%40w@h/v1?api-version=2", &["u:p%40w", "p%40w"]);
        check("https://tokenonly@h", &["tokenonly"]);
        check("https://h/v1?key=abc&sig=def#x", &["abc", "def"]);
        check("https://h/sk-12345678/v1", &["sk-12345678"]);
    }

    #[test]
    fn names_come_back_where_values_were_put_in() {
        let variables = [("MY_TOKEN".to_owned(), "t0ps3cret".to_owned())];
        assert_eq!(with_names("http://h/t0ps3cret/v1", &variables), "http://h/${MY_TOKEN}/v1");
    }
}
