//! Our program inside the sandbox: it limits itself, starts the program, watches it, and ends with it.
//!
//! A sandbox starts our own program again with a hidden command. `enter` makes namespaces and starts `program`, which
//! thereby is the first process in them; bubblewrap starts `program` at once. `program` reads the job, makes a
//! new root (`new_root`), and has a thread limit itself for good (`limits`, `files`, `system_calls`) and start the program,
//! which inherits the limits; its first thread stays free to watch (`watch`) and to report.
//!
//! Nothing here may rely on what the program leaves undone: it is hostile from its first instruction.

mod files;
mod limits;
mod namespaces;
mod new_root;
mod processes;
mod start;
mod system_calls;
mod watch;

use std::io::Write;
use std::process::ExitCode;

use super::job::{Job, Place, ProgramReport};
use super::memory_group::{self, JOIN};
use super::view::WRITABLE;
use super::work_folder;

/// The exit code for what is not the program's doing.
const FAILED: u8 = 125;

/// Runs a step of the sandbox, which its options follow.
pub(super) fn main(step: &str) -> ExitCode {
    let parts: Vec<&str> = step.split(':').collect();
    let done = match parts[..] {
        ["enter", ref options @ ..] => namespaces::enter(options),
        ["program"] => program(),
        [JOIN] => memory_group::join_and_become(std::env::args_os().skip(2)),
        _ => Err("this command is started by a sandbox only".to_owned()),
    };
    match done {
        Ok(code) => code,
        Err(message) => {
            let _ = write!(std::io::stderr(), "{message}");
            FAILED.into()
        }
    }
}

/// Reads the job from standard input, runs it and reports.
fn program() -> Result<ExitCode, String> {
    limits::close_descriptors()?;
    let (job, contents) = Job::read(&mut limits::unbuffered_stdin()?)?;
    let signals = watch::block_signals()?;
    limits::end_with_parent(job.place)?;
    prepare(&job, &contents)?;
    drop(contents);
    let report = match start::start(&job) {
        Ok((leader, landlock)) => {
            let report = watch::watch(leader, &signals, &job);
            ProgramReport { landlock, ..report }
        }
        Err(message) => ProgramReport { error: Some(message), ..ProgramReport::default() },
    };
    if job.place == Place::Plain {
        watch::remove(&job.folder);
    }
    let _ = std::io::stderr().write_all(report.line(&job.word).as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// Makes the new root and the work folder, and gives up the rights that this took.
fn prepare(job: &Job, contents: &[Vec<u8>]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot enter the work folder: {error}");
    if let Place::Namespaces { .. } = job.place {
        new_root::enter(job)?;
    }
    std::env::set_current_dir(&job.folder).map_err(failed)?;
    let files = job.files.iter().map(|(name, _)| name.as_str()).zip(contents.iter().map(Vec::as_slice));
    work_folder::place(&job.folder, files).map_err(|error| error.message)?;
    if let Some(uid) = job.uid {
        limits::give_streams_to(uid);
        work_folder::give_to(&job.folder, uid).map_err(failed)?;
        if job.place == Place::Prepared {
            // Not what lies in them, which may be shown to the program to read.
            for folder in WRITABLE {
                std::os::unix::fs::lchown(folder, Some(uid), Some(uid)).map_err(failed)?;
            }
        }
    }
    if job.place == (Place::Namespaces { user: true }) {
        namespaces::nest()?;
    }
    limits::become_unreadable()
}
