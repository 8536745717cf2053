//! Projects vectors to two dimensions by t-SNE, initialised with two principal components.

use bhtsne::tSNE;

use super::vectors::SparseVector;

/// Iterations of t-SNE; enough for a few thousand points.
const EPOCHS: usize = 750;
/// Accuracy of the Barnes-Hut approximation; 0 would be exact.
const THETA: f32 = 0.5;

/// Returns a position for each vector, with both coordinates 0 to 1, and the method. `None` for fewer than three vectors.
pub(crate) fn project(vectors: &[SparseVector]) -> Option<(Vec<(f64, f64)>, String)> {
    if vectors.len() < 3 {
        return None;
    }
    let start = components(vectors);
    // Fewer points than perplexity neighbours cannot be laid out by t-SNE.
    let perplexity = (vectors.len() as f32 / 4.0).clamp(2.0, 30.0);
    if (vectors.len() as f32) < 3.0 * perplexity + 2.0 {
        return Some((scale(&start), "two principal components".to_owned()));
    }
    let mut tsne: tSNE<'_, f32, SparseVector, 2> = tSNE::new(vectors);
    tsne.perplexity(perplexity).epochs(EPOCHS).initial_embedding(start.clone());
    tsne.barnes_hut(THETA, |a, b| ((2.0 - 2.0 * a.dot(b)).max(0.0) as f32).sqrt());
    let places = tsne.embedding();
    let whole = places.len() == vectors.len() * 2 && places.iter().all(|value| value.is_finite());
    if !whole {
        return Some((scale(&start), "two principal components".to_owned()));
    }
    Some((scale(&places), format!("t-SNE with perplexity {perplexity:.0}")))
}

/// Computes two principal components by power iteration on the centred kernel, scaled down to initialise t-SNE.
fn components(vectors: &[SparseVector]) -> Vec<f32> {
    let dimensions = vectors.iter().flat_map(|vector| vector.0.last()).map(|last| last.0 as usize + 1).max();
    let dimensions = dimensions.unwrap_or(0);
    let mut mean = vec![0.0_f64; dimensions];
    for (place, weight) in vectors.iter().flat_map(|vector| &vector.0) {
        mean[*place as usize] += f64::from(*weight) / vectors.len() as f64;
    }
    let mut places = vec![0.0_f32; vectors.len() * 2];
    let mut first = Vec::new();
    for axis in 0..2 {
        let direction = direction(vectors, &mean, &first, axis);
        let scores = scores(vectors, &mean, &direction);
        let spread = (scores.iter().map(|score| score * score).sum::<f64>() / scores.len() as f64).sqrt();
        for (index, score) in scores.iter().enumerate() {
            // A tiny offset by index keeps equal texts from coinciding.
            let offset = (index as f64 * 0.618_034).fract() * 1e-3;
            places[index * 2 + axis] = ((score / spread.max(1e-12) + offset) * 1e-4) as f32;
        }
        first = direction;
    }
    places
}

fn direction(vectors: &[SparseVector], mean: &[f64], first: &[f64], axis: usize) -> Vec<f64> {
    let begin = |place: usize| ((place * (axis + 7)) as f64 * 0.618_034).fract() - 0.5;
    let mut direction: Vec<f64> = (0..mean.len()).map(begin).collect();
    for _ in 0..30 {
        let scores = scores(vectors, mean, &direction);
        let total: f64 = scores.iter().sum();
        let mut next: Vec<f64> = mean.iter().map(|mean| -mean * total).collect();
        for (vector, score) in vectors.iter().zip(&scores) {
            for (place, weight) in &vector.0 {
                next[*place as usize] += f64::from(*weight) * score;
            }
        }
        let along: f64 = next.iter().zip(first).map(|(a, b)| a * b).sum();
        for (value, other) in next.iter_mut().zip(first) {
            *value -= along * other;
        }
        let norm = next.iter().map(|value| value * value).sum::<f64>().sqrt();
        if norm < 1e-12 {
            return direction;
        }
        direction = next.into_iter().map(|value| value / norm).collect();
    }
    direction
}

fn scores(vectors: &[SparseVector], mean: &[f64], direction: &[f64]) -> Vec<f64> {
    let offset: f64 = mean.iter().zip(direction).map(|(a, b)| a * b).sum();
    let score = |vector: &SparseVector| {
        let along = vector.0.iter().map(|(place, weight)| f64::from(*weight) * direction[*place as usize]);
        along.sum::<f64>() - offset
    };
    vectors.iter().map(score).collect()
}

fn scale(places: &[f32]) -> Vec<(f64, f64)> {
    let axis = |axis: usize| places.iter().skip(axis).step_by(2).map(|value| f64::from(*value));
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        (low, (high - low).max(1e-12))
    };
    let (left, width) = bounds(&mut axis(0));
    let (bottom, height) = bounds(&mut axis(1));
    axis(0).zip(axis(1)).map(|(x, y)| ((x - left) / width, (y - bottom) / height)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::statistics::{ngrams::words, vectors::tf_idf};

    fn two_subjects(each: usize) -> Vec<SparseVector> {
        let mut texts = Vec::new();
        for n in 0..each {
            texts.push(words(&format!("library card renew book loan fee {}", ["a", "b", "c"][n % 3])));
            texts.push(words(&format!("museum painting ticket guide tour {}", ["x", "y", "z"][n % 3])));
        }
        tf_idf(&texts)
    }

    fn check(each: usize, method: &str) {
        let (places, found) = project(&two_subjects(each)).unwrap();
        assert!(found.starts_with(method), "{found}");
        let distance = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).hypot(a.1 - b.1);
        let (mut within, mut between) = (0.0, 0.0);
        for index in (2..places.len()).step_by(2) {
            within += distance(places[0], places[index]);
            between += distance(places[0], places[index + 1]);
        }
        assert!(between > 1.5 * within, "{between} {within}");
        assert!(places.iter().all(|(x, y)| (0.0..=1.0).contains(x) && (0.0..=1.0).contains(y)));
    }

    #[test]
    fn subjects_are_separated() {
        check(3, "two principal components");
        check(30, "t-SNE");
    }

    #[test]
    fn degenerate_input_is_not_an_error() {
        assert_eq!(project(&two_subjects(1)), None);
        assert!(project(&vec![SparseVector::default(); 50]).is_some());
    }
}
