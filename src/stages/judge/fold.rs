//! Combines the answers about one record: assigns ratings to their candidates and counts preferences.
//!
//! The questions are planned again to know which text was shown where. Each collected answer has the number of its
//! question; a question without an entry has no valid answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use super::answer::ANSWERED;
use super::judgement::{
    JudgedBy, JudgedQuestion, Judgement, Preference, PreferenceOutcome, Rating, RatingOutcome, Vote,
};
use super::questions::{PlannedQuestion, QuestionPlan, error};
use super::{JudgeMode, PREFERRED, RATINGS, REASONS, SCORE};
use crate::record::Record;
use crate::stage::{StageError, Transform, TransformOutput};
use crate::stages::llm;

pub(super) struct JudgementFolder {
    pub(super) plan: Arc<QuestionPlan>,
    pub(super) into: String,
    /// The number of questions of a record that must be answered, or more for all of them.
    pub(super) needed: usize,
}

impl Transform for JudgementFolder {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        let collected = record.fields.shift_remove(&self.into).unwrap_or_default();
        let count = self.plan.count(record)?;
        let planned = self.plan.questions(&record.id, count);
        let answers = answers(&collected);
        if answers.len() < self.needed.min(planned.len()) {
            let message = format!("{} of {} questions were answered", answers.len(), planned.len());
            return Err(error(message));
        }
        let questions = match self.plan.mode {
            JudgeMode::Rate => ratings(&planned, &answers),
            JudgeMode::Pairwise => preferences(&planned, &answers),
        };
        let mut judgement = self.judgement(record, questions);
        match self.plan.mode {
            JudgeMode::Rate => self.set_ratings(record, count, &judgement)?,
            JudgeMode::Pairwise => {
                judgement.votes = votes(&judgement.questions);
                let preferred = preferred(&judgement.votes).map(|position| self.index_of(record, position));
                record.set(PREFERRED, preferred);
            }
        }
        // All keys are strings, so this cannot fail.
        record.set(&self.into, serde_json::to_value(&judgement).unwrap_or_default());
        let kept = serde_json::to_value(judgement.without_reasons()).unwrap_or_default();
        record.provenance.fields.insert(self.plan.draws.stage().to_string(), kept);
        llm::set_answered_by_of(record, self.plan.draws.stage());
        Ok(TransformOutput::Pass)
    }
}

/// The collected answers by the number of their question.
fn answers(collected: &Value) -> BTreeMap<u64, &Value> {
    let entries = collected.as_array().into_iter().flatten();
    entries.filter_map(|entry| Some((entry.get("index")?.as_u64()?, entry.get(ANSWERED)?))).collect()
}

fn read<T: DeserializeOwned>(answers: &BTreeMap<u64, &Value>, question: usize) -> Option<T> {
    T::deserialize(*answers.get(&(question as u64))?).ok()
}

