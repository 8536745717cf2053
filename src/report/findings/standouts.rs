//! Standouts: findings that a reader should look at, each with the numbers in the table of its chapter.
//!
//! `report::gather` derives them from the other findings. The page and the command line turn each into a sentence and
//! count nothing again.

use serde::{Deserialize, Serialize};

use super::ItemAccounting;

/// A count and the total that it is part of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proportion {
    /// The count.
    pub count: u64,
    /// The total.
    pub of: u64,
}

impl Proportion {
    /// Returns the proportion as a fraction of 1; 0 if the total is 0.
    #[must_use]
    pub fn share(self) -> f64 {
        self.count as f64 / self.of.max(1) as f64
    }
}

/// One thing that a reader should look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Standout {
    /// The accounting of items does not add up.
    SumWrong {
        /// The accounting.
        identity: ItemAccounting,
    },
    /// The run is not finished.
    Unfinished {
        /// Its state.
        state: String,
    },
    /// No record was kept.
    NothingKept,
    /// A damaged file.
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it; the end of a sentence.
        damage: String,
    },
    /// Lines or elements that are not records.
    Malformed {
        /// The file.
        file: String,
        /// Their proportion of all lines or elements.
        lines: Proportion,
    },
    /// Files or rows of the source that the run could not read.
    SourceUnread {
        /// The number of files or rows.
        count: u64,
    },
    /// Rejected items.
    Rejected {
        /// Their proportion of admitted items.
        items: Proportion,
    },
    /// Dropped items, for any reason.
    Dropped {
        /// Their proportion of admitted items.
        items: Proportion,
    },
    /// No model was asked, because the provider answers without one.
    NoModel {
        /// The model's name in the pipeline.
        model: String,
        /// `heuristic` or `mock`.
        provider: String,
        /// Its answers.
        answers: u64,
    },
    /// Answers truncated at the token limit.
    CutOff {
        /// The model's name in the pipeline.
        model: String,
        /// Their proportion of the answers.
        answers: Proportion,
    },
    /// Records answered by the heuristic in place of a model.
    ByHeuristic {
        /// The file that holds them.
        file: String,
        /// Their proportion of its records.
        records: Proportion,
    },
    /// Texts far from the requested length.
    LengthMissed {
        /// Those more than 50 % off, of all with a requested length.
        texts: Proportion,
    },
    /// An attribute that was not drawn as configured.
    DrawnOtherwise {
        /// The attribute.
        attribute: String,
        /// p of the test over all its values.
        p: Option<f64>,
        /// The values that differ significantly by themselves.
        values: Vec<DrawnShare>,
    },
    /// A value that is rejected more often than the others of its attribute.
    RejectedOften {
        /// The attribute.
        attribute: String,
        /// The value.
        value: String,
        /// Items rejected with it.
        rejected: f64,
        /// Items drawn with it.
        drawn: f64,
        /// Share of all items with the attribute that were rejected.
        usual: f64,
    },
    /// Values of dependent attributes that were not drawn together as `given` says.
    DrawnTogether {
        /// The attribute.
        attribute: String,
        /// The attribute it depends on.
        on: String,
        /// Pairs of values that differ, with their shares among items of the other attribute's value.
        pairs: Vec<(String, DrawnShare)>,
    },
    /// A few first words that open nearly all texts.
    Openings {
        /// The words, most frequent first.
        words: Vec<String>,
        /// Proportion of texts that begin with one of them.
        texts: Proportion,
    },
    /// Texts that compress far better than prose, because they repeat themselves.
    Compressed {
        /// Bytes over compressed bytes.
        ratio: f64,
        /// Texts measured.
        texts: u64,
    },
    /// Duplicate texts.
    Repeated {
        /// Whether they are near duplicates rather than exact ones.
        near: bool,
        /// Proportion of duplicates among the texts examined.
        texts: Proportion,
    },
    /// A judge whose ratings depend on the position of a text.
    JudgePlace {
        /// The stage.
        stage: String,
        /// The position, from 1.
        place: u64,
        /// The mean rating there.
        mean: f64,
        /// The distance from the mean of all other positions, in standard errors.
        z: f64,
    },
    /// A judge that prefers the text at the first position more often than by chance.
    JudgePrefersPlace {
        /// The stage.
        stage: String,
        /// The proportion of questions that prefer the text shown first, of all that prefer one.
        first: Proportion,
    },
    /// Ratings that are out of range or missing.
    NotRated {
        /// The stage.
        stage: String,
        /// The aspect.
        aspect: String,
        /// Their proportion of all ratings.
        ratings: Proportion,
    },
    /// Texts in a language other than the requested one.
    OtherLanguage {
        /// Their proportion of texts with a requested and a detected language.
        texts: Proportion,
    },
}

/// A drawn share against the configured one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrawnShare {
    /// The value.
    pub value: String,
    /// Items drawn with it.
    pub drawn: f64,
    /// Items that the share is of.
    pub of: f64,
    /// The configured share.
    pub configured: f64,
}
