//! What people see of a run: the progress line, log lines, the summary; and of its data: the report.
//!
//! `progress` and `summary` consume the engine's events. A report goes `read` -> `gather` (with the arithmetic of
//! `statistics`) -> `findings` -> `page`. Nothing here changes a run or writes to its directory.

mod embeddings;
pub mod findings;
mod gather;
pub mod page;
mod progress;
mod read;
mod statistics;
mod summary;

pub use embeddings::{EmbeddingError, Embeddings};
pub use findings::Findings;
pub use gather::{FindError, Options, findings};
pub use progress::show;
pub use read::ReadError;
pub use summary::{over_budget, print, summary, summary_json};
