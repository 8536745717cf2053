//! What people see of a run: the progress line, log lines, the summary; and of its data: the report.
//!
//! `progress` and `summary` consume the engine's events. A report goes `read` -> `gather` (with the arithmetic of
//! `statistics`) -> `findings` -> `page`. Nothing here changes a run or writes to its directory.

mod embeddings;
pub mod findings;
mod gather;
mod nothing;
pub mod page;
mod progress;
mod read;
mod statistics;
mod summary;

pub use embeddings::{EmbeddingError, Embeddings};
pub use findings::Findings;
pub use gather::{FindError, Options, findings};
pub use nothing::Counts;
pub use progress::show;
pub(crate) use progress::time;
pub use read::ReadError;
pub use summary::{cached, counts, over_budget, print, summary, summary_json, without_usage};

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
