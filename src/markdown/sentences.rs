//! Splits prose into sentences.
//!
//! The boundaries come from the Unicode rules (UAX 29), which do not know abbreviations: a boundary after one is
//! removed here, as is one before a word in lower case. A missing boundary does less harm than one in the middle
//! of a sentence, so doubtful cases are not split. Code spans and addresses are never split.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memchr_iter;

use super::sentence_bounds::bounds;

/// Abbreviations that never end a sentence, in lower case without the last full stop.
const INSIDE: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "rev", "gen", "sen", "rep", "gov", "capt", "lt", "col", "sgt", "hon",
    "messrs", "mme", "mlle", "sra", "srta", "hr", "frau", "st", "ste", "mt", "ft", "fig", "figs", "vs", "cf",
    "viz", "approx", "ca", "al", "esp", "incl", "excl", "resp", "e.g", "i.e", "eg", "ie", "bzw", "vgl",
    "evtl", "ggf", "inkl", "zzgl", "sog", "ej", "ex", "abb", "dipl", "ing",
];
/// Abbreviations that do not end a sentence if a number follows.
const BEFORE_NUMBER: &[&str] = &[
    "no", "nos", "nr", "n", "nº", "núm", "num", "p", "pp", "pág", "pag", "s", "vol", "ch", "chap", "sec",
    "sect", "art", "eq", "ver", "v", "tab", "kap", "max", "min", "op", "jan", "feb", "mar", "apr", "jun",
    "jul", "aug", "sep", "sept", "oct", "nov", "dec", "okt", "dez",
];
/// Abbreviations that may end a sentence: they do if a word follows that often begins one.
const DOUBTFUL: &[&str] =
    &["etc", "usw", "inc", "ltd", "co", "corp", "bros", "jr", "sr", "dept", "univ", "assn", "ave", "blvd"];
/// What an abbreviation says about the full stop after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Abbreviation {
    Inside,
    BeforeNumber,
    Doubtful,
}

/// All abbreviations.
static KNOWN: LazyLock<HashMap<&str, Abbreviation>> = LazyLock::new(|| {
    let lists = [
        (INSIDE, Abbreviation::Inside),
        (BEFORE_NUMBER, Abbreviation::BeforeNumber),
        (DOUBTFUL, Abbreviation::Doubtful),
    ];
    lists.iter().flat_map(|(words, kind)| words.iter().map(|word| (*word, *kind))).collect()
});

/// Words that often begin a sentence and are seldom capitalised inside one.
const STARTERS: &[&str] = &[
    "A", "After", "All", "Also", "An", "And", "As", "At", "Both", "But", "By", "Each", "For", "He", "Here",
    "How", "However", "I", "If", "In", "It", "Its", "Most", "No", "Not", "On", "One", "Only", "Or", "She",
    "Since", "So", "Some", "That", "The", "Their", "Then", "There", "These", "They", "This", "Those", "To",
    "Use", "We", "What", "When", "Where", "While", "Why", "With", "You", "Your", "Das", "Der", "Die", "Ein",
    "Eine", "Es", "Sie", "Wir", "El", "La", "Los", "Las", "Un", "Una", "Le", "Les", "Il", "Elle", "Une",
];
/// German months: `am 3. Oktober` is one sentence.
const GERMAN_MONTHS: &[&str] = &[
    "Januar",
    "Jänner",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
];

/// The minimum number of Thai or Lao characters before a space that ends a sentence: clauses are shorter.
const CLAUSE: usize = 40;

/// The sentences of `text`, as ranges without white space at their ends. Ranges in `solid` are not split.
#[must_use]
pub fn split(text: &str, solid: &[Range<usize>]) -> Vec<Range<usize>> {
    let masked = mask(text, solid);
    let mut sentences = Vec::new();
    let mut start = 0;
    for border in bounds(&masked) {
        if is_border(&masked[start..border], &masked[border..]) {
            push_spaced(&mut sentences, text, &masked, start..border);
            start = border;
        }
    }
    push_spaced(&mut sentences, text, &masked, start..text.len());
    sentences
}

/// Adds a sentence, split at the spaces of a script that ends sentences with them.
fn push_spaced(sentences: &mut Vec<Range<usize>>, text: &str, masked: &str, range: Range<usize>) {
    let mut start = range.start;
    // Every such character begins with this byte.
    let may_end = masked.as_bytes()[range.clone()].contains(&0xe0);
    if may_end && masked[range.clone()].contains(ends_by_space) {
        let (mut length, mut before) = (0, None);
        for (at, c) in masked[range.clone()].char_indices() {
            let border = range.start + at;
            length += 1;
            // Tibetan ends its sentences with a stroke; the spaces of Thai and Lao separate clauses as well.
            let ends = c == ' '
                && (before == Some('།')
                    || before == Some('༎')
                    || length > CLAUSE && before.is_some_and(ends_by_space))
                && masked[border + 1..].starts_with(ends_by_space);
            if ends {
                push_trimmed(sentences, text, start..border);
                (start, length) = (border, 0);
            }
            before = Some(c);
        }
    }
    push_trimmed(sentences, text, start..range.end);
}

