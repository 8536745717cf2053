//! Turns records into findings: counts cover all records, costly measures a sample of them.
//!
//! `findings` runs a whole report. Each file here collects data for one chapter, with the arithmetic in
//! `report::statistics`; memory does not grow with the number of records.

mod agreement;
mod attributes;
mod classification;
mod compare;
mod cross_tab;
mod exchanges;
mod generation;
mod judging;
mod languages;
mod lengths;
mod map;
mod sample;
mod standouts;
mod variety;
mod words;

use std::path::{Path, PathBuf};
use std::thread;

use super::embeddings::{EmbeddingEndpoint, EmbeddingError};
use super::findings::{Configuration, Findings, SampleRecord};
use super::read::{
    FieldGap, FieldPair, Input, InputMetadata, ItemRecords, JointShares, ReadError, Truncation, for_each_item,
};
use super::statistics::duplicates::DistinctTexts;
use super::statistics::ngrams;
use super::statistics::vectors::{SparseVector, tf_idf};
use super::statistics::word_counts::WordCounts;

/// Records listed for browsing.
const BROWSED: usize = 250;
/// Rejected records listed for browsing.
const BROWSED_REJECTED: usize = 50;

/// Options of a report.
#[derive(Debug, Clone)]
pub struct Options {
    /// Texts sampled for costly measures.
    pub sample: usize,
    /// The seed of the sample.
    pub seed: u64,
    /// Prices per million prompt and completion tokens.
    pub prices: Option<(f64, f64)>,
    /// A run or a file to compare words with, instead of the built-in list.
    pub against: Option<PathBuf>,
    /// Pairs of fields whose agreement is measured.
    pub agree: Vec<FieldPair>,
    /// Gaps between models that are measured.
    pub gaps: Vec<FieldGap>,
    /// An endpoint for embeddings, instead of hashed TF-IDF.
    pub embeddings: Option<EmbeddingEndpoint>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sample: 5_000,
            seed: 0,
            prices: None,
            against: None,
            agree: Vec::new(),
            gaps: Vec::new(),
            embeddings: None,
        }
    }
}

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The data cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The agreement of two fields cannot be measured.
    #[error("`{path}`: {message}")]
    Agree {
        /// The input.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// Texts could not be embedded.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
}

