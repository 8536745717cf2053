//! Makes findings of records: counts go over all of them, costly measures over a sample of them.
//!
//! `findings` is the whole way of one report. Each file here gathers for one part of it, with the arithmetic of
//! `report::statistics`; nothing here grows with the number of records.

mod attributes;
mod compare;
mod languages;
mod lengths;
mod made;
mod map;
mod sample;
mod variety;
mod words;

use std::path::{Path, PathBuf};

use super::embeddings::{EmbeddingError, Embeddings};
use super::findings::{Findings, SampleRecord};
use super::read::{Cut, Input, ReadError, Unit};
use super::statistics::duplicates::Distinct;
use super::statistics::ngrams;
use super::statistics::vectors::{Sparse, tf_idf};
use super::statistics::word_counts::WordCounts;

/// Records to browse.
const BROWSED: usize = 250;
/// Rejected records to browse.
const BROWSED_REJECTED: usize = 50;

/// How a report is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Texts that costly measures are taken on.
    pub sample: usize,
    /// The seed of the sample.
    pub seed: u64,
    /// Prices of a million tokens read and written.
    pub prices: Option<(f64, f64)>,
    /// A run or a file that words are compared with, instead of the built-in list.
    pub against: Option<PathBuf>,
    /// Where texts become vectors, instead of hashed TF-IDF.
    pub embeddings: Option<Embeddings>,
}

impl Default for Options {
    fn default() -> Self {
        Self { sample: 5_000, seed: 0, prices: None, against: None, embeddings: None }
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The data cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The endpoint for embeddings does not give them.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
}

/// Finds what is in each of the inputs, in their order; the second and later ones are compared with the first.
pub fn findings(paths: &[PathBuf], options: &Options) -> Result<Vec<Findings>, FindError> {
    let reference = match &options.against {
        Some(path) => Some((path.display().to_string(), read_words(path, options.seed)?)),
        None => None,
    };
    let reference = reference.as_ref().map(|(name, counts)| (name.as_str(), counts));
    let mut first: Option<WordCounts> = None;
    let mut all: Vec<Findings> = Vec::new();
    for path in paths {
        let (mut found, counts) = find(path, options, reference)?;
        match (&first, all.first()) {
            (Some(counts_of_first), Some(first)) => {
                found.difference = Some(compare::difference((first, counts_of_first), (&found, &counts)));
            }
            _ => first = Some(counts),
        }
        all.push(found);
    }
    Ok(all)
}

/// The words of a reference.
fn read_words(path: &Path, seed: u64) -> Result<WordCounts, FindError> {
    let mut input = Input::open(path)?;
    let mut words = words::ItemWords::default();
    while let Some(unit) = input.next()? {
        if let Some(record) = words::chosen(&unit.records, seed) {
            words.counts.add(&ngrams::words(&sample::text(&record.turns)));
        }
    }
    input.about()?;
    Ok(words.counts)
}

/// Everything that is counted in one pass over the records.
struct Gathered {
    seed: u64,
    made: made::MadeCounts,
    lengths: lengths::LengthsOfParts,
    attributes: attributes::AttributeCounts,
    words: words::ItemWords,
    distinct: Distinct,
    sample: sample::Sample,
    rejected: sample::Sample,
    cut: Cut,
}

impl Gathered {
    fn new(options: &Options) -> Self {
        Self {
            seed: options.seed,
            made: made::MadeCounts::default(),
            lengths: lengths::LengthsOfParts::default(),
            attributes: attributes::AttributeCounts::default(),
            words: words::ItemWords::default(),
            distinct: Distinct::default(),
            sample: sample::Sample::new(options.sample, options.seed),
            rejected: sample::Sample::new(BROWSED_REJECTED, options.seed),
            cut: Cut::default(),
        }
    }

