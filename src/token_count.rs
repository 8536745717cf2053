//! Counts tokens of texts with the o200k_base vocabulary; without the feature `tokens`, estimates them.
//!
//! For estimates that suffice for any model: in reports, plans and `split_text`. `llm` has the usage that servers
//! report.

/// Returns the number of tokens of a text; `None` if the vocabulary is not built in.
#[cfg(feature = "tokens")]
pub(crate) fn counted(text: &str) -> Option<u64> {
    Some(tiktoken_rs::o200k_base_singleton().count_ordinary(text) as u64)
}

/// Returns the number of tokens of a text; `None` if the vocabulary is not built in.
#[cfg(not(feature = "tokens"))]
pub(crate) fn counted(_text: &str) -> Option<u64> {
    None
}

/// Returns the number of tokens of a text: counted if the vocabulary is built in, else estimated from its length.
pub(crate) fn count(text: &str) -> u64 {
    counted(text).unwrap_or_else(|| (text.len() as u64).div_ceil(4))
}

/// Describes what `count` counts.
pub(crate) fn unit() -> &'static str {
    match cfg!(feature = "tokens") {
        true => "those of o200k_base; other vocabularies differ by a tenth or so",
        false => "a fourth of the bytes",
    }
}

#[cfg(all(test, feature = "tokens"))]
mod tests {
    #[test]
    fn tokens_of_known_texts() {
        assert_eq!(super::counted("hello world"), Some(2));
        assert_eq!(super::count(""), 0);
    }
}
