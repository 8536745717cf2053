//! What makes a run outlive its process: the run directory, its files and its commit log.
//!
//! `directory` opens a run directory, new or found, and tells which items are done; `writer` is the one
//! thread that writes: outputs first, then the commit record that names them; `commits` is the log's
//! format; `manifest` says what run this is; `disk` is the trait that all file access goes through, so that
//! tests can make it fail. Which item ends how is decided in `engine::ledger`, not here.

mod array;
mod commits;
mod directory;
pub mod disk;
mod manifest;
mod writer;

pub use array::write_array;
pub use commits::{CommitLogError, Outcome};
pub use directory::{Inspection, OpenError, Opened, RunDirectory, Wanted, inspect};
pub use manifest::{Manifest, RunState};
pub use writer::{Committed, ItemCommit, PROVENANCE, REJECTED, SINKS, StorageError, Work, Writer};
