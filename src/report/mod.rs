//! What people see of a run: the progress line, log lines, the summary. Consumers of the engine's events.
//!
//! Nothing here changes a run or writes to its directory.

mod progress;
mod summary;

pub use progress::show;
pub use summary::{over_budget, print, summary, summary_json};
