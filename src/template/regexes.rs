//! Regular expressions written in an expression itself: `text is search('^\d')`, `text | regex_search('\d+')`, `text
//! | regex_replace('\s+', ' ')`.
//!
//! The syntax is that of the `regex` crate, which runs in linear time. Case is ignored, as in files of patterns
//! (`patterns`), unless `(?-i)` is set. A constant that does not compile is refused at load (`names`). Compiled
//! expressions are cached, since the same few are used for every record.

use std::cell::RefCell;
use std::collections::VecDeque;

use minijinja::{Error, ErrorKind, State, Value};
use regex::{Regex, RegexBuilder};

use super::checked_operators;

/// The number of compiled expressions in each thread's cache.
const KEPT: usize = 32;
/// The maximum size of a compiled expression, in bytes.
const LARGEST: usize = 4 << 20;

thread_local! {
    /// The compiled expressions, the most recent first.
    static RECENT: RefCell<VecDeque<(Box<str>, Regex)>> = const { RefCell::new(VecDeque::new()) };
}

/// What is wrong with an expression.
pub(super) fn problem(source: &str) -> Option<String> {
    build(source).err()
}

fn build(source: &str) -> Result<Regex, String> {
    // `'\b'` in Jinja is a backspace, which nobody looks for.
    if source.contains('\u{8}') {
        let meant = source.replace('\u{8}', "\\\\b");
        return Err(format!("in a text a backslash is written twice: `{meant}`"));
    }
    RegexBuilder::new(source).case_insensitive(true).size_limit(LARGEST).build().map_err(|error| {
        // The last line is the error; those before it show the expression.
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("`{source}` is no regular expression: {reason}")
    })
}

/// The compiled expression.
pub(super) fn compiled(source: &str) -> Result<Regex, Error> {
    RECENT.with_borrow_mut(|recent| {
        if let Some(at) = recent.iter().position(|(known, _)| **known == *source) {
            return Ok(recent[at].1.clone());
        }
        let regex = build(source).map_err(|problem| Error::new(ErrorKind::InvalidOperation, problem))?;
        recent.truncate(KEPT - 1);
        recent.push_front((source.into(), regex.clone()));
        Ok(regex)
    })
}

/// The filter `regex_replace`: the text with each match replaced. In the replacement, `$1` and `${name}` insert the
/// text of a group, `$$` a dollar sign.
pub(super) fn regex_replace(
    state: &State<'_, '_>,
    value: &Value,
    source: &str,
    replacement: &str,
) -> Result<String, Error> {
    let Some(text) = value.as_str() else {
        let shown = checked_operators::shown(value);
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("`regex_replace` wants a text, got {shown}"),
        ));
    };
    checked_operators::measure(state, value)?;
    let replaced = compiled(source)?.replace_all(text, replacement).into_owned();
    state.consume_fuel((replaced.len() / 64) as u64)?;
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use crate::record::Record;
    use crate::template::{Expression, Template};
    use serde_json::{Map, Value, json};

    #[track_caller]
    fn check(source: &str, expected: Result<Value, &str>) {
        let fields = json!({"a": "Sure! Here it is:\n\nTides  rise.", "list": ["x1", "Y22"], "n": null});
        let record = Record::new(fields.as_object().unwrap().clone());
        let found = Expression::new(source, &Map::new()).and_then(|expression| expression.value(&record));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{source}"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{source}: {error}");
            }
            (found, expected) => panic!("{source}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn texts_are_searched_for_expressions_in_place() {
        check("a is search('tides +rise')", Ok(json!(true)));
        check("a is search('(?-i)tides')", Ok(json!(false)));
        check("a is search('^tides')", Ok(json!(false)));
        check("a is search('(?m)^tides')", Ok(json!(true)));
        check("list | regex_search(['z', '\\\\d{2}'])", Ok(json!("22")));
        check("list | select('search', '^x') | list", Ok(json!(["x1"])));
        check("a is search(n)", Err("wants patterns: a text, a list of texts or those of a file, got null"));
        check("a is search('(')", Err("`(` is no regular expression: unclosed group"));
        check("list | reject('search', '[')", Err("unclosed character class"));
        check("a is search('\\bso')", Err("in a text a backslash is written twice: `\\\\bso`"));
    }

    #[test]
    fn matches_are_replaced() {
        check("a | regex_replace('^sure[^\\n]*\\n+', '') | trim", Ok(json!("Tides  rise.")));
        check("list[1] | regex_replace('([a-z])(\\\\d)', '$2-${1}')", Ok(json!("2-Y2")));
        check("a | regex_replace('zebra', '')", Ok(json!("Sure! Here it is:\n\nTides  rise.")));
        check("n | regex_replace('a', '')", Err("`regex_replace` wants a text, got null"));
        check("a | regex_replace('*', '')", Err("repetition operator missing expression"));
        check("a | regex_replace('a')", Err("missing argument"));
    }

    #[test]
    fn a_wrong_expression_is_refused_before_anything_is_rendered() {
        let error = Template::new("\n{{ a | regex_replace('(', '') }}", &Map::new()).unwrap_err();
        assert_eq!((error.line, &*error.message), (Some(2), "`(` is no regular expression: unclosed group"));
    }
}
