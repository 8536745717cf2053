//! Limits and properties of a process that need neither landlock nor seccomp.

use std::fs::File;
use std::os::fd::AsFd;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use rlimit::Resource;

use crate::sandbox::job::{Job, Place};

/// Processes beyond the limit that may start, so that the watch sees more than the limit rather than a program that
/// fails for reasons of its own. Our own processes of the same user are among them.
const SPARE_PROCESSES: u64 = 8;
/// Files that a process may have open.
const OPEN_FILES: u64 = 256;
/// Address space that a process may reserve beyond its memory, for the stacks of its threads.
const SPARE_DATA: u64 = 64 << 20;

/// Closes all descriptors that we inherited except the standard streams.
pub(super) fn close_descriptors() -> Result<(), String> {
    let failed = |error| format!("cannot list the open files: {error}");
    let folder = std::fs::read_dir("/proc/self/fd").map_err(failed)?;
    let open: Vec<i32> = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The one of the listing itself is closed already.
        let _ = nix::unistd::close(descriptor);
    }
    Ok(())
}

/// Standard input without a buffer: what follows the job is for the program.
pub(super) fn unbuffered_stdin() -> Result<File, String> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    stdin.map(File::from).map_err(|error| format!("cannot read standard input: {error}"))
}

/// Lets a user open the standard streams again by their names in `/dev`.
pub(super) fn give_streams_to(uid: u32) {
    use std::os::unix::fs::fchown;
    // One that is no pipe stays as it is.
    let _ = fchown(std::io::stdin(), Some(uid), Some(uid));
    let _ = fchown(std::io::stdout(), Some(uid), Some(uid));
    let _ = fchown(std::io::stderr(), Some(uid), Some(uid));
}

/// Ends this process when the one that started it ends, however that happens.
pub(super) fn end_with_parent(place: Place) -> Result<(), String> {
    let signal = match place {
        // It must still end what it started.
        Place::Plain => Signal::SIGTERM,
        Place::Prepared | Place::Namespaces { .. } => Signal::SIGKILL,
    };
    if place == Place::Plain {
        // Processes whose parents end become ours, so that none is lost sight of.
        prctl::set_child_subreaper(true).map_err(|error| format!("cannot adopt processes: {error}"))?;
    }
    prctl::set_pdeathsig(signal).map_err(|error| format!("cannot depend on the parent: {error}"))
}

/// Keeps other processes of the same user from reading our memory, with the word of the report, and from tracing us.
pub(super) fn become_unreadable() -> Result<(), String> {
    prctl::set_dumpable(false).map_err(|error| format!("cannot become unreadable: {error}"))
}

/// Sets the limits that the program inherits.
pub(super) fn apply(job: &Job) -> Result<(), String> {
    let limits = &job.limits;
    let processes = u64::from(limits.processes) + SPARE_PROCESSES + others_of_this_user(job);
    set(Resource::NPROC, processes, processes)?;
    set(Resource::FSIZE, limits.file_bytes, limits.file_bytes)?;
    set(Resource::CORE, 0, 0)?;
    set(Resource::NOFILE, OPEN_FILES, OPEN_FILES)?;
    let data = limits.memory.saturating_add(limits.memory / 2).saturating_add(SPARE_DATA);
    set(Resource::DATA, data, data)?;
    if let Some(seconds) = limits.cpu_seconds {
        // The watch counts all processes together; this holds for each, should the watch be slow.
        set(Resource::CPU, seconds + 1, seconds + 2)?;
    }
    Ok(())
}

/// The limit of processes counts those of the user: where the program is the same user as others, all of theirs.
fn others_of_this_user(job: &Job) -> u64 {
    if job.place != Place::Plain || job.uid.is_some() {
        return 0;
    }
    super::processes::tasks_of_user(nix::unistd::getuid().as_raw())
}

/// Sets a limit, or leaves a lower one that is there already.
fn set(resource: Resource, soft: u64, hard: u64) -> Result<(), String> {
    let failed = |error| format!("cannot set the limit `{}`: {error}", resource.as_name());
    let (_, most) = resource.get().map_err(failed)?;
    resource.set(soft.min(most), hard.min(most)).map_err(failed)
}
