//! A section made ready for asking: its sentences weighed, its subject named, its language known.
//!
//! Built once for each record from `section`, `document` and, for two-section types, `companion`. The
//! writers in `question`, `fact`, `judge` and `pair` read it; nothing here phrases a question.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::language::Language;
use super::phrases::{Phrases, fill};
use super::sentences::{Sentence, plain, split};
use super::words::{is_content, pieces, words};

/// A section as the writers see it.
#[derive(Debug)]
pub(super) struct Passage {
    pub(super) language: Language,
    pub(super) phrases: &'static Phrases,
    /// What the section is about, ready to stand in a sentence; the document's title if it has no own.
    pub(super) title: String,
    /// The document's title; empty where the section's title says the same.
    pub(super) document: String,
    /// The heading path, for citations.
    pub(super) path: String,
    /// Sentences and list items in order.
    pub(super) sentences: Vec<Sentence>,
    /// How often each content word stands in the sentences.
    pub(super) counts: HashMap<String, usize>,
    /// The text as it stands, for sections without a sentence.
    pub(super) text: String,
    /// Every word of the section's text and heading, to see what an answer rests on.
    pub(super) vocabulary: HashSet<String>,
    /// Code blocks, fences included, each with the line before it.
    blocks: Vec<(String, String)>,
    /// The lines of numbered lists, without their numbers.
    numbered: Vec<String>,
    /// List items as they start, each with the line ending in a colon that introduces their list.
    introduced: Vec<(String, String)>,
}

impl Passage {
    /// The passage of a section object; `document` is the title of its document.
    pub(super) fn of(section: &Value, document: &str, language: Option<Language>) -> Self {
        let text = section.get("text").and_then(Value::as_str).unwrap_or("");
        let facts = section.get("facts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut sentences: Vec<Sentence> =
            facts.iter().filter_map(Value::as_str).filter_map(Sentence::of).collect();
        let (blocks, words) = code_blocks(text);
        if !blocks.is_empty() && !words {
            // What looks like a fact is the code itself.
            sentences.clear();
        } else if sentences.is_empty() || (sentences.len() == 1 && holds_code(&sentences[0], &blocks)) {
            sentences = split(text);
        }
        let language = language.unwrap_or_else(|| own_language(&sentences, section, document));
        let counts = weigh(&mut sentences, language);
        let title = section.get("title").and_then(Value::as_str).unwrap_or("");
        let path = section.get("heading_path").and_then(Value::as_str).unwrap_or("");
        let phrases = language.phrases();
        let (title, document) = subject(title, path, document, phrases, &counts);
        let path = if path.is_empty() { plain(&title) } else { plain(path) };
        let plain_text = if sentences.is_empty() { plain(text) } else { String::new() };
        let vocabulary =
            pieces(text).chain(facts.iter().filter_map(Value::as_str).flat_map(pieces)).collect();
        Self {
            language,
            phrases,
            title,
            document,
            path,
            sentences,
            counts,
            text: plain_text,
            vocabulary,
            blocks,
            numbered: numbered_lines(text),
            introduced: introduced(text),
        }
    }

    /// The values every wording may use: the title, and the document in the forms that sentences need;
    /// `way` chooses among the phrases that open a question.
    pub(super) fn names(&self, way: usize) -> Vec<(&'static str, String)> {
        let both = [("title", self.title.as_str()), ("doc", self.document.as_str())];
        let phrases = self.phrases;
        if self.document.is_empty() {
            let about = fill(phrases.about_title[way % phrases.about_title.len()], &both);
            return vec![
                ("title", self.title.clone()),
                ("pre", String::new()),
                ("post", String::new()),
                ("ctx", about),
            ];
        }
        vec![
            ("title", self.title.clone()),
            ("pre", fill(phrases.pre, &both)),
            ("post", fill(phrases.post, &both)),
            ("ctx", fill(phrases.about_both[way % phrases.about_both.len()], &both)),
        ]
    }

    /// The `count` weightiest of `among`, in the order of the text.
    pub(super) fn central(&self, among: &[usize], count: usize) -> Vec<usize> {
        let mut order = among.to_vec();
        order.sort_by(|a, b| self.sentences[*b].weight.total_cmp(&self.sentences[*a].weight).then(a.cmp(b)));
        order.truncate(count);
        order.sort_unstable();
        order
    }

    /// The position of the sentence made of this fact.
    pub(super) fn position(&self, fact: &str) -> Option<usize> {
        let text = plain(fact);
        self.sentences.iter().position(|sentence| sentence.text == text)
    }

    /// The first code block, fences included.
    pub(super) fn code(&self) -> Option<&str> {
        self.blocks.first().map(|(_, block)| block.as_str())
    }

    /// The line that introduces the list of which this sentence is an item.
    pub(super) fn introduction(&self, sentence: &Sentence) -> Option<&str> {
        let starts = |(item, _): &&(String, String)| sentence.text.starts_with(item.as_str());
        self.introduced.iter().find(starts).map(|(_, line)| line.as_str())
    }

    /// The code block that a sentence ending in a colon introduces.
    fn code_after(&self, sentence: &Sentence) -> Option<&str> {
        let introduced =
            |(before, _): &&(String, String)| !before.is_empty() && sentence.text.ends_with(before.as_str());
        self.blocks.iter().find(introduced).map(|(_, block)| block.as_str())
    }

    /// Whether a sentence's first word is written small elsewhere, so that its capital is only the front's.
    pub(super) fn is_common(&self, sentence: &Sentence) -> bool {
        let lower = format!(" {}", sentence.words[0].lower);
        self.sentences.iter().any(|other| other.text.contains(&lower))
    }

    /// All sentences, by position.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.sentences.len()).collect()
    }

