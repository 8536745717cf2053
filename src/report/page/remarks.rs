//! Turns standouts into the sentences at the top of the report, each with a link to its chapter.
//!
//! `report::gather` decides what stands out; this module has the wording. Each sentence names the count and the total, as
//! the table of the chapter does.

use serde::Serialize;

use super::format::{chance, count, decimal, percent, score};
use crate::report::findings::{DrawnShare, Findings, Proportion, Standout};

/// Values that are named; the chapter lists them all.
const NAMED: usize = 3;

/// A sentence and the anchor of its chapter.
#[derive(Debug, Serialize)]
pub(super) struct Remark {
    chapter: &'static str,
    text: String,
}

/// Returns a remark per standout, most important first.
pub(super) fn remarks(findings: &Findings) -> Vec<Remark> {
    let remark = |standout| Remark { chapter: chapter(standout), text: sentence(standout) };
    findings.stands_out.iter().map(remark).collect()
}

fn chapter(standout: &Standout) -> &'static str {
    match standout {
        Standout::LengthMissed { .. } => "lengths",
        Standout::DrawnOtherwise { .. } | Standout::RejectedOften { .. } | Standout::DrawnTogether { .. } => {
            "attributes"
        }
        Standout::Openings { .. } => "words",
        Standout::Compressed { .. } | Standout::Repeated { .. } => "variety",
        Standout::OtherLanguage { .. } => "languages",
        Standout::JudgePlace { .. } | Standout::JudgePrefersPlace { .. } | Standout::NotRated { .. } => {
            "judging"
        }
        _ => "made",
    }
}

/// Describes a standout in a sentence; file names are between backticks.
#[must_use]
pub fn sentence(standout: &Standout) -> String {
    match standout {
        Standout::SumWrong { identity } => format!(
            "The accounting does not add up: {} items were admitted, {} have ended or are in flight.",
            number(identity.admitted),
            number(identity.ok + identity.dropped + identity.rejected + identity.in_flight)
        ),
        Standout::Unfinished { state } => format!("The run is {state}: its numbers are those so far."),
        Standout::NothingKept => "No record was kept, so there is no text to measure.".to_owned(),
        Standout::Damaged { file, damage } => format!("`{file}` is damaged: {damage}."),
        Standout::Malformed { file, lines } => {
            format!("{} lines or elements of `{file}` are no record and left out.", part(*lines))
        }
        Standout::SourceUnread { count } => {
            format!("{} files or rows of the source could not be read.", number(*count))
        }
        Standout::Rejected { items } => format!("{} items were rejected.", part(*items)),
        Standout::Dropped { items } => format!("{} items were dropped.", part(*items)),
        Standout::NoModel { model, provider, answers } => format!(
            "No model was asked: all {} answers of {model} are {}.",
            number(*answers),
            if provider == "mock" { "a mock's" } else { "the heuristic's, which only quotes and rearranges" }
        ),
        Standout::CutOff { model, answers } => {
            format!("{} answers of {model} ended at the limit of their tokens.", part(*answers))
        }
        Standout::ByHeuristic { file, records } => {
            format!("{} records in `{file}` are the heuristic's, which stood in for a model.", part(*records))
        }
        Standout::LengthMissed { texts } => {
            format!("{} texts are more than 50\u{a0}% off the length asked for.", part(*texts))
        }
        Standout::DrawnOtherwise { attribute, p, values } => drawn_otherwise(attribute, *p, values),
        Standout::RejectedOften { attribute, value, rejected, drawn, usual } => format!(
            "{attribute} “{}”: {} of {} items ({}) were rejected, {} of all.",
            named(value),
            count(*rejected),
            count(*drawn),
            percent(if *drawn > 0.0 { rejected / drawn } else { 0.0 }),
            percent(*usual)
        ),
        Standout::DrawnTogether { attribute, on, pairs } => {
            let shown = pairs
                .iter()
                .take(NAMED)
                .map(|(other, drawn)| format!("“{}” with {}", named(other), share(drawn)));
            format!("{attribute} by {on} was not drawn as `given` says: {}.", listed(shown, pairs.len()))
        }
        Standout::Openings { words, texts } => {
            let shown: Vec<String> = words.iter().map(|word| format!("“{word}”")).collect();
            format!("{} texts begin with {} words: {}.", part(*texts), words.len(), shown.join(", "))
        }
        Standout::Compressed { ratio, texts } => format!(
            "{} texts compress {} times, where English prose stands at 2 to 3: they repeat themselves.",
            number(*texts),
            decimal(*ratio, 1)
        ),
        Standout::Repeated { near, texts } => {
            let how = if *near { "nearly repeat another one" } else { "repeat an earlier one exactly" };
            format!("{} texts {how}.", part(*texts))
        }
        Standout::JudgePlace { stage, place, mean, z } => format!(
            "`{stage}` has a position bias: the mean of texts shown at position {place} is {}, {} standard errors from the others.",
            decimal(*mean, 2),
            score(*z)
        ),
        Standout::JudgePrefersPlace { stage, first } => {
            format!("`{stage}` has a position bias: the text shown first wins {} comparisons.", part(*first))
        }
        Standout::NotRated { stage, aspect, ratings } => {
            format!("{} ratings of {aspect} by `{stage}` are out of range or missing.", part(*ratings))
        }
        Standout::OtherLanguage { texts } => {
            format!("{} texts are in another language than was asked for.", part(*texts))
        }
    }
}

