//! Properties of the texts: overused words, variety, the map, languages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Proportion;

/// Word frequencies compared with a reference, by log-odds ratio with an informative Dirichlet prior.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WordComparison {
    /// The reference: a path, or `built-in word list`.
    pub reference: String,
    /// Words.
    pub words: TermList,
    /// Pairs of adjacent words.
    pub bigrams: TermList,
    /// First words of texts.
    pub first_words: TermList,
    /// The most frequent first words with their number of texts; at most 12.
    pub openings: Vec<FirstWord>,
    /// Texts whose first word was counted.
    pub texts: u64,
    /// Words of texts with one attribute value compared with all other texts, for values with enough texts.
    pub by_value: Vec<ValueTerms>,
}

/// A word that texts begin with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirstWord {
    /// The word.
    pub word: String,
    /// Texts that begin with it.
    pub texts: u64,
    /// Texts that begin with it or with one listed before it.
    pub so_far: Proportion,
}

/// Terms compared with a reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TermList {
    /// A sentence on how to read the list and on the reference.
    pub reading: String,
    /// Total of terms counted here.
    pub total: u64,
    /// Total of terms in the reference; for the built-in list a million, so that `count_reference` is a rate.
    pub total_reference: u64,
    /// The prior's weight in terms (a0).
    pub prior: f64,
    /// Terms more frequent here, by z in descending order; at most 50.
    pub over: Vec<Term>,
    /// Terms less frequent here, by z in ascending order; at most 25.
    pub under: Vec<Term>,
}

/// One term.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// The word, or several words separated by spaces.
    pub term: String,
    /// Its count here (y1).
    pub count: u64,
    /// Its count in the reference (y2).
    pub count_reference: u64,
    /// Its expected count here if it were as frequent as in the reference.
    pub expected: f64,
    /// The log-odds ratio (delta); positive if the term is more frequent here.
    pub log_odds: f64,
    /// The z-score; |z| > 1.96 is the usual threshold, |z| > 4 is appropriate where thousands of words are tested.
    pub z: f64,
}

/// Words of the texts with one attribute value, compared with the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValueTerms {
    /// The attribute.
    pub attribute: String,
    /// The value.
    pub value: String,
    /// Texts with it.
    pub texts: u64,
    /// Words more frequent with it, z > 1.96, in descending order; at most 12.
    pub over: Vec<Term>,
    /// Words less frequent with it, z < -1.96, in ascending order; at most 6.
    pub under: Vec<Term>,
}

/// How much the texts differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variety {
    /// The measures, in display order.
    pub measures: Vec<Measure>,
    /// The largest groups of near duplicates in the sample; at most 10.
    pub groups: Vec<DuplicateGroup>,
}

/// One measure of variety.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// A machine-readable key: `distinct_1`, `distinct_2`, `distinct_3`, `entropy_normalised`, `self_bleu`,
    /// `compression_ratio`, `vendi_score`, `vendi_share`, `exact_duplicates`, `near_duplicates`.
    pub key: String,
    /// A readable name.
    pub name: String,
    /// The value.
    pub value: f64,
    /// The counts behind it, for a share of texts.
    pub part: Option<Proportion>,
    /// Whether the value is a share, shown in percent.
    pub share: bool,
    /// The direction of more variety.
    pub more_varied: Direction,
    /// Texts measured.
    pub texts: u64,
    /// Whether those are a sample rather than all.
    pub sampled: bool,
    /// A sentence on how to read it.
    pub reading: String,
}

/// The direction in which a measure changes with variety.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// A larger value means more variety.
    Higher,
    /// A smaller value means more variety.
    Lower,
}

/// A group of near-duplicate texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DuplicateGroup {
    /// The number of texts.
    pub size: u64,
    /// Up to three of them, truncated to 300 characters.
    pub texts: Vec<String>,
}

/// The sample in two dimensions, with texts of similar words (or meaning) close together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextMap {
    /// How it was made, such as `hashed TF-IDF of words, t-SNE with perplexity 30`.
    pub method: String,
    /// The texts.
    pub points: Vec<Point>,
    /// Attributes that points can be coloured by, most informative first.
    pub attributes: Vec<String>,
}

/// A text on the map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The horizontal position, 0 to 1.
    pub x: f64,
    /// The vertical position, 0 to 1, upwards.
    pub y: f64,
    /// The record's id.
    pub id: String,
    /// Its text, truncated to 300 characters.
    pub text: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

/// Detected against requested languages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Languages {
    /// Texts examined.
    pub texts: u64,
    /// Whether those are a sample rather than all.
    pub sampled: bool,
    /// Texts too short or too mixed to detect a language; they are in no cell.
    pub unsure: u64,
    /// Texts in the requested language, of those whose requested language the detector knows and whose own was detected.
    pub as_asked: Option<Proportion>,
    /// Counts by requested and detected language, most frequent first.
    pub cells: Vec<LanguageCell>,
}

/// The number of texts with one requested and detected language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LanguageCell {
    /// The requested language, as the attribute `language` has it; `None` without one.
    pub asked: Option<String>,
    /// The English name of the detected language.
    pub found: String,
    /// Texts.
    pub count: u64,
    /// Whether the two are the same; `None` if none was requested or its name is unknown.
    pub matches: Option<bool>,
}