    /// Sentences to ask about: those that stand alone, else all.
    pub(super) fn base(&self) -> Vec<usize> {
        let standing = self.standing();
        if standing.is_empty() { self.all() } else { standing }
    }

    /// The steps of a numbered list.
    pub(super) fn numbered(&self) -> Vec<usize> {
        let steps = |index: &usize| {
            let text = self.sentences[*index].text.as_str();
            self.numbered.iter().any(|line| line.starts_with(text) || text.starts_with(line.as_str()))
        };
        self.all().into_iter().filter(steps).collect()
    }

    /// Complete sentences that can be understood without the one before them.
    pub(super) fn standing(&self) -> Vec<usize> {
        let stands = |index: &usize| {
            let sentence = &self.sentences[*index];
            sentence.complete && !sentence.leans(self.language) && (4..=45).contains(&sentence.words.len())
        };
        self.all().into_iter().filter(stands).collect()
    }

    /// Sentences that hold every word of `phrase`.
    pub(super) fn with(&self, phrase: &str) -> Vec<usize> {
        let wanted = words(phrase);
        let wanted: Vec<&str> = wanted.iter().map(|word| word.lower.as_str()).collect();
        let holds = |index: &usize| {
            let words = &self.sentences[*index].words;
            wanted.iter().all(|one| words.iter().any(|word| word.lower == *one))
        };
        if wanted.is_empty() { Vec::new() } else { self.all().into_iter().filter(holds).collect() }
    }

    /// Sentences with one of the space-separated marking words.
    pub(super) fn marked(&self, marks: &str) -> Vec<usize> {
        let marks: Vec<&str> = marks.split_whitespace().collect();
        let marked = |index: &usize| {
            let words = &self.sentences[*index].words;
            words.iter().any(|word| marks.contains(&word.lower.as_str()))
        };
        self.all().into_iter().filter(marked).collect()
    }

