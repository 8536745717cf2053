//! A section prepared for question writing: its sentences weighted, its subject named, its language detected.
//!
//! Built once per record from `section`, `document` and, for types that need two sections, `companion`. The question writers
//! read it; no question is phrased here.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::language::Language;
use super::layout::{code_blocks, holds_code, introduced, numbered_lines};
use super::sentences::{Sentence, plain, split};
use super::subject::{in_sentence, subject};
use super::wording::{Phrases, WordList, fill};
use super::words::{pieces, words};

/// A section, prepared for question writing.
#[derive(Debug)]
pub(super) struct Passage {
    pub(super) language: Language,
    pub(super) phrases: &'static Phrases,
    /// The subject of the section, in a form that fits into a sentence; the document's title if it has no subject of
    /// its own.
    pub(super) title: String,
    /// The wider field, from the document's title; empty if the section's title says the same.
    pub(super) document: String,
    /// The heading path, to distinguish two sections of the same title.
    pub(super) path: String,
    /// Sentences and list items in order.
    pub(super) sentences: Vec<Sentence>,
    /// Occurrences of each content word in the sentences.
    pub(super) counts: HashMap<String, usize>,
    /// The plain text, for sections without sentences.
    pub(super) text: String,
    /// Every word of the section's text and facts, to check whether they support an answer.
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
            // The only fact is the code itself.
            sentences.clear();
        } else if sentences.is_empty() || (sentences.len() == 1 && holds_code(&sentences[0], &blocks)) {
            sentences = split(text);
        }
        let language = language.unwrap_or_else(|| own_language(&sentences, section, document));
        let counts = weigh(&mut sentences, language);
        let title = section.get("title").and_then(Value::as_str).unwrap_or("");
        let path = section.get("heading_path").and_then(Value::as_str).unwrap_or("");
        let phrases = &language.wording().phrases;
        let (title, document) = subject(title, path, document, phrases, &sentences);
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
            counts,
            text: plain_text,
            vocabulary,
            blocks,
            numbered: numbered_lines(text),
            introduced: introductions(text, &sentences),
            sentences,
        }
    }

    /// The values every wording may use: the title, and the document in the forms that sentences need;
    /// `way` selects one of the phrases that open a question.
    pub(super) fn names(&self, way: usize) -> Vec<(&'static str, String)> {
        let both = [("title", self.title.as_str()), ("doc", self.document.as_str())];
        let phrases = self.phrases;
        if self.document.is_empty() {
            let about = fill(&phrases.about_title[way % phrases.about_title.len()], &both);
            return vec![
                ("title", self.title.clone()),
                ("pre", String::new()),
                ("post", String::new()),
                ("ctx", about),
            ];
        }
        vec![
            ("title", self.title.clone()),
            ("pre", fill(&phrases.pre, &both)),
            ("post", fill(&phrases.post, &both)),
            ("ctx", fill(&phrases.about_both[way % phrases.about_both.len()], &both)),
        ]
    }

    /// A heading in a form that fits into a sentence.
    pub(super) fn named(&self, heading: &str) -> String {
        in_sentence(heading, self.phrases, &self.sentences)
    }

    /// The `count` sentences of `among` with the highest weight, in the order of the text.
    pub(super) fn most_central(&self, among: &[usize], count: usize) -> Vec<usize> {
        let mut order = among.to_vec();
        order.sort_by(|a, b| self.sentences[*b].weight.total_cmp(&self.sentences[*a].weight).then(a.cmp(b)));
        order.truncate(count);
        order.sort_unstable();
        order
    }

    /// The index of the sentence made from this fact.
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
        let is_item = |(item, _): &&(String, String)| match sentence.text.strip_prefix(item.as_str()) {
            Some(rest) => !rest.starts_with(char::is_alphanumeric),
            // The first of an item's sentences.
            None => sentence.complete && item.starts_with(sentence.text.as_str()),
        };
        self.introduced.iter().find(is_item).map(|(_, line)| line.as_str())
    }

    /// The code block that a sentence ending in a colon introduces.
    fn code_after(&self, sentence: &Sentence) -> Option<&str> {
        let introduced =
            |(before, _): &&(String, String)| !before.is_empty() && sentence.text.ends_with(before.as_str());
        self.blocks.iter().find(introduced).map(|(_, block)| block.as_str())
    }

    /// Whether a sentence's first word occurs in lower case elsewhere, so that it is no name.
    pub(super) fn is_common(&self, sentence: &Sentence) -> bool {
        let lower = format!(" {}", sentence.words[0].lower);
        self.sentences.iter().any(|other| other.text.contains(&lower))
    }

    /// The words of a nested item without those of its parent, if an item before it has these.
    fn child(&self, before: &[usize], index: usize) -> Option<&str> {
        let text = self.sentences[index].text.as_str();
        for separator in [" - ", ". "] {
            let Some((parent, child)) = text.split_once(separator) else { continue };
            let known = |other: &usize| self.sentences[*other].text.starts_with(parent);
            if parent.contains(' ') && before.iter().any(known) {
                return Some(child);
            }
        }
        None
    }

    /// The indices of all sentences.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.sentences.len()).collect()
    }

    /// Sentences to ask about: those that can be understood alone, or all if there are none.
    pub(super) fn candidates(&self) -> Vec<usize> {
        let standing = self.standalone();
        if standing.is_empty() { self.without_cross_references(self.all()) } else { standing }
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
    pub(super) fn standalone(&self) -> Vec<usize> {
        let stands = |index: &usize| {
            let sentence = &self.sentences[*index];
            let alone = !sentence.depends_on_previous(self.language) && self.introduction(sentence).is_none();
            sentence.complete && alone && (4..=45).contains(&sentence.words.len())
        };
        self.without_cross_references(self.all().into_iter().filter(stands).collect())
    }

    /// `among` without cross-references, unless there are only these.
    pub(super) fn without_cross_references(&self, mut among: Vec<usize>) -> Vec<usize> {
        let says = |index: &usize| !self.sentences[*index].is_cross_reference;
        if among.iter().any(says) {
            among.retain(says);
        }
        among
    }

    /// Sentences that contain every word of `phrase`.
    pub(super) fn containing(&self, phrase: &str) -> Vec<usize> {
        let wanted = words(phrase);
        let wanted: Vec<&str> = wanted.iter().map(|word| word.lower.as_str()).collect();
        let holds = |index: &usize| {
            let words = &self.sentences[*index].words;
            wanted.iter().all(|one| words.iter().any(|word| word.lower == *one))
        };
        if wanted.is_empty() { Vec::new() } else { self.all().into_iter().filter(holds).collect() }
    }

    /// Sentences that contain one of `marks` and are no cross-references.
    pub(super) fn containing_any(&self, marks: &WordList) -> Vec<usize> {
        let marked = |index: &usize| {
            let sentence = &self.sentences[*index];
            let held = sentence.words.iter().any(|word| marks.contains(&word.lower));
            held && !sentence.is_cross_reference
        };
        self.all().into_iter().filter(marked).collect()
    }

    /// The sentences `picked` as text: sentences as a paragraph, items as a Markdown list. A sentence that depends on the
    /// one before it comes with that one, an item with the line that introduces its list.
    pub(super) fn compose(&self, picked: &[usize]) -> String {
        let mut chosen: Vec<usize> = Vec::with_capacity(picked.len() + 1);
        for &index in picked {
            let leaning = index > 0
                && self.sentences[index].complete
                && self.sentences[index].depends_on_previous(self.language);
            if leaning && !chosen.contains(&(index - 1)) {
                chosen.push(index - 1);
            }
            if !chosen.contains(&index) {
                chosen.push(index);
            }
        }
        // A nested item repeats its parent's words; the parent is not needed before it.
        let stem = |index: usize| self.sentences[index].text.trim_end_matches('.');
        let repeated = |index: usize| {
            chosen.iter().any(|&other| {
                let (own, longer) = (stem(index), stem(other));
                other != index && longer.starts_with(own) && (longer.len() > own.len() || other < index)
            })
        };
        let chosen: Vec<usize> = chosen.iter().copied().filter(|index| !repeated(*index)).collect();
        let items = chosen.iter().filter(|index| !self.sentences[**index].complete).count();
        let mut text = String::new();
        for (position, &index) in chosen.iter().enumerate() {
            let sentence = &self.sentences[index];
            let introduction = self.introduction(sentence).filter(|line| !text.contains(line));
            if let Some(line) = introduction {
                let gap = if text.is_empty() { "" } else { "\n\n" };
                text.extend([gap, line]);
            }
            let in_list = text.rsplit('\n').next().is_some_and(|line| line.starts_with("- "));
            let introduces = sentence.text.ends_with(':');
            let item = !sentence.complete && items > 1 && !introduces;
            let gap = match (item, in_list) {
                _ if text.is_empty() => "",
                (true, true) => "\n",
                (false, false) if text.ends_with('。') => "",
                (false, false) if !text.ends_with("```") => " ",
                _ => "\n\n",
            };
            text.push_str(gap);
            let code = if introduces { self.code_after(sentence) } else { None };
            // The introduction of a list or of code keeps its colon if the list or code follows.
            let next = chosen.get(position + 1);
            let leads = next.is_some_and(|next| {
                *next == index + 1
                    || self.introduction(&self.sentences[*next]) == Some(sentence.text.as_str())
            });
            let whole = introduces && (code.is_some() || leads);
            match (item, whole) {
                _ if !whole && self.child(&chosen[..position], index).is_some() => {
                    let child = self.child(&chosen[..position], index).unwrap_or_default();
                    text.extend([if item { "- " } else { "" }, child]);
                }
                (true, _) => text.extend(["- ", &sentence.text]),
                (_, true) => text.push_str(&sentence.text),
                _ => text.push_str(&sentence.with_full_stop()),
            }
            if let Some(code) = code {
                text.extend(["\n\n", code]);
            }
        }
        text
    }
}

