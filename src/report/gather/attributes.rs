//! Counts attribute values over all records: configured, drawn and kept shares.
//!
//! The records of one item share its weight of 1: four conversations about one question are not four independent
//! draws, and the statistical tests must not treat them as such.

use std::collections::{BTreeMap, HashMap};

use crate::report::findings::{Attribute, AttributeValue};
use crate::report::read::{DataRecord, RecordAttribute};
use crate::report::statistics::{intervals, shares};

/// Attributes that are counted, in order of appearance; the others are reported, not counted.
const MAX_NAMES: usize = 300;
/// Values of one attribute that are counted; the others are counted together.
const MAX_COUNTED: usize = 2_000;
/// Values of a drawn attribute that are listed.
const MAX_LISTED: usize = 100;
/// A field with more values than this is not an attribute.
const MAX_OF_A_FIELD: usize = 60;
/// The significance level: the probability of a false positive over all values of an attribute together.
const SIGNIFICANCE: f64 = 0.001;
/// A value with fewer items is never flagged.
const MIN_ITEMS: f64 = 5.0;

/// Items by attribute and value.
#[derive(Debug, Default)]
pub(super) struct AttributeCounter {
    by_name: BTreeMap<String, ValueCounter>,
    /// Values of attributes beyond `MAX_NAMES`.
    uncounted: u64,
}

#[derive(Debug, Default)]
struct ValueCounter {
    by_sampler: bool,
    numbers_only: bool,
    /// Whether a record had several values at once, so that shares do not add up to 1.
    several: bool,
    values: HashMap<String, OutcomeWeights>,
    all: OutcomeWeights,
    uncounted: u64,
    /// Whether the field has too many values to be an attribute; its values are then discarded.
    is_text: bool,
}

/// Items by outcome.
#[derive(Debug, Default, Clone, Copy)]
struct OutcomeWeights {
    drawn: f64,
    kept: f64,
    rejected: f64,
}

/// The outcome of a record.
#[derive(Debug, Clone, Copy)]
enum RecordOutcome {
    Kept,
    Rejected,
    Dropped,
}

impl OutcomeWeights {
    fn add(&mut self, weight: f64, end: RecordOutcome) {
        self.drawn += weight;
        match end {
            RecordOutcome::Kept => self.kept += weight,
            RecordOutcome::Rejected => self.rejected += weight,
            RecordOutcome::Dropped => {}
        }
    }

    fn rejected_share(self) -> f64 {
        if self.drawn > 0.0 { self.rejected / self.drawn } else { 0.0 }
    }
}

impl AttributeCounter {
    /// Counts a record that has the share `weight` of its item.
    pub(super) fn add(&mut self, record: &DataRecord, weight: f64) {
        let end = match &record.rejected {
            Some(_) => RecordOutcome::Rejected,
            None if record.dropped => RecordOutcome::Dropped,
            None => RecordOutcome::Kept,
        };
        for (index, attribute) in record.attributes.iter().enumerate() {
            let earlier = &record.attributes[..index];
            if earlier.contains(attribute) {
                continue;
            }
            let again = earlier.iter().any(|other| other.name == attribute.name);
            if let Some(counts) = self.by_name.get_mut(&attribute.name) {
                counts.add(attribute, weight, end, again);
            } else if self.by_name.len() < MAX_NAMES {
                let counts = ValueCounter { numbers_only: true, ..ValueCounter::default() };
                let counts = self.by_name.entry(attribute.name.clone()).or_insert(counts);
                counts.add(attribute, weight, end, again);
            } else {
                self.uncounted += 1;
            }
        }
    }

    /// Returns the number of values that were not counted because there are too many attributes.
    pub(super) fn uncounted(&self) -> u64 {
        self.uncounted
    }

    /// Returns the attributes, drawn ones first. `configured` has the shares by attribute and value.
    pub(super) fn attributes(&self, configured: &BTreeMap<String, BTreeMap<String, f64>>) -> Vec<Attribute> {
        let mut attributes = Vec::new();
        for (name, counts) in &self.by_name {
            let configured = configured.get(name);
            if counts.is_attribute() || configured.is_some() {
                attributes.push(counts.attribute(name, configured));
            }
        }
        attributes.sort_by_key(|attribute| !attribute.drawn);
        attributes
    }
}

