//! Why a run directory cannot be used: each reason with its message and a hint.

use std::path::PathBuf;

use super::answers::OLDEST_REUSED;
use super::frames::LogError;
use super::manifest::{FORMAT, OLDEST_FORMAT};
use super::writer::StorageError;

/// Why a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds its lock.
    #[error("another process works on `{0}`")]
    Locked(PathBuf),
    /// The folder holds files of another kind.
    #[error("`{0}` is not empty and holds no run\nhint: name another folder with `--out`")]
    Foreign(PathBuf),
    /// The pipeline's meaning has changed since the run began.
    #[error(
        "the run in `{path}` was begun with another pipeline; these differ:\n  {}\n\
         hint: `--fresh` moves the old run aside and begins anew; `--reuse-answers` with it asks the model \
         only what really changed",
        .parts.join("\n  ")
    )]
    Different {
        /// The directory.
        path: PathBuf,
        /// The differences, `path: before -> after`.
        parts: Vec<String>,
    },
    /// It was made by another version of the program.
    #[error(
        "`{path}` has format {found}; this program reads formats {OLDEST_FORMAT} to {FORMAT}\n\
         hint: finish it with the {} release of the program that began it, or begin anew with `--fresh`, which moves \
         it aside as it is; {}",
        if *found < u64::from(FORMAT) { "earlier" } else { "later" },
        answers_of(*found)
    )]
    Format {
        /// The directory.
        path: PathBuf,
        /// The format found.
        found: u64,
    },
    /// The manifest cannot be parsed.
    #[error(
        "`{path}` is damaged: {message}\n\
         hint: put it back from a copy, or begin anew with `--fresh --reuse-answers`, which moves the run aside and \
         uses its answers again"
    )]
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
    /// The files of the run do not belong together.
    #[error(
        "`{path}` is not as its last start left it:\n{}\n\
         hint: put the files back as they were, or let `synthmill repair {path}` take out what does not hold, to \
         be made again; `--fresh` moves the whole run aside and begins anew",
        lines(.found)
    )]
    Contradicted {
        /// The directory.
        path: PathBuf,
        /// The contradictions, one per entry.
        found: Vec<String>,
    },
    /// There are files of a run, but no manifest.
    #[error(
        "`{path}` has no `manifest.json`, which says what run it is, but has files of one (`{file}`)\n\
         hint: put the manifest back, or begin anew with `--fresh --reuse-answers`, which moves the run aside and \
         uses its answers again"
    )]
    NoManifest {
        /// The directory.
        path: PathBuf,
        /// One of the files.
        file: PathBuf,
    },
    /// There is no run.
    #[error("`{0}` holds no run (it has no manifest.json)")]
    NoRun(PathBuf),
    /// The run whose answers should be reused is not there.
    #[error("`{0}` holds no run whose answers could be used again")]
    NoAnswers(PathBuf),
    /// A file operation failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Says whether the answers of a run in another format can be reused.
fn answers_of(format: u64) -> String {
    match (u64::from(OLDEST_REUSED)..u64::from(FORMAT)).contains(&format) {
        true => {
            "with `--reuse-answers` besides, questions that are still the same are not asked again".to_owned()
        }
        false => format!(
            "its answers cannot be used again, since those of formats {OLDEST_REUSED} to {FORMAT} alone are read"
        ),
    }
}

/// Returns the first findings, indented.
fn lines(found: &[String]) -> String {
    const MOST: usize = 10;
    let mut lines: Vec<String> = found.iter().take(MOST).map(|line| format!("  {line}")).collect();
    if found.len() > MOST {
        lines.push(format!("  and {} more", found.len() - MOST));
    }
    lines.join("\n")
}