fn drawn_otherwise(attribute: &str, p: Option<f64>, values: &[DrawnShare]) -> String {
    if values.is_empty() {
        let p = p.map_or_else(String::new, |p| format!(" (p\u{a0}{})", chance(p)));
        return format!("{attribute} was not drawn as configured{p}, though no single value surely differs.");
    }
    format!(
        "{attribute} was not drawn as configured: {}.",
        listed(values.iter().take(NAMED).map(share), values.len())
    )
}

fn share(drawn: &DrawnShare) -> String {
    let of = if drawn.of > 0.0 { drawn.drawn / drawn.of } else { 0.0 };
    format!(
        "“{}” {} of {} items ({}, configured {})",
        named(&drawn.value),
        count(drawn.drawn),
        count(drawn.of),
        percent(of),
        percent(drawn.configured)
    )
}

fn listed(shown: impl Iterator<Item = String>, all: usize) -> String {
    let shown: Vec<String> = shown.collect();
    let more = all - shown.len();
    if more > 0 { format!("{} and {more} more", shown.join("; ")) } else { shown.join("; ") }
}

fn named(value: &str) -> &str {
    if value.is_empty() { "(empty)" } else { value }
}

/// Formats a proportion, as `3 of 12 (25.0 %)`.
pub(super) fn part(part: Proportion) -> String {
    format!("{} of {} ({})", number(part.count), number(part.of), percent(part.share()))
}

fn number(number: u64) -> String {
    count(number as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(standout: &Standout, expected: &str) {
        assert_eq!(sentence(standout).replace('\u{a0}', " "), expected);
    }

    #[test]
    fn a_sentence_names_the_count_and_the_total() {
        let part = |count, of| Proportion { count, of };
        check(
            &Standout::CutOff { model: "teacher".into(), answers: part(3, 12) },
            "3 of 12 (25.0 %) answers of teacher ended at the limit of their tokens.",
        );
        check(
            &Standout::ByHeuristic { file: "train.jsonl".into(), records: part(3, 11) },
            "3 of 11 (27.3 %) records in `train.jsonl` are the heuristic's, which stood in for a model.",
        );
        check(
            &Standout::Openings { words: vec!["how".into(), "what".into()], texts: part(2_000, 2_000) },
            "2,000 of 2,000 (100 %) texts begin with 2 words: “how”, “what”.",
        );
        let drawn = |value: &str| DrawnShare { value: value.into(), drawn: 30.0, of: 100.0, configured: 0.1 };
        check(
            &Standout::DrawnOtherwise { attribute: "tone".into(), p: Some(0.0), values: vec![drawn("")] },
            "tone was not drawn as configured: “(empty)” 30 of 100 items (30.0 %, configured 10.0 %).",
        );
        check(
            &Standout::DrawnTogether {
                attribute: "tone".into(),
                on: "topic".into(),
                pairs: (0..5).map(|n| (n.to_string(), drawn("x"))).collect(),
            },
            "tone by topic was not drawn as `given` says: “0” with “x” 30 of 100 items (30.0 %, configured 10.0 %); \
             “1” with “x” 30 of 100 items (30.0 %, configured 10.0 %); \
             “2” with “x” 30 of 100 items (30.0 %, configured 10.0 %) and 2 more.",
        );
    }
}
