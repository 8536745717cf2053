//! Decides which findings stand out; counts nothing itself.
//!
//! The thresholds are rules of thumb of people who read such data. A standout is never praise.

use crate::report::findings::{
    Attribute, CrossTab, DrawnShare, Findings, GenerationTotals, JudgeTotals, Proportion, Standout,
    WordComparison,
};

/// Shares above these stand out.
const MUCH_DUPLICATED: f64 = 0.05;
const MUCH_CUT: f64 = 0.02;
const MUCH_REJECTED: f64 = 0.05;
const MUCH_DROPPED: f64 = 0.5;
/// Shares below these stand out.
const FEW_AS_ASKED: f64 = 0.95;
const LENGTH_MISSED: f64 = 0.5;
/// At most this many first words that open at least this share of enough texts stand out.
const FEW_OPENINGS: usize = 10;
const MANY_OPENED: f64 = 0.9;
const TEXTS_FOR_OPENINGS: u64 = 100;
/// Prose compresses by a factor of 2 to 3; a few texts prove nothing.
const MUCH_COMPRESSED: f64 = 4.0;
const TEXTS_FOR_COMPRESSION: u64 = 100;
/// A position whose mean differs from that of the others by more than this number of standard errors stands out.
const FAR_PLACE: f64 = 3.0;
const MUCH_UNRATED: f64 = 0.05;
/// Values of an attribute that are named; the chapter lists them all.
const NAMED: usize = 3;

/// Returns what stands out, most important first.
pub(super) fn standouts(findings: &Findings) -> Vec<Standout> {
    let mut found = Vec::new();
    of_files(findings, &mut found);
    of_items(&findings.made, &mut found);
    of_models(&findings.made, &mut found);
    if let Some(asked) =
        findings.lengths.asked.as_ref().filter(|asked| asked.within_50.share() < LENGTH_MISSED)
    {
        let texts = Proportion { count: asked.within_50.of - asked.within_50.count, of: asked.within_50.of };
        found.push(Standout::LengthMissed { texts });
    }
    for attribute in &findings.attributes {
        of_attribute(attribute, &mut found);
    }
    found.extend(findings.crossed.iter().filter_map(of_cross_tab));
    found.extend(openings(&findings.words));
    of_variety(findings, &mut found);
    findings.judging.iter().for_each(|judge| of_judge(judge, &mut found));
    if let Some(part) = findings.languages.as_ref().and_then(|languages| languages.as_asked)
        && part.share() < FEW_AS_ASKED
    {
        let texts = Proportion { count: part.of - part.count, of: part.of };
        found.push(Standout::OtherLanguage { texts });
    }
    found
}

fn of_files(findings: &Findings, found: &mut Vec<Standout>) {
    for file in &findings.made.files {
        if let Some(damage) = &file.damage {
            found.push(Standout::Damaged { file: file.path.clone(), damage: damage.clone() });
        }
        if file.malformed > 0 {
            let lines = Proportion { count: file.malformed, of: file.malformed + file.records };
            found.push(Standout::Malformed { file: file.path.clone(), lines });
        }
    }
    if let Some(state) = findings.source.state.as_ref().filter(|state| *state != "finished") {
        found.push(Standout::Unfinished { state: state.clone() });
    }
    if findings.records == 0 {
        found.push(Standout::NothingKept);
    }
}

fn of_items(made: &GenerationTotals, found: &mut Vec<Standout>) {
    if made.source_unread > 0 {
        found.push(Standout::SourceUnread { count: made.source_unread });
    }
    let Some(identity) = &made.identity else { return };
    if !identity.holds {
        found.insert(0, Standout::SumWrong { identity: identity.clone() });
    }
    let part = |count| Proportion { count, of: identity.admitted };
    if part(identity.rejected).share() > MUCH_REJECTED {
        found.push(Standout::Rejected { items: part(identity.rejected) });
    }
    if part(identity.dropped).share() > MUCH_DROPPED {
        found.push(Standout::Dropped { items: part(identity.dropped) });
    }
}

