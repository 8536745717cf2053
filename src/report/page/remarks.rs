//! What stands out in findings, as sentences at the head of the report, each with the chapter that tells more.
//!
//! A remark says what was found and what to look at; it never says that the data is good.

use serde::Serialize;

use super::format::{count, percent};
use crate::report::findings::{Attribute, Findings};

/// Shares above these are worth a sentence. They are habits of readers of such data, not laws.
const MUCH_DUPLICATED: f64 = 0.05;
const MUCH_CUT: f64 = 0.02;
const MUCH_REJECTED: f64 = 0.05;
const FEW_AS_ASKED: f64 = 0.95;
const LENGTH_MISSED: f64 = 0.5;
/// Attribute values named; the chapter has them all.
const NAMED: usize = 3;

/// A sentence and the anchor of the chapter that tells more.
#[derive(Debug, Serialize)]
pub(super) struct Remark {
    chapter: &'static str,
    text: String,
}

/// What stands out, what matters most first.
pub(super) fn remarks(findings: &Findings) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut say = |chapter, text| remarks.push(Remark { chapter, text });
    let made = &findings.made;
    if made.identity.as_ref().is_some_and(|identity| !identity.holds) {
        say("made", "The accounting does not add up: admitted items are not those that ended.".to_owned());
    }
    if findings.source.state.as_deref().is_some_and(|state| state != "finished") {
        say("made", "The run is not finished: its numbers are those so far.".to_owned());
    }
    if let Some(identity) = &made.identity
        && rejected_share(identity.rejected, identity.admitted) > MUCH_REJECTED
    {
        let share = percent(rejected_share(identity.rejected, identity.admitted));
        say("made", format!("{share} of all items were rejected."));
    }
    for model in &made.models {
        let cut = model.finish_reasons.iter().find(|reason| reason.name == "length");
        if let Some(cut) = cut.filter(|cut| cut.share > MUCH_CUT) {
            let share = percent(cut.share);
            say("made", format!("{share} of the answers of {} were cut at the token limit.", model.model));
        }
    }
    if let Some(asked) = findings.lengths.asked.as_ref().filter(|asked| asked.within_50 < LENGTH_MISSED) {
        let share = percent(asked.within_50);
        say("lengths", format!("Only {share} of the texts come within ±50% of the length asked for."));
    }
    for attribute in &findings.attributes {
        if let Some(text) = outliers(attribute) {
            say("attributes", text);
        }
    }
    for measure in &findings.variety.measures {
        let is_repeated = matches!(measure.key.as_str(), "exact_duplicates" | "near_duplicates");
        if is_repeated && measure.value > MUCH_DUPLICATED {
            say(
                "variety",
                format!(
                    "{}: {} of {} texts.",
                    measure.name,
                    percent(measure.value),
                    count(measure.texts as f64)
                ),
            );
        }
    }
    if let Some(share) = findings.languages.as_ref().and_then(|languages| languages.as_asked)
        && share < FEW_AS_ASKED
    {
        say("languages", format!("{} of the texts are in the language asked for.", percent(share)));
    }
    remarks
}

fn rejected_share(rejected: u64, admitted: u64) -> f64 {
    rejected as f64 / admitted.max(1) as f64
}

fn outliers(attribute: &Attribute) -> Option<String> {
    let mut named = Vec::new();
    let outliers = attribute.values.iter().filter(|value| value.outlier);
    let more = outliers.clone().count().saturating_sub(NAMED);
    for value in outliers.take(NAMED) {
        let name = if value.value.is_empty() { "(empty)" } else { &value.value };
        let is_rejected = value.z_rejected.is_some_and(|z| z.abs() > 3.0);
        named.push(match value.configured {
            _ if is_rejected => format!("“{name}” ({} rejected)", percent(value.rejected_share)),
            Some(configured) => {
                format!("“{name}” ({} drawn, {} configured)", percent(value.drawn_share), percent(configured))
            }
            None => format!("“{name}”"),
        });
    }
    if named.is_empty() {
        return None;
    }
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("Values of {} that stand out: {}{more}.", attribute.name, named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl Fn(&mut Findings), chapter: &str, expected: &str) {
        let mut findings = Findings::sample();
        change(&mut findings);
        let remarks = remarks(&findings);
        let texts = remarks.iter().map(|remark| format!("{}: {}", remark.chapter, remark.text));
        let texts: Vec<String> = texts.collect();
        assert!(texts.contains(&format!("{chapter}: {expected}")), "{texts:#?}");
    }

    #[test]
    fn what_stands_out_is_said() {
        check(|_| (), "languages", "90.0% of the texts are in the language asked for.");
        check(|_| (), "variety", "Near duplicates: 6.0% of 9,500 texts.");
        check(
            |findings| findings.made.models[0].finish_reasons[1].share = 0.03,
            "made",
            "3.0% of the answers of writer were cut at the token limit.",
        );
        check(
            |findings| findings.made.identity.iter_mut().for_each(|identity| identity.rejected = 1_000),
            "made",
            "10.0% of all items were rejected.",
        );
        check(
            |findings| findings.attributes[0].values[2].value = "angry".to_owned(),
            "attributes",
            "Values of tone that stand out: “angry” (30.0% rejected).",
        );
        check(
            |findings| findings.source.state = Some("interrupted".to_owned()),
            "made",
            "The run is not finished: its numbers are those so far.",
        );
    }

    #[test]
    fn data_without_a_fault_is_not_praised() {
        let mut findings = Findings::sample();
        findings.attributes.clear();
        findings.languages = None;
        findings.variety.measures.clear();
        assert!(remarks(&findings).is_empty());
    }
}
