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
pub use read::{FieldGap, FieldPair, ReadError};
