//! What judges said: ratings by aspect and by place, preferences, and how far two judges of the same items agree.

use serde::{Deserialize, Serialize};

use super::Proportion;

/// What one `judge` stage of the run said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeTotals {
    /// The stage's id.
    pub stage: String,
    /// Records that it judged, each once however many records were made of it.
    pub records: u64,
    /// Questions that it asked.
    pub questions: u64,
    /// The lowest and the highest rating; `None` if it compares.
    pub scale: Option<(i64, i64)>,
    /// Ratings by aspect, in the order of the pipeline; empty if it compares.
    pub aspects: Vec<AspectRatings>,
    /// Whether texts were shown in drawn orders, so that places can be compared.
    pub shuffled: bool,
    /// Ratings by the place at which a text was shown; empty if it was always alone.
    pub slots: Vec<SlotRatings>,
    /// Preferences; `None` if it rates.
    pub preferences: Option<PreferenceTotals>,
}

/// The ratings of one aspect, over all questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AspectRatings {
    /// The aspect.
    pub aspect: String,
    /// How often each number of the scale was given, from the lowest.
    pub counts: Vec<RatingCount>,
    /// The mean of the numbers; `None` without any.
    pub mean: Option<f64>,
    /// Ratings that are a number of the scale, of all that were asked for.
    pub rated: Proportion,
    /// Ratings that do not apply.
    pub not_applicable: u64,
    /// Numbers beyond the scale, which count as no rating.
    pub out_of_range: u64,
    /// Ratings without an answer that could be read.
    pub missing: u64,
    /// How far the ratings of one text agree; `None` if each was asked for once.
    pub agreement: Option<VoteAgreement>,
}

/// How often one number was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatingCount {
    /// The number.
    pub rating: i64,
    /// Its proportion of the numbers given.
    pub part: Proportion,
}

/// How far several ratings of the same text and aspect agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VoteAgreement {
    /// Pairs of ratings that are equal, of all pairs.
    pub equal: Proportion,
    /// The mean distance of a pair.
    pub distance: f64,
}

/// The ratings of the texts at one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotRatings {
    /// The place, from 1.
    pub slot: u64,
    /// Ratings that are numbers.
    pub ratings: u64,
    /// Their mean; `None` without any.
    pub mean: Option<f64>,
    /// The distance of the mean from that of all other places, in standard errors; `None` for too few ratings.
    pub z: Option<f64>,
}

/// What a judge that compares said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreferenceTotals {
    /// Questions that preferred the text shown first, of all that preferred one.
    pub first: Proportion,
    /// The distance of that share from a half, in standard errors; `None` without any.
    pub z: Option<f64>,
    /// Votes that prefer a text, of all.
    pub preferred: Proportion,
    /// Votes for a tie.
    pub ties: u64,
    /// Votes whose two orders contradict each other, which count as ties.
    pub contradictions: u64,
    /// Votes without an answer that could be read.
    pub missing: u64,
    /// Pairs of votes about the same record that say the same; `None` if each has one vote.
    pub agreement: Option<Proportion>,
}

/// How far two fields of the same records agree, such as a judge's label and a person's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldAgreement {
    /// The first field.
    pub first: String,
    /// The second field.
    pub second: String,
    /// The file whose records have both.
    pub file: String,
    /// Records with the same value in both, of those that have both.
    pub equal: Proportion,
    /// Records that lack one of them.
    pub left_out: u64,
    /// Cohen's kappa: 1 for full agreement, 0 for that of chance; `None` if all values are one.
    pub kappa: Option<f64>,
    /// The values of either field: numbers by size, then texts.
    pub values: Vec<String>,
    /// Records by the first field's value (row) and the second's (column).
    pub matrix: Vec<Vec<u64>>,
    /// The first records that differ, in the order of the data.
    pub differing: Vec<DifferingRecord>,
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
