//! What people see of a run: the progress line, log lines, and the summary at the end.
//!
//! Consumes the engine's events (`RunEvent`, `RunReport`) and changes nothing. What people see of the generated
//! data is in `report`.

mod empty_run;
mod progress;
mod summary;

pub use empty_run::RunCounts;
pub(crate) use progress::format_duration;
pub use progress::show_progress;
pub use summary::{
    cached_tokens, error_rate_exceeded, print_to_stderr, run_counts, summary, summary_json, without_usage,
};
