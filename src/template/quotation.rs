//! Whether words are a quotation: whether they occur in a text as they are.
//!
//! `evidence is quoted_from(section.text)` holds for words that stand in the text in the same order, for a list if it
//! holds for each. White space and case do not count, nor does what Markdown and typography put around words: a
//! model that quotes `**20 %**` writes `20 %`, and straight quotation marks for curly ones.

use minijinja::value::{Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::kinds;
use super::patterns::texts;

/// The test `quoted_from`: whether each of the quotations occurs in one of the sources. A source that is null or
/// undefined has none; no quotation at all, or an empty one, is none.
pub(super) fn quoted_from(
    state: &State<'_, '_>,
    value: &Value,
    arguments: Rest<Value>,
) -> Result<bool, Error> {
    let wrong = |detail: String| Error::new(ErrorKind::InvalidOperation, detail);
    if arguments.is_empty() {
        return Err(wrong("`quoted_from` wants the text that is quoted".to_owned()));
    }
    kinds::measure(state, value)?;
    let quotations = texts(value).map_err(|what| {
        wrong(format!("`quoted_from` wants quotations: a text or a list of texts, got {what}"))
    })?;
    let mut sources = Vec::new();
    for source in arguments.iter().flat_map(with_elements) {
        kinds::measure(state, &source)?;
        match source.as_str() {
            Some(text) => sources.push(plain(text)),
            None if source.is_none() || source.is_undefined() => {}
            None => {
                let shown = kinds::shown(&source);
                return Err(wrong(format!("`quoted_from` wants texts that are quoted, got {shown}")));
            }
        }
    }
    let occurs = |quotation: &Value| {
        let quotation = plain(quotation.as_str().unwrap_or_default());
        let quotation = quotation.trim_matches(|char: char| char.is_whitespace() || "\".…".contains(char));
        !quotation.is_empty() && sources.iter().any(|source| source.contains(quotation))
    };
    Ok(!quotations.is_empty() && quotations.iter().all(occurs))
}

/// The value itself, or the elements of a list.
fn with_elements(value: &Value) -> Vec<Value> {
    match (value.kind(), value.try_iter()) {
        (ValueKind::Seq | ValueKind::Iterable, Ok(items)) => items.collect(),
        _ => vec![value.clone()],
    }
}

/// A text in small letters, with one space for any white space, straight quotation marks and hyphens, and without what
/// Markdown marks words with: stars, underscores, backticks, backslashes, and the brackets and addresses of links.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '*' | '_' | '`' | '\\' | '[' | '\u{ad}' => {}
            ']' => {
                if chars.peek() == Some(&'(') {
                    // An address has no spaces; a title behind it is no part of the words either.
                    chars.by_ref().find(|char| *char == ')');
                }
            }
            '“' | '”' | '„' | '«' | '»' | '‘' | '’' | '\'' => out.push('"'),
            '–' | '—' | '‑' | '‐' => out.push('-'),
            char if char.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            char => out.extend(char.to_lowercase()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::record::Record;
    use crate::template::Expression;
    use serde_json::{Map, Value, json};

    const SECTION: &str = "High water is then about **20 %** higher than\naverage, see [the tables](https://a.example/t \"T\").\nRun `make  all` – “now” or it's too late; set max_tokens.";

    #[test]
    fn quotations_occur_in_their_source() {
        let check = |evidence: Value, expected: bool| {
            let fields = json!({"evidence": evidence, "section": SECTION, "other": null, "more": "Neap tides are lower."});
            let record = Record::new(fields.as_object().unwrap().clone());
            let source = "evidence is quoted_from(section, [other, more])";
            let found = Expression::new(source, &Map::new()).unwrap().is_true(&record);
            assert_eq!(found.unwrap(), expected, "{evidence}");
        };
        check(json!("about 20 % higher than average"), true);
        check(json!("  HIGH water\tis then "), true);
        check(json!("about **20 %** higher"), true);
        check(json!("...higher than average, see the tables."), true);
        check(json!("Run `make all` - \"now\" or it’s too late"), true);
        check(json!(["set max_tokens", "neap tides are lower"]), true);
        check(json!(["set max_tokens", "neap tides are higher"]), false);
        check(json!("about 25 % higher than average"), false);
        check(json!("higher than the average"), false);
        check(json!([]), false);
        check(json!(["…"]), false);
        check(json!(""), false);
    }

    #[test]
    fn other_kinds_are_errors() {
        for (source, expected) in [
            ("n is quoted_from('a')", "a list of texts, got null"),
            ("[1] is quoted_from('a')", "a list of texts, got"),
            ("'a' is quoted_from(1)", "texts that are quoted, got"),
            ("'a' is quoted_from", "wants the text that is quoted"),
        ] {
            let record = Record::new(Map::from_iter([("n".to_owned(), Value::Null)]));
            let error = Expression::new(source, &Map::new()).unwrap().is_true(&record).unwrap_err();
            assert!(error.to_string().contains(expected), "{source}: {error}");
        }
    }
}
