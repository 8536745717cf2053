//! Draws one value of each attribute for a record, and the length.
//!
//! Each draw is keyed by the attribute's name and the record, so that adding or removing an attribute does not
//! change the others. Attributes joined by an `exclude` rule are drawn together, repeatedly, until no rule
//! forbids the combination: the remaining combinations keep their proportions.

use serde_json::{Map, Value};

use super::drawn::Law;
use super::length::Length;
use super::quota::Quota;
use super::weighted::{Scores, WeightedValues};
use crate::draw::Draws;
use crate::stage::StageError;

/// The maximum number of tries to find an allowed combination. Rules that leave less than a thousandth of all
/// combinations are refused, so the probability of needing more is below 1e-40.
const TRIES: usize = 100_000;

/// Draws everything for a record.
#[derive(Debug, Clone)]
pub(super) struct Sampler {
    /// By name.
    pub(super) attributes: Vec<SampledAttribute>,
    /// The attributes with a single value, each after the one it depends on.
    pub(super) groups: Vec<Group>,
    pub(super) length: Option<Length>,
    pub(super) draws: Draws,
}

/// One attribute.
#[derive(Debug, Clone)]
pub(super) struct SampledAttribute {
    pub(super) name: String,
    pub(super) kind: AttributeKind,
}

/// How an attribute is drawn.
#[derive(Debug, Clone)]
pub(super) enum AttributeKind {
    /// One value of a list.
    SingleValue(Box<SingleValue>),
    /// Several different values of a list.
    Several(WeightedValues, usize),
    /// A number or a date.
    Law(Law),
}

/// One value of a list.
#[derive(Debug, Clone)]
pub(super) struct SingleValue {
    pub(super) values: WeightedValues,
    pub(super) given: Option<ConditionalScores>,
    pub(super) quota: Option<Quota>,
}

/// Scores that depend on another attribute's value.
#[derive(Debug, Clone)]
pub(super) struct ConditionalScores {
    /// The index of the other attribute.
    pub(super) on: usize,
    /// The scores for each of its values; `None` if they are the usual ones.
    pub(super) scores: Vec<Option<Scores>>,
}

/// Attributes that are drawn together; most groups have one.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// Their indices, each after the one it depends on.
    pub(super) members: Vec<usize>,
    pub(super) rules: Vec<ExclusionRule>,
}

/// A forbidden combination: indices of attributes, each with the values to which it applies.
#[derive(Debug, Clone)]
pub(super) struct ExclusionRule(pub(super) Vec<(usize, Vec<usize>)>);

impl Sampler {
    /// Draws the attributes of a record, by name; `item` is its item's number, `key` its id.
    pub(super) fn draw(&self, item: u64, key: &str) -> Result<Map<String, Value>, StageError> {
        let chosen = self.choose(item, key)?;
        let mut drawn = Map::new();
        for (attribute, chosen) in self.attributes.iter().zip(chosen) {
            let value = match &attribute.kind {
                AttributeKind::SingleValue(one) => one.values.values[chosen].clone(),
                AttributeKind::Several(values, count) => self.several(attribute, values, *count, key),
                AttributeKind::Law(law) => {
                    law.draw(&mut self.draws.rng(&format!("value {}", attribute.name), key))
                }
            };
            drawn.insert(attribute.name.clone(), value);
        }
        Ok(drawn)
    }

    /// Draws the record's length in words, if one is requested.
    pub(super) fn draw_length(&self, key: &str) -> Option<u64> {
        self.length.map(|length| length.draw(&mut self.draws.rng("length", key)))
    }

    /// Chooses a value for each attribute, by index; 0 for those without a single value.
    pub(super) fn choose(&self, item: u64, key: &str) -> Result<Vec<usize>, StageError> {
        let mut chosen = vec![0; self.attributes.len()];
        for group in &self.groups {
            let mut attempt = 0;
            loop {
                for member in &group.members {
                    chosen[*member] = self.choose_one(*member, &chosen, item, key, attempt)?;
                }
                if !group.rules.iter().any(|rule| rule.forbids(&chosen)) {
                    break;
                }
                attempt += 1;
                if attempt == TRIES {
                    return Err(StageError::new("exclude", "found no combination that `exclude` allows"));
                }
            }
        }
        Ok(chosen)
    }

    fn choose_one(
        &self,
        place: usize,
        chosen: &[usize],
        item: u64,
        key: &str,
        attempt: usize,
    ) -> Result<usize, StageError> {
        let SampledAttribute { name, kind: AttributeKind::SingleValue(one) } = &self.attributes[place] else {
            return Ok(0);
        };
        if let Some(quota) = &one.quota {
            let beyond = || StageError::new("quota", format!("item {item} is beyond the quota of `{name}`"));
            return quota.value(item).ok_or_else(beyond);
        }
        let name = match attempt {
            0 => format!("value {name}"),
            _ => format!("value {name} again {attempt}"),
        };
        Ok(one.scores(chosen).choose(self.draws.fraction(&name, key)))
    }

    fn several(
        &self,
        attribute: &SampledAttribute,
        values: &WeightedValues,
        count: usize,
        key: &str,
    ) -> Value {
        let mut round = 0;
        let fraction = || {
            round += 1;
            self.draws.fraction(&format!("value {} number {round}", attribute.name), key)
        };
        let chosen = values.scores().choose_several(count, fraction);
        // An empty value means that the attribute is absent, so it is not listed.
        let values = chosen.into_iter().map(|index| &values.values[index]);
        Value::Array(values.filter(|value| value.as_str() != Some("")).cloned().collect())
    }
}

impl SingleValue {
    /// The scores to choose by, given the attributes chosen before.
    pub(super) fn scores(&self, chosen: &[usize]) -> &Scores {
        let changed = self.given.as_ref().and_then(|given| given.scores[chosen[given.on]].as_ref());
        changed.unwrap_or_else(|| self.values.scores())
    }
}

impl ExclusionRule {
    pub(super) fn forbids(&self, chosen: &[usize]) -> bool {
        self.0.iter().all(|(place, values)| values.contains(&chosen[*place]))
    }
}