impl ValueCounter {
    fn add(&mut self, attribute: &RecordAttribute, weight: f64, end: RecordOutcome, again: bool) {
        self.by_sampler |= attribute.by_sampler;
        self.numbers_only &= attribute.number;
        self.several |= again;
        if !again {
            self.all.add(weight, end);
        }
        if self.is_text {
            return;
        }
        if let Some(weights) = self.values.get_mut(&attribute.value) {
            weights.add(weight, end);
        } else if self.values.len() > MAX_OF_A_FIELD && !self.by_sampler {
            self.is_text = true;
            self.values = HashMap::new();
        } else if self.values.len() < MAX_COUNTED {
            self.values.entry(attribute.value.clone()).or_default().add(weight, end);
        } else {
            self.uncounted += 1;
        }
    }

    /// Returns whether it is worth showing. A field that only rejected records have says nothing about the kept ones,
    /// and one with nearly as many values as records is a text or a name.
    fn is_attribute(&self) -> bool {
        let values = self.values.len();
        if self.is_text {
            return false;
        }
        if self.numbers_only && values > MAX_OF_A_FIELD {
            return false;
        }
        if self.by_sampler {
            return true;
        }
        let few = values <= MAX_OF_A_FIELD && (values as f64) <= (self.all.drawn / 3.0).max(2.0);
        self.all.kept > 0.0 && values > 1 && few
    }

    fn attribute(&self, name: &str, configured: Option<&BTreeMap<String, f64>>) -> Attribute {
        let mut values: Vec<(&str, OutcomeWeights)> =
            self.values.iter().map(|(value, weights)| (value.as_str(), *weights)).collect();
        for value in configured.into_iter().flat_map(BTreeMap::keys) {
            if !self.values.contains_key(value) {
                values.push((value, OutcomeWeights::default()));
            }
        }
        values.sort_by(|a, b| b.1.drawn.total_cmp(&a.1.drawn).then_with(|| a.0.cmp(b.0)));
        let drawn: Vec<f64> = values.iter().map(|(_, weights)| weights.drawn).collect();
        let groups: Vec<(f64, f64)> =
            values.iter().map(|(_, weights)| (weights.rejected, weights.drawn - weights.rejected)).collect();
        let p_configured = configured.filter(|_| !self.several).and_then(|configured| {
            let wanted: Vec<f64> =
                values.iter().map(|(value, _)| configured.get(*value).copied().unwrap_or(0.0)).collect();
            shares::goodness_of_fit_p(&drawn, &wanted)
        });
        // Bonferroni: among so many tests, some would be significant by chance alone.
        let sure = shares::critical_z(SIGNIFICANCE / values.len().max(1) as f64);
        let whole = |value: &(&str, OutcomeWeights)| self.value(value.0, value.1, configured, sure);
        let found: Vec<AttributeValue> = values.iter().map(whole).collect();
        let p_rejected = if self.several { None } else { shares::homogeneity_p(&groups) };
        let is_mistake = |p: Option<f64>| p.is_some_and(|p| p < SIGNIFICANCE);
        Attribute {
            name: name.to_owned(),
            drawn: self.by_sampler,
            differs: is_mistake(p_configured) || found.iter().any(|value| value.drawn_otherwise),
            rejects: is_mistake(p_rejected) || found.iter().any(|value| value.rejected_often),
            values: listed(found),
            other_values: values.len().saturating_sub(MAX_LISTED) as u64 + self.uncounted,
            items: self.all.drawn,
            p_configured,
            p_rejected,
            evenness: if self.several { None } else { shares::evenness(&drawn) },
        }
    }

    fn value(
        &self,
        value: &str,
        weights: OutcomeWeights,
        configured: Option<&BTreeMap<String, f64>>,
        sure: f64,
    ) -> AttributeValue {
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let drawn_share = share(weights.drawn, self.all.drawn);
        let configured = configured.map(|configured| configured.get(value).copied().unwrap_or(0.0));
        let z_configured =
            configured.and_then(|expected| shares::one_sample_z(drawn_share, expected, self.all.drawn));
        let others = (self.all.rejected - weights.rejected, self.all.drawn - weights.drawn);
        let z_rejected = shares::two_sample_z(weights.rejected, weights.drawn, others.0, others.1);
        let expected = configured.unwrap_or(0.0) * self.all.drawn;
        let drawn_otherwise = match configured {
            Some(share) if share <= 0.0 => weights.drawn >= MIN_ITEMS,
            _ => expected >= MIN_ITEMS && z_configured.is_some_and(|z| z.abs() > sure),
        };
        AttributeValue {
            value: value.to_owned(),
            configured,
            drawn: weights.drawn,
            drawn_share,
            interval: intervals::wilson(drawn_share.min(1.0), self.all.drawn),
            kept: weights.kept,
            kept_share: share(weights.kept, self.all.kept),
            rejected: weights.rejected,
            rejected_share: weights.rejected_share(),
            z_configured,
            z_rejected,
            drawn_otherwise,
            rejected_often: weights.drawn >= MIN_ITEMS && z_rejected.is_some_and(|z| z > sure),
        }
    }
}

