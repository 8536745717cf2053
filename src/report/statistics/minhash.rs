//! Groups of near duplicates, by MinHash signatures and banding (locality-sensitive hashing).
//!
//! Shingles are pairs of adjacent words (lower case, digits as 0), or the word of a text with only one. 14 bands of 8
//! hashes find a pair with a Jaccard similarity of 0.8 in 92 of 100 cases; candidates are then verified by the whole
//! signature, at `THRESHOLD`. Groups are transitive.

use std::collections::HashMap;

use super::ngrams::hash;

const BANDS: usize = 14;
const ROWS: usize = 8;
/// The prime of the permutations, 2^61 - 1.
const PRIME: u64 = (1 << 61) - 1;
/// The similarity from which two texts are near duplicates, near the steepest point of the banding curve.
pub(crate) const THRESHOLD: f64 = 0.7;

/// The smallest hash of a text's shingles under each permutation.
type Signature = [u64; BANDS * ROWS];

/// Returns groups of near duplicates among texts given as words; members are in order, larger groups come first.
pub(crate) fn groups(texts: &[Vec<String>]) -> Vec<Vec<usize>> {
    let permutations = permutations();
    let signatures: Vec<Option<Signature>> =
        texts.iter().map(|words| signature(&shingles(words), &permutations)).collect();
    let mut parents: Vec<usize> = (0..texts.len()).collect();
    for band in 0..BANDS {
        let mut buckets: HashMap<&[u64], Vec<usize>> = HashMap::new();
        for (index, signature) in signatures.iter().enumerate() {
            let Some(signature) = signature else { continue };
            let key = &signature[band * ROWS..(band + 1) * ROWS];
            let bucket = buckets.entry(key).or_default();
            // One member of each group in the bucket is enough to join it.
            if let Some(other) = bucket.iter().copied().find(|other| {
                signatures[*other].as_ref().is_some_and(|found| similarity(signature, found) >= THRESHOLD)
            }) {
                join(&mut parents, index, other);
            } else {
                bucket.push(index);
            }
        }
    }
    let mut groups: HashMap<usize, Vec<usize>> = HashMap::new();
    for index in 0..texts.len() {
        groups.entry(root(&mut parents, index)).or_default().push(index);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    groups
}

fn shingles(words: &[String]) -> Vec<u64> {
    let words: Vec<String> = words
        .iter()
        .map(|word| word.chars().map(|c| if c.is_numeric() { '0' } else { c }).collect())
        .collect();
    match words.len() {
        0 => Vec::new(),
        1 => vec![hash(&words)],
        _ => words.windows(2).map(hash).collect(),
    }
}

/// Returns `None` for an empty text, which is similar to no other.
fn signature(shingles: &[u64], permutations: &[(u64, u64)]) -> Option<Signature> {
    if shingles.is_empty() {
        return None;
    }
    let mut signature = [u64::MAX; BANDS * ROWS];
    for shingle in shingles {
        for (least, (a, b)) in signature.iter_mut().zip(permutations) {
            *least = (*least).min(permute(*shingle, *a, *b));
        }
    }
    Some(signature)
}

fn permute(x: u64, a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(x % PRIME) + u128::from(b);
    // Since 2^61 is 1 modulo the prime, the upper bits are added to the lower ones, without dividing 128-bit numbers.
    let folded = (product as u64 & PRIME) + (product >> 61) as u64;
    folded % PRIME
}

/// Returns fixed permutations, so that texts have the same signatures in every run.
fn permutations() -> Vec<(u64, u64)> {
    let draw = |name: &str, index: usize| hash(&(name, index)) % PRIME;
    (0..BANDS * ROWS).map(|index| (draw("a", index).max(1), draw("b", index))).collect()
}

/// Estimates the Jaccard similarity as the share of equal hashes.
fn similarity(a: &Signature, b: &Signature) -> f64 {
    let equal = a.iter().zip(b).filter(|(a, b)| a == b).count();
    equal as f64 / (BANDS * ROWS) as f64
}

fn root(parents: &mut [usize], mut index: usize) -> usize {
    while parents[index] != index {
        parents[index] = parents[parents[index]];
        index = parents[index];
    }
    index
}

/// Merges two groups; the lower index becomes the root, so that the result does not depend on the order of bands.
fn join(parents: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parents, a), root(parents, b));
    parents[a.max(b)] = a.min(b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::statistics::ngrams::words;

    /// The chance that a pair of this similarity meets in a band.
    fn chance(similarity: f64) -> f64 {
        1.0 - (1.0 - similarity.powi(ROWS as i32)).powi(BANDS as i32)
    }

    #[test]
    fn the_bands_have_the_published_curve() {
        let expected = [(0.5, 0.0533), (0.6, 0.2111), (0.7, 0.5645), (0.8, 0.9235), (0.9, 0.9996)];
        for (similarity, published) in expected {
            assert!((chance(similarity) - published).abs() < 5e-5);
        }
    }

    #[test]
    fn pairs_of_known_similarity_meet_at_the_published_rate() {
        let permutations = permutations();
        let (similarity, pairs) = (0.8, 1_000_u64);
        let mut met = 0;
        for pair in 0..pairs {
            // 80 shingles in common of 100: Jaccard 0.8.
            let shingle = |n: u64| hash(&(pair, n));
            let a: Vec<u64> = (0..90).map(shingle).collect();
            let b: Vec<u64> = (10..100).map(shingle).collect();
            let a = signature(&a, &permutations).unwrap();
            let b = signature(&b, &permutations).unwrap();
            met += u64::from((0..BANDS).any(|band| a[band * ROWS..][..ROWS] == b[band * ROWS..][..ROWS]));
        }
        let expected = chance(similarity);
        let error = (expected * (1.0 - expected) / pairs as f64).sqrt();
        let found = met as f64 / pairs as f64;
        assert!((found - expected).abs() < 4.0 * error, "{found} is not {expected}");
    }

    fn check(texts: &[&str], expected: &[&[usize]]) {
        let texts: Vec<Vec<String>> = texts.iter().map(|text| words(text)).collect();
        assert_eq!(groups(&texts), expected);
    }

    #[test]
    fn like_texts_are_grouped() {
        let a = "how do i renew my library card online when it has expired during the long summer holidays";
        let b = "how do i renew my library card online when it has expired during the long winter holidays";
        check(&[a, "where is the museum of modern art", b, a], &[&[0, 2, 3]]);
    }

    #[test]
    fn short_and_empty_texts_have_a_rule() {
        check(&["yes", "no", "Yes!", "", ""], &[&[0, 2]]);
        check(&["in 2024", "in 1999"], &[&[0, 1]]);
    }
}
