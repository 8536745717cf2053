//! What the texts are like: words said too often, variety, the map, languages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Proportion;

/// What is said more often than in a reference: log-odds ratio with an informative Dirichlet prior.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WordComparison {
    /// What the texts are compared with: a path, or `built-in word list`.
    pub reference: String,
    /// Words against the reference.
    pub words: TermList,
    /// Pairs of neighbouring words.
    pub bigrams: TermList,
    /// The word each text begins with.
    pub first_words: TermList,
    /// The most frequent first words, with how many texts begin with each; at most 12.
    pub openings: Vec<FirstWord>,
    /// Texts whose first word was counted.
    pub texts: u64,
    /// What texts of one attribute value say more often than all other texts do; values with enough texts.
    pub by_value: Vec<ValueTerms>,
}

/// A first word.
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
    /// One sentence on how to read it, and on what the reference is.
    pub reading: String,
    /// Terms counted here, in all.
    pub total: u64,
    /// Terms counted in the reference, in all; for the built-in list a million, of which `count_reference` is the rate.
    pub total_reference: u64,
    /// The prior's weight in terms (a0).
    pub prior: f64,
    /// Terms said more often here, highest z first; at most 50.
    pub over: Vec<Term>,
    /// Terms said less often here, lowest z first; at most 25.
    pub under: Vec<Term>,
}

/// One term.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// The word, or words with a space between.
    pub term: String,
    /// How often here (y1).
    pub count: u64,
    /// How often in the reference (y2).
    pub count_reference: u64,
    /// How often it would be said here if it were as frequent as in the reference.
    pub expected: f64,
    /// The log-odds ratio (delta): its sign says where the term is more frequent.
    pub log_odds: f64,
    /// Standard score; |z| > 1.96 is the usual cut, and |z| > 4 is fair where thousands of words are tested.
    pub z: f64,
}

/// What the texts of one attribute value say more often than the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValueTerms {
    /// The attribute.
    pub attribute: String,
    /// The value.
    pub value: String,
    /// Texts with it.
    pub texts: u64,
    /// Words said more often with it, highest z first, z > 1.96; at most 12.
    pub over: Vec<Term>,
    /// Words said less often with it, lowest z first, z < -1.96; at most 6.
    pub under: Vec<Term>,
}

/// How much the texts differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variety {
    /// The measures, in the order to show them.
    pub measures: Vec<Measure>,
    /// The largest groups of near duplicates in the sample; at most 10.
    pub groups: Vec<DuplicateGroup>,
}

/// One number about variety.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// A key for machines: `distinct_1`, `distinct_2`, `distinct_3`, `entropy_normalised`, `self_bleu`,
    /// `compression_ratio`, `vendi_score`, `vendi_share`, `exact_duplicates`, `near_duplicates`.
    pub key: String,
    /// A name for people.
    pub name: String,
    /// The value.
    pub value: f64,
    /// What was counted, for a share of texts.
    pub part: Option<Proportion>,
    /// Whether the value is a share, to be shown in percent.
    pub share: bool,
    /// Which way means more variety.
    pub more_varied: Direction,
    /// Texts it was taken on.
    pub texts: u64,
    /// Whether those are a sample rather than all.
    pub sampled: bool,
    /// One sentence on how to read it.
    pub reading: String,
}

/// Which way a measure grows with variety.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// A larger value means more variety.
    Higher,
    /// A smaller value means more variety.
    Lower,
}

/// Texts that nearly repeat each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DuplicateGroup {
    /// Texts in it.
    pub size: u64,
    /// Up to three of them, cut to 300 characters.
    pub texts: Vec<String>,
}

/// The sample in two dimensions: texts of like words (or meaning) stand close.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextMap {
    /// How it was made, such as `hashed TF-IDF of words, t-SNE with perplexity 30`.
    pub method: String,
    /// The texts.
    pub points: Vec<Point>,
    /// Attributes that points can be coloured by, most telling first; each point has those that apply.
    pub attributes: Vec<String>,
}

/// A text on the map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Across, 0 to 1.
    pub x: f64,
    /// Up, 0 to 1.
    pub y: f64,
    /// The record's id.
    pub id: String,
    /// Its text, cut to 300 characters.
    pub text: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

/// Language found against language asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Languages {
    /// Texts looked at.
    pub texts: u64,
    /// Whether those are a sample rather than all.
    pub sampled: bool,
    /// Texts too short or too mixed to tell; they are in no cell.
    pub unsure: u64,
    /// Texts that are in the language asked for, of those that asked for one known to the detector and tell theirs.
    pub as_asked: Option<Proportion>,
    /// Counts by asked and found, most frequent first.
    pub cells: Vec<LanguageCell>,
}

/// Texts by asked and found language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LanguageCell {
    /// As the attribute `language` says it; `None` where nothing was asked.
    pub asked: Option<String>,
    /// English name of the language found.
    pub found: String,
    /// Texts.
    pub count: u64,
    /// Whether found is what was asked; `None` when nothing was asked or the name is not known.
    pub matches: Option<bool>,
}
