//! The command of a stage: finds the program, and the files of the project that the arguments name.
//!
//! A program runs in a work folder of its own, where relative paths of the project mean nothing; so an argument that
//! names a file is passed as an absolute path, and the file may be read.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::sandbox::PATH;

/// An argument of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::stages) enum Argument {
    /// A file or folder of the project, by its absolute path.
    Path(PathBuf),
    /// Anything else.
    Text(String),
}

impl Argument {
    /// What an argument means that names nothing of a record.
    pub(in crate::stages) fn of(text: &str) -> Self {
        let path = Path::new(text);
        // A plain word such as `test` is taken for a file only if it has an extension.
        let looks_like_path = text.contains('/') || path.extension().is_some();
        match std::path::absolute(path) {
            Ok(absolute) if looks_like_path && path.exists() => Self::Path(absolute),
            _ => Self::Text(text.to_owned()),
        }
    }
}

/// Why a program cannot be started.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::stages) enum CommandError {
    #[error("the program `{0}` is in none of `{PATH}`")]
    NotFound(String),
    #[error("the program `{0}` does not exist")]
    Missing(String),
    #[error("the file `{0}` is no program: it is not executable")]
    NotExecutable(String),
}

/// The program that a command names: a name in one of the system's folders, or a path.
pub(in crate::stages) fn find(program: &str) -> Result<String, CommandError> {
    if program.contains('/') {
        let path = std::path::absolute(program).unwrap_or_else(|_| program.into());
        return match path.metadata() {
            Err(_) => Err(CommandError::Missing(program.to_owned())),
            Ok(metadata) if metadata.is_dir() || metadata.permissions().mode() & 0o111 == 0 => {
                Err(CommandError::NotExecutable(program.to_owned()))
            }
            Ok(_) => Ok(path.to_string_lossy().into_owned()),
        };
    }
    let is_there = |folder: &&str| Path::new(folder).join(program).is_file();
    match PATH.split(':').find(is_there) {
        Some(_) => Ok(program.to_owned()),
        None => Err(CommandError::NotFound(program.to_owned())),
    }
}