    /// The sentences `picked` as text: sentences run on, items become a Markdown list. A sentence that
    /// leans on the one before it brings that one along.
    pub(super) fn compose(&self, picked: &[usize]) -> String {
        let mut chosen: Vec<usize> = Vec::with_capacity(picked.len() + 1);
        for &index in picked {
            let leaning =
                index > 0 && self.sentences[index].complete && self.sentences[index].leans(self.language);
            if leaning && !chosen.contains(&(index - 1)) {
                chosen.push(index - 1);
            }
            if !chosen.contains(&index) {
                chosen.push(index);
            }
        }
        let items = chosen.iter().filter(|index| !self.sentences[**index].complete).count();
        let mut text = String::new();
        for (position, &index) in chosen.iter().enumerate() {
            let sentence = &self.sentences[index];
            let in_list = text.rsplit('\n').next().is_some_and(|line| line.starts_with("- "));
            let introduces = sentence.text.ends_with(':');
            let item = !sentence.complete && items > 1 && !introduces;
            let gap = match (item, in_list) {
                _ if text.is_empty() => "",
                (true, true) => "\n",
                (false, false) if !text.ends_with("```") => " ",
                _ => "\n\n",
            };
            text.push_str(gap);
            let code = if introduces { self.code_after(sentence) } else { None };
            // The introduction of a list or of code keeps its colon where that follows.
            let whole = introduces && (code.is_some() || chosen.get(position + 1) == Some(&(index + 1)));
            match (item, whole) {
                (true, _) => text.extend(["- ", &sentence.text]),
                (_, true) => text.push_str(&sentence.text),
                _ => text.push_str(&sentence.closed()),
            }
            if let Some(code) = code {
                text.extend(["\n\n", code]);
            }
        }
        text
    }
}

/// Gives each sentence its weight: how common its content words are in the section, by its length.
fn weigh(sentences: &mut [Sentence], language: Language) -> HashMap<String, usize> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for sentence in sentences.iter() {
        for word in sentence.content(language) {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.to_owned(), 1)),
            }
        }
    }
    for (index, sentence) in sentences.iter_mut().enumerate() {
        let (mut sum, mut all) = (0, 0);
        for word in sentence.content(language) {
            sum += counts[word];
            all += 1;
        }
        let mut weight = f64::from(u32::try_from(sum).unwrap_or(0)) / f64::from(all.max(4)).sqrt();
        // Texts open with what they are about; leaning sentences and items say little alone.
        weight *= if index == 0 { 1.3 } else { 1.0 };
        weight *= if sentence.complete { 1.0 } else { 0.7 };
        weight *= if sentence.complete && sentence.leans(language) { 0.7 } else { 1.0 };
        sentence.weight = weight;
    }
    counts
}

fn own_language(sentences: &[Sentence], section: &Value, document: &str) -> Language {
    let own = Language::of(sentences.iter().flat_map(|one| one.words.iter().map(|word| word.lower.as_str())));
    if own != Language::Other {
        return own;
    }
    // A list of names has no small words; its headings may. Without any sign of another language, names,
    // code and tables go with English.
    let path = section.get("heading_path").and_then(Value::as_str).unwrap_or("");
    let heading = words(&format!("{path} {document}"));
    let plain = sentences.iter().all(|one| one.text.is_ascii()) && path.is_ascii() && document.is_ascii();
    let texts = sentences.iter().flat_map(|one| one.words.iter().map(|word| word.lower.as_str()));
    match Language::of(heading.iter().map(|word| word.lower.as_str())) {
        Language::Other if plain && !Language::is_foreign(texts) => Language::English,
        language => language,
    }
}