/// The ratings of each question; missing if it has no answer.
fn ratings(planned: &[PlannedQuestion<'_>], answers: &BTreeMap<u64, &Value>) -> Vec<JudgedQuestion> {
    let question = |(number, question): (usize, &PlannedQuestion<'_>)| {
        let missing = || {
            let names = question.aspects.iter().map(|aspect| aspect.name.clone());
            let of_text: BTreeMap<_, _> = names.map(|name| (name, Rating::missing())).collect();
            vec![of_text; question.slots.len()]
        };
        JudgedQuestion {
            vote: question.vote,
            slots: question.slots.clone(),
            ratings: read(answers, number).unwrap_or_else(missing),
            preference: None,
        }
    };
    planned.iter().enumerate().map(question).collect()
}

/// The preference of each question.
fn preferences(planned: &[PlannedQuestion<'_>], answers: &BTreeMap<u64, &Value>) -> Vec<JudgedQuestion> {
    let missing = || Preference { outcome: PreferenceOutcome::Missing, slot: None, reason: None };
    let question = |(number, question): (usize, &PlannedQuestion<'_>)| JudgedQuestion {
        vote: question.vote,
        slots: question.slots.clone(),
        ratings: Vec::new(),
        preference: Some(read(answers, number).unwrap_or_else(missing)),
    };
    planned.iter().enumerate().map(question).collect()
}

impl JudgementFolder {
    fn judgement(&self, record: &Record, questions: Vec<JudgedQuestion>) -> Judgement {
        let (judged, scale) = match self.plan.mode {
            JudgeMode::Rate => (JudgedBy::Rating, Some(self.plan.scale)),
            JudgeMode::Pairwise => (JudgedBy::Preference, None),
        };
        Judgement {
            judged,
            stage: self.plan.draws.stage().to_string(),
            record: record.id.to_string(),
            aspects: self.plan.aspects.iter().map(|aspect| aspect.name.clone()).collect(),
            scale,
            questions,
            votes: Vec::new(),
        }
    }

    fn set_ratings(
        &self,
        record: &mut Record,
        count: usize,
        judgement: &Judgement,
    ) -> Result<(), StageError> {
        let rated = (0..count).map(|position| RatedText::new(judgement, position));
        let Some(of) = &self.plan.of else {
            rated.for_each(|text| record.fields.extend(text.into_fields()));
            return Ok(());
        };
        let list = record.fields.get_mut(of).and_then(Value::as_array_mut);
        let list = list.ok_or_else(|| error(format!("`{of}` is no list of candidates")))?;
        for ((position, candidate), text) in list.iter_mut().enumerate().zip(rated) {
            if !candidate.is_object() {
                let fields =
                    [("index".to_owned(), position.into()), (self.plan.text.clone(), candidate.take())];
                *candidate = Value::Object(Map::from_iter(fields));
            }
            if let Some(fields) = candidate.as_object_mut() {
                fields.extend(text.into_fields());
            }
        }
        Ok(())
    }

    /// The `index` of the candidate at a position: the position itself unless candidates were removed before.
    fn index_of(&self, record: &Record, position: usize) -> Value {
        let list = self.plan.of.as_ref().and_then(|of| record.fields.get(of));
        let index = list.and_then(|list| list.get(position)?.get("index")).filter(|index| index.is_u64());
        index.cloned().unwrap_or_else(|| position.into())
    }
}

/// The ratings of one text over all questions.
struct RatedText {
    ratings: Map<String, Value>,
    reasons: Map<String, Value>,
    score: Value,
}

impl RatedText {
    fn new(judgement: &Judgement, position: usize) -> Self {
        let (mut ratings, mut reasons) = (Map::new(), Map::new());
        let (mut means, mut is_known) = (Vec::new(), true);
        for aspect in &judgement.aspects {
            let given = ratings_of(judgement, position, aspect);
            let numbers: Vec<f64> =
                given.iter().filter_map(|rating| rating.rating).map(|one| one as f64).collect();
            ratings.insert(aspect.clone(), number(mean(&numbers)));
            if let Some(reason) = given.iter().find_map(|rating| rating.reason.as_deref()) {
                reasons.insert(aspect.clone(), reason.into());
            }
            let best = given.iter().map(|rating| rating.outcome).min().unwrap_or(RatingOutcome::Missing);
            is_known &= matches!(best, RatingOutcome::Rated | RatingOutcome::NotApplicable);
            means.extend(mean(&numbers));
        }
        let score = if is_known { number(mean(&means)) } else { Value::Null };
        Self { ratings, reasons, score }
    }

    fn into_fields(self) -> [(String, Value); 3] {
        [
            (RATINGS.to_owned(), self.ratings.into()),
            (REASONS.to_owned(), self.reasons.into()),
            (SCORE.to_owned(), self.score),
        ]
    }
}

/// All ratings of one text and aspect, in the order of the questions.
fn ratings_of<'a>(judgement: &'a Judgement, position: usize, aspect: &str) -> Vec<&'a Rating> {
    let of_question = |question: &'a JudgedQuestion| {
        let slot = question.slots.iter().position(|shown| *shown == position)?;
        question.ratings.get(slot)?.get(aspect)
    };
    judgement.questions.iter().filter_map(of_question).collect()
}

fn mean(numbers: &[f64]) -> Option<f64> {
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

/// A mean as a JSON number: `4` rather than `4.0`.
fn number(mean: Option<f64>) -> Value {
    match mean {
        Some(mean) if mean.fract() == 0.0 => Value::from(mean as i64),
        Some(mean) => Number::from_f64(mean).map_or(Value::Null, Value::Number),
        None => Value::Null,
    }
}

/// The outcome of each vote. If both orders were asked, they must prefer the same text.
fn votes(questions: &[JudgedQuestion]) -> Vec<Vote> {
    let vote = |questions: &[JudgedQuestion]| {
        let mut said = questions.iter().map(said);
        let first = said.next().unwrap_or(Vote { outcome: PreferenceOutcome::Missing, position: None });
        said.fold(first, |one, other| match (one.outcome, other.outcome) {
            (PreferenceOutcome::Missing, _) | (_, PreferenceOutcome::Missing) => {
                Vote { outcome: PreferenceOutcome::Missing, position: None }
            }
            _ if one == other => one,
            _ => Vote { outcome: PreferenceOutcome::Contradiction, position: None },
        })
    };
    questions.chunk_by(|one, other| one.vote == other.vote).map(vote).collect()
}

/// The outcome of one question, with the position of the preferred text in the list.
fn said(question: &JudgedQuestion) -> Vote {
    let Some(preference) = &question.preference else {
        return Vote { outcome: PreferenceOutcome::Missing, position: None };
    };
    let position = preference.slot.and_then(|slot| question.slots.get(slot)).copied();
    Vote { outcome: preference.outcome, position }
}

/// The position that more than half of the answered votes prefer.
fn preferred(votes: &[Vote]) -> Option<usize> {
    let answered = votes.iter().filter(|vote| vote.outcome != PreferenceOutcome::Missing).count();
    let count = |position: usize| votes.iter().filter(|vote| vote.position == Some(position)).count();
    [0, 1].into_iter().find(|position| 2 * count(*position) > answered)
}