/// List items with the sentences that introduce them: a line of text may be the end of one, or hold several.
fn introductions(text: &str, sentences: &[Sentence]) -> Vec<(String, String)> {
    let mut items = introduced(text);
    for (_, line) in &mut items {
        let ends = |one: &&Sentence| {
            one.text.ends_with(':') && (one.text.ends_with(line.as_str()) || line.ends_with(&one.text))
        };
        if let Some(sentence) = sentences.iter().find(ends) {
            line.clone_from(&sentence.text);
        }
    }
    items
}

/// Sets the weight of each sentence: how frequent its content words are in the section, relative to its length.
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
        weight *= if sentence.is_cross_reference { 0.05 } else { 1.0 };
        // Texts begin with what they are about; dependent sentences and items say little alone.
        weight *= if index == 0 { 1.3 } else { 1.0 };
        weight *= if sentence.complete { 1.0 } else { 0.7 };
        weight *= if sentence.complete && sentence.depends_on_previous(language) { 0.7 } else { 1.0 };
        sentence.weight = weight;
    }
    counts
}

/// The language of a section: that of its sentences, otherwise that of its headings. A list of names has no common
/// words; its headings may. Names, code and tables without any sign of another language count as English.
fn own_language(sentences: &[Sentence], section: &Value, document: &str) -> Language {
    let own = sentences.iter().flat_map(|one| one.words.iter().map(|word| word.lower.as_str()));
    let text = || sentences.iter().map(|one| one.text.as_str()).collect::<Vec<_>>().join("\n");
    if let Some(language) = Language::detect(own, text) {
        return language;
    }
    let path = section.get("heading_path").and_then(Value::as_str).unwrap_or("");
    let heading = format!("{path} {document}");
    let heading_words = words(&heading);
    let is_ascii = heading.is_ascii() && sentences.iter().all(|one| one.text.is_ascii());
    let of_heading =
        Language::detect(heading_words.iter().map(|word| word.lower.as_str()), || heading.clone());
    of_heading.unwrap_or(if is_ascii { Language::English } else { Language::Other })
}
