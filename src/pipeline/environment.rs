//! `${NAME}` and `${NAME:-default}` in the texts of a pipeline file.
//!
//! Runs right after the file is parsed. `$${` is an escaped `${`; anything else that is not a name in braces is left
//! as it is. Providers' keys are never substituted: the file names their variable.

use std::collections::HashSet;

use serde_json::Value;

use super::document::{Document, each_text};
use super::problem::Problem;

/// Looks up an environment variable.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Substitutes the variables and returns the pointers of the texts that changed. A variable that is unset and has
/// no default is a problem.
pub(crate) fn substitute(
    document: &mut Document,
    lookup: Lookup<'_>,
    problems: &mut Vec<Problem>,
) -> HashSet<String> {
    let mut changes = Vec::new();
    each_text(&document.value, "", &mut |at, text| {
        if text.contains("${") && !at.ends_with("/api_key_env") && !is_header(at) {
            changes.push((at.to_owned(), expand(text, at, lookup, problems)));
        }
    });
    let mut computed = HashSet::new();
    for (at, text) in changes {
        if let Some(value) = document.value.pointer_mut(&at) {
            *value = Value::String(text);
            computed.insert(at);
        }
    }
    computed
}

/// Headers may contain secrets: their variables are resolved when the model is connected, so that the values are
/// in no plan and in no file of a run.
fn is_header(at: &str) -> bool {
    let mut steps = at.split('/').skip(1);
    steps.next() == Some("models") && steps.nth(1) == Some("headers")
}

/// Substitutes the process's environment in a text that must not be in the plan. The error is the name of a
/// variable that is unset.
pub(crate) fn expand_secret(text: &str) -> Result<String, String> {
    let mut problems = Vec::new();
    let expanded = expand(text, "", &|name| std::env::var(name).ok(), &mut problems);
    match problems.pop() {
        Some(problem) => Err(problem.message),
        None => Ok(expanded),
    }
}

fn expand(text: &str, at: &str, lookup: Lookup<'_>, problems: &mut Vec<Problem>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at(start);
        let after = &after[2..];
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((name, default, tail)) = reference(after) else {
            out.push_str("${");
            rest = after;
            continue;
        };
        match (lookup(name), default) {
            (Some(value), None) => out.push_str(&value),
            // As in a shell, `:-` also replaces an empty value.
            (Some(value), Some(_)) if !value.is_empty() => out.push_str(&value),
            (_, Some(default)) => out.push_str(default),
            (None, None) => problems.push(unset(at, name)),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// The name, the default and the rest of a text that begins after `${`.
fn reference(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let end = text.find('}')?;
    let (inside, tail) = (&text[..end], &text[end + 1..]);
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    is_name(name).then_some((name, default, tail))
}

/// Whether a text can be the name of an environment variable.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn unset(at: &str, name: &str) -> Problem {
    Problem {
        at: at.to_owned(),
        word: Some(format!("${{{name}}}")),
        message: format!("environment variable `{name}` is not set"),
        hint: Some(format!("set it, or give a default: `${{{name}:-default}}`")),
        ..Problem::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str, unset: usize) {
        let lookup = |name: &str| match name {
            "A" => Some("x".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let mut problems = Vec::new();
        assert_eq!(expand(text, "", &lookup, &mut problems), expected, "{text}");
        assert_eq!(problems.len(), unset, "{text}");
    }

    #[test]
    fn puts_in_what_is_set_and_reports_what_is_not() {
        check("a ${A} ${A}b", "a x xb", 0);
        check("${NONE:-http://h:1/v1}/${A}", "http://h:1/v1/x", 0);
        check("${EMPTY:-d} ${EMPTY}|", "d |", 0);
        check("${NONE} ${ALSO}", " ", 2);
        check("$${A} ${not a name} ${", "${A} ${not a name} ${", 0);
    }
}
