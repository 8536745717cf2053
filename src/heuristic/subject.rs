//! Names what a section is about, in a form that fits into a question.
//!
//! The subject is the section's heading without its numbering; a heading that names no subject by itself is completed by the
//! heading above it or by the document's title. Called once per section, by `passage`.

use super::language::Language;
use super::sentences::{Sentence, plain};
use super::wording::{self, HeadingWords, Phrases, fill};
use super::words::{Script, is_content};

/// The section's subject and its wider field, which the document's title names, ready for sentences. A heading that
/// says nothing by itself ("Notes", "1.2.0") is combined with the heading above it; the field is empty if the subject
/// says the same or the title names none.
pub(super) fn subject(
    title: &str,
    path: &str,
    document: &str,
    phrases: &Phrases,
    sentences: &[Sentence],
) -> (String, String) {
    let document = plain(document);
    let field = field(&document, phrases, sentences);
    let own = bare(title);
    if own.is_empty() || own.eq_ignore_ascii_case(&document) {
        let field = if field.is_empty() { in_sentence(&document, phrases, sentences) } else { field };
        return (field, String::new());
    }
    let above: Vec<String> =
        path.split(" > ").map(bare).filter(|part| *part != own && *part != document).collect();
    let title = match above.last() {
        Some(parent) if vague(&own) => format!("{own} ({parent})"),
        None if vague(&own) && !own.contains(|c: char| c.is_ascii_digit()) && !field.is_empty() => {
            return (field, String::new());
        }
        _ => own,
    };
    let title = in_sentence(&title, phrases, sentences);
    let same = title.to_lowercase().contains(&field.to_lowercase());
    (title, if same { String::new() } else { field })
}

/// What a document's title names, without the words that only say that it is a document: "A guide to
/// synthmill" is about synthmill. Empty for a title that names nothing ("README").
fn field(document: &str, phrases: &Phrases, sentences: &[Sentence]) -> String {
    let title = bare(document);
    // Pictures before a name are not part of it.
    let mut name = title.trim_start_matches(|c: char| !c.is_alphanumeric() && !c.is_ascii() || c == ' ');
    // The text after a colon or dash is about the subject, not part of its name.
    for sign in [": ", " : ", " – ", " — ", " | "] {
        name = name.split_once(sign).map_or(name, |(head, _)| if vague(head) { name } else { head });
    }
    let lower = name.to_lowercase();
    let fits = |at: usize| name.is_char_boundary(at) && lower.len() == name.len();
    let mut lead_ins = headings().flat_map(|headings| &headings.lead_ins);
    if let Some(front) = lead_ins.find(|front| lower.starts_with(front.as_str()) && fits(front.len())) {
        name = &name[front.len()..];
    } else if let Some(inner) = name.strip_prefix("How ").and_then(|rest| rest.strip_suffix(" work")) {
        name = inner;
    }
    let mut endings = headings().flat_map(|headings| &headings.endings);
    if let Some(end) =
        endings.find(|end| name.to_lowercase().ends_with(end.as_str()) && name.len() > end.len())
    {
        name = name.get(..name.len() - end.len()).unwrap_or(name);
    }
    let untitled = name.to_lowercase();
    if name.is_empty()
        || vague(name) && name.chars().count() < 2
        || headings().any(|headings| headings.untitled.contains(&untitled))
    {
        return String::new();
    }
    // A name that is not a clause needs no quotes; its capital may be its own.
    let plain_words = phrases.bare_titles && name.split(' ').count() <= 8 && !name.contains(ODD);
    let shown = in_sentence(name, phrases, sentences);
    if plain_words && shown.starts_with('"') { unquoted(name) } else { shown }
}

/// A name of several words that begins with an activity, in the form it has in a sentence.
fn unquoted(name: &str) -> String {
    let first = name.split(' ').next().unwrap_or(name);
    if first.ends_with("ing") { lower_first(name) } else { name.to_owned() }
}

/// Signs that a title loses inside a sentence.
const ODD: [char; 11] = ['?', '!', ':', ',', ';', '(', '"', '/', '=', '[', '{'];

/// The words of headings in every language: a heading may be in another language than its section.
fn headings() -> impl Iterator<Item = &'static HeadingWords> {
    wording::all().map(|wording| &wording.words.headings)
}

