//! Texts as unit vectors, whose dot product is the cosine: hashed TF-IDF of words and word pairs, or embeddings.

use std::collections::HashMap;

use super::ngrams::hash;

/// Dimensions that words are hashed into.
const DIMENSIONS: u64 = 4_096;

/// A sparse unit vector: ascending indexes with their weights. Empty for a text without words.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SparseVector(pub(crate) Vec<(u32, f32)>);

impl SparseVector {
    /// Returns the dot product with another vector: the cosine, 0 to 1 for word counts.
    pub(crate) fn dot(&self, other: &Self) -> f64 {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut sum = 0.0;
        while let (Some((place, weight)), Some((other_place, other_weight))) = (a.peek(), b.peek()) {
            match place.cmp(other_place) {
                std::cmp::Ordering::Less => _ = a.next(),
                std::cmp::Ordering::Greater => _ = b.next(),
                std::cmp::Ordering::Equal => {
                    sum += f64::from(*weight) * f64::from(*other_weight);
                    a.next();
                    b.next();
                }
            }
        }
        sum
    }

    /// Normalises an embedding.
    pub(crate) fn dense(values: &[f32]) -> Self {
        (0_u32..).zip(values.iter().copied()).collect::<HashMap<u32, f32>>().into()
    }
}

impl From<HashMap<u32, f32>> for SparseVector {
    fn from(weights: HashMap<u32, f32>) -> Self {
        let mut places: Vec<(u32, f32)> =
            weights.into_iter().filter(|(_, weight)| weight.is_finite()).collect();
        places.sort_unstable_by_key(|(place, _)| *place);
        let norm = places.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
        if norm <= 0.0 {
            return Self::default();
        }
        for (_, weight) in &mut places {
            *weight /= norm;
        }
        Self(places)
    }
}

/// Returns hashed TF-IDF vectors of texts given as words: `(1 + ln tf) · ln(1 + n/df)`.
pub(crate) fn tf_idf(texts: &[Vec<String>]) -> Vec<SparseVector> {
    let counted: Vec<HashMap<u32, f32>> = texts.iter().map(|words| places(words)).collect();
    let mut documents: HashMap<u32, f32> = HashMap::new();
    for place in counted.iter().flat_map(HashMap::keys) {
        *documents.entry(*place).or_default() += 1.0;
    }
    let total = texts.len() as f32;
    let weigh = |counts: HashMap<u32, f32>| {
        let weights = counts.into_iter().map(|(place, count)| {
            let documents = documents.get(&place).copied().unwrap_or(1.0);
            (place, (1.0 + count.ln()) * (1.0 + total / documents).ln())
        });
        SparseVector::from(weights.collect::<HashMap<u32, f32>>())
    };
    counted.into_iter().map(weigh).collect()
}

fn places(words: &[String]) -> HashMap<u32, f32> {
    let mut places = HashMap::new();
    for length in [1, 2] {
        for gram in words.windows(length) {
            *places.entry((hash(gram) % DIMENSIONS) as u32).or_default() += 1.0;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::statistics::ngrams::words;

    #[test]
    fn similar_texts_are_close() {
        let texts = ["renew my library card", "renew the library card", "where is the museum", ""];
        let vectors = tf_idf(&texts.map(words));
        let near = vectors[0].dot(&vectors[1]);
        let far = vectors[0].dot(&vectors[2]);
        assert!(near > 0.3 && far < 0.05, "{near} {far}");
        assert!((vectors[0].dot(&vectors[0]) - 1.0).abs() < 1e-5);
        assert_eq!(vectors[3].dot(&vectors[0]), 0.0);
    }

    #[test]
    fn dense_vectors_are_normalised() {
        let vector = SparseVector::dense(&[3.0, 4.0]);
        assert_eq!(vector, SparseVector(vec![(0, 0.6), (1, 0.8)]));
        assert_eq!(SparseVector::dense(&[0.0, f32::NAN]), SparseVector::default());
    }
}
