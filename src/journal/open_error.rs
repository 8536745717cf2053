//! Why a run directory cannot be used: each reason with its own message, and what to do about it.

use std::path::PathBuf;

use super::frames::LogError;
use super::manifest::FORMAT;
use super::writer::StorageError;

/// Why a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works on it.
    #[error("another process works on `{0}`")]
    Locked(PathBuf),
    /// A folder with files of some other kind.
    #[error("`{0}` is not empty and holds no run\nhint: name another folder with `--out`")]
    Foreign(PathBuf),
    /// The pipeline's meaning changed since the run began.
    #[error(
        "the run in `{path}` was begun with another pipeline; these differ:\n  {}\n\
         hint: `--fresh` moves the old run aside and begins anew; `--reuse-answers` with it asks the model \
         only what really changed",
        .parts.join("\n  ")
    )]
    Different {
        /// The directory.
        path: PathBuf,
        /// What differs, `path: before -> after`.
        parts: Vec<String>,
    },
    /// Made by another version of the program.
    #[error("`{path}` has format {found}, this program reads format {FORMAT}")]
    Format {
        /// The directory.
        path: PathBuf,
        /// The format found.
        found: u64,
    },
    /// The manifest cannot be read as one.
    #[error("`{path}` is damaged: {message}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A log is damaged.
    #[error("`{path}`: {source}")]
    Log {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: LogError,
    },
    /// An output file is shorter than what was committed to it.
    #[error("`{path}` has {found} bytes, but {committed} were committed: it was cut or replaced")]
    Shortened {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The committed length.
        committed: u64,
    },
    /// An output file is gone.
    #[error("`{path}` is missing, but {committed} bytes were committed to it")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The committed length.
        committed: u64,
    },
    /// There is no run.
    #[error("`{0}` holds no run (it has no manifest.json)")]
    NoRun(PathBuf),
    /// The run whose answers should be used again is not there.
    #[error("`{0}` holds no run whose answers could be used again")]
    NoAnswers(PathBuf),
    /// The system refused an operation.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
