//! The words around a number that change its meaning: multipliers, percentages, negations, and words that are not
//! units.

use std::sync::LazyLock;

use regex::Regex;

/// Words for percent.
pub(super) const PERCENT: [&str; 8] =
    ["%", "percent", "per cent", "prozent", "pour cent", "por ciento", "per cento", "percentage points"];
/// Words that multiply the number before them, in upper or lower case.
const MULTIPLIERS: [(&str, i64); 24] = [
    ("dozen", 12),
    ("hundred", 100),
    ("hundreds", 100),
    ("thousand", 1000),
    ("thousands", 1000),
    ("tausend", 1000),
    ("lakh", 100_000),
    ("million", 1_000_000),
    ("millions", 1_000_000),
    ("millionen", 1_000_000),
    ("millones", 1_000_000),
    ("millón", 1_000_000),
    ("milioni", 1_000_000),
    ("mio", 1_000_000),
    ("crore", 10_000_000),
    ("milliard", 1_000_000_000),
    ("milliards", 1_000_000_000),
    ("milliarde", 1_000_000_000),
    ("milliarden", 1_000_000_000),
    ("mrd", 1_000_000_000),
    ("billion", 1_000_000_000),
    ("billions", 1_000_000_000),
    ("billionen", 1_000_000_000_000),
    ("trillion", 1_000_000_000_000),
];
/// Letters that multiply.
const MULTIPLYING_LETTERS: [(&str, i64); 5] =
    [("k", 1000), ("K", 1000), ("M", 1_000_000), ("B", 1_000_000_000), ("bn", 1_000_000_000)];
/// A thousand in one language, a million in another.
pub(super) const UNCERTAIN_MULTIPLIER: &str = "mil";
/// Words after a number that are not a unit in a sentence, though `in` is one by itself.
pub(super) const FUNCTION_WORDS: [&str; 12] =
    ["in", "on", "at", "for", "from", "by", "a", "an", "per", "each", "altogether", "total"];
/// Words after a number that change the number or continue the sentence.
pub(super) const NO_UNITS: [&str; 58] = [
    "and",
    "or",
    "to",
    "und",
    "oder",
    "et",
    "y",
    "e",
    "of",
    "out",
    "-",
    "is",
    "was",
    "are",
    "were",
    "but",
    "because",
    "since",
    "so",
    "if",
    "as",
    "than",
    "more",
    "less",
    "times",
    "x",
    "squared",
    "cubed",
    "factorial",
    "ish",
    "th",
    "st",
    "nd",
    "rd",
    "base",
    "mod",
    "half",
    "halves",
    "third",
    "thirds",
    "quarter",
    "quarters",
    "fourth",
    "fourths",
    "fifth",
    "fifths",
    "sixth",
    "sixths",
    "eighth",
    "eighths",
    "tenth",
    "tenths",
    "hundredth",
    "hundredths",
    "thousandth",
    "thousandths",
    "millionths",
    "billionths",
];
/// The maximum number of words of a unit.
pub(super) const UNIT_WORDS: usize = 3;
/// An unknown unit with fewer letters may be a multiplier.
pub(super) const SHORT_UNIT: usize = 2;

/// Words that negate a number, leave it open, or make it a bound.
pub(super) static DENIED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)[<>≤≥≠±]|!=|\b(not|never|no longer|cannot|least|most|more than|less than|fewer|greater|over|under|above|below|between|up to|almost|nearly|wrong|or|maybe|perhaps|unknown|unclear|nicht|kein\w*|mindestens|höchstens|mehr als|weniger|oder|pas|au moins|ou|al menos|más de|menos de)\b|n['’]t\b",
    )
    .ok()
});
/// Words and signs that make the only number of a sentence part of a formula or a label.
pub(super) static JOINED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)[√^*×÷∞]|\\[a-z]+|[a-z]\(|\b(log|ln|lg|exp|sin|cos|tan|cot|sqrt|mod|gcd|lcm|det|floor|ceil)\b|\b(and a half|and a quarter|minus|plus|times)\b|\b(step|option|choice|question|problem|example|case|equation|part|figure|line|section|page|chapter|no\.|schritt|paso|étape)\s*#?[0-9]",
    )
    .ok()
});
/// Words that introduce an answer.
pub(super) static CUE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)\b(?:answer|result|antwort|ergebnis|réponse|respuesta|resultado|risposta|ответ)(?:\s+(?:is|ist|est|es|è|=))?\s*[:=]?\s+",
    )
    .ok()
});

/// Whether the pattern occurs in the text.
pub(super) fn matches(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
}

/// The multiplier at the beginning, with its length.
pub(super) fn multiplier(text: &str) -> Option<(usize, i64)> {
    let word = first_word(text);
    if word.is_empty() || text[word.len()..].starts_with(['/', '^', '²', '³']) {
        return None;
    }
    let letters = MULTIPLYING_LETTERS.iter().find(|(known, _)| *known == word);
    let lower = word.to_lowercase();
    let known = letters.or_else(|| MULTIPLIERS.iter().find(|(known, _)| *known == lower));
    known.map(|(_, size)| (word.len(), *size))
}

pub(super) fn first_word(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len())]
}
