//! The test `quoted_from`: whether words occur verbatim in a text.
//!
//! `evidence is quoted_from(section.text)` is true for words that occur in the text in the same order, and for a
//! list if it is true for each element. White space and case are ignored, and so is what Markdown, HTML and
//! typography put around words (`normalize`): a model that quotes `**20&nbsp;%**` writes `20 %`.

mod normalize;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use minijinja::value::{Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use self::normalize::{is_spaceless, plain};
use super::checked_operators;
use super::patterns::texts;

/// The number of normalized sources in the cache: many consecutive questions are about the same section, and
/// normalizing it is most of the work of a check.
const KEPT: usize = 4;
/// The maximum size of a cached source, in bytes.
const LONGEST_KEPT: usize = 64 << 10;

thread_local! {
    /// The latest sources, the most recent first, each with its normalized words.
    static RECENT: RefCell<VecDeque<(Box<str>, Rc<str>)>> = const { RefCell::new(VecDeque::new()) };
}

/// The normalized words of a source.
fn plain_source(text: &str) -> Rc<str> {
    if text.len() > LONGEST_KEPT {
        return plain(text).into();
    }
    RECENT.with_borrow_mut(|recent| {
        if let Some((_, words)) = recent.iter().find(|(source, _)| **source == *text) {
            return Rc::clone(words);
        }
        let words: Rc<str> = plain(text).into();
        recent.truncate(KEPT - 1);
        recent.push_front((text.into(), Rc::clone(&words)));
        words
    })
}

/// The test `quoted_from`: whether each of the quotations occurs in one of the sources. A source that is null or
/// undefined contains nothing; a quotation that is empty or has no letter or digit does not count as one.
pub(super) fn quoted_from(
    state: &State<'_, '_>,
    value: &Value,
    arguments: Rest<Value>,
) -> Result<bool, Error> {
    let wrong = |detail: String| Error::new(ErrorKind::InvalidOperation, detail);
    if arguments.is_empty() {
        return Err(wrong("`quoted_from` wants the text that is quoted".to_owned()));
    }
    checked_operators::measure(state, value)?;
    let quotations = texts(value).map_err(|what| {
        wrong(format!("`quoted_from` wants quotations: a text or a list of texts, got {what}"))
    })?;
    let mut sources = Vec::new();
    for source in arguments.iter().flat_map(with_elements) {
        checked_operators::measure(state, &source)?;
        match source.as_str() {
            Some(text) => sources.push(plain_source(text)),
            None if source.is_none() || source.is_undefined() => {}
            None => {
                let shown = checked_operators::shown(&source);
                return Err(wrong(format!("`quoted_from` wants texts that are quoted, got {shown}")));
            }
        }
    }
    let occurs = |quotation: &Value| {
        let quotation = plain(quotation.as_str().unwrap_or_default());
        let quotation = quotation.trim_matches(|char: char| !char.is_alphanumeric());
        !quotation.is_empty() && sources.iter().any(|source| holds(source, quotation))
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

/// Whether the text contains the words as whole words: `able to` is not in `unable to`.
fn holds(text: &str, words: &str) -> bool {
    let joined = |left: Option<char>, right: Option<char>| match (left, right) {
        (Some(left), Some(right)) => {
            left.is_alphanumeric() && right.is_alphanumeric() && !is_spaceless(left) && !is_spaceless(right)
        }
        _ => false,
    };
    text.match_indices(words).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + words.len()..]);
        !joined(before.chars().next_back(), words.chars().next())
            && !joined(words.chars().next_back(), after.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use crate::record::Record;
    use crate::template::Expression;
    use serde_json::{Map, Value, json};

    /// Whether a quotation occurs in a text.
    fn is_found(evidence: &Value, text: &str) -> bool {
        let fields =
            json!({"evidence": evidence, "text": text, "other": null, "more": "Neap tides are lower."});
        let record = Record::new(fields.as_object().unwrap().clone());
        let source = "evidence is quoted_from(text, [other, more])";
        Expression::new(source, &Map::new()).unwrap().is_true(&record).unwrap()
    }

    #[test]
    fn words_are_found_as_they_are_read() {
        for (text, quotation) in [
            ("High water is about **20 %** higher than\naverage.", "about 20 % higher than average"),
            ("High water is then", "  HIGH water\tis then "),
            ("See [the tables](https://a.example/t \"T\") first.", "...see the tables first."),
            ("Run `make  all` – “now” or it's too late", "Run `make all` - \"now\" or it’s too late"),
            ("Read the [guide][g] of it", "the guide of it"),
            ("An [A (b)](https://a.example/A_(b)) is small", "An A (b) is small"),
            ("It is fast[^1] and small", "is fast and small"),
            ("Q&amp;A and 1 &lt; 2 at 5&nbsp;kg", "Q&A and 1 < 2 at 5 kg"),
            ("Press <kbd>Ctrl</kbd> <br>and <https://a.example>", "Press Ctrl and https://a.example"),
            ("It is ~~not~~ $x_i$ here", "is not x_i here"),
            ("> A quote that is\n> wrapped here", "that is wrapped here"),
            ("The colours are:\n\n- a red\n- a blue", "colours are: a red a blue"),
            ("| Port | 8080 |\n| --- | --- |\n| Host | here |", "Port 8080"),
            ("1. First\n2. Then\n", "First then"),
            ("cafe\u{301} au lait", "caf\u{e9} au lait"),
            ("２０ Stück", "20 stück"),
            ("Groß und STRASSE, −5 °C", "GROSS und Straße, -5 °C"),
            ("Wait … and ''see'' zero\u{200b}width", "wait ... and \"see\" zerowidth"),
            ("緑茶は80度の\n湯でいれる。", "「80度の湯でいれる」"),
            ("set max_tokens;", "max_tokens,"),
            ("1. Heat it.\n   - At 5 bar.\n", "Heat it. - At 5 bar."),
            ("- 急須に入れる。\n  - 6 gは3杯。\n", "急須に入れる。 - 6 gは3杯。"),
        ] {
            assert!(is_found(&json!(quotation), text), "{quotation} in {text}");
        }
    }

    #[test]
    fn other_words_are_not_found() {
        for (text, quotation) in [
            ("about 20 % higher than average", "about 25 % higher than average"),
            ("higher than average", "higher than the average"),
            ("It is unable to write files", "able to write files"),
            ("The value cannot be changed", "The value can"),
            ("It is 120 % of them", "20 % of them"),
            ("a --- b", "---"),
            ("a (b): c", "):"),
            ("a", "…"),
            ("a", ""),
        ] {
            assert!(!is_found(&json!(quotation), text), "{quotation} in {text}");
        }
    }

    #[test]
    fn each_of_a_list_is_looked_for_in_every_source() {
        assert!(is_found(&json!(["higher water", "neap tides are lower"]), "Higher water."));
        assert!(!is_found(&json!(["higher water", "neap tides are higher"]), "Higher water."));
        assert!(!is_found(&json!([]), "Higher water."));
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
