//! Measures of variety, each with a sentence on how to read it.

use crate::report::findings::{Direction, DuplicateGroup, Variety};
use crate::report::findings::{Direction::Higher, Direction::Lower, Measure, Proportion};
use crate::report::statistics::duplicates::DistinctTexts;
use crate::report::statistics::vectors::SparseVector;
use crate::report::statistics::word_counts::WordCounts;
use crate::report::statistics::{compression, minhash, ngrams, self_bleu, vendi};

use super::sample::cut;

/// Words for distinct-n, which falls as the number of texts grows and is only comparable at equal counts.
const DISTINCT_WORDS: usize = 50_000;
/// Texts for self-BLEU.
const BLEU_TEXTS: usize = 1_000;
/// Texts for the Vendi score, whose cost is cubic in their number.
pub(super) const VENDI_TEXTS: usize = 400;
/// Groups of duplicates that are shown.
const GROUPS: usize = 10;

/// The texts that variety is measured on.
pub(super) struct TextSample<'a> {
    pub(super) all: &'a WordCounts,
    pub(super) distinct: &'a DistinctTexts,
    /// The sample: texts, and their words.
    pub(super) texts: &'a [String],
    pub(super) words: &'a [Vec<String>],
    pub(super) vectors: &'a [SparseVector],
    /// What the vectors represent, for the reader.
    pub(super) similarity: &'a str,
    /// Whether the sample omits any item.
    pub(super) sampled: bool,
}

pub(super) fn variety(texts: &TextSample<'_>) -> Variety {
    let mut measures = Vec::new();
    distinct(texts, &mut measures);
    entropy(texts, &mut measures);
    bleu(texts, &mut measures);
    let ratio = compression::ratio(texts.texts.iter().map(String::as_str));
    let reading =
        "Bytes over compressed bytes. English prose stands at 2 to 3; what is far above repeats itself.";
    texts.push(
        &mut measures,
        ("compression_ratio", "Compression ratio"),
        ratio,
        Lower,
        texts.texts.len(),
        reading,
    );
    vendi_score(texts, &mut measures);
    let groups = duplicates(texts, &mut measures);
    let group = |members: &Vec<usize>| DuplicateGroup {
        size: members.len() as u64,
        texts: members.iter().take(3).map(|member| cut(&texts.texts[*member], 300)).collect(),
    };
    Variety { measures, groups: groups.iter().take(GROUPS).map(group).collect() }
}

impl TextSample<'_> {
    fn push(
        &self,
        measures: &mut Vec<Measure>,
        (key, name): (&str, &str),
        value: Option<f64>,
        more_varied: Direction,
        size: usize,
        reading: &str,
    ) {
        let Some(value) = value else { return };
        measures.push(Measure {
            key: key.to_owned(),
            name: name.to_owned(),
            value,
            part: None,
            share: !matches!(key, "self_bleu" | "compression_ratio" | "vendi_score"),
            more_varied,
            texts: size as u64,
            sampled: self.sampled || size < self.texts.len(),
            reading: reading.to_owned(),
        });
    }
}

fn distinct(texts: &TextSample<'_>, measures: &mut Vec<Measure>) {
    let mut words = 0;
    let mut size = 0;
    for text in texts.words {
        if words >= DISTINCT_WORDS {
            break;
        }
        words += text.len();
        size += 1;
    }
    let part = &texts.words[..size];
    let names = [
        (1, "distinct_1", "Distinct words"),
        (2, "distinct_2", "Distinct pairs of words"),
        (3, "distinct_3", "Distinct triples of words"),
    ];
    for (n, key, name) in names {
        let reading = format!(
            "Of all runs of {n} neighbouring words, the share that are different from each other (distinct-{n}). It falls \
             as texts grow in number: compare it only with another {words} words.",
        );
        texts.push(measures, (key, name), ngrams::distinct(part, n), Higher, size, &reading);
    }
}

fn entropy(texts: &TextSample<'_>, measures: &mut Vec<Measure>) {
    let Some(value) = ngrams::entropy_normalised(&texts.all.frequencies()) else { return };
    measures.push(Measure {
        key: "entropy_normalised".to_owned(),
        name: "Evenness of words".to_owned(),
        value,
        part: None,
        share: true,
        more_varied: Higher,
        texts: texts.all.texts(),
        sampled: false,
        reading: "Shannon entropy of the words over its own maximum, the logarithm of the number of different words: 100 % \
                  means that all are equally frequent. Prose stands at 70 to 90 %."
            .to_owned(),
    });
}

