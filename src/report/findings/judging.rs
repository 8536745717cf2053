//! The results of `judge` stages: ratings by aspect and by position, preferences, and the agreement of two judges of
//! the same items.

use serde::{Deserialize, Serialize};

use super::Proportion;

/// The results of one `judge` stage of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeTotals {
    /// The stage's id.
    pub stage: String,
    /// Records that it judged, each counted once even if it was expanded into several.
    pub records: u64,
    /// Questions that it asked.
    pub questions: u64,
    /// The lowest and the highest rating; `None` if it compares.
    pub scale: Option<(i64, i64)>,
    /// Ratings by aspect, in the order of the pipeline; empty if it compares.
    pub aspects: Vec<AspectRatings>,
    /// Whether texts were shown in random orders, so that positions can be compared.
    pub shuffled: bool,
    /// Ratings by the position at which a text was shown; empty if it was always alone.
    pub slots: Vec<SlotRatings>,
    /// Preferences; `None` if it rates.
    pub preferences: Option<PreferenceTotals>,
}

/// The ratings of one aspect, over all questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AspectRatings {
    /// The aspect.
    pub aspect: String,
    /// The frequency of each number on the scale, from the lowest.
    pub counts: Vec<RatingCount>,
    /// The mean of the numbers; `None` without any.
    pub mean: Option<f64>,
    /// The proportion of ratings with a number on the scale.
    pub rated: Proportion,
    /// Ratings that do not apply.
    pub not_applicable: u64,
    /// Numbers outside the scale, which do not count as ratings.
    pub out_of_range: u64,
    /// Ratings without a valid answer.
    pub missing: u64,
    /// The agreement of several ratings of one text; `None` if each text was rated once.
    pub agreement: Option<VoteAgreement>,
}

/// The frequency of one number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatingCount {
    /// The number.
    pub rating: i64,
    /// Its proportion of all numbers.
    pub part: Proportion,
}

/// The agreement of several ratings of the same text and aspect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VoteAgreement {
    /// The proportion of pairs of ratings that are equal.
    pub equal: Proportion,
    /// The mean distance of a pair.
    pub distance: f64,
}

/// The ratings of the texts at one position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotRatings {
    /// The position, from 1.
    pub slot: u64,
    /// Ratings that are numbers.
    pub ratings: u64,
    /// Their mean; `None` without any.
    pub mean: Option<f64>,
    /// The distance of the mean from that of all other positions, in standard errors; `None` if there are too few
    /// ratings.
    pub z: Option<f64>,
}

/// The results of a judge that compares two texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreferenceTotals {
    /// The proportion of questions that preferred the text shown first, of all that preferred one.
    pub first: Proportion,
    /// The distance of that proportion from one half, in standard errors; `None` without any.
    pub z: Option<f64>,
    /// The proportion of votes that prefer a text.
    pub preferred: Proportion,
    /// Votes for a tie.
    pub ties: u64,
    /// Votes whose two orders contradict each other, which count as ties.
    pub contradictions: u64,
    /// Votes without a valid answer.
    pub missing: u64,
    /// The proportion of pairs of votes about the same record that agree; `None` if each record has one vote.
    pub agreement: Option<Proportion>,
}

/// The agreement of two fields of the same records, such as a judge's label and a person's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldAgreement {
    /// The first field.
    pub first: String,
    /// The second field.
    pub second: String,
    /// The file whose records have both.
    pub file: String,
    /// The proportion of records with the same value in both, of those that have both.
    pub equal: Proportion,
    /// Records that lack one of them.
    pub left_out: u64,
    /// Cohen's kappa: 1 for full agreement, 0 for agreement by chance; `None` if all values are equal.
    pub kappa: Option<f64>,
    /// The values of either field: numbers by size, then texts.
    pub values: Vec<String>,
    /// Records by the first field's value (row) and the second's (column).
    pub matrix: Vec<Vec<u64>>,
    /// The first records that differ, in the order of the data.
    pub differing: Vec<DifferingRecord>,
}

/// How much of the gap between a weak model and a ceiling a student recovers, each measured against the truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoveredGap {
    /// The field of the weak model's answers, and records in which they are those of the truth.
    pub weak: (String, Proportion),
    /// The same of the student.
    pub student: (String, Proportion),
    /// The same of the ceiling.
    pub ceiling: (String, Proportion),
    /// The field of the truth.
    pub truth: String,
    /// The part of the gap, 0 as good as the weak model, 1 as good as the ceiling; `None` where there is no gap.
    pub recovered: Option<f64>,
}

/// A record with different values in two fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DifferingRecord {
    /// Its id, or `file:line`.
    pub id: String,
    /// The first field's value.
    pub first: String,
    /// The second field's value.
    pub second: String,
    /// The beginning of its text.
    pub text: String,
}