    fn add(&mut self, unit: &Unit) {
        self.made.add(&unit.records);
        let weight = 1.0 / unit.records.len().max(1) as f64;
        for record in &unit.records {
            self.attributes.add(record, weight);
            self.cut.attributes += record.cut.attributes;
            self.cut.texts += record.cut.texts;
            if record.rejected.is_some() {
                self.rejected.offer(&unit.key, record);
            } else if record.is_kept() && !record.turns.is_empty() {
                self.lengths.add(record);
                self.distinct.add(&sample::text(&record.turns));
            }
        }
        if let Some(record) = words::chosen(&unit.records, self.seed) {
            self.words.add(record);
            self.sample.offer(&unit.key, record);
        }
    }
}

impl Gathered {
    /// What was too much to be looked at, a sentence for each.
    fn limits(&self) -> Vec<String> {
        let mut limits = Vec::new();
        if self.cut.texts > 0 {
            limits.push(format!("{} texts are longer than 1 MiB and are measured to there", self.cut.texts));
        }
        if self.cut.attributes > 0 {
            limits.push(format!(
                "{} fields are left out, because their records have more than 200 that could be attributes",
                self.cut.attributes
            ));
        }
        if self.attributes.uncounted() > 0 {
            limits.push(format!(
                "{} values are left out, because the data has more than 300 different fields that could be attributes",
                self.attributes.uncounted()
            ));
        }
        limits
    }
}

fn find(
    path: &Path,
    options: &Options,
    reference: Option<(&str, &WordCounts)>,
) -> Result<(Findings, WordCounts), FindError> {
    let mut input = Input::open(path)?;
    let mut gathered = Gathered::new(options);
    while let Some(unit) = input.next()? {
        gathered.add(&unit);
    }
    let about = input.about()?;
    let limits = gathered.limits();
    let (records, items) = (gathered.made.records, gathered.made.items);
    let sample = gathered.sample.records();
    let sampled = (sample.len() as u64) < items;
    let texts: Vec<String> = sample.iter().map(|record| sample::text(&record.turns)).collect();
    let tokens: Vec<Vec<String>> = texts.iter().map(|text| ngrams::words(text)).collect();
    let (vectors, likeness) = vectors(&texts, &tokens, options)?;
    let attributes = gathered.attributes.attributes(&about.configured);
    let variety = variety::variety(&variety::Texts {
        all: &gathered.words.counts,
        distinct: &gathered.distinct,
        texts: &texts,
        words: &tokens,
        vectors: &vectors,
        likeness: &likeness,
        sampled,
    });
    let languages = languages::languages(&sample, sampled);
    let mut notes = about.notes.clone();
    notes.extend(limits);
    if reference.is_none() {
        notes.extend(languages.as_ref().and_then(languages::note));
    }
    let found = Findings {
        name: about.name.clone(),
        synthmill: env!("CARGO_PKG_VERSION").to_owned(),
        generated: jiff::Zoned::now().strftime("%Y-%m-%d %H:%M").to_string(),
        seed: options.seed,
        records,
        items,
        sampled: sample.len() as u64,
        notes,
        made: gathered.made.made(&about, options.prices),
        lengths: gathered.lengths.lengths(&sample),
        words: gathered.words.words(reference, &attributes),
        variety,
        map: map::map(&sample, &vectors, &likeness, &attributes),
        languages,
        sample: browsed(sample, gathered.rejected.records()),
        attributes,
        source: about.source,
        difference: None,
    };
    Ok((found, gathered.words.counts))
}

/// Vectors of the first texts of the sample, as many as the map and the Vendi score need.
fn vectors(
    texts: &[String],
    words: &[Vec<String>],
    options: &Options,
) -> Result<(Vec<Sparse>, String), FindError> {
    let size = texts.len().min(map::POINTS.max(variety::VENDI_TEXTS));
    let Some(embeddings) = &options.embeddings else {
        return Ok((tf_idf(&words[..size]), "hashed TF-IDF of words and word pairs".to_owned()));
    };
    let vectors = embeddings.embed(&texts[..size])?;
    let vectors = vectors.iter().map(|values| Sparse::dense(values)).collect();
    Ok((vectors, format!("embeddings by `{}`", embeddings.model)))
}

/// A fair part of the sample and some rejected records, by id as the data has them.
fn browsed(mut sample: Vec<SampleRecord>, rejected: Vec<SampleRecord>) -> Vec<SampleRecord> {
    sample.truncate(BROWSED);
    sample.extend(rejected);
    sample.sort_by(|a, b| (a.id.len(), &a.id).cmp(&(b.id.len(), &b.id)));
    sample
}

#[cfg(test)]
mod tests;
