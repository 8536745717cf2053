//! The report: what people see of the data that a run made.
//!
//! Data flows through `read`, `gather` (with the arithmetic in `statistics`), `findings` and `page`. Nothing here changes a
//! run or writes to its directory. `run` shows the progress of the run itself.

mod embeddings;
pub mod findings;
mod gather;
pub mod page;
mod read;
mod statistics;

pub use embeddings::{EmbeddingEndpoint, EmbeddingError};
pub use findings::Findings;
pub use gather::{Options, ReportError, findings};
pub use read::ReadError;

/// Returns the number of tokens of a text: counted if the vocabulary is built in, else estimated from its length.
pub(crate) fn tokens_of(text: &str) -> u64 {
    statistics::tokens::count(text).unwrap_or_else(|| (text.len() as u64).div_ceil(4))
}

/// Describes what `tokens_of` counts.
pub(crate) fn tokens_are() -> &'static str {
    match statistics::tokens::count("") {
        Some(_) => "those of o200k_base; other vocabularies differ by a tenth or so",
        None => "a fourth of the bytes",
    }
}
