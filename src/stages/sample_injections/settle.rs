//! Applies the options `sample`, `quota` and `given` to the attributes.
//!
//! Runs after the attributes are known (`assemble`) and before they are grouped (`groups`).

use std::collections::BTreeMap;

use super::SampleInjections;
use super::assemble::{SettingProblem, inside};
use super::entries::folded;
use super::quota::Quota;
use super::sampler::{AttributeKind, ConditionalScores, SampledAttribute, Sampler};
use super::settings::ScoresByValue;
use super::weighted::Scores;

/// Applies `sample`, `quota` and `given` to the attributes.
pub(super) fn settle(
    declared: &SampleInjections,
    items: Option<u64>,
    sampler: &mut Sampler,
    wrong: &mut Vec<SettingProblem>,
) {
    for (declared_name, settings) in &declared.attributes {
        let (name, at) = (folded(declared_name), inside("/attributes", declared_name));
        let Some(place) = sampler.attributes.iter().position(|one| one.name == name) else { continue };
        let result = match (&settings.given, settings.quota.is_some(), settings.sample) {
            (None, false, None) => Ok(()),
            (Some(_), true, _) => {
                Err(SettingProblem::new(inside(&at, "quota"), "`quota` and `given` cannot both hold"))
            }
            (_, true, Some(_)) => {
                Err(SettingProblem::new(inside(&at, "quota"), "`quota` and `sample` cannot both hold"))
            }
            (Some(_), _, Some(_)) => {
                Err(SettingProblem::new(inside(&at, "given"), "`given` and `sample` cannot both hold"))
            }
            (None, true, None) => settle_quota(sampler, place, items, &inside(&at, "quota")),
            (None, false, Some(count)) => settle_sample(sampler, place, count, &inside(&at, "sample")),
            (Some(tables), false, None) => settle_given(sampler, place, tables, &inside(&at, "given")),
        };
        wrong.extend(result.err());
    }
}

fn settle_quota(
    sampler: &mut Sampler,
    place: usize,
    items: Option<u64>,
    at: &str,
) -> Result<(), SettingProblem> {
    let name = sampler.attributes[place].name.clone();
    let mut rng = sampler.draws.rng(&format!("quota {name}"), "permutation");
    let AttributeKind::SingleValue(one) = &mut sampler.attributes[place].kind else {
        return Err(no_list(at, &name));
    };
    let Some(items) = items else {
        let message = "`quota: exact` needs to know how many items come, each exactly once";
        return Err(SettingProblem::new(at, message).expected(
            "a `generate` with `count` right before this stage, no `when` on it, and no `accept`",
        ));
    };
    one.quota = Some(Quota::new(one.values.scores(), items, &mut rng));
    Ok(())
}

fn settle_sample(sampler: &mut Sampler, place: usize, count: usize, at: &str) -> Result<(), SettingProblem> {
    let SampledAttribute { name, kind } = &mut sampler.attributes[place];
    let AttributeKind::SingleValue(one) = kind else { return Err(no_list(at, name)) };
    let drawable = one.values.scores().shares().iter().filter(|share| **share > 0.0).count();
    if count == 0 || count > drawable {
        let message = format!("`sample` is {count}, but `{name}` has {drawable} values with a score above 0");
        return Err(SettingProblem::new(at, message).expected(format!("from 1 to {drawable}")));
    }
    *kind = AttributeKind::Several(one.values.clone(), count);
    Ok(())
}

fn no_list(at: &str, name: &str) -> SettingProblem {
    SettingProblem::new(at, format!("`{name}` is not drawn from a list of values"))
}

fn settle_given(
    sampler: &mut Sampler,
    place: usize,
    tables: &BTreeMap<String, ScoresByValue>,
    at: &str,
) -> Result<(), SettingProblem> {
    let name = sampler.attributes[place].name.clone();
    let mut only = tables.iter();
    let (Some((other, table)), None) = (only.next(), only.next()) else {
        return Err(SettingProblem::new(at, "`given` must name one attribute")
            .expected("`given: {OTHER: {VALUE: {...}}}`"));
    };
    let at = inside(at, other);
    let other = folded(other);
    let Some(on) = sampler.attributes.iter().position(|one| one.name == other && other != name) else {
        let known: Vec<String> =
            sampler.attributes.iter().map(|one| one.name.clone()).filter(|one| *one != name).collect();
        return Err(SettingProblem::unknown(at, "other attribute", &other, &known));
    };
    let AttributeKind::SingleValue(parent) = &sampler.attributes[on].kind else {
        return Err(no_list(&at, &other));
    };
    let AttributeKind::SingleValue(one) = &sampler.attributes[place].kind else {
        return Err(no_list(&at, &name));
    };
    let mut scores: Vec<Option<Scores>> = vec![None; parent.values.values.len()];
    for (parent_value, changes) in table {
        let at = inside(&at, parent_value);
        let Some(parent_place) = parent.values.position(parent_value) else {
            return Err(SettingProblem::unknown(
                at,
                &format!("value of `{other}`"),
                parent_value,
                &parent.values.texts(),
            ));
        };
        let mut replaced = Vec::with_capacity(changes.len());
        for (value, score) in changes {
            let at = inside(&at, value);
            let Some(place) = one.values.position(value) else {
                return Err(SettingProblem::unknown(
                    at,
                    &format!("value of `{name}`"),
                    value,
                    &one.values.texts(),
                ));
            };
            if !(*score >= 0.0 && score.is_finite()) {
                return Err(SettingProblem::new(at, format!("the score is {score}")).expected("0 or more"));
            }
            replaced.push((place, *score));
        }
        let changed =
            one.values.replaced(&replaced).map_err(|error| SettingProblem::new(&at, error.to_string()))?;
        scores[parent_place] = Some(changed);
    }
    if let AttributeKind::SingleValue(one) = &mut sampler.attributes[place].kind {
        one.given = Some(ConditionalScores { on, scores });
    }
    Ok(())
}