fn of_models(made: &GenerationTotals, found: &mut Vec<Standout>) {
    for model in &made.models {
        let by_itself = ["heuristic", "mock"].contains(&&*model.provider);
        if by_itself {
            let (name, provider) = (model.model.clone(), model.provider.clone());
            found.push(Standout::NoModel { model: name, provider, answers: model.calls });
        }
        let cut = model.finish_reasons.iter().find(|reason| reason.name == "length");
        if let Some(cut) = cut.filter(|cut| cut.part.share() > MUCH_CUT) {
            found.push(Standout::CutOff { model: model.model.clone(), answers: cut.part });
        }
    }
    // The heuristic is no fallback if it was requested.
    if !made.models.is_empty() && made.models.iter().all(|model| model.provider == "heuristic") {
        return;
    }
    for file in made.files.iter().filter(|file| file.by_heuristic > 0) {
        let records = Proportion { count: file.by_heuristic, of: file.records };
        found.push(Standout::ByHeuristic { file: file.path.clone(), records });
    }
}

fn of_attribute(attribute: &Attribute, found: &mut Vec<Standout>) {
    if attribute.differs {
        let values = attribute.values.iter().filter(|value| value.drawn_otherwise);
        let values = values.map(|value| DrawnShare {
            value: value.value.clone(),
            drawn: value.drawn,
            of: attribute.items,
            configured: value.configured.unwrap_or(0.0),
        });
        let (attribute, p) = (attribute.name.clone(), attribute.p_configured);
        found.push(Standout::DrawnOtherwise { attribute, p, values: values.collect() });
    }
    let rejected: f64 = attribute.values.iter().map(|value| value.rejected).sum();
    for value in attribute.values.iter().filter(|value| value.rejected_often).take(NAMED) {
        found.push(Standout::RejectedOften {
            attribute: attribute.name.clone(),
            value: value.value.clone(),
            rejected: value.rejected,
            drawn: value.drawn,
            usual: if attribute.items > 0.0 { rejected / attribute.items } else { 0.0 },
        });
    }
}

fn of_cross_tab(crossed: &CrossTab) -> Option<Standout> {
    let mut pairs = Vec::new();
    for row in &crossed.rows {
        for (value, cell) in crossed.values.iter().zip(&row.cells).filter(|(_, cell)| cell.differs) {
            let configured = cell.configured.unwrap_or(0.0);
            let drawn = DrawnShare { value: value.clone(), drawn: cell.items, of: row.items, configured };
            pairs.push((row.value.clone(), drawn));
        }
    }
    let (attribute, on) = (crossed.attribute.clone(), crossed.on.clone());
    (!pairs.is_empty()).then_some(Standout::DrawnTogether { attribute, on, pairs })
}

fn openings(words: &WordComparison) -> Option<Standout> {
    if words.texts < TEXTS_FOR_OPENINGS {
        return None;
    }
    let enough =
        words.openings.iter().take(FEW_OPENINGS).position(|opening| opening.so_far.share() >= MANY_OPENED)?;
    let listed = &words.openings[..=enough];
    let texts = listed.last()?.so_far;
    Some(Standout::Openings { words: listed.iter().map(|opening| opening.word.clone()).collect(), texts })
}

fn of_judge(judge: &JudgeTotals, found: &mut Vec<Standout>) {
    let stage = || judge.stage.clone();
    for aspect in &judge.aspects {
        let ratings = Proportion { count: aspect.out_of_range + aspect.missing, of: aspect.rated.of };
        if ratings.share() > MUCH_UNRATED {
            found.push(Standout::NotRated { stage: stage(), aspect: aspect.aspect.clone(), ratings });
        }
    }
    // The first of two positions, which are equally far.
    let far = judge.slots.iter().rev().filter(|slot| slot.z.is_some_and(|z| z.abs() > FAR_PLACE));
    let farthest = far.max_by(|one, other| {
        one.z.map(f64::abs).partial_cmp(&other.z.map(f64::abs)).unwrap_or(std::cmp::Ordering::Equal)
    });
    if let Some(slot) = farthest.filter(|_| judge.shuffled) {
        let (mean, z) = (slot.mean.unwrap_or_default(), slot.z.unwrap_or_default());
        found.push(Standout::JudgePlace { stage: stage(), place: slot.slot, mean, z });
    }
    let preferences = judge.preferences.as_ref().filter(|_| judge.shuffled);
    if let Some(preferences) =
        preferences.filter(|preferences| preferences.z.is_some_and(|z| z.abs() > FAR_PLACE))
    {
        found.push(Standout::JudgePrefersPlace { stage: stage(), first: preferences.first });
    }
}

