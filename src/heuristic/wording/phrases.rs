//! The phrases of questions, answers and reasoning steps about a section of a document.
//!
//! A phrase is a text with names in braces, which `fill` replaces. If a field is a list, the record's key decides
//! which phrase is used, so that questions of one kind do not all sound alike.

use serde::Deserialize;

use super::word_lists::WordList;

/// The phrases of one language: the section `phrases` of its file.
///
/// Names in all wordings: `{title}` the section's subject, `{pre}` and `{post}` the wider field, which the document's
/// title names, as a phrase before or after a question that has the title (empty where both are the same),
/// `{ctx}` both, for questions without the title.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phrases {
    pub(crate) quoted: String,
    /// Whether a title may be used in a sentence without quotes.
    pub(crate) bare_titles: bool,
    pub(crate) pre: String,
    pub(crate) post: String,
    pub(crate) about_title: Vec<String>,
    pub(crate) about_both: Vec<String>,
    pub(crate) and: String,
    /// Openings up to a comma, and the question each asks: `{clause}` is the text between them.
    pub(crate) openings: Vec<(String, String)>,
    /// Words between subject and definition, and the question for `{subject}`.
    pub(crate) copulas: Vec<(String, String)>,
    /// Labels that say nothing of what follows: "Note:".
    pub(crate) empty_labels: WordList,
    pub(crate) fact: Vec<String>,
    /// As `fact`, with a second term `{other}`.
    pub(crate) fact_two: Vec<String>,
    pub(crate) listed: Vec<String>,
    pub(crate) label: Vec<String>,
    pub(crate) label_term: Vec<String>,
    pub(crate) summary: Vec<String>,
    pub(crate) also: String,
    pub(crate) summarize: Vec<String>,
    pub(crate) summarize_term: Vec<String>,
    pub(crate) infer: Vec<String>,
    pub(crate) infer_answer: Vec<String>,
    pub(crate) hop: Vec<String>,
    pub(crate) hop_plain: Vec<String>,
    pub(crate) compare: Vec<String>,
    pub(crate) shared: String,
    pub(crate) apply: Vec<String>,
    pub(crate) apply_term: Vec<String>,
    /// For sections without instructions.
    pub(crate) apply_plain: Vec<String>,
    /// Words between effect and cause, and the question for `{effect}`.
    pub(crate) reasons: Vec<(String, String)>,
    /// Words that mark a sentence as one about causes or conditions.
    pub(crate) causal: WordList,
    pub(crate) effect: Vec<String>,
    /// For sections without a cause.
    pub(crate) circumstances: Vec<String>,
    pub(crate) suppose: Vec<String>,
    pub(crate) suppose_answer: Vec<String>,
    /// Words that mark limits and contrasts.
    pub(crate) limits: WordList,
    /// Words that mark what is to be done.
    pub(crate) duties: WordList,
    pub(crate) criticize: Vec<String>,
    /// For sections without a limit or contrast.
    pub(crate) support: Vec<String>,
    pub(crate) explain: Vec<String>,
    pub(crate) process: Vec<String>,
    /// For sections that are no instructions.
    pub(crate) points: Vec<String>,
    pub(crate) judge: Vec<String>,
    pub(crate) yes: String,
    /// Before the correction of a false statement.
    pub(crate) no: String,
    /// Small changes that turn a statement into its opposite: the words, and their replacement.
    pub(crate) negations: Vec<(String, String)>,
    pub(crate) blank: Vec<String>,
    pub(crate) blank_answer: String,
    pub(crate) pronouns: WordList,
    pub(crate) refer: Vec<String>,
    pub(crate) refer_answer: String,
    pub(crate) meaning: Vec<String>,
    pub(crate) code: Vec<String>,
    /// First steps, which introduce the subject: `{title}` in `{doc}`; a `{term}` in `{field}`, which is the title,
    /// alone or `within` its document; a `{term}` that names the whole field; two subjects `{a}` and `{b}`.
    pub(crate) part: Vec<String>,
    pub(crate) aspect: Vec<String>,
    pub(crate) within: String,
    pub(crate) alone: String,
    pub(crate) both: String,
    pub(crate) both_alone: String,
    /// Second steps for facts that need words before them: `{fact}`, `{a}`.
    pub(crate) one_side: String,
    pub(crate) starts: String,
    pub(crate) code_starts: String,
    /// Ends of a main clause, and the last step with the rest as `{tail}`; empty if that is left to the answer.
    pub(crate) joints: Vec<(String, String)>,
    /// Last steps of one fact: its figure or another of its terms as `{detail}`; `plain` if there is neither.
    pub(crate) figure: Vec<String>,
    pub(crate) tied: Vec<String>,
    pub(crate) plain: String,
    /// Last steps of two facts, if the second needs words before it: `{fact}`, `{b}`.
    pub(crate) other: String,
    pub(crate) contrasted: String,
    pub(crate) ordered: String,
    pub(crate) code_ends: String,
    pub(crate) code_line: String,
    /// Last step on a false statement: `{said}` and `{right}`.
    pub(crate) wrong: String,
    /// Last step to the words of a blank: `{term}`.
    pub(crate) filled: Vec<String>,
}

/// `wording` with its names replaced; a name that has no value disappears.
pub(crate) fn fill<V: AsRef<str>>(wording: &str, values: &[(&str, V)]) -> String {
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
