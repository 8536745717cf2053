//! Counts exact duplicates over any number of texts in bounded memory.
//!
//! Keeps a hash of each distinct text. When there are too many, only hashes that end in one more zero bit are kept: a
//! random sample of the distinct texts, so that the share remains an unbiased estimate.

use std::collections::HashSet;

/// Hashes kept, some 30 MB.
const KEPT: usize = 1 << 20;

/// Counts texts and distinct texts.
#[derive(Debug)]
pub(crate) struct DistinctTexts {
    seen: HashSet<u64>,
    /// Only hashes with at least this many trailing zero bits are counted.
    zeros: u32,
    texts: u64,
    limit: usize,
}

impl Default for DistinctTexts {
    fn default() -> Self {
        Self { seen: HashSet::new(), zeros: 0, texts: 0, limit: KEPT }
    }
}

impl DistinctTexts {
    /// Counts one text.
    pub(crate) fn add(&mut self, text: &str) {
        self.texts += 1;
        let mut first = [0; 8];
        first.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
        let hash = u64::from_le_bytes(first);
        if hash.trailing_zeros() < self.zeros {
            return;
        }
        self.seen.insert(hash);
        while self.seen.len() > self.limit {
            self.zeros += 1;
            self.seen.retain(|hash| hash.trailing_zeros() >= self.zeros);
        }
    }

    /// Returns the number of texts counted.
    pub(crate) fn texts(&self) -> u64 {
        self.texts
    }

    /// Returns whether the share is exact rather than estimated.
    pub(crate) fn exact(&self) -> bool {
        self.zeros == 0
    }

    /// Returns the share of texts that repeat an earlier one, 0 to 1; `None` without texts.
    pub(crate) fn share_repeated(&self) -> Option<f64> {
        if self.texts == 0 {
            return None;
        }
        let distinct = self.seen.len() as f64 * 2_f64.powi(self.zeros as i32);
        Some((1.0 - distinct / self.texts as f64).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_counted_exactly_while_they_fit() {
        let mut distinct = DistinctTexts::default();
        for text in ["a", "b", "a", "a"] {
            distinct.add(text);
        }
        assert_eq!(distinct.share_repeated(), Some(0.5));
        assert!(distinct.exact());
        assert_eq!(DistinctTexts::default().share_repeated(), None);
    }

    #[test]
    fn many_texts_are_estimated() {
        let mut distinct = DistinctTexts { limit: 1_000, ..DistinctTexts::default() };
        for n in 0..40_000 {
            distinct.add(&format!("text {}", n / 2));
        }
        let share = distinct.share_repeated().unwrap();
        assert!(!distinct.exact() && (share - 0.5).abs() < 0.05, "{share}");
        assert!(distinct.seen.len() <= 1_000);
    }
}