/// A heading without numbering, markup and colon.
fn bare(title: &str) -> String {
    let title = plain(title);
    let rest = title.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ')');
    let numbered = rest.len() < title.len() && rest.trim_start_matches(' ').starts_with(char::is_alphabetic);
    let title = if numbered && rest.starts_with(' ') { rest } else { &title };
    title.trim().trim_end_matches([':', '.', '#', ' ']).to_owned()
}

/// Whether a heading names no subject: it has a general word only, or no letters.
fn vague(title: &str) -> bool {
    let lower = title.to_lowercase();
    let letters = title.chars().filter(|c| c.is_alphabetic()).count();
    // In scripts in which a letter is a word, two letters are a name.
    let wide = title.chars().any(|c| Script::of(c) != Script::Spaced);
    letters < 3 && !wide || headings().any(|headings| headings.vague.contains(&lower))
}

/// A title in the form it has inside a sentence: quoted, or in English as plain words if it consists of such.
pub(super) fn in_sentence(title: &str, phrases: &Phrases, sentences: &[Sentence]) -> String {
    // Headings that are clauses ("When the search goes wrong", "A section gives no questions") read badly as
    // part of another sentence, but for questions ("How the starter works").
    let clause = ["when", "if", "a", "an", "where", "what", "who", "why", "how", "which"];
    let begins = title.split(' ').next().unwrap_or_default().to_lowercase();
    let asks = clause[4..].contains(&begins.as_str());
    let most = if asks { 8 } else { 5 };
    let plain_words = title.split(' ').count() <= most
        && !title.contains(ODD)
        && (asks || !clause.contains(&begins.as_str()));
    let starts_well = title.starts_with(|c: char| c.is_alphabetic() || c == '`');
    if !phrases.bare_titles || !plain_words || !starts_well {
        return quoted(title, phrases);
    }
    let first = title.split(' ').next().unwrap_or(title);
    let inner_capital =
        title.split(' ').skip(1).any(|word| word.chars().next().is_some_and(char::is_uppercase));
    let lower = first.to_lowercase();
    // A word that occurs in lower case elsewhere is not a name; the first of several words is one if it keeps its capital.
    let stands = |word: &str| sentences.iter().any(|one| one.text.contains(&format!(" {word}")));
    let common = !is_content(&lower, Language::English)
        || stands(&lower)
        || title.contains(' ') && !sentences.is_empty() && !stands(first);
    let capital_only_first = first.chars().skip(1).all(char::is_lowercase);
    if capital_only_first && !inner_capital && (common || first.ends_with("ing")) {
        return lower_first(title);
    }
    title.to_owned()
}

/// `text` with its first letter in lower case.
pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn quoted(title: &str, phrases: &Phrases) -> String {
    fill(&phrases.quoted, &[("text", title)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(title: &str, path: &str, expected: (&str, &str)) {
        let (title, document) = subject(title, path, "Guide", &Language::English.wording().phrases, &[]);
        assert_eq!((title.as_str(), document.as_str()), expected);
    }

    #[test]
    fn subjects_can_stand_in_a_question() {
        check("Feeding the dough", "Guide > Feeding the dough", ("feeding the dough", "Guide"));
        let clause = "When it goes wrong";
        check(clause, "Guide > When it goes wrong", ("\"When it goes wrong\"", "Guide"));
        check("How it rises", "Guide > How it rises", ("how it rises", "Guide"));
        check("2.1 Linux", "Guide > 2.1 Linux", ("Linux", "Guide"));
        check("Notes", "Guide > Linux > Notes", ("\"Notes (Linux)\"", "Guide"));
        check("Overview", "Guide > Overview", ("Guide", ""));
        check("1.6.0 - 2026-10-03", "Guide > 1.6.0 - 2026-10-03", ("\"1.6.0 - 2026-10-03\"", "Guide"));
        check("Why `x`?", "Guide > Why `x`?", ("\"Why `x`?\"", "Guide"));
        check("", "", ("Guide", ""));
    }

    #[test]
    fn a_document_is_named_by_what_it_is_about() {
        let check = |document: &str, language: Language, expected: &str| {
            assert_eq!(field(document, &language.wording().phrases, &[]), expected);
        };
        check("A guide to synthmill", Language::English, "synthmill");
        check("Sourdough bread", Language::English, "Sourdough bread");
        check("How tides work", Language::English, "tides");
        check("serde_json – JSON for Rust", Language::English, "serde_json");
        check("README", Language::English, "");
        check("Bremsen am Fahrrad: Aufbau, Wartung", Language::German, "„Bremsen am Fahrrad“");
        check("緑茶の基礎知識", Language::Japanese, "「緑茶」");
    }
}
