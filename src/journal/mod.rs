//! What makes a run outlive its process: the run directory, its files and its logs.
//!
//! `directory` opens a run directory, new or found, under its `lock`; `recover` reads what earlier starts left,
//! `integrity` tells whether it belongs together, `content` whether the outputs are what was committed; `start`
//! goes on. `writer` is the thread that writes outputs and then the commit record that names them; `answer_log` is
//! the thread that writes what the model said, before it is passed on; `note_log` keeps notes of whoever works beside
//! the questions. `commits`, `answers` and `notes` are the formats of the three logs, all made of `frames`, and
//! `decision` is what gates left in the first. `reuse` finds answers of another run, `complete_run` its lines;
//! `repair` undoes commits so that their items are made again, with their `dependents`, through `rewrite`; `manifest`
//! says what run this is; `disk` is the trait that all file access goes through, so that tests can make it fail.
//!
//! Answers, notes and decisions are bytes here: what they mean is known to those who made them. Which item ends how is
//! decided in `engine::ledger`.

mod answer_log;
mod answers;
mod array;
mod aside;
mod commits;
mod complete_run;
mod content;
mod decision;
mod dependents;
mod directory;
pub mod disk;
mod frames;
mod hex;
mod integrity;
mod lock;
mod manifest;
mod new_file;
mod note_log;
mod notes;
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
pub use array::{ArrayFile, write_array};
pub use commits::{GateKeys, Outcome, Spent};
pub use complete_run::{CompleteRun, IncompleteRun, ItemLines, LinePlace};
pub use decision::{Decision, LostTo};
pub use directory::{Opened, RunDirectory, Wanted};
pub use frames::LogError;
pub use hex::{hex, unhex};
pub use manifest::{FileSum, LogLengths, Manifest, RunId, RunState};
pub use note_log::{Notes, NotesThread};
pub use notes::Carry;
pub use open_error::OpenError;
pub use recover::{Inspection, answers_in, inspect, items_in, notes_in, notes_left};
pub use repair::{Repaired, Retried, repair, retry_rejected};
pub use start::{Started, Storing};
pub use writer::{Committed, ItemCommit, Lines, PROVENANCE, REJECTED, SINKS, StorageError, Work, Writer};
