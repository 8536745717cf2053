//! What the writers share: the record's choices, wordings filled with the section's names, and the turning
//! of a draft into a finished question, answer and three reasoning steps.

use std::collections::HashSet;

use super::passage::Passage;
use super::wording::fill;
use super::words::supported;
use crate::draw::Draws;

/// A finished question-answer pair.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) question: String,
    pub(super) answer: String,
    pub(super) steps: [String; 3],
    /// Words of the section, or of both sections, that the answer rests on, as they stand there.
    pub(super) evidence: Vec<String>,
}

/// What a writer makes.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) question: String,
    /// Answers from the fullest to the plainest; the first that its source supports is taken.
    pub(super) answers: Vec<String>,
    /// What the question is about, for the first step; empty for the subject.
    pub(super) term: String,
    /// Sentences the answer rests on, for the other steps.
    pub(super) quotes: Vec<String>,
    /// What is to be found out, which decides how the steps lead to the answer.
    pub(super) aim: Aim,
    /// The names of the two subjects of a question over two sections.
    pub(super) sides: Option<(String, String)>,
    /// What a false statement says, and what is right instead.
    pub(super) change: Option<(String, String)>,
}

impl Draft {
    pub(super) fn aimed(self, aim: Aim) -> Self {
        Self { aim, ..self }
    }
}

/// What a question wants to be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    Fact,
    Overview,
    Inference,
    Practice,
    Cause,
    /// What would be affected if the term were missing.
    Loss,
    Limits,
    Meaning,
    Order,
    /// Whether a statement is true.
    Truth,
    Blank,
    /// What a pronoun stands for.
    Reference,
    /// What links two subjects.
    Link,
    Comparison,
    Code,
}

/// One record's question: the passages, what is asked for, and the choices that its key decides.
pub(super) struct Asking<'a> {
    pub(super) passage: &'a Passage,
    pub(super) companion: Option<&'a Passage>,
    pub(super) kind: &'a str,
    /// The fact asked about, as a position among the passage's sentences.
    pub(super) fact: Option<usize>,
    /// Which of the questions of its kind this is, from 0.
    pub(super) variant: usize,
    pub(super) key: String,
    pub(super) draws: Draws,
}

impl Asking<'_> {
    /// A number below `count`, fixed by the record and the name of the choice.
    pub(super) fn choose(&self, name: &str, count: usize) -> usize {
        let fraction = self.draws.fraction(name, &self.key);
        // In [0, 1) by contract, so the product stays below `count`.
        (fraction * count as f64) as usize
    }

    /// One of `wordings`, with the section's names and `values` put in.
    pub(super) fn word(&self, wordings: &[String], values: &[(&str, &str)]) -> String {
        let wording: &str = match wordings {
            [] => "",
            [one] => one,
            several => &several[(self.choose("wording", several.len()) + self.variant) % several.len()],
        };
        self.fill(wording, values)
    }

    /// `wording` with the section's names and `values` put in.
    pub(super) fn fill(&self, wording: &str, values: &[(&str, &str)]) -> String {
        let passage = self.passage;
        let names = passage.names(self.choose("names", 6) + self.variant);
        let mut all: Vec<(&str, &str)> = values.to_vec();
        all.extend(names.iter().map(|(name, value)| (*name, value.as_str())));
        // A question that names the document by itself, or the subject where there is no other name,
        // needs no phrase for it.
        let mut bare = all.clone();
        bare.retain(|(name, _)| !["pre", "post", "ctx"].contains(name));
        let text = fill(wording, &bare);
        let says = |name: &str| text.to_lowercase().contains(&name.trim_matches('"').to_lowercase());
        let name = if passage.document.is_empty() { &passage.title } else { &passage.document };
        if says(name) {
            return text;
        }
        if says(&passage.title)
            && let Some(pre) = names.iter().find(|(name, _)| *name == "pre")
        {
            all.insert(0, ("ctx", &pre.1));
        }
        fill(wording, &all)
    }

    /// A list of words as a sentence has it: "a, b and c".
    pub(super) fn series(&self, words: &[String]) -> String {
        match words {
            [] => String::new(),
            [one] => one.clone(),
            [most @ .., last] => {
                let and = self.passage.phrases.and.as_str();
                format!("{}{and}{last}", most.join(if and.starts_with(' ') { ", " } else { and }))
            }
        }
    }

    /// The finished pair.
    pub(super) fn finish(&self, draft: Draft, evidence: Vec<String>) -> Pair {
        let mut vocabularies: Vec<&HashSet<String>> = vec![&self.passage.vocabulary];
        vocabularies.extend(self.companion.map(|other| &other.vocabulary));
        let language = self.passage.language;
        let best = draft.answers.iter().find(|answer| supported(answer, language, &vocabularies));
        let answer = best.or(draft.answers.last()).cloned().unwrap_or_default();
        let steps = self.steps(&draft);
        Pair { question: capitalized(draft.question.trim()), answer, steps, evidence }
    }
}

/// `text` with a capital at its front, behind an opening question mark too.
pub(super) fn capitalized(text: &str) -> String {
    let start = if text.starts_with('¿') { '¿'.len_utf8() } else { 0 };
    let mut rest = text[start..].chars();
    let Some(first) = rest.next() else { return text.to_owned() };
    format!("{}{}{}", &text[..start], first.to_uppercase(), rest.as_str())
}