/// The section's subject and its document's title, ready for sentences. A heading that says nothing by
/// itself ("Notes", "1.2.0") takes the heading above it along.
fn subject(
    title: &str,
    path: &str,
    document: &str,
    phrases: &Phrases,
    counts: &HashMap<String, usize>,
) -> (String, String) {
    let document = plain(document);
    let own = bare(title);
    if own.is_empty() || own.eq_ignore_ascii_case(&document) {
        return (in_sentence(&document, phrases, counts), String::new());
    }
    let above: Vec<String> =
        path.split(" > ").map(bare).filter(|part| *part != own && *part != document).collect();
    let title = match above.last() {
        Some(parent) if vague(&own) => format!("{own} ({parent})"),
        None if vague(&own) && !own.contains(|c: char| c.is_ascii_digit()) && !document.is_empty() => {
            return (in_sentence(&document, phrases, counts), String::new());
        }
        _ => own,
    };
    (in_sentence(&title, phrases, counts), document)
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
fn in_sentence(title: &str, phrases: &Phrases, counts: &HashMap<String, usize>) -> String {
    let odd = |c: char| matches!(c, '?' | '!' | ':' | ',' | ';' | '(' | '"' | '/' | '=' | '[');
    let plain_words = title.split(' ').count() <= 6 && !title.contains(odd);
    let starts_well = title.starts_with(|c: char| c.is_alphabetic() || c == '`');
    if !phrases.bare_titles || !plain_words || !starts_well {
        return quoted(title, phrases);
    }
    let first = title.split(' ').next().unwrap_or(title);
    let inner_capital =
        title.split(' ').skip(1).any(|word| word.chars().next().is_some_and(char::is_uppercase));
    let common =
        counts.contains_key(&first.to_lowercase()) || !is_content(&first.to_lowercase(), Language::English);
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

/// Whether a short section's only fact is its words and its code run together.
fn holds_code(sentence: &Sentence, blocks: &[(String, String)]) -> bool {
    let first = blocks.first().and_then(|(_, block)| block.lines().nth(1)).map(str::trim);
    first.is_some_and(|line| sentence.text.contains(&line.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The fenced code blocks of a text, each at most 30 lines, with the end of the line before it; and whether
/// there are words outside of them.
fn code_blocks(text: &str) -> (Vec<(String, String)>, bool) {
    let mut blocks = Vec::new();
    let mut words = false;
    let mut before = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let open = line.trim();
        let fence = ["```", "~~~"].into_iter().find(|fence| open.starts_with(fence));
        let Some(fence) = fence else {
            words |= open.contains(char::is_alphabetic);
            before = if open.is_empty() { before } else { plain(open) };
            continue;
        };
        let body: Vec<&str> =
            lines.by_ref().take_while(|line| !line.trim_start().starts_with(fence)).collect();
        if body.iter().any(|line| !line.trim().is_empty()) {
            let shown = &body[..body.len().min(30)];
            let tail: String = last_words(&before, 6);
            blocks.push((tail, format!("{open}\n{}\n{fence}", shown.join("\n").trim_end())));
        }
        before.clear();
    }
    (blocks, words)
}

fn last_words(line: &str, count: usize) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    words[words.len().saturating_sub(count)..].join(" ")
}

/// The lines that start with a number as list items do, without it.
fn numbered_lines(text: &str) -> Vec<String> {
    let numbered = |line: &&str| {
        let digits = line.chars().take_while(char::is_ascii_digit).count();
        (1..=2).contains(&digits) && (line[digits..].starts_with(". ") || line[digits..].starts_with(") "))
    };
    text.lines().map(str::trim_start).filter(numbered).map(plain).filter(|line| !line.is_empty()).collect()
}

/// The items of lists that a line ending in a colon introduces, each with that line.
fn introduced(text: &str) -> Vec<(String, String)> {
    let mut items = Vec::new();
    let mut intro: Option<String> = None;
    for line in text.lines().map(str::trim) {
        let digits = line.chars().take_while(char::is_ascii_digit).count();
        let numbered = digits > 0 && (line[digits..].starts_with(". ") || line[digits..].starts_with(") "));
        if numbered || ["- ", "* ", "+ "].iter().any(|marker| line.starts_with(marker)) {
            let item = plain(line);
            items.extend(intro.as_ref().filter(|_| !item.is_empty()).map(|intro| (item, intro.clone())));
        } else if !line.is_empty() {
            intro = Some(plain(line))
                .filter(|line| line.ends_with(':') && line.contains(' ') && line.len() < 160);
        }
    }
    items
}
