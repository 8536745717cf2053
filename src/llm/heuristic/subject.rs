//! What a section is about, named so that it can stand in a question.
//!
//! A title is taken from the heading, without numbering; a heading that says nothing by itself borrows from the
//! one above or from the document. `passage` asks here once for each section.

use super::language::Language;
use super::phrases::{Phrases, fill};
use super::sentences::{Sentence, plain};
use super::words::is_content;

/// The section's subject and its document's title, ready for sentences. A heading that says nothing by
/// itself ("Notes", "1.2.0") takes the heading above it along.
pub(super) fn subject(
    title: &str,
    path: &str,
    document: &str,
    phrases: &Phrases,
    sentences: &[Sentence],
) -> (String, String) {
    let document = plain(document);
    let own = bare(title);
    if own.is_empty() || own.eq_ignore_ascii_case(&document) {
        return (in_sentence(&document, phrases, sentences), String::new());
    }
    let above: Vec<String> =
        path.split(" > ").map(bare).filter(|part| *part != own && *part != document).collect();
    let title = match above.last() {
        Some(parent) if vague(&own) => format!("{own} ({parent})"),
        None if vague(&own) && !own.contains(|c: char| c.is_ascii_digit()) && !document.is_empty() => {
            return (in_sentence(&document, phrases, sentences), String::new());
        }
        _ => own,
    };
    (in_sentence(&title, phrases, sentences), document)
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
    const VAGUE: &str = "introduction|overview|summary|notes|note|example|examples|usage|features|installation|install|fixed|\
        added|changed|removed|deprecated|security|changes|other|misc|license|contributing|about|background|general|options|\
        requirements|setup|getting started|quick start|quickstart|details|remarks|tips|faq|references|see also|steps|\
        einleitung|einführung|überblick|übersicht|hinweise|beispiel|beispiele|zusammenfassung|allgemeines|zutaten|zubereitung|\
        schritte|anmerkungen|introducción|resumen|notas|ejemplo|ejemplos|ingredientes|preparación|pasos|elaboración|consejos|\
        présentation|résumé|remarques|exemple|exemples|ingrédients|préparation|étapes|conseils|ingredients|method|directions|\
        bug fixes|breaking changes|unreleased|improvements|api|description";
    let lower = title.to_lowercase();
    let letters = title.chars().filter(|c| c.is_alphabetic()).count();
    letters < 3 || VAGUE.split('|').any(|one| one.trim() == lower)
}

/// A title as it stands inside a sentence: quoted, or in English as plain words where they are such.
fn in_sentence(title: &str, phrases: &Phrases, sentences: &[Sentence]) -> String {
    let odd = |c: char| matches!(c, '?' | '!' | ':' | ',' | ';' | '(' | '"' | '/' | '=' | '[');
    // Headings that are clauses ("When the search goes wrong", "A section gives no questions") read badly as
    // part of another sentence.
    let clause = ["when", "where", "what", "who", "why", "how", "if", "which", "a", "an"];
    let begins = title.split(' ').next().unwrap_or_default().to_lowercase();
    let plain_words =
        title.split(' ').count() <= 5 && !title.contains(odd) && !clause.contains(&begins.as_str());
    let starts_well = title.starts_with(|c: char| c.is_alphabetic() || c == '`');
    if !phrases.bare_titles || !plain_words || !starts_well {
        return quoted(title, phrases);
    }
    let first = title.split(' ').next().unwrap_or(title);
    let inner_capital =
        title.split(' ').skip(1).any(|word| word.chars().next().is_some_and(char::is_uppercase));
    let lower = first.to_lowercase();
    // Written small elsewhere, the word is no name.
    let common = !is_content(&lower, Language::English)
        || sentences.iter().any(|sentence| sentence.text.contains(&format!(" {lower}")));
    let capital_only_first = first.chars().skip(1).all(char::is_lowercase);
    if capital_only_first && !inner_capital && (common || first.ends_with("ing")) {
        return lower_first(title);
    }
    if title.contains(' ') { quoted(title, phrases) } else { title.to_owned() }
}

/// `text` with its first letter small.
pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn quoted(title: &str, phrases: &Phrases) -> String {
    fill(phrases.quoted, &[("text", title)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(title: &str, path: &str, expected: (&str, &str)) {
        let (title, document) = subject(title, path, "Guide", Language::English.phrases(), &[]);
        assert_eq!((title.as_str(), document.as_str()), expected);
    }

    #[test]
    fn subjects_can_stand_in_a_question() {
        check("Feeding the dough", "Guide > Feeding the dough", ("feeding the dough", "Guide"));
        let clause = "When it goes wrong";
        check(clause, "Guide > When it goes wrong", ("\"When it goes wrong\"", "Guide"));
        check("2.1 Linux", "Guide > 2.1 Linux", ("Linux", "Guide"));
        check("Notes", "Guide > Linux > Notes", ("\"Notes (Linux)\"", "Guide"));
        check("Overview", "Guide > Overview", ("Guide", ""));
        check("1.6.0 - 2026-10-03", "Guide > 1.6.0 - 2026-10-03", ("\"1.6.0 - 2026-10-03\"", "Guide"));
        check("Why `x`?", "Guide > Why `x`?", ("\"Why `x`?\"", "Guide"));
        check("", "", ("Guide", ""));
    }
}
