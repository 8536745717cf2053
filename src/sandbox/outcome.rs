//! The outcome of a program, from how its process ended and what it wrote.

use std::process::ExitStatus;
use std::time::Instant;

use super::output::ProgramOutput;
use super::{ProgramOutcome, ProgramStatus};

impl ProgramOutcome {
    /// The outcome of a program that `status` tells of, or of one that still ran and was ended.
    pub(super) fn new(
        status: ProgramStatus,
        ended: Option<ExitStatus>,
        start: Instant,
        output: ProgramOutput,
    ) -> Self {
        Self {
            status,
            exit_code: ended.and_then(|ended| ended.code()),
            signal: ended.and_then(signal),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            seconds: start.elapsed().as_secs_f64(),
            peak_memory: 0,
        }
    }
}

/// How a program ended that ended by itself.
pub(super) fn own_end(ended: ExitStatus) -> ProgramStatus {
    match ended.code() {
        Some(0) => ProgramStatus::Finished,
        Some(_) => ProgramStatus::Failed,
        None => ProgramStatus::Crashed,
    }
}

#[cfg(unix)]
fn signal(ended: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&ended)
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}

/// The text of an output, in which bytes that are not UTF-8 are replaced.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
