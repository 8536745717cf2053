//! Makes findings of records: counts go over all of them, costly measures over a sample of them.
//!
//! `findings` is the whole way of one report. Each file here gathers for one part of it, with the arithmetic of
//! `report::statistics`; nothing here grows with the number of records.

mod attributes;
mod compare;
mod crossed;
mod exchanges;
mod languages;
mod lengths;
mod made;
mod map;
mod sample;
mod standouts;
mod variety;
mod words;

use std::path::{Path, PathBuf};

use super::embeddings::{EmbeddingError, Embeddings};
use super::findings::{Configuration, Findings, SampleRecord};
use super::read::{About, Cut, Input, Joint, ReadError, Unit};
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
        Some(path) => Some(Reference::read(path, options.seed)?),
        None => None,
    };
    let mut gathered = Vec::with_capacity(paths.len());
    for path in paths {
        gathered.push(Gathered::read(path, options)?);
    }
    let mut scales = lengths::Scales::default();
    gathered.iter().for_each(|(gathered, _)| gathered.lengths.hold(&mut scales));
    let mut first: Option<Measured> = None;
    let mut all: Vec<Findings> = Vec::new();
    for (gathered, about) in gathered {
        let (mut found, measured) = find(gathered, about, options, reference.as_ref(), &scales)?;
        match (&first, all.first()) {
            (Some(measured_first), Some(first)) => {
                found.difference = Some(compare::difference((first, measured_first), (&found, &measured)));
            }
            _ => first = Some(measured),
        }
        all.push(found);
    }
    Ok(all)
}

/// What words are compared with, instead of the built-in list.
struct Reference {
    name: String,
    words: WordCounts,
    configuration: Option<Configuration>,
}

impl Reference {
    fn read(path: &Path, seed: u64) -> Result<Self, ReadError> {
        let mut input = Input::open(path)?;
        let mut words = words::ItemWords::default();
        while let Some(unit) = input.next()? {
            if let Some(record) = words::chosen(&unit.records, seed) {
                words.counts.add(&ngrams::words(&sample::text(&record.turns)));
            }
        }
        let configuration = input.about()?.configuration;
        Ok(Self { name: path.display().to_string(), words: words.counts, configuration })
    }
}

/// What two sets of findings are compared by, beside themselves.
struct Measured {
    words: WordCounts,
    /// The sample: texts, their words, and the vectors of the first of them.
    texts: Vec<String>,
    tokens: Vec<Vec<String>>,
    vectors: Vec<Sparse>,
    likeness: String,
}

/// Everything that is counted in one pass over the records.
struct Gathered {
    seed: u64,
    made: made::MadeCounts,
    lengths: lengths::LengthsOfParts,
    attributes: attributes::AttributeCounts,
    crossed: Vec<crossed::CrossCounts>,
    exchanges: exchanges::Exchanges,
    words: words::ItemWords,
    distinct: Distinct,
    sample: sample::Sample,
    rejected: sample::Sample,
    cut: Cut,
}

impl Gathered {
    /// Reads a whole input.
    fn read(path: &Path, options: &Options) -> Result<(Self, About), ReadError> {
        let mut input = Input::open(path)?;
        let mut gathered = Self::new(options, input.joints());
        while let Some(unit) = input.next()? {
            gathered.add(&unit);
        }
        Ok((gathered, input.about()?))
    }

    fn new(options: &Options, joints: Vec<Joint>) -> Self {
        Self {
            crossed: joints.into_iter().map(crossed::CrossCounts::new).collect(),
            exchanges: exchanges::Exchanges::default(),
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
            self.crossed.iter_mut().for_each(|crossed| crossed.add(record, weight));
            self.exchanges.add(record);
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
            limits.push(format!("texts longer than 1 MiB are measured to there: {}", self.cut.texts));
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
    gathered: Gathered,
    about: About,
    options: &Options,
    reference: Option<&Reference>,
    scales: &lengths::Scales,
) -> Result<(Findings, Measured), FindError> {
    let limits = gathered.limits();
    let (records, items) = (gathered.made.records, gathered.made.items);
    let sample = gathered.sample.records();
    let sampled = (sample.len() as u64) < items;
    let texts: Vec<String> = sample.iter().map(|record| sample::text(&record.turns)).collect();
    let tokens: Vec<Vec<String>> = texts.iter().map(|text| ngrams::words(text)).collect();
    let (vectors, likeness) = vectors(&texts, &tokens, options)?;
    let attributes = gathered.attributes.attributes(&about.configured.shares);
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
    let against = reference.map_or(Vec::new(), |reference| {
        compare::settings(reference.configuration.as_ref(), about.configuration.as_ref())
    });
    let mut found = Findings {
        name: about.name.clone(),
        synthmill: env!("CARGO_PKG_VERSION").to_owned(),
        generated: jiff::Zoned::now().strftime("%Y-%m-%d %H:%M").to_string(),
        seed: options.seed,
        records,
        items,
        sampled: sample.len() as u64,
        notes,
        stands_out: Vec::new(),
        exchanges: gathered.exchanges.shown(),
        made: gathered.made.made(&about, options.prices),
        configuration: about.configuration,
        lengths: gathered.lengths.lengths(&sample, scales),
        crossed: gathered.crossed.iter().map(crossed::CrossCounts::crossed).collect(),
        words: gathered
            .words
            .words(reference.map(|reference| (reference.name.as_str(), &reference.words)), &attributes),
        variety,
        map: map::map(&sample, &vectors, &likeness, &attributes),
        languages,
        sample: browsed(sample, gathered.rejected.records()),
        attributes,
        source: about.source,
        difference: None,
        against,
    };
    found.stands_out = standouts::standouts(&found);
    let measured = Measured { words: gathered.words.counts, texts, tokens, vectors, likeness };
    Ok((found, measured))
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
