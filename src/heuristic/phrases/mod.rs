//! The wording of questions, answers and reasoning steps: one file a language, all of one shape.
//!
//! A wording is a text with names in braces; the writers say what the names stand for. Where a field is a
//! list, the writers choose by the record's key, so that questions of one kind do not all sound alike.

mod de;
mod en;
mod es;
mod fr;
mod ja;
mod neutral;

use super::language::Language;

/// The wording of one language.
///
/// Names in all wordings: `{title}` the section's subject, `{pre}` and `{post}` the wider field, which the document's
/// title names, as a phrase before or after a question that has the title (empty where both are the same),
/// `{ctx}` both, for questions without the title.
#[derive(Debug)]
pub(super) struct Phrases {
    pub(super) quoted: &'static str,
    /// Whether a title may stand in a sentence without quotes.
    pub(super) bare_titles: bool,
    pub(super) pre: &'static str,
    pub(super) post: &'static str,
    pub(super) about_title: &'static [&'static str],
    pub(super) about_both: &'static [&'static str],
    pub(super) and: &'static str,
    /// Openings up to a comma, and the question each asks: `{clause}` is what stands between.
    pub(super) openings: &'static [(&'static str, &'static str)],
    /// Words between subject and definition, and the question for `{subject}`.
    pub(super) copulas: &'static [(&'static str, &'static str)],
    /// Labels that say nothing of what follows: "Note:".
    pub(super) empty_labels: &'static str,
    pub(super) fact: &'static [&'static str],
    /// As `fact`, with a second term `{other}`.
    pub(super) fact_two: &'static [&'static str],
    pub(super) listed: &'static [&'static str],
    pub(super) label: &'static [&'static str],
    pub(super) label_term: &'static [&'static str],
    pub(super) summary: &'static [&'static str],
    pub(super) also: &'static str,
    pub(super) summarize: &'static [&'static str],
    pub(super) summarize_term: &'static [&'static str],
    pub(super) infer: &'static [&'static str],
    pub(super) infer_answer: &'static [&'static str],
    pub(super) hop: &'static [&'static str],
    pub(super) hop_plain: &'static [&'static str],
    pub(super) compare: &'static [&'static str],
    pub(super) shared: &'static str,
    pub(super) apply: &'static [&'static str],
    pub(super) apply_term: &'static [&'static str],
    /// For sections that tell nobody to do anything.
    pub(super) apply_plain: &'static [&'static str],
    /// Words between effect and cause, and the question for `{effect}`.
    pub(super) reasons: &'static [(&'static str, &'static str)],
    /// Words that mark a sentence as telling of causes or conditions.
    pub(super) causal: &'static str,
    pub(super) effect: &'static [&'static str],
    /// For sections without a cause.
    pub(super) circumstances: &'static [&'static str],
    pub(super) suppose: &'static [&'static str],
    pub(super) suppose_answer: &'static [&'static str],
    /// Words that mark limits and contrasts.
    pub(super) limits: &'static str,
    /// Words that mark what is to be done.
    pub(super) duties: &'static str,
    pub(super) criticize: &'static [&'static str],
    /// For sections without a limit or contrast.
    pub(super) support: &'static [&'static str],
    pub(super) explain: &'static [&'static str],
    pub(super) process: &'static [&'static str],
    /// For sections that are no instructions.
    pub(super) points: &'static [&'static str],
    pub(super) judge: &'static [&'static str],
    pub(super) yes: &'static str,
    /// Before the correction of a false statement.
    pub(super) no: &'static str,
    /// Small changes that turn a statement into its opposite: what stands there, what replaces it.
    pub(super) negations: &'static [(&'static str, &'static str)],
    pub(super) blank: &'static [&'static str],
    pub(super) blank_answer: &'static str,
    pub(super) pronouns: &'static str,
    pub(super) refer: &'static [&'static str],
    pub(super) refer_answer: &'static str,
    pub(super) meaning: &'static [&'static str],
    pub(super) code: &'static [&'static str],
    /// First steps, which place what is talked about: `{title}` in `{doc}`; a `{term}` in `{field}`, which is the title,
    /// alone or `within` its document; a `{term}` that names the whole field; two subjects `{a}` and `{b}`.
    pub(super) part: &'static [&'static str],
    pub(super) aspect: &'static [&'static str],
    pub(super) within: &'static str,
    pub(super) alone: &'static str,
    pub(super) both: &'static str,
    pub(super) both_alone: &'static str,
    /// Second steps where the fact needs words before it: `{fact}`, `{a}`.
    pub(super) one_side: &'static str,
    pub(super) starts: &'static str,
    pub(super) code_starts: &'static str,
    /// Ends of a main clause, and the last step that says what follows as `{tail}`; empty where it is left to the answer.
    pub(super) joints: &'static [(&'static str, &'static str)],
    /// Last steps of one fact: its figure or another of its terms as `{detail}`; `plain` where there is neither.
    pub(super) figure: &'static [&'static str],
    pub(super) tied: &'static [&'static str],
    pub(super) plain: &'static str,
    /// Last steps of two facts, where the second needs words before it: `{fact}`, `{b}`.
    pub(super) other: &'static str,
    pub(super) contrasted: &'static str,
    pub(super) ordered: &'static str,
    pub(super) code_ends: &'static str,
    pub(super) code_line: &'static str,
    /// Last step on a false statement: `{said}` and `{right}`.
    pub(super) wrong: &'static str,
    /// Last step to the words of a blank: `{term}`.
    pub(super) filled: &'static [&'static str],
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

impl Language {
    /// The language's wording.
    pub(super) fn phrases(self) -> &'static Phrases {
        match self {
            Self::English => &en::PHRASES,
            Self::German => &de::PHRASES,
            Self::Spanish => &es::PHRASES,
            Self::French => &fr::PHRASES,
            Self::Japanese => &ja::PHRASES,
            Self::Other => &neutral::PHRASES,
        }
    }
}

/// `wording` with its names replaced; a name that has no value disappears.
pub(super) fn fill<V: AsRef<str>>(wording: &str, values: &[(&str, V)]) -> String {
    let mut out = String::with_capacity(wording.len() + 64);
    let mut rest = wording;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, left)) = after.split_once('}') else { break };
        if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
            out.push_str(value.as_ref());
        }
        rest = left;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_values_kept_as_they_are() {
        assert_eq!(fill("a {x} b {y}", &[("x", "{y}"), ("y", "2")]), "a {y} b 2");
        assert_eq!(fill("none {z}.", &[("x", "1")]), "none .");
    }
}