/// Whether a letter is Thai, Lao or Tibetan.
fn ends_by_space(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0fff}')
}

/// The text with code and addresses masked by capital letters of the same length in bytes: neither their full
/// stops nor their lower-case beginnings count.
fn mask<'a>(text: &'a str, solid: &[Range<usize>]) -> Cow<'a, str> {
    let mut ranges = addresses(text);
    if ranges.is_empty() && solid.is_empty() {
        return Cow::Borrowed(text);
    }
    ranges.extend_from_slice(solid);
    ranges.sort_by_key(|range| range.start);
    let mut masked = String::with_capacity(text.len());
    for range in ranges {
        if range.start < masked.len() || range.end > text.len() {
            continue;
        }
        masked.push_str(&text[masked.len()..range.start]);
        masked.extend(std::iter::repeat_n('X', range.len()));
    }
    masked.push_str(&text[masked.len()..]);
    Cow::Owned(masked)
}

/// The ranges of bare web addresses, without the punctuation that follows them.
fn addresses(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let bytes = text.as_bytes();
    let may_begin = memchr_iter(b':', bytes).any(|at| bytes[at..].starts_with(b"://"))
        || memchr_iter(b'.', bytes).any(|at| bytes[..at].ends_with(b"www"));
    if !may_begin {
        return found;
    }
    for (start, _) in text.match_indices(['h', 'w']) {
        let rest = &text[start..];
        let begins = ["http://", "https://", "www."].iter().any(|begin| rest.starts_with(begin));
        if !begins || found.last().is_some_and(|last| start < last.end) {
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || !c.is_ascii()).unwrap_or(rest.len());
        let address = rest[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '"', '\'', '>']);
        found.push(start..start + address.len());
    }
    found
}

fn push_trimmed(sentences: &mut Vec<Range<usize>>, text: &str, range: Range<usize>) {
    let sentence = &text[range.clone()];
    let start = range.start + (sentence.len() - sentence.trim_start().len());
    let end = start + sentence.trim().len();
    if start < end {
        sentences.push(start..end);
    }
}

/// Whether a sentence ends between the two texts, where the Unicode rules have a boundary.
fn is_border(before: &str, after: &str) -> bool {
    let sentence = before.trim_end();
    if sentence.len() == before.len() {
        return ends_wide(sentence) && !goes_on_after_quote(sentence, after);
    }
    if begins_in_lower_case(after) || !sentence.contains(char::is_alphabetic) {
        return false;
    }
    if before.ends_with('\n') {
        return true;
    }
    if ends_in_aside(sentence) {
        return false;
    }
    let sentence = sentence.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»']);
    if sentence.ends_with("..") || sentence.ends_with('…') {
        return false;
    }
    match sentence.strip_suffix('.') {
        Some(stem) => !is_abbreviation(stem, after),
        None => true,
    }
}

/// Whether the text ends in a full stop of a script that has no space after it.
fn ends_wide(sentence: &str) -> bool {
    let text = sentence.trim_end_matches(['」', '』', '）', '”', '’', '》', '】']);
    text.ends_with(['。', '！', '？', '．', '｡', '።', '፧', '፨', '।', '॥', '۔', '؟', '။', '។', '៕', '༎'])
}

/// Whether a Japanese quotation continues in the sentence around it: `「はい。」と言った。`
fn goes_on_after_quote(sentence: &str, after: &str) -> bool {
    sentence.ends_with(['」', '』'])
        && ["と", "って", "という", "、", "を", "は", "の"].iter().any(|word| after.starts_with(word))
}

/// Whether the text ends in brackets that opened inside it: `a new (and better!) one`.
fn ends_in_aside(sentence: &str) -> bool {
    sentence.ends_with(')') && !sentence.starts_with('(') && sentence.contains('(')
}

fn begins_in_lower_case(after: &str) -> bool {
    let opening = ['"', '\'', '(', '[', '“', '‘', '«', '„', '¿', '¡', ' '];
    after.trim_start_matches(opening).starts_with(char::is_lowercase)
}

/// Whether the word before the full stop (`stem` ends with it) is an abbreviation rather than the last word.
fn is_abbreviation(stem: &str, after: &str) -> bool {
    let last = stem.rsplit(char::is_whitespace).next().unwrap_or_default();
    let word = last.trim_start_matches(|c: char| !c.is_alphanumeric());
    let lower = word.to_lowercase();
    let next = after.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let known = KNOWN.get(lower.as_str());
    match known {
        Some(Abbreviation::Inside) => return true,
        Some(Abbreviation::BeforeNumber) if after.starts_with(char::is_numeric) => return true,
        _ => {}
    }
    if word.len() <= 2 && word.bytes().all(|b| b.is_ascii_digit()) && GERMAN_MONTHS.contains(&next) {
        return true;
    }
    let doubtful = known == Some(&Abbreviation::Doubtful) || is_initials(word);
    doubtful && !STARTERS.contains(&next)
}

