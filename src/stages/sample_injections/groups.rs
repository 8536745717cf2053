//! Groups the attributes that are drawn together, and orders them.
//!
//! An attribute with `given` comes after the one it depends on. Attributes joined by `exclude` rules form one
//! group, together with those they depend on: a combination is redrawn as a whole, or the others would not keep
//! their proportions.

use std::collections::BTreeMap;

use serde_json::Value;

use super::assemble::{SettingProblem, inside};
use super::entries::folded;
use super::sampler::{AttributeKind, ExclusionRule, Group, Sampler};
use super::shares;
use super::weighted::text_of;

/// Rules that leave a smaller share of all combinations are refused.
const LEAST_LEFT: f64 = 0.001;

/// Parses the rules and groups the attributes.
pub(super) fn join(
    exclude: &[BTreeMap<String, Value>],
    sampler: &mut Sampler,
    wrong: &mut Vec<SettingProblem>,
) {
    let Some(order) = ordered(sampler) else {
        wrong.push(
            SettingProblem::new("/attributes", "`given` goes in a circle")
                .expected("at least one attribute without it"),
        );
        return;
    };
    let mut rules = Vec::new();
    for (index, rule) in exclude.iter().enumerate() {
        match read_rule(rule, sampler, &format!("/exclude/{index}")) {
            Ok(rule) => rules.push(rule),
            Err(problems) => wrong.extend(problems),
        }
    }
    if !wrong.is_empty() {
        return;
    }
    sampler.groups = grouped(sampler, &order, rules);
    for (group, left) in sampler.groups.iter().zip(shares::shares(sampler).left) {
        if left == 0.0 {
            wrong.push(SettingProblem::new("/exclude", "the rules leave no combination that can be drawn"));
        } else if left < LEAST_LEFT {
            let names: Vec<String> =
                group.members.iter().map(|place| format!("`{}`", sampler.attributes[*place].name)).collect();
            let message =
                format!("the rules leave {:.2} % of the combinations of {}", left * 100.0, names.join(", "));
            wrong.push(
                SettingProblem::new("/exclude", message)
                    .expected("rules that forbid the unusual; lower scores for the rest"),
            );
        }
    }
}

/// The attributes with a single value, each after the one it depends on; `None` if there is a cycle.
fn ordered(sampler: &Sampler) -> Option<Vec<usize>> {
    let mut waiting: Vec<(usize, Option<usize>)> = Vec::new();
    for (place, attribute) in sampler.attributes.iter().enumerate() {
        if let AttributeKind::SingleValue(one) = &attribute.kind {
            waiting.push((place, one.given.as_ref().map(|given| given.on)));
        }
    }
    let mut order: Vec<usize> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let (ready, rest): (Vec<_>, Vec<_>) =
            waiting.iter().partition(|(_, on)| on.is_none_or(|on| order.contains(&on)));
        if ready.is_empty() {
            return None;
        }
        order.extend(ready.iter().map(|(place, _)| place));
        waiting = rest;
    }
    Some(order)
}

fn read_rule(
    rule: &BTreeMap<String, Value>,
    sampler: &Sampler,
    at: &str,
) -> Result<ExclusionRule, Vec<SettingProblem>> {
    let mut wrong = Vec::new();
    let mut parts = Vec::new();
    if rule.is_empty() {
        wrong.push(SettingProblem::new(at, "the rule names no attribute, so it would forbid everything"));
    }
    for (declared, values) in rule {
        let (name, at) = (folded(declared), inside(at, declared));
        let Some(place) = sampler.attributes.iter().position(|one| one.name == name) else {
            let known: Vec<String> = sampler.attributes.iter().map(|one| one.name.clone()).collect();
            wrong.push(SettingProblem::unknown(at, "attribute", &name, &known));
            continue;
        };
        let one = match &sampler.attributes[place].kind {
            AttributeKind::SingleValue(one) if one.quota.is_some() => {
                wrong.push(SettingProblem::new(
                    at,
                    format!("`{name}` has `quota: exact`, which `exclude` would break"),
                ));
                continue;
            }
            AttributeKind::SingleValue(one) => one,
            _ => {
                wrong.push(SettingProblem::new(at, format!("`{name}` is not drawn as one value of a list")));
                continue;
            }
        };
        let listed = values.as_array().map_or(std::slice::from_ref(values), Vec::as_slice);
        let mut places = Vec::with_capacity(listed.len());
        for value in listed {
            let text = text_of(value);
            match one.values.position(&text) {
                Some(place) => places.push(place),
                None => wrong.push(SettingProblem::unknown(
                    at.clone(),
                    &format!("value of `{name}`"),
                    &text,
                    &one.values.texts(),
                )),
            }
        }
        parts.push((place, places));
    }
    if wrong.is_empty() { Ok(ExclusionRule(parts)) } else { Err(wrong) }
}

/// Makes the groups; those with rules first, since single attributes may depend on theirs.
fn grouped(sampler: &Sampler, order: &[usize], rules: Vec<ExclusionRule>) -> Vec<Group> {
    // The number of an attribute's group is the lowest index in it.
    let mut group_of: Vec<usize> = (0..sampler.attributes.len()).collect();
    let mut merge = |one: usize, other: usize| {
        let (from, to) = (group_of[one].max(group_of[other]), group_of[one].min(group_of[other]));
        group_of.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
    };
    for ExclusionRule(parts) in &rules {
        for (place, _) in parts {
            merge(*place, parts[0].0);
            let mut child = *place;
            while let Some(on) = depends_on(sampler, child) {
                merge(child, on);
                child = on;
            }
        }
    }
    let (mut joined, mut single) = (Vec::<Group>::new(), Vec::new());
    let mut ruled: BTreeMap<usize, Vec<ExclusionRule>> = BTreeMap::new();
    for rule in rules {
        ruled.entry(group_of[rule.0[0].0]).or_default().push(rule);
    }
    for (group, rules) in ruled {
        let members = order.iter().copied().filter(|place| group_of[*place] == group).collect();
        joined.push(Group { members, rules });
    }
    for place in order {
        if !joined.iter().any(|group| group.members.contains(place)) {
            single.push(Group { members: vec![*place], rules: Vec::new() });
        }
    }
    joined.extend(single);
    joined
}

fn depends_on(sampler: &Sampler, place: usize) -> Option<usize> {
    match &sampler.attributes[place].kind {
        AttributeKind::SingleValue(one) => one.given.as_ref().map(|given| given.on),
        _ => None,
    }
}
