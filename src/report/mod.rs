//! What people see of the data that a run made: the report.
//!
//! A report goes `read` -> `gather` (with the arithmetic of `statistics`) -> `findings` -> `page`. Nothing here changes a
//! run or writes to its directory. What people see of the run itself is `run`'s.

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

/// Tokens of a text: counted where the vocabulary is built in, else by its length.
pub(crate) fn tokens_of(text: &str) -> u64 {
    statistics::tokens::count(text).unwrap_or_else(|| (text.len() as u64).div_ceil(4))
}

/// What `tokens_of` counts.
pub(crate) fn tokens_are() -> &'static str {
    match statistics::tokens::count("") {
        Some(_) => "those of o200k_base; other vocabularies differ by a tenth or so",
        None => "a fourth of the bytes",
    }
}
