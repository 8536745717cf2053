//! Why a run directory cannot be used: each reason with its own message, and what to do about it.

use std::path::PathBuf;

use super::answers::OLDEST_REUSED;
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
    #[error(
        "`{path}` has format {found}; this program reads and writes format {FORMAT}\n\
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
    /// The manifest cannot be read as one.
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
        /// What does not hold, a line each.
        found: Vec<String>,
    },
    /// Files of a run, but nothing that says of which.
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
    /// The run whose answers should be used again is not there.
    #[error("`{0}` holds no run whose answers could be used again")]
    NoAnswers(PathBuf),
    /// The system refused an operation.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What becomes of the answers of a run of another format.
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

/// The first of what was found, indented.
fn lines(found: &[String]) -> String {
    const MOST: usize = 10;
    let mut lines: Vec<String> = found.iter().take(MOST).map(|line| format!("  {line}")).collect();
    if found.len() > MOST {
        lines.push(format!("  and {} more", found.len() - MOST));
    }
    lines.join("\n")
}
