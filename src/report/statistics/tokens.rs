//! Counts tokens with the o200k_base vocabulary; unavailable without the feature `tokens`.

/// Returns the number of tokens of a text; `None` if the vocabulary is not built in.
#[cfg(feature = "tokens")]
pub(crate) fn count(text: &str) -> Option<u64> {
    Some(tiktoken_rs::o200k_base_singleton().count_ordinary(text) as u64)
}

/// Returns the number of tokens of a text; `None` if the vocabulary is not built in.
#[cfg(not(feature = "tokens"))]
pub(crate) fn count(_text: &str) -> Option<u64> {
    None
}

#[cfg(all(test, feature = "tokens"))]
mod tests {
    #[test]
    fn tokens_of_known_texts() {
        assert_eq!(super::count("hello world"), Some(2));
        assert_eq!(super::count(""), Some(0));
    }
}
