//! Selects elements by their values: pure functions that return indexes.
//!
//! Values are compared as exact numbers (`rational`), so that ties and gaps do not depend on floating-point rounding.

use num_rational::BigRational;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use super::texts::{plain, visible_text};
use super::{Choose, Rejected, Take, Ties};
use crate::rational::{of_number, whole};
use crate::stage::StageError;

/// A decision about one list.
pub(super) struct Selector<'a> {
    pub(super) options: &'a Choose,
    pub(super) elements: &'a [Value],
    /// The value of each element.
    pub(super) values: &'a [Value],
    pub(super) rng: ChaCha8Rng,
}

/// The selected elements, by index.
pub(super) enum ElementSelection {
    Taken {
        chosen: Vec<usize>,
        rejected: Option<usize>,
        vote: Option<VoteCount>,
    },
    /// None; the record is dropped for this reason.
    Dropped(&'static str),
}

/// The result of a vote.
pub(super) struct VoteCount {
    answer: Value,
    count: usize,
    of: usize,
}

impl VoteCount {
    pub(super) fn to_json(&self) -> Value {
        let share = self.count as f64 / self.of as f64;
        json!({"answer": self.answer, "count": self.count, "of": self.of, "share": share})
    }
}

/// An element with its value.
type Valued = (usize, BigRational);

impl Selector<'_> {
    pub(super) fn select(mut self) -> Result<ElementSelection, StageError> {
        match self.options.take {
            Take::Random => Ok(self.any()),
            Take::Vote => Ok(self.majority()),
            Take::Pair => self.pair(),
            Take::Best => self.first(1, true),
            Take::Worst => self.first(1, false),
            Take::Top(count) => self.first(count, true),
        }
    }

    fn any(&mut self) -> ElementSelection {
        match self.elements.len() {
            0 => ElementSelection::Dropped("no_candidates"),
            count => taken(vec![self.rng.random_range(0..count)]),
        }
    }

    fn first(&mut self, count: usize, highest_first: bool) -> Result<ElementSelection, StageError> {
        let ranked = self.ranked(highest_first)?;
        if ranked.is_empty() {
            return Ok(ElementSelection::Dropped("no_candidates"));
        }
        if self.is_undecided(&ranked, count) {
            return Ok(ElementSelection::Dropped("tie"));
        }
        Ok(taken(ranked.into_iter().take(count).map(|(index, _)| index).collect()))
    }

    /// Whether a tie decides which elements are the first `count`, and ties are to be dropped.
    fn is_undecided(&self, ranked: &[Valued], count: usize) -> bool {
        let tied = ranked.len() > count && ranked[count - 1].1 == ranked[count].1;
        tied && self.options.ties() == Ties::Drop
    }

    /// The best element, and one that is lower by at least the gap and whose text differs.
    fn pair(&mut self) -> Result<ElementSelection, StageError> {
        let ranked = self.ranked(true)?;
        let Some((best, highest)) = ranked.first() else { return Ok(ElementSelection::Dropped("no_pair")) };
        let text = |index: usize| visible_text(&self.elements[index], self.options.text_key());
        let chosen_text = text(*best)?;
        let mut others = Vec::with_capacity(ranked.len());
        for (index, value) in &ranked[1..] {
            if text(*index)? != chosen_text {
                others.push((*index, value.clone()));
            }
        }
        let gap = self.options.min_gap.as_ref().map_or(whole(0), |gap| gap.0.clone());
        let has_others = !others.is_empty();
        let is_tied = others.iter().any(|(_, value)| value == highest);
        others.retain(|(_, value)| value < highest);
        let has_lower = !others.is_empty();
        others.retain(|(_, value)| highest - value >= gap);
        if others.is_empty() {
            return Ok(ElementSelection::Dropped(match (has_others, has_lower) {
                (false, _) => "no_pair",
                (true, false) => "tie",
                (true, true) => "min_gap",
            }));
        }
        // The lowest first; equal ones keep the order that was drawn.
        others.sort_by(|a, b| a.1.cmp(&b.1));
        if is_tied && self.options.ties() == Ties::Drop {
            return Ok(ElementSelection::Dropped("tie"));
        }
        let at = match self.options.rejected.unwrap_or_default() {
            Rejected::Worst if self.is_undecided(&others, 1) => return Ok(ElementSelection::Dropped("tie")),
            Rejected::Worst => 0,
            Rejected::Random => self.rng.random_range(0..others.len()),
        };
        Ok(ElementSelection::Taken { chosen: vec![*best], rejected: Some(others[at].0), vote: None })
    }

    /// The answer that most elements have.
    fn majority(&mut self) -> ElementSelection {
        let mut answers: Vec<(String, usize, usize)> = Vec::new();
        for (index, value) in self.values.iter().enumerate() {
            let Some(answer) = answer_key(value) else { continue };
            match answers.iter_mut().find(|(known, ..)| *known == answer) {
                Some((_, count, _)) => *count += 1,
                None => answers.push((answer, 1, index)),
            }
        }
        let of = answers.iter().map(|(_, count, _)| count).sum();
        let Some(count) = answers.iter().map(|(_, count, _)| *count).max() else {
            return ElementSelection::Dropped("no_candidates");
        };
        answers.retain(|(_, votes, _)| *votes == count);
        let at = match self.options.ties() {
            Ties::Drop if answers.len() > 1 => return ElementSelection::Dropped("tie"),
            Ties::Drop | Ties::First => 0,
            Ties::Random => self.rng.random_range(0..answers.len()),
        };
        let first = answers[at].2;
        let vote = VoteCount { answer: self.values[first].clone(), count, of };
        ElementSelection::Taken { chosen: vec![first], rejected: None, vote: Some(vote) }
    }

    /// The elements that have a value, the highest or the lowest first; equal ones in the order of the list or in
    /// random order.
    fn ranked(&mut self, highest_first: bool) -> Result<Vec<Valued>, StageError> {
        let mut ranked = Vec::with_capacity(self.values.len());
        for (index, value) in self.values.iter().enumerate() {
            let number = match value {
                Value::Null => continue,
                Value::Bool(truth) => Some(whole(i64::from(*truth))),
                Value::Number(number) => of_number(number),
                _ => None,
            };
            let Some(number) = number else {
                let message =
                    format!("`by` is `{value}` for element {index}, neither a number nor true or false");
                return Err(StageError::new("choose", message));
            };
            ranked.push((index, number));
        }
        if self.options.ties() == Ties::Random {
            ranked.shuffle(&mut self.rng);
        }
        match highest_first {
            true => ranked.sort_by(|a, b| b.1.cmp(&a.1)),
            false => ranked.sort_by(|a, b| a.1.cmp(&b.1)),
        }
        Ok(ranked)
    }
}

fn taken(chosen: Vec<usize>) -> ElementSelection {
    ElementSelection::Taken { chosen, rejected: None, vote: None }
}

/// A key that equal answers share; `None` for an element that does not vote.
fn answer_key(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => {
            Some(plain(text)).filter(|text| !text.is_empty()).map(|text| format!("\"{text}"))
        }
        Value::Number(number) => {
            Some(of_number(number).map_or(number.to_string(), |number| number.to_string()))
        }
        other => Some(other.to_string()),
    }
}
