//! What stands out: each kind with the numbers that the table of its chapter has.
//!
//! Found once, by `report::gather`, from the other findings. The page and the command line make a sentence of each;
//! neither counts anything again.

use serde::{Deserialize, Serialize};

use super::ItemAccounting;

/// A part of a whole, both counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proportion {
    /// Those that are meant.
    pub count: u64,
    /// All of them.
    pub of: u64,
}

impl Proportion {
    /// The part as a fraction of 1; 0 of nothing.
    #[must_use]
    pub fn share(self) -> f64 {
        self.count as f64 / self.of.max(1) as f64
    }
}

/// One thing that a reader should look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Standout {
    /// Admitted items are not those that ended.
    SumWrong {
        /// The sum.
        identity: ItemAccounting,
    },
    /// The run can still go on.
    Unfinished {
        /// Its state.
        state: String,
    },
    /// No record was kept.
    NothingKept,
    /// A file that breaks off.
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it, as the end of a sentence.
        damage: String,
    },
    /// Lines or elements that are no record.
    Malformed {
        /// The file.
        file: String,
        /// Those among all of its lines or elements.
        lines: Proportion,
    },
    /// Files or rows of the source that the run could not read.
    SourceUnread {
        /// How many.
        count: u64,
    },
    /// Items of which no record could be made.
    Rejected {
        /// Among the items admitted.
        items: Proportion,
    },
    /// Items that were dropped, for any reason.
    Dropped {
        /// Among the items admitted.
        items: Proportion,
    },
    /// No model was asked: its provider answers by itself.
    NoModel {
        /// The model's name in the pipeline.
        model: String,
        /// `heuristic` or `mock`.
        provider: String,
        /// Its answers.
        answers: u64,
    },
    /// Answers that ended at the limit of their tokens.
    CutOff {
        /// The model's name in the pipeline.
        model: String,
        /// Among its answers.
        answers: Proportion,
    },
    /// Records that the heuristic answered where a model should have.
    ByHeuristic {
        /// The file that holds them.
        file: String,
        /// Among its records.
        records: Proportion,
    },
    /// Texts far from the length asked for.
    LengthMissed {
        /// Those more than half off, among those with an asked length.
        texts: Proportion,
    },
    /// An attribute that was not drawn as it was configured.
    DrawnOtherwise {
        /// The attribute.
        attribute: String,
        /// p of the test over all of its values.
        p: Option<f64>,
        /// The values that differ for sure, if single ones do.
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
        /// Share rejected of all items of the attribute.
        usual: f64,
    },
    /// A value that comes with another attribute's value otherwise than `given` says.
    DrawnTogether {
        /// The attribute.
        attribute: String,
        /// The one it depends on.
        on: String,
        /// Pairs of values that differ, with their shares among items of the other attribute's value.
        pairs: Vec<(String, DrawnShare)>,
    },
    /// A few words that nearly all texts begin with.
    Openings {
        /// The words, most frequent first.
        words: Vec<String>,
        /// Texts that begin with one of them.
        texts: Proportion,
    },
    /// Texts that repeat themselves so much that they compress far better than prose.
    Compressed {
        /// Bytes over compressed bytes.
        ratio: f64,
        /// Texts it was taken on.
        texts: u64,
    },
    /// Texts that repeat others.
    Repeated {
        /// Whether near duplicates are meant rather than exact ones.
        near: bool,
        /// Repeats among the texts looked at.
        texts: Proportion,
    },
    /// Texts in another language than was asked for.
    OtherLanguage {
        /// Among those that asked for one and tell theirs.
        texts: Proportion,
    },
}

/// A share that was drawn against the one that was configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrawnShare {
    /// The value.
    pub value: String,
    /// Items drawn with it.
    pub drawn: f64,
    /// Items it is a share of.
    pub of: f64,
    /// The share that the configuration asks for.
    pub configured: f64,
}
