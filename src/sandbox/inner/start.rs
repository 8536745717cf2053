//! Starts the program with its limits, which a thread takes upon itself and the program inherits.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use super::{files, limits, system_calls};
use crate::sandbox::job::{self, Job};

/// Starts the program; returns its process and the version of landlock that restricts it.
pub(super) fn start(job: &Job) -> Result<(Pid, i32), String> {
    // No terminal can be reached from a session of our own. It is ours already if a sandbox made it.
    let _ = nix::unistd::setsid();
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    std::thread::scope(|scope| {
        let started = thread.spawn_scoped(scope, || become_limited_and_start(job));
        let started = started.map_err(|error| format!("cannot start a thread: {error}"))?;
        started.join().unwrap_or_else(|_| Err("the thread that starts the program failed".to_owned()))
    })
}

fn become_limited_and_start(job: &Job) -> Result<(Pid, i32), String> {
    let failed = |error| format!("cannot prepare the start of the program: {error}");
    SigSet::empty().thread_set_mask().map_err(failed)?;
    let (program, arguments) = job.command.split_first().ok_or("the command is empty")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&job.env).process_group(0);
    if let Some(uid) = job.uid {
        command.uid(uid).gid(uid);
    }
    prctl::set_no_new_privs().map_err(failed)?;
    let landlock = files::restrict(job)?;
    limits::apply(job)?;
    system_calls::restrict(job)?;
    // From here on, whatever happens is the program's doing, unless the report says that it did not start.
    eprint_start(job)?;
    let child = command.spawn().map_err(|error| format!("cannot start the program `{program}`: {error}"))?;
    let id = i32::try_from(child.id()).map_err(|error| format!("cannot know the program: {error}"))?;
    Ok((Pid::from_raw(id), landlock))
}

fn eprint_start(job: &Job) -> Result<(), String> {
    let line = job::start_line(&job.word);
    let written = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    written.map_err(|error| format!("cannot report: {error}"))
}
