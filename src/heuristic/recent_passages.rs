//! A cache of the passages of recent sections.
//!
//! Many consecutive questions are about the same section, and preparing it (`passage`) is most of the work of an
//! answer. The cache does not affect answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::language::Language;
use super::passage::Passage;

/// The number of cached passages: enough for the records that are answered at the same time, and their companions.
const KEPT: usize = 32;

/// The cached passages, the most recent first.
#[derive(Debug, Default)]
pub(super) struct RecentPassages(Mutex<VecDeque<Prepared>>);

/// A passage with everything from which it was built.
#[derive(Debug)]
struct Prepared {
    section: Value,
    document: String,
    language: Option<Language>,
    passage: Arc<Passage>,
}

impl RecentPassages {
    /// The passage of a section object, as built by `Passage::of`.
    pub(super) fn of(&self, section: &Value, document: &str, language: Option<Language>) -> Arc<Passage> {
        let is_it =
            |one: &&Prepared| one.language == language && one.document == document && one.section == *section;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = kept.iter().find(is_it) {
            return Arc::clone(&prepared.passage);
        }
        drop(kept);
        let passage = Arc::new(Passage::of(section, document, language));
        let prepared = Prepared {
            section: section.clone(),
            document: document.to_owned(),
            language,
            passage: Arc::clone(&passage),
        };
        kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT - 1);
        kept.push_front(prepared);
        passage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_passage_is_found_again_only_for_all_that_it_was_made_of() {
        let recent = RecentPassages::default();
        let bread = json!({"title": "Bread", "text": "The dough rests for an hour."});
        let first = recent.of(&bread, "Baking", None);
        assert!(Arc::ptr_eq(&first, &recent.of(&bread, "Baking", None)));
        for (section, document, language) in [
            (json!({"title": "Bread", "text": "The dough rests for a day."}), "Baking", None),
            (bread.clone(), "Cooking", None),
            (bread.clone(), "Baking", Some(Language::German)),
        ] {
            assert!(!Arc::ptr_eq(&first, &recent.of(&section, document, language)), "{document}");
        }
        for number in 0..KEPT {
            recent.of(&json!({"text": format!("Step {number} is done.")}), "Baking", None);
        }
        assert!(!Arc::ptr_eq(&first, &recent.of(&bread, "Baking", None)));
        assert_eq!(recent.0.lock().unwrap().len(), KEPT);
    }
}
