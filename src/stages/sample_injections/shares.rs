//! The expected share of each value: shown by `validate`, and used to check rules.
//!
//! Exact where the combinations can be enumerated, otherwise estimated by drawing.

use std::collections::BTreeMap;

use super::sampler::{AttributeKind, ExclusionRule, Group, Sampler, SingleValue};

/// The maximum number of combinations to enumerate.
const MOST_COMBINATIONS: usize = 1_000_000;
/// The number of draws for an estimate.
const DRAWS: usize = 50_000;

/// The shares of a sampler's values.
#[derive(Debug)]
pub(super) struct Shares {
    /// By attribute and value: the share of records with the value. Empty for numbers and dates.
    pub(super) values: Vec<Vec<f64>>,
    /// By group: the share of combinations that its rules allow.
    pub(super) left: Vec<f64>,
    /// By attribute: whether the shares are estimates.
    pub(super) estimated: Vec<bool>,
    /// By attribute with `given`: the share of records with a value of the other attribute (outer) and one of its
    /// own (inner).
    pub(super) joint: BTreeMap<usize, Vec<Vec<f64>>>,
}

/// Computes the shares of every attribute.
pub(super) fn shares(sampler: &Sampler) -> Shares {
    let mut values: Vec<Vec<f64>> = Vec::with_capacity(sampler.attributes.len());
    for attribute in &sampler.attributes {
        values.push(match &attribute.kind {
            AttributeKind::SingleValue(one) => vec![0.0; one.values.values.len()],
            AttributeKind::Several(list, _) => vec![0.0; list.values.len()],
            AttributeKind::Law(_) => Vec::new(),
        });
    }
    let mut shares = Shares {
        values,
        left: Vec::new(),
        estimated: vec![false; sampler.attributes.len()],
        joint: BTreeMap::new(),
    };
    for group in &sampler.groups {
        let left = match group.rules.is_empty() {
            true => single(sampler, group, &mut shares),
            false => joined(sampler, group, &mut shares),
        };
        shares.left.push(left);
    }
    for (place, attribute) in sampler.attributes.iter().enumerate() {
        if let AttributeKind::Several(list, count) = &attribute.kind {
            shares.estimated[place] = *count > 1;
            let mut number = 0;
            for _ in 0..DRAWS {
                let fraction = || {
                    number += 1;
                    sampler.draws.fraction("shares", &format!("{} {number}", attribute.name))
                };
                for index in list.scores().choose_several(*count, fraction) {
                    shares.values[place][index] += 1.0 / DRAWS as f64;
                }
            }
        }
    }
    shares
}

/// An attribute without rules; the one it depends on is done.
fn single(sampler: &Sampler, group: &Group, shares: &mut Shares) -> f64 {
    let place = group.members[0];
    let Some(one) = one(sampler, place) else { return 1.0 };
    let Some(given) = &one.given else {
        shares.values[place] = one.values.scores().shares();
        return 1.0;
    };
    let mut sums = vec![0.0; one.values.values.len()];
    let mut joint = Vec::with_capacity(given.scores.len());
    for (changed, weight) in given.scores.iter().zip(&shares.values[given.on]) {
        let scores = changed.as_ref().unwrap_or_else(|| one.values.scores());
        let row: Vec<f64> = scores.shares().into_iter().map(|share| weight * share).collect();
        sums.iter_mut().zip(&row).for_each(|(sum, share)| *sum += share);
        joint.push(row);
    }
    shares.joint.insert(place, joint);
    shares.values[place] = sums;
    shares.estimated[place] = shares.estimated[given.on];
    1.0
}

/// Attributes joined by rules; returns the share of allowed combinations.
fn joined(sampler: &Sampler, group: &Group, shares: &mut Shares) -> f64 {
    let mut combinations = 1_usize;
    for place in &group.members {
        combinations = combinations.saturating_mul(shares.values[*place].len());
    }
    let mut joint = BTreeMap::new();
    for place in &group.members {
        let Some(given) = one(sampler, *place).and_then(|one| one.given.as_ref()) else { continue };
        if group.members.contains(&given.on) {
            let row = vec![0.0; shares.values[*place].len()];
            joint.insert(*place, (given.on, vec![row; given.scores.len()]));
        }
    }
    let mut count = CombinationSums { sampler, group, sums: shares.values.clone(), joint, left: 0.0 };
    let mut chosen = vec![0; sampler.attributes.len()];
    if combinations <= MOST_COMBINATIONS {
        count.walk(0, &mut chosen, 1.0);
    } else {
        count.draw(&mut chosen);
        group.members.iter().for_each(|place| shares.estimated[*place] = true);
    }
    for place in &group.members {
        let left = count.left.max(f64::MIN_POSITIVE);
        shares.values[*place] = count.sums[*place].iter().map(|sum| sum / left).collect();
    }
    for (place, (_, mut rows)) in count.joint {
        rows.iter_mut().flatten().for_each(|sum| *sum /= count.left.max(f64::MIN_POSITIVE));
        shares.joint.insert(place, rows);
    }
    count.left
}

/// The weights of one group's combinations, summed up.
struct CombinationSums<'a> {
    sampler: &'a Sampler,
    group: &'a Group,
    sums: Vec<Vec<f64>>,
    /// By attribute with `given` in the group: the other attribute, and the joint sums.
    joint: BTreeMap<usize, (usize, Vec<Vec<f64>>)>,
    left: f64,
}

impl CombinationSums<'_> {
    /// Enumerates all values of the members from the one numbered `depth` on.
    fn walk(&mut self, depth: usize, chosen: &mut Vec<usize>, weight: f64) {
        let Some(place) = self.group.members.get(depth) else {
            self.add(chosen, weight);
            return;
        };
        let Some(one) = one(self.sampler, *place) else { return };
        for (value, share) in one.scores(chosen).shares().into_iter().enumerate() {
            if share > 0.0 {
                chosen[*place] = value;
                self.walk(depth + 1, chosen, weight * share);
            }
        }
    }

    /// Draws combinations instead of enumerating them.
    fn draw(&mut self, chosen: &mut [usize]) {
        for number in 0..DRAWS {
            for place in &self.group.members {
                let Some(one) = one(self.sampler, *place) else { continue };
                let key = format!("{} {number}", self.sampler.attributes[*place].name);
                chosen[*place] = one.scores(chosen).choose(self.sampler.draws.fraction("shares", &key));
            }
            self.add(chosen, 1.0 / DRAWS as f64);
        }
    }

    fn add(&mut self, chosen: &[usize], weight: f64) {
        if self.group.rules.iter().any(|rule: &ExclusionRule| rule.forbids(chosen)) {
            return;
        }
        self.left += weight;
        for place in &self.group.members {
            self.sums[*place][chosen[*place]] += weight;
        }
        for (place, (on, rows)) in &mut self.joint {
            rows[chosen[*on]][chosen[*place]] += weight;
        }
    }
}

fn one(sampler: &Sampler, place: usize) -> Option<&SingleValue> {
    match &sampler.attributes[place].kind {
        AttributeKind::SingleValue(one) => Some(one),
        _ => None,
    }
}
