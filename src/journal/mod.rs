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
mod archive;
mod array;
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

pub use answer_log::{AnswerLog, AnswerLogThread};
pub use answers::{RequestKey, RequestKeys};
pub use array::{ArrayFile, write_array};
pub use commits::{GateKeys, ItemOutcome, Spent};
pub use complete_run::{CompleteRun, ItemLines, LineSpan, RunReadError};
pub use decision::{GateRecord, LostTo};
pub use directory::{OpenedRun, RunDirectory, RunSpec};
pub use frames::LogError;
pub use hex::{decode_hex, encode_hex};
pub use manifest::{FileChecksum, LogLengths, Manifest, RunId, RunState};
pub use note_log::{NoteLog, NoteLogThread};
pub use notes::CompactNotes;
pub use open_error::OpenError;
pub use recover::{RunInspection, count_answers, count_items, inspect, pending_notes, read_notes};
pub use repair::{RepairReport, RetryReport, repair, retry_rejected};
pub use start::{StartedRun, StorageOptions};
pub use writer::{
    CommitWriter, CommittedTotals, ItemCommit, OutputLines, PROVENANCE, REJECTED, SINKS, StorageError,
    WriterCommand,
};
