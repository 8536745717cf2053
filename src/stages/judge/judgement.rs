//! A judge's answers, question by question: the content of the field `judgement`, which `report` reads from
//! provenance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How one record was judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judgement {
    pub(crate) judged: JudgedBy,
    /// The path of the stage.
    pub(crate) stage: String,
    /// The id of the record when it was judged.
    pub(crate) record: String,
    /// The aspects, in the order of the pipeline.
    pub(crate) aspects: Vec<String>,
    /// The lowest and the highest rating; `None` for preferences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scale: Option<(i64, i64)>,
    /// In the order of votes, and within a vote in the order of aspects and orders.
    pub(crate) questions: Vec<JudgedQuestion>,
    /// The outcome of each vote over all of its questions; for preferences only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) votes: Vec<Vote>,
}

/// What a judge was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JudgedBy {
    Rating,
    Preference,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JudgedQuestion {
    pub(crate) vote: u32,
    /// The positions of the texts in their list, in the order in which they were shown.
    pub(crate) slots: Vec<usize>,
    /// For each slot the rating of each aspect that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ratings: Vec<BTreeMap<String, Rating>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) preference: Option<Preference>,
}

/// One rating.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rating {
    pub(crate) outcome: RatingOutcome,
    /// The number, if `outcome` is `rated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rating: Option<i64>,
    /// The value that was found instead, if it is out of range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) given: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// The outcome of one rating. Only `Rated` has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RatingOutcome {
    Rated,
    /// The judge said that the aspect does not apply.
    NotApplicable,
    /// The judge answered with a number outside the scale.
    OutOfRange,
    /// There was no valid answer.
    Missing,
}

/// The answer to one question of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Preference {
    pub(crate) outcome: PreferenceOutcome,
    /// The slot of the text that is better, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) slot: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PreferenceOutcome {
    Preferred,
    Tie,
    /// The two orders of a vote disagree, which counts as a tie.
    Contradiction,
    Missing,
}

/// The outcome of one vote of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vote {
    pub(crate) outcome: PreferenceOutcome,
    /// The position of the text that is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<usize>,
}

impl Rating {
    /// A missing rating.
    pub(super) fn missing() -> Self {
        Self { outcome: RatingOutcome::Missing, rating: None, given: None, reason: None }
    }
}

impl Judgement {
    /// Removes the reasons, which are long.
    pub(super) fn without_reasons(mut self) -> Self {
        for question in &mut self.questions {
            let ratings = question.ratings.iter_mut().flat_map(BTreeMap::values_mut);
            ratings.for_each(|rating| rating.reason = None);
            if let Some(preference) = &mut question.preference {
                preference.reason = None;
            }
        }
        self
    }

    /// Reads a judgement from provenance; `None` for any other value.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        value.get("judged")?;
        Self::deserialize(value).ok()
    }
}
