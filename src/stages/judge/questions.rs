//! Plans the questions about one record: which texts in which order, about which aspects, how often.
//!
//! The plan depends only on the record's id and the number of its texts, so `fold` can compute it again to assign
//! each answer to its candidates.

use std::fmt::Display;
use std::sync::Arc;

use rand::seq::SliceRandom;
use serde_json::{Value, json};

use super::{CandidateOrder, JUDGING, JudgeMode};
use crate::draw::Draws;
use crate::record::Record;
use crate::stage::{Collect, ForEachBlock, StageError};
use crate::template::Template;

/// The error class of records that cannot be judged.
const JUDGE: &str = "judge";

/// The part of the plan that is the same for every record.
pub(super) struct QuestionPlan {
    pub(super) of: Option<String>,
    pub(super) text: String,
    pub(super) question: Option<Template>,
    pub(super) aspects: Vec<Aspect>,
    /// The lowest and the highest rating.
    pub(super) scale: (i64, i64),
    pub(super) mode: JudgeMode,
    pub(super) order: CandidateOrder,
    pub(super) votes: u32,
    pub(super) separate: bool,
    pub(super) draws: Draws,
}

/// One aspect that is rated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Aspect {
    pub(super) name: String,
    pub(super) rubric: String,
    pub(super) not_applicable: bool,
}

/// One question about a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedQuestion<'a> {
    pub(super) vote: u32,
    /// The positions of the texts in their list, in the order in which they are shown.
    pub(super) slots: Vec<usize>,
    pub(super) aspects: &'a [Aspect],
}

impl QuestionPlan {
    /// The questions about a record with `count` texts, in order.
    pub(super) fn questions(&self, id: &dyn Display, count: usize) -> Vec<PlannedQuestion<'_>> {
        let mut questions = Vec::new();
        if count == 0 {
            return questions;
        }
        let groups: Vec<&[Aspect]> = match self.separate {
            true => self.aspects.chunks(1).collect(),
            false => vec![&self.aspects],
        };
        for vote in 0..self.votes {
            for (group, aspects) in groups.iter().enumerate() {
                let mut slots: Vec<usize> = (0..count).collect();
                if self.order != CandidateOrder::Given {
                    slots.shuffle(&mut self.draws.rng("order", format!("{id} {vote} {group}")));
                }
                let reversed = slots.iter().rev().copied().collect();
                questions.push(PlannedQuestion { vote, slots, aspects });
                if self.order == CandidateOrder::Both && count > 1 {
                    questions.push(PlannedQuestion { vote, slots: reversed, aspects });
                }
            }
        }
        questions
    }

    /// Whether each question is about one aspect only, so that answers need not name it.
    pub(super) fn has_one_aspect(&self) -> bool {
        self.separate || self.aspects.len() == 1
    }

    /// The number of texts of a record.
    pub(super) fn count(&self, record: &Record) -> Result<usize, StageError> {
        match &self.of {
            Some(of) => Ok(candidates(record, of)?.len()),
            None => Ok(1),
        }
    }

    /// The texts of a record, in the order of their list.
    fn texts<'r>(&self, record: &'r Record) -> Result<Vec<&'r str>, StageError> {
        let Some(of) = &self.of else {
            let text = record.text(&self.text);
            return Ok(vec![text.ok_or_else(|| error(format!("`{}` is no text", self.text)))?]);
        };
        let list = candidates(record, of)?;
        if self.mode == JudgeMode::Pairwise && list.len() != 2 {
            return Err(error(format!("`{of}` has {} candidates; `pairwise` compares two", list.len())));
        }
        let mut texts = Vec::with_capacity(list.len());
        for (position, candidate) in list.iter().enumerate() {
            let inside = || self.text.split('.').try_fold(candidate, |value, name| value.get(name));
            let text = candidate.as_str().or_else(|| inside()?.as_str());
            texts.push(text.ok_or_else(|| {
                error(format!("candidate {position} of `{of}` has no text `{}`", self.text))
            })?);
        }
        Ok(texts)
    }
}

fn candidates<'r>(record: &'r Record, of: &str) -> Result<&'r Vec<Value>, StageError> {
    let list = record.fields.get(of).and_then(Value::as_array);
    list.ok_or_else(|| error(format!("`{of}` is no list of candidates")))
}

pub(super) fn error(message: String) -> StageError {
    StageError::new(JUDGE, message)
}

/// The questions in the form in which the engine asks them.
pub(super) struct Questions {
    pub(super) plan: Arc<QuestionPlan>,
    pub(super) collect: Collect,
}

impl ForEachBlock for Questions {
    fn elements(&self, record: &Record) -> Result<Vec<Value>, StageError> {
        let texts = self.plan.texts(record)?;
        let question = self.plan.question.as_ref().map(|question| question.render(record)).transpose()?;
        let (low, high) = self.plan.scale;
        let planned = self.plan.questions(&record.id, texts.len());
        let element = |question_plan: &PlannedQuestion<'_>| {
            let aspects: Vec<Value> = question_plan.aspects.iter().map(Aspect::to_json).collect();
            let shown: Vec<&str> = question_plan.slots.iter().map(|position| texts[*position]).collect();
            json!({
                "texts": shown,
                "question": question.as_deref().map(str::trim).filter(|asked| !asked.is_empty()),
                "aspects": aspects,
                "low": low,
                "high": high,
                "list": self.plan.of.is_some(),
                "form": form(&self.plan, question_plan),
            })
        };
        Ok(planned.iter().map(element).collect())
    }

    fn element_field(&self) -> &'static str {
        JUDGING
    }

    fn collect(&self) -> Option<&Collect> {
        Some(&self.collect)
    }
}

/// The form of the answer, as shown to the model.
fn form(plan: &QuestionPlan, question: &PlannedQuestion<'_>) -> String {
    if plan.mode == JudgeMode::Pairwise {
        return r#"{"reason": "...", "preferred": 1, 2 or "tie"}"#.to_owned();
    }
    let (low, high) = plan.scale;
    let rating = format!(r#""reason": "...", "rating": {low} to {high}"#);
    let ratings = match plan.has_one_aspect() {
        true => rating,
        false => {
            let named = |aspect: &Aspect| format!("{}: {{{rating}}}", Value::from(aspect.name.as_str()));
            question.aspects.iter().map(named).collect::<Vec<_>>().join(", ")
        }
    };
    match (plan.of.is_some(), question.slots.len()) {
        (false, _) => format!("{{{ratings}}}"),
        (true, 1) => format!(r#"{{"texts": [{{"text": 1, {ratings}}}]}}"#),
        (true, _) => format!(r#"{{"texts": [{{"text": 1, {ratings}}}, {{"text": 2, ...}}]}}"#),
    }
}

impl Aspect {
    fn to_json(&self) -> Value {
        json!({"name": self.name, "rubric": self.rubric, "not_applicable": self.not_applicable})
    }
}
