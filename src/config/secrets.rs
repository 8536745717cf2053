//! Keeps passwords and keys out of what is shown or kept: messages, source lines, the resolved pipeline.
//!
//! Every text is masked by characters of the same number, so that places still fit.

/// Keys whose value on the same line is masked in source lines: someone wrote a secret into the file.
const SECRET_KEYS: [&str; 7] =
    ["api_key", "apikey", "api-key", "authorization", "password", "secret", "token"];

/// Masks passwords in URLs, and values of keys that look secret.
pub(super) fn mask(text: &str) -> String {
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

/// Masks the password of each `scheme://user:password@host` in the text, and query values that hold keys.
pub(super) fn mask_urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find("://") {
        let (before, after) = rest.split_at(found + 3);
        out.push_str(before);
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | '<' | '>');
        let (url, tail) = after.split_at(after.find(ends).unwrap_or(after.len()));
        out.push_str(&mask_query(&mask_password(url)));
        rest = tail;
    }
    out.push_str(rest);
    out
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
            Some((name, value)) if is_secret(name) || name.eq_ignore_ascii_case("key") => {
                pairs.push(format!("{name}={}", stars(value)));
            }
            _ => pairs.push(pair.to_owned()),
        }
    }
    format!("{path}?{}", pairs.join("&"))
}

/// Where the value of a secret key begins on this line. `api_key_env` counts when its value cannot be
/// the name of a variable: then someone wrote the key itself.
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

pub(super) fn is_secret(key: &str) -> bool {
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
            ("  api_key: sk-1\n  max_tokens: 5\n", "  api_key: ****\n  max_tokens: 5\n"),
            ("  api_key_env: LLM_API_KEY # name\n", "  api_key_env: LLM_API_KEY # name\n"),
            ("  api_key_env: sk-123", "  api_key_env: ******"),
            ("{model: x, token: abc}", "{model: x, token: ****"),
            ("system: a: token of thanks", "system: a: token of thanks"),
        ] {
            assert_eq!(mask(text), expected);
        }
    }
}