/// Returns the most frequent values, and those that are flagged however rare they are.
fn listed(values: Vec<AttributeValue>) -> Vec<AttributeValue> {
    let is_listed = |(place, value): &(usize, AttributeValue)| {
        *place < MAX_LISTED || value.drawn_otherwise || value.rejected_often
    };
    values.into_iter().enumerate().filter(is_listed).take(2 * MAX_LISTED).map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::read::RejectedRecord;

    fn record(name: &str, value: &str, by_sampler: bool, rejected: bool) -> DataRecord {
        let attribute = RecordAttribute { name: name.into(), value: value.into(), by_sampler, number: false };
        DataRecord {
            attributes: vec![attribute],
            rejected: rejected.then(RejectedRecord::default),
            ..DataRecord::default()
        }
    }

    #[test]
    fn a_value_that_is_rejected_more_often_is_flagged() {
        let mut counts = AttributeCounter::default();
        for n in 0..1_000 {
            let (tone, rejected) = match n % 10 {
                0 => ("angry", n % 20 == 0),
                1..=4 => ("", n % 100 == 1),
                _ => ("calm", n % 100 == 5),
            };
            counts.add(&record("tone", tone, true, rejected), 1.0);
        }
        let configured = BTreeMap::from(
            [("", 0.4), ("angry", 0.1), ("calm", 0.5)].map(|(value, share)| (value.to_owned(), share)),
        );
        let attributes = counts.attributes(&BTreeMap::from([("tone".to_owned(), configured)]));
        let [tone] = &attributes[..] else { panic!("{attributes:?}") };
        let shown: Vec<_> = tone
            .values
            .iter()
            .map(|value| (value.value.as_str(), value.drawn, value.kept, value.rejected_often))
            .collect();
        assert_eq!(
            shown,
            [("calm", 500.0, 490.0, false), ("", 400.0, 390.0, false), ("angry", 100.0, 50.0, true)]
        );
        assert!(tone.p_configured.unwrap() > 0.99 && tone.p_rejected.unwrap() < 1e-9);
        assert!(tone.values[2].z_rejected.unwrap() > 10.0);
        assert!(tone.rejects && !tone.differs);
    }

    #[test]
    fn a_wrongly_drawn_value_is_flagged_and_a_missing_one_is_listed() {
        let mut counts = AttributeCounter::default();
        (0..100).for_each(|_| counts.add(&record("tone", "calm", true, false), 1.0));
        let configured = BTreeMap::from([("calm".to_owned(), 0.5), ("angry".to_owned(), 0.5)]);
        let attributes = counts.attributes(&BTreeMap::from([("tone".to_owned(), configured)]));
        assert!(attributes[0].differs && attributes[0].values.iter().all(|value| value.drawn_otherwise));
        assert_eq!(attributes[0].values[1].drawn, 0.0);
        assert!(attributes[0].p_configured.unwrap() < 1e-6);
    }

    #[test]
    fn dropped_records_count_as_drawn_and_not_as_rejected() {
        let mut counts = AttributeCounter::default();
        for n in 0..20 {
            let mut record = record("tone", if n % 2 == 0 { "calm" } else { "" }, true, n == 0);
            record.dropped = n > 14;
            counts.add(&record, 1.0);
        }
        let tone = &counts.attributes(&BTreeMap::new())[0];
        let sum = |of: fn(&AttributeValue) -> f64| tone.values.iter().map(of).sum::<f64>();
        let sums = (sum(|value| value.drawn), sum(|value| value.kept), sum(|value| value.rejected));
        assert_eq!(sums, (20.0, 14.0, 1.0));
    }

    #[test]
    fn records_of_one_item_share_its_weight() {
        let mut counts = AttributeCounter::default();
        for n in 0..40 {
            counts.add(&record("kind", if n < 20 { "A" } else { "B" }, false, false), 0.25);
        }
        let attributes = counts.attributes(&BTreeMap::new());
        assert_eq!((attributes[0].items, attributes[0].values[0].drawn), (10.0, 5.0));
    }

    #[test]
    fn fields_that_are_not_attributes_are_left_out() {
        let mut counts = AttributeCounter::default();
        for n in 0..300 {
            counts.add(&record("name", &n.to_string(), false, false), 1.0);
            counts.add(&record("constant", "x", false, false), 1.0);
            counts.add(&record("fact", if n % 2 == 0 { "a" } else { "b" }, false, true), 1.0);
        }
        assert_eq!(counts.attributes(&BTreeMap::new()), []);
    }
}