fn of_variety(findings: &Findings, found: &mut Vec<Standout>) {
    for measure in &findings.variety.measures {
        match (measure.key.as_str(), measure.part) {
            ("exact_duplicates" | "near_duplicates", Some(texts)) if texts.share() > MUCH_DUPLICATED => {
                found.push(Standout::Repeated { near: measure.key == "near_duplicates", texts });
            }
            ("compression_ratio", _)
                if measure.value > MUCH_COMPRESSED && measure.texts >= TEXTS_FOR_COMPRESSION =>
            {
                found.push(Standout::Compressed { ratio: measure.value, texts: measure.texts });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::findings::{FirstWord, NamedCount};

    fn check(change: impl Fn(&mut Findings), expected: &Standout) {
        let mut findings = Findings::sample();
        change(&mut findings);
        let found = standouts(&findings);
        assert!(found.contains(expected), "{found:#?}");
    }

    #[test]
    fn each_kind_has_the_numbers_of_its_table() {
        let part = |count, of| Proportion { count, of };
        check(|_| (), &Standout::OtherLanguage { texts: part(5, 55) });
        check(|_| (), &Standout::Repeated { near: true, texts: part(570, 9_500) });
        check(|_| (), &Standout::CutOff { model: "writer".into(), answers: part(300, 9_700) });
        check(|_| (), &Standout::Malformed { file: "rows.jsonl".into(), lines: part(3, 9_503) });
        check(
            |findings| findings.made.identity.iter_mut().for_each(|identity| identity.rejected = 1_000),
            &Standout::Rejected { items: part(1_000, 10_000) },
        );
        check(
            |findings| findings.made.files[0].by_heuristic = 3,
            &Standout::ByHeuristic { file: "rows.jsonl".into(), records: part(3, 9_500) },
        );
        check(
            |findings| {
                findings.words.openings =
                    vec![FirstWord { word: "how".into(), texts: 9_000, so_far: part(9_000, 9_500) }];
            },
            &Standout::Openings { words: vec!["how".into()], texts: part(9_000, 9_500) },
        );
        check(
            |findings| {
                findings.lengths.asked.iter_mut().for_each(|asked| asked.within_50 = part(4_000, 9_500))
            },
            &Standout::LengthMissed { texts: part(5_500, 9_500) },
        );
    }

    #[test]
    fn exactly_the_values_flagged_in_a_table_are_reported() {
        let found = |findings: &Findings| {
            let found = standouts(findings);
            let values = found.into_iter().filter_map(|standout| match standout {
                Standout::RejectedOften { value, rejected, drawn, .. } => Some((value, rejected, drawn)),
                _ => None,
            });
            values.collect::<Vec<_>>()
        };
        let mut findings = Findings::sample();
        let marked = findings.attributes.iter().flat_map(|attribute| &attribute.values);
        let marked = marked.filter(|value| value.rejected_often);
        let marked: Vec<_> = marked.map(|value| (value.value.clone(), value.rejected, value.drawn)).collect();
        assert_eq!(found(&findings), marked);
        assert!(!marked.is_empty());
        findings.attributes.iter_mut().flat_map(|attribute| &mut attribute.values).for_each(|value| {
            value.rejected_often = false;
        });
        assert!(found(&findings).is_empty());
    }

    #[test]
    fn the_heuristic_by_choice_is_reported_once_and_not_as_a_fallback() {
        let mut findings = Findings::sample();
        findings.made.models[0].provider = "heuristic".into();
        findings.made.models[0].finish_reasons =
            vec![NamedCount { name: "stop".into(), part: Proportion { count: 9_700, of: 9_700 } }];
        findings.made.files[0].by_heuristic = 9_500;
        let found = standouts(&findings);
        assert!(found.iter().any(|standout| matches!(standout, Standout::NoModel { answers: 9_700, .. })));
        assert!(!found.iter().any(|standout| matches!(standout, Standout::ByHeuristic { .. })));
    }

    #[test]
    fn data_without_a_fault_is_not_praised() {
        let mut findings = Findings::sample();
        findings.attributes.clear();
        findings.languages = None;
        findings.judging.clear();
        findings.variety.measures.clear();
        findings.made.models.clear();
        findings.made.files[0].malformed = 0;
        assert_eq!(standouts(&findings), []);
    }
}
