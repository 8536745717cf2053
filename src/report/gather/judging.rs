//! The judgements of a run: ratings by aspect, by position and by vote; preferences.
//!
//! Read from provenance, for all records that were judged, kept or not. Memory grows with the number of aspects and
//! positions only.

use std::collections::BTreeMap;

use crate::report::findings::{
    AspectRatings, JudgeTotals, PreferenceTotals, Proportion, RatingCount, SlotRatings, VoteAgreement,
};
use crate::report::read::DataRecord;
use crate::stages::{JudgedQuestion, Judgement, PreferenceOutcome, RatingOutcome};

/// The number of positions that are counted separately.
const MOST_SLOTS: usize = 64;
/// The minimum number of ratings at a position, and at all others, for which means are compared.
const FEW_RATINGS: u64 = 10;
/// The variance that rounding to whole numbers adds.
const ROUNDING: f64 = 1.0 / 12.0;

/// Counts over the judgements of all stages.
#[derive(Debug, Default)]
pub(super) struct JudgeCounter {
    by_stage: BTreeMap<String, JudgeStageCounter>,
}

impl JudgeCounter {
    /// Adds the judgements of one item's records. Those made of one record share its judgement, which counts once.
    pub(super) fn add(&mut self, records: &[DataRecord]) {
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for judgement in records.iter().flat_map(|record| &record.judgements) {
            let about = (judgement.stage.as_str(), judgement.record.as_str());
            if seen.contains(&about) {
                continue;
            }
            seen.push(about);
            self.by_stage.entry(judgement.stage.clone()).or_default().add(judgement);
        }
    }

    pub(super) fn totals(self) -> Vec<JudgeTotals> {
        self.by_stage.into_iter().map(|(stage, counter)| counter.totals(stage)).collect()
    }
}

#[derive(Debug, Default)]
struct JudgeStageCounter {
    records: u64,
    questions: u64,
    scale: Option<(i64, i64)>,
    /// In the order of the pipeline.
    aspects: Vec<(String, AspectCounter)>,
    shuffled: bool,
    slots: Vec<Moments>,
    preferences: Option<PreferenceCounter>,
}

#[derive(Debug, Default)]
struct AspectCounter {
    counts: BTreeMap<i64, u64>,
    outcomes: BTreeMap<RatingOutcome, u64>,
    pairs: u64,
    equal_pairs: u64,
    distance: u64,
}

#[derive(Debug, Default)]
struct PreferenceCounter {
    /// Questions whose answer prefers the text at the first position, and all that prefer one.
    first: u64,
    decided: u64,
    votes: BTreeMap<PreferenceOutcome, u64>,
    pairs: u64,
    equal_pairs: u64,
}

/// Count, sum and sum of squares of some numbers.
#[derive(Debug, Default, Clone, Copy)]
struct Moments {
    count: u64,
    sum: f64,
    squares: f64,
}

impl JudgeStageCounter {
    fn add(&mut self, judgement: &Judgement) {
        self.records += 1;
        self.questions += judgement.questions.len() as u64;
        self.scale = judgement.scale;
        for question in &judgement.questions {
            self.shuffled |= question.slots.iter().enumerate().any(|(slot, position)| slot != *position);
            self.add_ratings(question);
        }
        for aspect in &judgement.aspects {
            self.add_agreement(judgement, aspect);
        }
        if judgement.questions.iter().any(|question| question.preference.is_some()) {
            self.preferences.get_or_insert_default().add(judgement);
        }
    }

    fn aspect(&mut self, name: &str) -> &mut AspectCounter {
        let place = self.aspects.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.aspects.push((name.to_owned(), AspectCounter::default()));
            self.aspects.len() - 1
        });
        &mut self.aspects[place].1
    }

    fn add_ratings(&mut self, question: &JudgedQuestion) {
        for (slot, ratings) in question.ratings.iter().enumerate() {
            for (name, rating) in ratings {
                let counter = self.aspect(name);
                *counter.outcomes.entry(rating.outcome).or_default() += 1;
                let Some(number) = rating.rating else { continue };
                *counter.counts.entry(number).or_default() += 1;
                if question.slots.len() > 1 && slot < MOST_SLOTS {
                    if self.slots.len() <= slot {
                        self.slots.resize(slot + 1, Moments::default());
                    }
                    self.slots[slot].add(number as f64);
                }
            }
        }
    }

    /// Compares the ratings of the same text in several questions.
    fn add_agreement(&mut self, judgement: &Judgement, aspect: &str) {
        let mut by_text: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        for question in &judgement.questions {
            for (position, ratings) in question.slots.iter().zip(&question.ratings) {
                if let Some(number) = ratings.get(aspect).and_then(|rating| rating.rating) {
                    by_text.entry(*position).or_default().push(number);
                }
            }
        }
        let counter = self.aspect(aspect);
        for numbers in by_text.values() {
            for (place, one) in numbers.iter().enumerate() {
                for other in &numbers[place + 1..] {
                    counter.pairs += 1;
                    counter.equal_pairs += u64::from(one == other);
                    counter.distance += one.abs_diff(*other);
                }
            }
        }
    }

    fn totals(self, stage: String) -> JudgeTotals {
        let scale = self.scale;
        let all = self.slots.iter().fold(Moments::default(), |sum, slot| sum.plus(*slot));
        let slots = (1..).zip(&self.slots).map(|(slot, own)| SlotRatings {
            slot,
            ratings: own.count,
            mean: own.mean(),
            z: own.distance_from(all.minus(*own)),
        });
        JudgeTotals {
            stage,
            records: self.records,
            questions: self.questions,
            scale,
            slots: slots.collect(),
            aspects: match self.preferences {
                Some(_) => Vec::new(),
                None => {
                    self.aspects.into_iter().map(|(name, counter)| counter.ratings(name, scale)).collect()
                }
            },
            shuffled: self.shuffled,
            preferences: self.preferences.map(PreferenceCounter::totals),
        }
    }
}