fn bleu(texts: &TextSample<'_>, measures: &mut Vec<Measure>) {
    let size = texts.words.len().min(BLEU_TEXTS);
    let reading = "How far each text can be put together from runs of one to three words of the others, itself left \
                   out: 1 means that every text has its like. It rises with the number of texts.";
    let value = self_bleu::self_bleu(&texts.words[..size]);
    texts.push(measures, ("self_bleu", "Self-BLEU"), value, Lower, size, reading);
}

fn vendi_score(texts: &TextSample<'_>, measures: &mut Vec<Measure>) {
    let size = texts.vectors.len().min(VENDI_TEXTS);
    if size < 2 {
        return;
    }
    let score = vendi::vendi(size, |a, b| texts.vectors[a].dot(&texts.vectors[b]));
    let reading = format!(
        "How many wholly unlike texts the {size} looked at are worth: 1 if all are the same, {size} if none has \
         anything in common with another. Likeness is the cosine of {}.",
        texts.similarity
    );
    texts.push(measures, ("vendi_score", "Vendi score"), Some(score), Higher, size, &reading);
    let reading = "The Vendi score over the number of texts: compare it only at equal numbers.";
    let share = Some(score / size as f64);
    texts.push(measures, ("vendi_share", "Vendi score per text"), share, Higher, size, reading);
}

fn duplicates(texts: &TextSample<'_>, measures: &mut Vec<Measure>) -> Vec<Vec<usize>> {
    if let Some(value) = texts.distinct.share_repeated() {
        let counted =
            if texts.distinct.exact() { "Counted over all records" } else { "Estimated from hashes" };
        measures.push(Measure {
            key: "exact_duplicates".to_owned(),
            name: "Exact duplicates".to_owned(),
            value,
            part: Some(proportion_of(value, texts.distinct.texts())),
            share: true,
            more_varied: Lower,
            texts: texts.distinct.texts(),
            sampled: !texts.distinct.exact(),
            reading: format!("The share of records whose whole text stood in the data before. {counted}."),
        });
    }
    let groups = minhash::groups(texts.words);
    let repeats: usize = groups.iter().map(|group| group.len() - 1).sum();
    let size = texts.words.len();
    let value = (size > 0).then(|| repeats as f64 / size as f64);
    let reading = format!(
        "The share of sampled texts that share {:.0} % of their word pairs with another one (MinHash, {} texts of different \
         items): what a deduplication would take out. It rises with the number of texts.",
        minhash::THRESHOLD * 100.0,
        size
    );
    texts.push(measures, ("near_duplicates", "Near duplicates"), value, Lower, size, &reading);
    if let Some(measure) = measures.last_mut().filter(|measure| measure.key == "near_duplicates") {
        measure.part = Some(Proportion { count: repeats as u64, of: size as u64 });
    }
    groups
}

/// Converts a share of texts to a count.
fn proportion_of(share: f64, of: u64) -> Proportion {
    Proportion { count: (share * of as f64).round() as u64, of }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::statistics::{ngrams::words, vectors::tf_idf};

    fn measured(texts: &[&str]) -> Variety {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let words: Vec<Vec<String>> = texts.iter().map(|text| words(text)).collect();
        let (mut all, mut distinct) = (WordCounts::default(), DistinctTexts::default());
        for (text, words) in texts.iter().zip(&words) {
            all.add(words);
            distinct.add(text);
        }
        let vectors = tf_idf(&words);
        variety(&TextSample {
            all: &all,
            distinct: &distinct,
            texts: &texts,
            words: &words,
            vectors: &vectors,
            similarity: "word counts",
            sampled: false,
        })
    }

    fn value(variety: &Variety, key: &str) -> f64 {
        variety.measures.iter().find(|measure| measure.key == key).unwrap().value
    }

    #[test]
    fn all_the_same() {
        let variety = measured(&["how do i renew my card"; 6]);
        assert_eq!(variety.measures.len(), 10);
        assert!((value(&variety, "self_bleu") - 1.0).abs() < 1e-9);
        assert!((value(&variety, "vendi_score") - 1.0).abs() < 1e-3);
        assert!((value(&variety, "exact_duplicates") - 5.0 / 6.0).abs() < 1e-9);
        assert!((value(&variety, "near_duplicates") - 5.0 / 6.0).abs() < 1e-9);
        assert_eq!((variety.groups[0].size, variety.groups[0].texts.len()), (6, 3));
    }

    #[test]
    fn all_different() {
        let variety = measured(&["how do i renew", "where is the museum", "please send a map"]);
        assert_eq!(value(&variety, "exact_duplicates"), 0.0);
        assert_eq!(value(&variety, "distinct_1"), 1.0);
        assert!(value(&variety, "vendi_score") > 2.9);
        assert!(variety.groups.is_empty());
    }

    #[test]
    fn no_texts() {
        assert!(measured(&[]).measures.is_empty());
    }
}
