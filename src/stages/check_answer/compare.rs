//! Compares the expected answer and the one found, as texts, choices or sets.
//!
//! All functions take plain text (`latex`).

use std::sync::LazyLock;

use regex::Regex;

use super::Correctness;
use super::quantity::{Quantity, QuantityRules};

/// Spaces around signs, which have no meaning.
static SIGN_SPACES: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\s*([+*/=^,;:(){}\[\]\\π√×-])\s*").ok());
/// Words that introduce an answer in a sentence.
static CUE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^(?:(?:so|thus|therefore|hence),?\s+)?(?:the\s+)?(?:final\s+|correct\s+)?(?:answers?|solutions?|roots|antwort|réponse|respuesta)\s*(?:(?:is|are|ist|est|es)\b\s*:?|:)\s*").ok()
});
/// A choice that is named as the answer.
static NAMED_CHOICE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?:(?i:answer|option|choice|choose|pick|select|antwort|réponse|respuesta)(?:\s+(?i:is|would be|must be|ist|est|es|option))*\s*:?\s*)\(?([A-Z])\)?(?:$|[^\p{L}\p{N}'])")
        .ok()
});
/// A choice with its text: `B) Paris`, `(B) Paris`, `B: Paris`.
static LEADING_CHOICE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(?:\(([A-Za-z0-9])\)|\[([A-Za-z0-9])\]|([A-Z0-9])[).:])(?:\s|$)").ok());
/// Words that negate a choice or leave it open.
static DENIED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\b(not|neither|nor|or|either|unless|nicht|oder|pas)\b|n['’]t\b").ok());

/// Signs for elements that are not listed.
const OPEN: [&str; 4] = ["...", "…", "\\ldots", "\\dots"];

/// Compares texts without regard to case, white space and the punctuation around them.
pub(super) fn texts(expected: &str, found: &str) -> Correctness {
    let stated = CUE.as_ref().map_or(found.into(), |cue| cue.replace(found, ""));
    let (expected, found) = (comparable(expected), comparable(&stated));
    if expected.is_empty() || found.is_empty() {
        return Correctness::Unknown;
    }
    if expected == found {
        return Correctness::Correct;
    }
    // If one contains the other, they may mean the same or the opposite.
    let (expected, found) = (spaced_words(&expected), spaced_words(&found));
    match found.contains(&expected) || expected.contains(&found) {
        true => Correctness::Unknown,
        false => Correctness::Wrong,
    }
}

/// A text, normalized for comparison.
fn comparable(text: &str) -> String {
    let text = text.trim_matches(|c: char| c.is_whitespace() || ".,;:!?\"'“”‘’«»「」*_".contains(c));
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    SIGN_SPACES.as_ref().map_or(joined.clone(), |spaces| spaces.replace_all(&joined, "$1").into_owned())
}

/// The words of a text, each surrounded by spaces.
fn spaced_words(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!(" {} ", words.join(" "))
}

/// Whether two formulas are written alike, apart from spaces.
pub(super) fn is_same_formula(expected: &str, found: &str) -> bool {
    let signs = |text: &str| text.trim().trim_end_matches('.').split_whitespace().collect::<String>();
    !signs(found).is_empty() && signs(expected) == signs(found)
}

/// Compares the letters of choices.
pub(super) fn choices(expected: &str, found: &str) -> Correctness {
    match (choice(expected), choice(found)) {
        (Some(expected), Some(found)) if expected == found => Correctness::Correct,
        (Some(_), Some(_)) => Correctness::Wrong,
        _ => Correctness::Unknown,
    }
}

/// The letter or digit of the choice in a text; `None` if there is none or several.
fn choice(text: &str) -> Option<char> {
    let bare = text.trim_matches(|c: char| c.is_whitespace() || "()[]{}.,:;!*\"'".contains(c));
    let mut chars = bare.chars();
    if let (Some(letter), None) = (chars.next(), chars.next()) {
        return letter.is_alphanumeric().then(|| letter.to_ascii_uppercase());
    }
    if let Some(found) = LEADING_CHOICE.as_ref().and_then(|pattern| pattern.captures(text)) {
        let letter = found.iter().skip(1).flatten().next()?.as_str().chars().next()?;
        return Some(letter.to_ascii_uppercase());
    }
    if DENIED.as_ref().is_none_or(|pattern| pattern.is_match(text)) {
        return None;
    }
    let mut named = NAMED_CHOICE.as_ref()?.captures_iter(text).filter_map(|found| found[1].chars().next());
    let first = named.next()?;
    named.all(|other| other == first).then_some(first)
}

/// Compares sets, whose elements are numbers or texts in any order.
pub(super) fn sets(expected: &[String], found: &[String], rules: &QuantityRules) -> Correctness {
    let is_open = found.iter().any(|one| OPEN.iter().any(|sign| one.contains(sign)));
    if expected.is_empty() || found.is_empty() || is_open {
        return Correctness::Unknown;
    }
    let element = |one: &String, other: &String| match (
        Quantity::whole(value(one), rules.decimal),
        Quantity::whole(value(other), rules.decimal),
    ) {
        (Some(one), Some(other)) => rules.compare(&one, &other),
        _ if comparable(value(one)) == comparable(value(other)) => Correctness::Correct,
        _ => Correctness::Wrong,
    };
    let covers = |these: &[String], those: &[String], least: fn(Correctness) -> bool| {
        these.iter().all(|one| those.iter().any(|other| least(element(one, other))))
    };
    let equal = |least: fn(Correctness) -> bool| {
        covers(expected, found, least)
            && found.iter().all(|one| expected.iter().any(|other| least(element(other, one))))
    };
    if equal(|verdict| verdict == Correctness::Correct) {
        return Correctness::Correct;
    }
    if equal(|verdict| verdict != Correctness::Wrong) { Correctness::Unknown } else { Correctness::Wrong }
}

/// The value of `x = 5`.
fn value(element: &str) -> &str {
    element.rsplit_once('=').map_or(element, |(_, value)| value).trim()
}

/// The elements of a set as it is written: `{1, 2}`, `1 and 2`, `x = 1; y = 2`.
pub(super) fn elements(text: &str) -> Vec<String> {
    let text = CUE.as_ref().map_or(text.into(), |cue| cue.replace(text, ""));
    let mut text = text.trim();
    // The full stop of a sentence, not the dots of a list that continues.
    text = text.strip_suffix('.').filter(|rest| !rest.ends_with('.')).unwrap_or(text).trim();
    for (open, close) in [('{', '}'), ('[', ']')] {
        if let Some(inside) = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            text = inside;
        }
    }
    let outside = |sign: char, next: char| {
        let mut depth = 0_i32;
        let mut at = Vec::new();
        for (index, char) in text.char_indices() {
            match char {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ if depth == 0 && char == sign => {
                    let after = text[index + char.len_utf8()..].chars().next();
                    at.extend((next == '\0' || after == Some(next)).then_some(index));
                }
                _ => {}
            }
        }
        at
    };
    // A comma without a space after it may be part of a number.
    let candidates = [outside(';', '\0'), outside(',', ' '), outside(',', '\0')];
    let borders = candidates.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
    let mut found = Vec::new();
    let mut start = 0;
    for end in borders.into_iter().chain([text.len()]) {
        found.push(&text[start..end]);
        start = (end + 1).min(text.len());
    }
    let joined = [" and ", " or ", " und ", " oder ", " et ", " ou ", " y "];
    let mut elements = Vec::new();
    for one in found {
        let mut rest = one.trim();
        rest = joined.iter().find_map(|word| rest.strip_prefix(word.trim_start())).unwrap_or(rest);
        let parts = joined.iter().find_map(|word| rest.split_once(word));
        let parts = parts.map_or(vec![rest], |(first, second)| vec![first, second]);
        elements.extend(parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()));
    }
    elements
}
