//! Exit codes, and how an error is printed.

use std::process::ExitCode;

use super::terminal;
use crate::config::LoadError;
use crate::engine::BuildPipelineError;
use crate::journal::{OpenError, StorageError};
use crate::report::{ReadError, ReportError};

/// The exit codes of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or there was nothing left to do.
    Complete = 0,
    /// An unexpected error.
    Unexpected = 1,
    /// Wrong arguments or a wrong pipeline file; also a pipeline that differs from its run.
    Usage = 2,
    /// A file cannot be written or read, another process works on the run directory, or the source changed during
    /// the run.
    Storage = 3,
    /// A model cannot be used: credentials, quota, an unknown model, an unreachable server; or the sandbox of a program
    /// fails.
    Model = 4,
    /// Too many items were rejected, in which case the same command resumes the run; or nothing was made.
    TooManyRejected = 5,
    /// The source ended before the requested number of items was accepted.
    SourceEnded = 6,
    /// The next request might exceed the budget; the same command resumes the run once the budget is raised.
    OutOfBudget = 7,
    /// A test of a pipeline failed.
    TestFailed = 8,
    /// Stopped before the end; the same command resumes the run.
    Interrupted = 75,
}

/// The exit codes as `--help` lists them.
pub(super) const HELP: &str = "Exit codes: 0 complete, 1 unexpected, 2 arguments or pipeline file, 3 storage, \
4 credentials, quota, a model or a program that cannot be used, 5 too many rejected or nothing made, 6 source ended early, \
7 budget used up, 8 a test of a pipeline failed, 75 interrupted and resumable.";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints an error with its causes, or logs it if logs are JSON, and returns the exit code for it.
pub(super) fn report(error: &anyhow::Error, json: bool) -> Exit {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Some messages already include their cause.
        if !text.contains(&cause) {
            text.push_str(&format!("  because: {cause}\n"));
        }
    }
    if json {
        tracing::error!("{}", text.trim_end());
    } else {
        terminal::print_error(&text);
    }
    code(error)
}

fn code(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if cause.is::<StorageError>() {
            return Exit::Storage;
        }
        if let Some(error) = cause.downcast_ref::<OpenError>() {
            return match error {
                OpenError::Different { .. } | OpenError::Foreign(_) => Exit::Usage,
                _ => Exit::Storage,
            };
        }
        match cause.downcast_ref::<ReportError>() {
            Some(ReportError::Read(ReadError::File { .. })) => return Exit::Storage,
            Some(ReportError::Read(_) | ReportError::Agree { .. }) => return Exit::Usage,
            Some(ReportError::Embedding(_)) => return Exit::Model,
            None => {}
        }
        if cause.is::<LoadError>() || cause.is::<BuildPipelineError>() || cause.is::<UsageError>() {
            return Exit::Usage;
        }
    }
    Exit::Unexpected
}

/// An error in the arguments.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented() {
        let page = include_str!("../../docs/commands.md");
        for code in [
            Exit::Complete,
            Exit::Unexpected,
            Exit::Usage,
            Exit::Storage,
            Exit::Model,
            Exit::TooManyRejected,
            Exit::SourceEnded,
            Exit::OutOfBudget,
            Exit::TestFailed,
            Exit::Interrupted,
        ] {
            let number = code as u8;
            assert!(page.contains(&format!("\n| {number} | ")), "{code:?} is not in docs/commands.md");
            assert!(HELP.contains(&format!(" {number} ")), "{code:?} is not in the help");
        }
    }
}
