//! The filter `diff`: what changed from one text to another, word by word.
//!
//! `original | diff(text)` is a list of the changes: `now` replaces `was` at character `at` of the original. For
//! people who check how a model changed a text, and for provenance: the original can be restored from the new text
//! and the list.

use minijinja::{Error, ErrorKind, State, Value};
use similar::{Algorithm, DiffOp, capture_diff_slices};
use unicode_segmentation::UnicodeSegmentation;

use super::checked_operators;

/// Pairs of words that cost one unit of fuel: two texts without a common word are compared pair by pair.
const PAIRS_PER_FUEL: u64 = 256;

/// One change, as ranges of words in both texts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    was: std::ops::Range<usize>,
    now: std::ops::Range<usize>,
}

/// The filter `diff`.
pub(super) fn diff(state: &State<'_, '_>, before: &Value, after: &Value) -> Result<Value, Error> {
    let (before, after) = (text(before)?, text(after)?);
    let (old, new) = (words(before), words(after));
    state.consume_fuel((old.len() as u64).saturating_mul(new.len() as u64) / PAIRS_PER_FUEL)?;
    state.consume_fuel(((before.len() + after.len()) / 64) as u64)?;
    let mut found = Vec::new();
    let (mut at, mut counted) = (0, 0);
    for change in changes(&old, &new) {
        at += characters(&old[counted..change.was.start]);
        let (was, now) = (old[change.was.clone()].concat(), new[change.now.clone()].concat());
        found.push(Value::from_pairs([
            ("at", Value::from(at)),
            ("was", Value::from(was)),
            ("now", Value::from(now)),
        ]));
        at += characters(&old[change.was.clone()]);
        counted = change.was.end;
    }
    Ok(Value::from(found))
}

fn text(value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| {
        let shown = checked_operators::shown(value);
        Error::new(ErrorKind::InvalidOperation, format!("`diff` wants two texts, got {shown}"))
    })
}

/// The words of a text and the characters between them: together they are the text.
fn words(text: &str) -> Vec<&str> {
    text.split_word_bounds().collect()
}

fn characters(words: &[&str]) -> usize {
    words.iter().map(|word| word.chars().count()).sum()
}

/// The changes in order, between words that occur once in both texts, so that spaces and articles are not matched by
/// accident. Changes with only white space between them are merged, so that a rewritten phrase is one change.
fn changes(old: &[&str], new: &[&str]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for op in capture_diff_slices(Algorithm::Patience, old, new) {
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        let (was, now) = (op.old_range(), op.new_range());
        match changes.last_mut() {
            Some(last) if old[last.was.end..was.start].iter().all(|word| word.trim().is_empty()) => {
                (last.was.end, last.now.end) = (was.end, now.end);
            }
            _ => changes.push(Change { was, now }),
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use crate::record::Record;
    use crate::template::Expression;
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json, json};

    fn changed(before: &Json, after: &Json) -> Result<Json, String> {
        let record = Record::new(Map::from_iter([
            ("before".to_owned(), before.clone()),
            ("after".to_owned(), after.clone()),
        ]));
        let expression = Expression::new("before | diff(after)", &Map::new()).unwrap();
        expression.value(&record).map_err(|error| error.to_string())
    }

    #[test]
    fn changes_are_told_word_by_word() {
        for (before, after, expected) in [
            ("The lid is loose.", "The lid is loose.", json!([])),
            (
                "The lid dont fit, ok?",
                "The lid does not fit.",
                json!([
                    {"at": 8, "was": "dont", "now": "does not"},
                    {"at": 16, "was": ", ok?", "now": "."},
                ]),
            ),
            ("", "New", json!([{"at": 0, "was": "", "now": "New"}])),
            ("Old", "", json!([{"at": 0, "was": "Old", "now": ""}])),
            // Characters are counted, not bytes.
            ("Größe 3 m", "Größe 4 m", json!([{"at": 6, "was": "3", "now": "4"}])),
            ("one two three four", "one 2 3 four", json!([{"at": 4, "was": "two three", "now": "2 3"}])),
        ] {
            assert_eq!(changed(&json!(before), &json!(after)).unwrap(), expected, "{before}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for (before, after, expected) in [
            (json!(null), json!("a"), "`diff` wants two texts, got null"),
            (json!("a"), json!(3), "`diff` wants two texts, got the number 3"),
        ] {
            let error = changed(&before, &after).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let long = |word: &str| json!(word.repeat(30_000));
        let error = changed(&long("a "), &long("b ")).unwrap_err();
        assert!(error.contains("does too much"), "{error}");
    }

    proptest! {
        #[test]
        fn the_original_can_be_made_of_the_changes(before in "[ab é.,\n]{0,40}", after in "[ab é.,\n]{0,40}") {
            let changes = changed(&json!(before), &json!(after)).unwrap();
            let original: Vec<char> = before.chars().collect();
            let (mut made, mut at) = (String::new(), 0);
            for change in changes.as_array().unwrap() {
                let start = usize::try_from(change["at"].as_u64().unwrap()).unwrap();
                let was = change["was"].as_str().unwrap();
                made.extend(&original[at..start]);
                prop_assert_eq!(original[start..start + was.chars().count()].iter().collect::<String>(), was);
                made.push_str(change["now"].as_str().unwrap());
                at = start + was.chars().count();
            }
            made.extend(&original[at..]);
            prop_assert_eq!(made, after);
        }
    }
}