/// Whether the word is one letter, or single letters with full stops between (`U.S`, `J.-C`).
fn is_initials(word: &str) -> bool {
    word.split('.').all(|part| {
        let mut letters = part.trim_start_matches('-').chars();
        letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> = split(text, &[]).into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, expected);
    }

    /// Each text is one sentence.
    fn check_whole(texts: &[&str]) {
        for text in texts {
            check(text, &[text]);
        }
    }

    #[test]
    fn full_stops_question_and_exclamation_marks_end_sentences() {
        check("It works. Does it? Yes! Good.", &["It works.", "Does it?", "Yes!", "Good."]);
        check("He said \"Stop.\" Then he left.", &["He said \"Stop.\"", "Then he left."]);
        check("One line\nAnother line", &["One line", "Another line"]);
        check("", &[]);
    }

    #[test]
    fn abbreviations_do_not_end_sentences() {
        check_whole(&[
            "Ask Dr. Smith and Prof. Jones.",
            "Fruit, e.g. Apples, i.e. Malus, are fine.",
            "See Fig. 3 and No. 7 on p. 12 of Vol. 2.",
            "J. R. R. Tolkien and George W. Bush met.",
            "The U.S. Senate met at 5 p.m. Eastern time.",
            "Paid on Jan. 5 and on Dec. 24 by Foo Inc. Berlin.",
            "St. Petersburg lies approx. 600 km from Moscow vs. Oslo.",
            "Man nehme z. B. Butter oder d. h. Fett am 3. Oktober.",
            "Hay frutas, p. ej. Manzanas.",
            "Pens, ink, etc. Berlin sells them.",
        ]);
        check("Is it No. 5? The answer is no. We go.", &["Is it No. 5?", "The answer is no.", "We go."]);
        check("It is written in C. The rest is Rust.", &["It is written in C.", "The rest is Rust."]);
        check("Pens, ink, etc. They are sold.", &["Pens, ink, etc.", "They are sold."]);
    }

    #[test]
    fn numbers_versions_and_addresses_stay_whole() {
        check_whole(&[
            "Pi is 3.14 and v1.2.3 is out.",
            "Read https://example.com/?Q=A.B!C and www.example.org/a.B for more.",
            "Call std.io.Read or Foo.Bar?Baz here.",
            "1. Open the box",
        ]);
        check("Use 3.14. It is fine.", &["Use 3.14.", "It is fine."]);
        check("See https://a.b/c. Then go.", &["See https://a.b/c.", "Then go."]);
    }

    #[test]
    fn ellipses_and_lower_case_do_not_begin_sentences() {
        check_whole(&[
            "Wait... Then it came.",
            "Well… He left.",
            "Really? yes! (but no)",
            "Yahoo! is a firm.",
        ]);
        check(
            "A new (and better!) One. (An aside.) More.",
            &["A new (and better!) One.", "(An aside.)", "More."],
        );
        check("Here it ends (really). Next.", &["Here it ends (really).", "Next."]);
    }

    #[test]
    fn other_scripts_have_their_own_full_stops() {
        check("今天下雨。我在家！你呢？好", &["今天下雨。", "我在家！", "你呢？", "好"]);
        check("「はい。」彼は言った。", &["「はい。」", "彼は言った。"]);
        check("यह एक है। वह दो है।", &["यह एक है।", "वह दो है।"]);
        check("¿Qué es? ¡Nada! Ya.", &["¿Qué es?", "¡Nada!", "Ya."]);
        check("「はい。」と言った。次です。", &["「はい。」と言った。", "次です。"]);
        check("물을 데웁니다. 찻잎을 넣습니다.", &["물을 데웁니다.", "찻잎을 넣습니다."]);
        check("ውሃ አፍላ። ቡና ጨምር።ጠጣ።", &["ውሃ አፍላ።", "ቡና ጨምር።", "ጠጣ።"]);
        check(
            "هل هذا شاي؟ نعم. یہ چائے ہے۔ وہ پانی ہے۔",
            &["هل هذا شاي؟", "نعم.", "یہ چائے ہے۔", "وہ پانی ہے۔"],
        );
        check("ရေကျို။ လက်ဖက်ထည့်။", &["ရေကျို။", "လက်ဖက်ထည့်။"]);
        check("ដាំទឹក។ ដាក់តែ។", &["ដាំទឹក។", "ដាក់តែ។"]);
        check("ཆུ་སྐོལ། ཇ་བླུགས།", &["ཆུ་སྐོལ།", "ཇ་བླུགས།"]);
        check(
            "ต้มน้ำให้เดือดแล้วเทลงในกาน้ำชาที่เตรียมไว้ล่วงหน้า ใส่ใบชา รอสองนาที",
            &["ต้มน้ำให้เดือดแล้วเทลงในกาน้ำชาที่เตรียมไว้ล่วงหน้า", "ใส่ใบชา รอสองนาที"],
        );
    }

    #[test]
    fn solid_ranges_are_not_cut_and_may_begin_a_sentence() {
        let text = "Use a. B here. foo does it.";
        let code = [4..8, 15..18];
        let found: Vec<&str> = split(text, &code).into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, ["Use a. B here.", "foo does it."]);
    }
}
