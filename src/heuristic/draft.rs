//! Shared by all question writers: choices keyed by the record, phrases filled with the section's names, and the
//! completion of a draft to a question, an answer and three reasoning steps.

use std::collections::HashSet;

use super::passage::Passage;
use super::wording::fill;
use super::words::supported;
use crate::draw::Draws;

/// A finished question-answer pair.
#[derive(Debug)]
pub(super) struct QaPair {
    pub(super) question: String,
    pub(super) answer: String,
    pub(super) steps: [String; 3],
    /// Verbatim quotes from the section, or from both sections, that support the answer.
    pub(super) evidence: Vec<String>,
}

/// A question-answer pair before its reasoning steps and the choice of its answer.
#[derive(Debug)]
pub(super) struct QaDraft {
    pub(super) question: String,
    /// Possible answers, from the fullest to the plainest; the first that its sources support is used.
    pub(super) answers: Vec<String>,
    /// The key term that the question is about, for the first step; empty if it is about the subject.
    pub(super) term: String,
    /// Sentences that support the answer, for the other steps.
    pub(super) quotes: Vec<String>,
    /// What the question asks for, which decides how the steps lead to the answer.
    pub(super) goal: QuestionGoal,
    /// The names of the two subjects of a question over two sections.
    pub(super) sides: Option<(String, String)>,
    /// The wrong words of a false statement, and the right ones.
    pub(super) change: Option<(String, String)>,
}

impl QaDraft {
    pub(super) fn with_goal(self, goal: QuestionGoal) -> Self {
        Self { goal, ..self }
    }
}

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuestionGoal {
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
    /// What a pronoun refers to.
    Reference,
    /// What links two subjects.
    Link,
    Comparison,
    Code,
}

/// The planned question of one record: its passages, its type, and the key of its choices.
pub(super) struct QuestionContext<'a> {
    pub(super) passage: &'a Passage,
    pub(super) companion: Option<&'a Passage>,
    pub(super) kind: &'a str,
    /// The fact that is asked about, as an index into the passage's sentences.
    pub(super) fact: Option<usize>,
    /// The index of this question among those of its type.
    pub(super) variant: usize,
    pub(super) key: String,
    pub(super) draws: Draws,
}

impl QuestionContext<'_> {
    /// A number below `count` that depends on the record and the name of the choice alone.
    pub(super) fn choose(&self, name: &str, count: usize) -> usize {
        let fraction = self.draws.fraction(name, &self.key);
        // In [0, 1) by contract, so the product stays below `count`.
        (fraction * count as f64) as usize
    }

    /// One of `wordings`, filled with the section's names and `values`.
    pub(super) fn phrase(&self, wordings: &[String], values: &[(&str, &str)]) -> String {
        let wording: &str = match wordings {
            [] => "",
            [one] => one,
            several => &several[(self.choose("wording", several.len()) + self.variant) % several.len()],
        };
        self.fill(wording, values)
    }

    /// `wording` filled with the section's names and `values`.
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

    /// Words joined as in a sentence: "a, b and c".
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
    pub(super) fn finish(&self, draft: QaDraft, evidence: Vec<String>) -> QaPair {
        let mut vocabularies: Vec<&HashSet<String>> = vec![&self.passage.vocabulary];
        vocabularies.extend(self.companion.map(|other| &other.vocabulary));
        let language = self.passage.language;
        let best = draft.answers.iter().find(|answer| supported(answer, language, &vocabularies));
        let answer = best.or(draft.answers.last()).cloned().unwrap_or_default();
        let steps = self.steps(&draft);
        QaPair { question: capitalized(draft.question.trim()), answer, steps, evidence }
    }
}

/// `text` with its first letter in upper case, also after an opening question mark.
pub(super) fn capitalized(text: &str) -> String {
    let start = if text.starts_with('¿') { '¿'.len_utf8() } else { 0 };
    let mut rest = text[start..].chars();
    let Some(first) = rest.next() else { return text.to_owned() };
    format!("{}{}{}", &text[..start], first.to_uppercase(), rest.as_str())
}
