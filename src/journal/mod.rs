//! Persistence of a run: the run directory, its files, and the logs that let a run outlive its process.
//!
//! Opening and recovery: `directory` creates or opens a run directory under its `lock`; `recover` reads what
//! earlier starts left, `integrity` checks that the files belong together, `content` verifies the outputs byte by
//! byte, and `start` begins a new start on top of that. `manifest` identifies the run.
//!
//! Writing: `writer` is the thread that appends outputs and then the commit record that names them, `answer_log`
//! the thread that appends model answers before they are used, `note_log` the thread that appends the notes of the
//! batch client; `kept` stores the texts of converted files. `commits`, `answers` and `notes` define the formats of the three logs, `frames` the framing they
//! share, `decision` what gates store in a commit, and `line_frames` the compression of provenance.
//!
//! Reading and changing finished runs: `reuse` looks up the answers of another run, `complete_run` reads its lines;
//! `repair` undoes commits so that their items are made again, together with their `dependents`, by means of
//! `rewrite`. `disk` is the trait behind all file access, so that tests can inject faults.
//!
//! Answers, notes and gate decisions are opaque bytes here; only their producers interpret them. How an item ends
//! is decided in `engine::ledger`.

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
mod kept;
mod line_frames;
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

pub use answer_log::{AnswerCollector, AnswerLog, AnswerLogThread};
pub use answers::{RequestKey, RequestKeys};
pub use array::{ArrayFile, write_array};
pub use commits::{GateKeys, ItemOutcome, Spent};
pub use complete_run::{CompleteRun, ItemLines, LineSpan, RunReadError};
pub use decision::{GateRecord, LostTo};
pub use directory::{OpenedRun, RunDirectory, RunSpec};
pub use frames::LogError;
pub use hex::{decode_hex, encode_hex};
pub use kept::KeptResults;
pub use line_frames::line_reader;
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
