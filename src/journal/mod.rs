//! What makes a run outlive its process: the run directory, its files and its logs.
//!
//! `directory` opens a run directory, new or found, under its `lock`; `recover` reads what earlier starts left,
//! `integrity` tells whether it belongs together, `content` whether the outputs are what was committed; `start`
//! goes on. `writer` is
//! the thread that writes outputs and then the commit record that names them; `answer_log` is the thread
//! that writes what the model said, before it is passed on; `commits` and `answers` are the formats of the
//! two logs, both made of `frames`, and `decision` is what gates left in the first. `reuse` finds answers of another run; `repair`
//! undoes commits so that their items are made again, with their `dependents`, through `rewrite`; `manifest` says what run this is;
//! `disk` is the trait that all file access goes through, so that tests can make it fail. Which item ends
//! how is decided in `engine::ledger`, not here.

mod answer_log;
mod answers;
mod array;
mod aside;
mod batch_files;
mod batches;
mod commits;
mod content;
mod decision;
mod dependents;
mod directory;
pub mod disk;
mod frames;
mod integrity;
mod lock;
mod manifest;
mod new_file;
mod open_error;
mod outstanding;
mod recover;
mod removed;
mod repair;
mod reuse;
mod rewrite;
mod start;
mod writer;

pub use answer_log::{Answers, AnswersThread};
pub use answers::{Key, Names};
pub use array::write_array;
pub use batch_files::{BatchFiles, BatchThread};
pub use batches::{BatchEvent, OpenBatch, hex, unhex};
pub use commits::{GateKeys, Outcome, Spent};
pub use decision::{Decision, LostTo};
pub use directory::{Opened, RunDirectory, Wanted};
pub use frames::LogError;
pub use manifest::{FileSum, LogLengths, Manifest, RunId, RunState};
pub use open_error::OpenError;
pub use recover::{Inspection, answers_in, inspect, items_in};
pub use repair::{Repaired, Retried, repair, retry_rejected};
pub use start::{Started, Storing};
pub use writer::{Committed, ItemCommit, Lines, PROVENANCE, REJECTED, SINKS, StorageError, Work, Writer};
