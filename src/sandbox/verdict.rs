//! The status of a confined program, from the report of how it ended.
//!
//! What a sandbox refuses is an error inside the program, which then usually fails and says why. So the end of its
//! standard error tells kinds of failure apart; it never makes a success of a failure or the reverse.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::job::ProgramReport;
use super::output::ProgramOutput;
use super::view::WORK_FOLDER;
use super::{ProgramOutcome, ProgramStatus, command};

/// Bytes of the end of standard error that are looked at.
const LOOKED_AT: usize = 2000;

/// Signals of the kernel for limits: processor time and the size of files.
const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;
/// A system call of another architecture.
const SIGSYS: i32 = 31;
const SIGABRT: i32 = 6;
const SIGTRAP: i32 = 5;

/// What programs say when something is refused, in the order in which it is looked for.
const MESSAGES: [(ProgramStatus, &[&str]); 5] = [
    (
        ProgramStatus::OutOfMemory,
        &[
            "MemoryError",
            "Cannot allocate memory",
            "bad_alloc",
            "out of memory",
            "OutOfMemory",
            "memory exhausted",
            "No space left on device",
            "ENOSPC",
        ],
    ),
    (ProgramStatus::TooMuchOutput, &["File too large", "EFBIG", "File size limit exceeded"]),
    (
        ProgramStatus::TooManyProcesses,
        &["Resource temporarily unavailable", "can't start new thread", "EAGAIN", "Cannot fork"],
    ),
    (
        ProgramStatus::Network,
        &[
            "Network is down",
            "Network is unreachable",
            "name resolution",
            "Name or service not known",
            "resolve host",
            "ENETDOWN",
            "ENETUNREACH",
            "EAI_AGAIN",
        ],
    ),
    (
        ProgramStatus::Denied,
        &[
            "Permission denied",
            "PermissionError",
            "Operation not permitted",
            "Read-only file system",
            "Invalid cross-device link",
            "EACCES",
            "EPERM",
            "EROFS",
            "EXDEV",
        ],
    ),
];

/// Folders that are there inside as well, with other contents.
const PARTLY_SHOWN: [&str; 6] = ["/", "/dev", "/dev/shm", "/etc", "/proc", "/tmp"];

/// How a program ended.
///
/// `readable` is what it was given to read besides the system.
pub(super) fn status(report: &ProgramReport, stderr: &[u8], readable: &[PathBuf]) -> ProgramStatus {
    if let Some(broken) = report.broken {
        return broken;
    }
    match (report.signal, report.exit_code) {
        (Some(SIGXCPU), _) => ProgramStatus::CpuTime,
        (Some(SIGXFSZ), _) => ProgramStatus::TooMuchOutput,
        (Some(SIGSYS), _) => ProgramStatus::Denied,
        // What a runtime does when it has no more memory.
        (Some(SIGABRT | SIGTRAP), _) => told(stderr, readable)
            .filter(|told| *told == ProgramStatus::OutOfMemory)
            .unwrap_or(ProgramStatus::Crashed),
        (Some(_), _) => ProgramStatus::Crashed,
        (None, Some(0)) => ProgramStatus::Finished,
        // As shells report a signal of what they ran.
        (None, Some(code)) if code == 128 + SIGXFSZ => ProgramStatus::TooMuchOutput,
        (None, Some(code)) if code == 128 + SIGXCPU => ProgramStatus::CpuTime,
        (None, _) => told(stderr, readable).unwrap_or(ProgramStatus::Failed),
    }
}

/// The kind of failure that the end of standard error tells of.
fn told(stderr: &[u8], readable: &[PathBuf]) -> Option<ProgramStatus> {
    let end = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(LOOKED_AT)..]);
    let found = MESSAGES.iter().find(|(_, texts)| texts.iter().any(|text| end.contains(text)));
    found
        .map(|(status, _)| *status)
        .or_else(|| names_hidden_file(&end, readable).then_some(ProgramStatus::Denied))
}

/// Whether a message says that a file is not there which only the sandbox hides.
fn names_hidden_file(message: &str, readable: &[PathBuf]) -> bool {
    if !["No such file or directory", "ENOENT", "not found"].iter().any(|text| message.contains(text)) {
        return false;
    }
    let is_end = |char: char| char.is_whitespace() || "'\"`:,;()<>".contains(char);
    let words = message.split(is_end).map(|word| match word.rsplit_once("../") {
        // All the way up: nobody works so deep.
        Some((up, rest)) if up.len() > 12 => format!("/{rest}"),
        _ => word.to_owned(),
    });
    words.filter(|word| word.len() > 1 && word.starts_with('/')).map(PathBuf::from).any(|path| {
        let shown = command::is_of_system(&path)
            || path.starts_with(WORK_FOLDER)
            || readable.iter().any(|readable| path.starts_with(readable));
        // A new file has only a folder that is there.
        let folder =
            path.parent().filter(|folder| !PARTLY_SHOWN.iter().any(|shown| *folder == Path::new(shown)));
        !shown && (path.symlink_metadata().is_ok() || folder.is_some_and(Path::is_dir))
    })
}

/// The outcome of a program with this status.
pub(super) fn outcome(
    status: ProgramStatus,
    report: &ProgramReport,
    start: Instant,
    output: ProgramOutput,
) -> ProgramOutcome {
    let mut outcome = ProgramOutcome::new(status, None, start, output);
    // A signal that we sent for a limit is not the program's.
    if report.broken.is_none() {
        outcome.exit_code = report.exit_code;
        outcome.signal = report.signal;
    }
    if report.seconds > 0.0 {
        outcome.seconds = report.seconds;
    }
    outcome.peak_memory = report.peak_memory;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_standard_error_tells_kinds_of_failure_apart() {
        let failed = ProgramReport { exit_code: Some(1), ..ProgramReport::default() };
        let cases = [
            ("OSError: [Errno 100] Network is down", ProgramStatus::Network),
            ("Traceback\nMemoryError\n", ProgramStatus::OutOfMemory),
            ("sh: 1: cannot create /etc/x: Permission denied", ProgramStatus::Denied),
            ("[Errno 2] No such file or directory: '/etc/shadow'", ProgramStatus::Denied),
            ("cat: ../../../../../../etc/shadow: No such file or directory", ProgramStatus::Denied),
            ("[Errno 2] No such file or directory: '/etc/no-such-file'", ProgramStatus::Failed),
            ("[Errno 2] No such file or directory: 'data.txt'", ProgramStatus::Failed),
            ("AssertionError", ProgramStatus::Failed),
        ];
        for (stderr, expected) in cases {
            assert_eq!(status(&failed, stderr.as_bytes(), &[]), expected, "{stderr}");
        }
        // The traceback of a script that it may read.
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
        let stderr = format!("File \"{}\", line 3\nKeyError: 'word not found'\n", script.display());
        assert_eq!(status(&failed, stderr.as_bytes(), &[]), ProgramStatus::Denied);
        assert_eq!(status(&failed, stderr.as_bytes(), &[script]), ProgramStatus::Failed);
        let finished = ProgramReport { exit_code: Some(0), ..ProgramReport::default() };
        assert_eq!(status(&finished, b"MemoryError", &[]), ProgramStatus::Finished);
        let broken = ProgramReport { broken: Some(ProgramStatus::CpuTime), ..finished };
        assert_eq!(status(&broken, b"", &[]), ProgramStatus::CpuTime);
    }
}