/// Returns the findings of each input, in order; the second and later ones are compared with the first.
pub fn findings(paths: &[PathBuf], options: &Options) -> Result<Vec<Findings>, ReportError> {
    let reference = match &options.against {
        Some(path) => Some(ReferenceCorpus::read(path, options.seed)?),
        None => None,
    };
    let mut collector = Vec::with_capacity(paths.len());
    for path in paths {
        collector.push(Collector::read(path, options)?);
    }
    let mut scales = lengths::PartScales::default();
    collector.iter().for_each(|(collector, _)| collector.lengths.extend(&mut scales));
    let mut first: Option<ComparisonData> = None;
    let mut all: Vec<Findings> = Vec::new();
    for ((collector, metadata), path) in collector.into_iter().zip(paths) {
        let (mut found, measured) = analyze(collector, metadata, options, reference.as_ref(), &scales)?;
        for pair in &options.agree {
            found.agreement.push(agreement::agreement(path, pair)?);
        }
        for gap in &options.gaps {
            found.gaps.push(agreement::recovered_gap(path, gap)?);
        }
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

/// The corpus that words are compared with, instead of the built-in list.
struct ReferenceCorpus {
    name: String,
    words: WordCounts,
    configuration: Option<Configuration>,
}

impl ReferenceCorpus {
    fn read(path: &Path, seed: u64) -> Result<Self, ReadError> {
        let mut words = words::ItemWordCounter::default();
        let input = for_each_item(Input::open(path)?, |unit| {
            if let Some(record) = words::representative(&unit.records, seed) {
                words.counts.add(ngrams::words_of(&sample::text(&record.turns)));
            }
        })?;
        let configuration = input.into_metadata()?.configuration;
        Ok(Self { name: path.display().to_string(), words: words.counts, configuration })
    }
}

/// Data needed to compare two sets of findings, in addition to the findings.
struct ComparisonData {
    words: WordCounts,
    /// The sample: texts, their words, and the vectors of the first texts.
    texts: Vec<String>,
    tokens: Vec<Vec<String>>,
    vectors: Vec<SparseVector>,
    similarity: String,
}

/// Collects counts and samples in one pass over the records.
struct Collector {
    seed: u64,
    made: generation::GenerationCounter,
    lengths: lengths::PartLengthCounter,
    attributes: attributes::AttributeCounter,
    crossed: Vec<cross_tab::CrossTabCounter>,
    exchanges: exchanges::ExchangeSample,
    judging: judging::JudgeCounter,
    classified: classification::LabelCounter,
    words: words::ItemWordCounter,
    distinct: DistinctTexts,
    sample: sample::Sample,
    rejected: sample::Sample,
    truncation: Truncation,
}

impl Collector {
    /// Reads a whole input.
    fn read(path: &Path, options: &Options) -> Result<(Self, InputMetadata), ReadError> {
        let input = Input::open(path)?;
        let mut collector = Self::new(options, input.joints());
        let input = for_each_item(input, |unit| collector.add(&unit))?;
        Ok((collector, input.into_metadata()?))
    }

    fn new(options: &Options, joints: Vec<JointShares>) -> Self {
        Self {
            crossed: joints.into_iter().map(cross_tab::CrossTabCounter::new).collect(),
            exchanges: exchanges::ExchangeSample::default(),
            judging: judging::JudgeCounter::default(),
            classified: classification::LabelCounter::default(),
            seed: options.seed,
            made: generation::GenerationCounter::default(),
            lengths: lengths::PartLengthCounter::default(),
            attributes: attributes::AttributeCounter::default(),
            words: words::ItemWordCounter::default(),
            distinct: DistinctTexts::default(),
            sample: sample::Sample::new(options.sample, options.seed),
            rejected: sample::Sample::new(BROWSED_REJECTED, options.seed),
            truncation: Truncation::default(),
        }
    }

    fn add(&mut self, unit: &ItemRecords) {
        self.made.add(&unit.records);
        self.judging.add(&unit.records);
        self.classified.add(&unit.records);
        let weight = 1.0 / unit.records.len().max(1) as f64;
        for record in &unit.records {
            self.attributes.add(record, weight);
            self.crossed.iter_mut().for_each(|crossed| crossed.add(record, weight));
            self.exchanges.add(record);
            self.truncation.attributes += record.truncation.attributes;
            self.truncation.texts += record.truncation.texts;
            if record.rejected.is_some() {
                self.rejected.offer(&unit.key, record);
            } else if record.is_kept() && !record.turns.is_empty() {
                self.lengths.add(record);
                self.distinct.add(&sample::text(&record.turns));
            }
        }
        if let Some(record) = words::representative(&unit.records, self.seed) {
            self.words.add(record);
            self.sample.offer(&unit.key, record);
        }
    }
}

impl Collector {
    /// Returns a sentence for each kind of content that was left out because it is too large.
    fn limits(&self) -> Vec<String> {
        let mut limits = Vec::new();
        if self.truncation.texts > 0 {
            limits.push(format!("texts longer than 1 MiB are measured to there: {}", self.truncation.texts));
        }
        if self.truncation.attributes > 0 {
            limits.push(format!(
                "{} fields are left out, because their records have more than 200 that could be attributes",
                self.truncation.attributes
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

fn analyze(
    collector: Collector,
    metadata: InputMetadata,
    options: &Options,
    reference: Option<&ReferenceCorpus>,
    scales: &lengths::PartScales,
) -> Result<(Findings, ComparisonData), ReportError> {
    let limits = collector.limits();
    let (records, items) = (collector.made.records, collector.made.items);
    let sample = collector.sample.records();
    let sampled = (sample.len() as u64) < items;
    let texts: Vec<String> = sample.iter().map(|record| sample::text(&record.turns).into_owned()).collect();
    let tokens: Vec<Vec<String>> = texts.iter().map(|text| ngrams::words(text)).collect();
    let (vectors, similarity) = vectors(&texts, &tokens, options)?;
    let attributes = collector.attributes.attributes(&metadata.configured.shares);
    let (map, variety, languages) = thread::scope(|scope| {
        // Takes as long as the other two passes together.
        let map = scope.spawn(|| map::map(&sample, &vectors, &similarity, &attributes));
        let variety = variety::variety(&variety::TextSample {
            all: &collector.words.counts,
            distinct: &collector.distinct,
            texts: &texts,
            words: &tokens,
            vectors: &vectors,
            similarity: &similarity,
            sampled,
        });
        let languages = languages::languages(&sample, sampled);
        let map = map.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (map, variety, languages)
    });
    let mut notes = metadata.notes.clone();
    notes.extend(limits);
    if reference.is_none() {
        notes.extend(languages.as_ref().and_then(languages::note));
    }
    let against = reference.map_or(Vec::new(), |reference| {
        compare::settings(reference.configuration.as_ref(), metadata.configuration.as_ref())
    });
    let mut found = Findings {
        name: metadata.name.clone(),
        synthmill: env!("CARGO_PKG_VERSION").to_owned(),
        generated: jiff::Zoned::now().strftime("%Y-%m-%d %H:%M").to_string(),
        seed: options.seed,
        records,
        items,
        sampled: sample.len() as u64,
        notes,
        stands_out: Vec::new(),
        exchanges: collector.exchanges.into_exchanges(),
        judging: collector.judging.totals(),
        classified: collector.classified.totals(),
        agreement: Vec::new(),
        gaps: Vec::new(),
        made: collector.made.totals(&metadata, options.prices),
        configuration: metadata.configuration,
        lengths: collector.lengths.lengths(&sample, scales),
        crossed: collector.crossed.iter().map(cross_tab::CrossTabCounter::table).collect(),
        words: collector
            .words
            .words(reference.map(|reference| (reference.name.as_str(), &reference.words)), &attributes),
        variety,
        map,
        languages,
        sample: browsable(sample, collector.rejected.records()),
        attributes,
        source: metadata.source,
        difference: None,
        against,
    };
    found.stands_out = standouts::standouts(&found);
    let measured = ComparisonData { words: collector.words.counts, texts, tokens, vectors, similarity };
    Ok((found, measured))
}

/// Returns vectors of the first texts of the sample, as many as the map and the Vendi score need.
fn vectors(
    texts: &[String],
    words: &[Vec<String>],
    options: &Options,
) -> Result<(Vec<SparseVector>, String), ReportError> {
    let size = texts.len().min(map::POINTS.max(variety::VENDI_TEXTS));
    let Some(embeddings) = &options.embeddings else {
        return Ok((tf_idf(&words[..size]), "hashed TF-IDF of words and word pairs".to_owned()));
    };
    let vectors = embeddings.embed(&texts[..size])?;
    let vectors = vectors.iter().map(|values| SparseVector::dense(values)).collect();
    Ok((vectors, format!("embeddings by `{}`", embeddings.model)))
}

/// Returns a random part of the sample and some rejected records, sorted by id as in the data.
fn browsable(mut sample: Vec<SampleRecord>, rejected: Vec<SampleRecord>) -> Vec<SampleRecord> {
    sample.truncate(BROWSED);
    sample.extend(rejected);
    sample.sort_by(|a, b| (a.id.len(), &a.id).cmp(&(b.id.len(), &b.id)));
    sample
}

#[cfg(test)]
mod tests;
