//! What people see of a run: the progress line, log lines, and the summary at the end.
//!
//! Consumes the engine's events (`RunEvent`, `RunReport`) and changes nothing. What people see of the generated
//! data is in `report`.

mod nothing;
mod progress;
mod summary;

pub use nothing::Counts;
pub use progress::show;
pub(crate) use progress::time;
pub use summary::{cached, counts, error_rate_exceeded, print, summary, summary_json, without_usage};