impl AspectCounter {
    fn ratings(self, aspect: String, scale: Option<(i64, i64)>) -> AspectRatings {
        let given: u64 = self.counts.values().sum();
        let asked: u64 = self.outcomes.values().sum();
        let sum: f64 = self.counts.iter().map(|(rating, count)| *rating as f64 * *count as f64).sum();
        let (low, high) = scale.unwrap_or_default();
        let count = |rating: i64| {
            let count = self.counts.get(&rating).copied().unwrap_or_default();
            RatingCount { rating, part: Proportion { count, of: given } }
        };
        let outcome = |outcome| self.outcomes.get(&outcome).copied().unwrap_or_default();
        AspectRatings {
            aspect,
            counts: (low..=high).map(count).collect(),
            mean: (given > 0).then(|| sum / given as f64),
            rated: Proportion { count: given, of: asked },
            not_applicable: outcome(RatingOutcome::NotApplicable),
            out_of_range: outcome(RatingOutcome::OutOfRange),
            missing: outcome(RatingOutcome::Missing),
            agreement: (self.pairs > 0).then(|| VoteAgreement {
                equal: Proportion { count: self.equal_pairs, of: self.pairs },
                distance: self.distance as f64 / self.pairs as f64,
            }),
        }
    }
}

impl PreferenceCounter {
    fn add(&mut self, judgement: &Judgement) {
        for slot in judgement.questions.iter().filter_map(|question| question.preference.as_ref()?.slot) {
            self.decided += 1;
            self.first += u64::from(slot == 0);
        }
        for (place, vote) in judgement.votes.iter().enumerate() {
            *self.votes.entry(vote.outcome).or_default() += 1;
            let others = judgement.votes[place + 1..].iter();
            for other in others.filter(|other| other.outcome != PreferenceOutcome::Missing) {
                if vote.outcome != PreferenceOutcome::Missing {
                    self.pairs += 1;
                    // A contradiction is a tie.
                    self.equal_pairs += u64::from(vote.position == other.position);
                }
            }
        }
    }

    fn totals(self) -> PreferenceTotals {
        let votes = |outcome| self.votes.get(&outcome).copied().unwrap_or_default();
        let decided = self.decided as f64;
        PreferenceTotals {
            first: Proportion { count: self.first, of: self.decided },
            z: (self.decided > 0).then(|| (2.0 * self.first as f64 - decided) / decided.sqrt()),
            preferred: Proportion {
                count: votes(PreferenceOutcome::Preferred),
                of: self.votes.values().sum(),
            },
            ties: votes(PreferenceOutcome::Tie),
            contradictions: votes(PreferenceOutcome::Contradiction),
            missing: votes(PreferenceOutcome::Missing),
            agreement: (self.pairs > 0).then_some(Proportion { count: self.equal_pairs, of: self.pairs }),
        }
    }
}

impl Moments {
    fn add(&mut self, number: f64) {
        *self = self.plus(Self { count: 1, sum: number, squares: number * number });
    }

    fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            count: self.count - other.count,
            sum: self.sum - other.sum,
            squares: self.squares - other.squares,
        }
    }

    fn mean(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The square of the standard error of the mean. A variance of zero is the effect of rounding.
    fn error(self) -> f64 {
        let count = self.count as f64;
        let variance = (self.squares - self.sum * self.sum / count) / (count - 1.0);
        (variance.max(0.0) + ROUNDING) / count
    }

    /// The distance of the means in standard errors.
    fn distance_from(self, others: Self) -> Option<f64> {
        if self.count < FEW_RATINGS || others.count < FEW_RATINGS {
            return None;
        }
        Some((self.mean()? - others.mean()?) / (self.error() + others.error()).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Records that were judged, by the values of the fields that provenance has.
    fn totals(judgements: impl IntoIterator<Item = serde_json::Value>) -> JudgeTotals {
        let mut counter = JudgeCounter::default();
        for (number, mut judgement) in judgements.into_iter().enumerate() {
            judgement["stage"] = json!("judge");
            judgement["record"] = json!(number.to_string());
            let judgements = vec![Judgement::read(&judgement).unwrap()];
            // Two records of one item, with the provenance of the record from which they were made.
            let record = DataRecord { judgements, ..DataRecord::default() };
            counter.add(&[record.clone(), record]);
        }
        counter.totals().pop().unwrap()
    }

    fn rated(rating: i64) -> serde_json::Value {
        json!({"clear": {"outcome": "rated", "rating": rating}})
    }

    fn judgement(questions: &[(&[usize], &[i64])]) -> serde_json::Value {
        let question = |(slots, ratings): &(&[usize], &[i64])| {
            let ratings: Vec<_> = ratings.iter().map(|rating| rated(*rating)).collect();
            json!({"vote": 0, "slots": slots, "ratings": ratings})
        };
        let questions: Vec<_> = questions.iter().map(question).collect();
        json!({"judged": "rating", "aspects": ["clear"], "scale": [1, 5], "questions": questions})
    }

    #[test]
    fn a_judge_that_prefers_a_place_shows_in_the_means_of_places_if_the_order_is_drawn() {
        // The judge rates the first position 5 and the second 1 or 2, regardless of the text.
        let biased = (0..40_usize).map(|n| {
            let slots = if n % 2 == 0 { [0, 1] } else { [1, 0] };
            judgement(&[(&slots, &[5 - i64::from(n % 8 == 0), 1 + (n % 2) as i64])])
        });
        let found = totals(biased);
        assert!(found.shuffled);
        assert_eq!((found.records, found.questions), (40, 40));
        let [first, second] = &found.slots[..] else { panic!("{:?}", found.slots) };
        assert_eq!((first.slot, first.ratings, first.mean), (1, 40, Some(4.875)));
        assert!(first.z.unwrap() > 20.0 && second.z.unwrap() < -20.0, "{found:?}");
        // A judge that rates the texts: the means of the positions are equal, however different the texts are.
        let fair = (0..40_usize).map(|n| match n % 2 {
            0 => judgement(&[(&[0, 1], &[5, 2])]),
            _ => judgement(&[(&[1, 0], &[2, 5])]),
        });
        let found = totals(fair);
        assert_eq!(found.slots.iter().map(|slot| slot.mean).collect::<Vec<_>>(), [Some(3.5), Some(3.5)]);
        assert_eq!(found.slots[0].z, Some(0.0));
        assert!(!totals([judgement(&[(&[0, 1], &[5, 2])])]).shuffled);
    }

    #[test]
    fn ratings_are_counted_by_aspect_and_outcome_and_compared_between_votes() {
        let mut two_votes = judgement(&[(&[0, 1], &[5, 2]), (&[1, 0], &[2, 3])]);
        two_votes["questions"][0]["ratings"][0]["clear"] = json!({"outcome": "out_of_range", "given": 9});
        let other = judgement(&[(&[0, 1], &[4, 4]), (&[0, 1], &[2, 4])]);
        let mut missing = judgement(&[(&[0], &[1])]);
        missing["questions"][0]["ratings"][0]["clear"] = json!({"outcome": "missing"});
        let found = totals([two_votes, other, missing]);
        let clear = &found.aspects[0];
        let counts: Vec<(i64, u64)> =
            clear.counts.iter().map(|count| (count.rating, count.part.count)).collect();
        assert_eq!(counts, [(1, 0), (2, 3), (3, 1), (4, 3), (5, 0)]);
        assert_eq!(clear.rated, Proportion { count: 7, of: 9 });
        assert_eq!((clear.out_of_range, clear.missing, clear.not_applicable), (1, 1, 0));
        // Text 1 of the first record has 2 and 2; the second's texts have 4 and 2, and 4 and 4.
        let agreement = clear.agreement.as_ref().unwrap();
        assert_eq!(agreement.equal, Proportion { count: 2, of: 3 });
        assert!((agreement.distance - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn preferences_are_counted_by_place_and_by_vote() {
        let question = |slots: [usize; 2], slot: usize| json!({"vote": 0, "slots": slots, "preference": {"outcome": "preferred", "slot": slot}});
        let vote = |outcome: &str, position: Option<usize>| json!({"outcome": outcome, "position": position});
        let compared = |questions: Vec<serde_json::Value>, votes: Vec<serde_json::Value>| json!({"judged": "preference", "aspects": [], "questions": questions, "votes": votes});
        let found = totals([
            compared(vec![question([0, 1], 0), question([1, 0], 1)], vec![vote("preferred", Some(0))]),
            compared(vec![question([1, 0], 0), question([0, 1], 0)], vec![vote("contradiction", None)]),
            compared(
                vec![question([0, 1], 0)],
                vec![
                    vote("preferred", Some(0)),
                    vote("tie", None),
                    vote("preferred", Some(0)),
                    vote("missing", None),
                ],
            ),
        ]);
        let preferences = found.preferences.unwrap();
        assert_eq!(preferences.first, Proportion { count: 4, of: 5 });
        assert!((preferences.z.unwrap() - 3.0 / 5.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(preferences.preferred, Proportion { count: 3, of: 6 });
        assert_eq!((preferences.ties, preferences.contradictions, preferences.missing), (1, 1, 1));
        assert_eq!(preferences.agreement, Some(Proportion { count: 1, of: 3 }));
        assert!(found.aspects.is_empty());
    }
}
