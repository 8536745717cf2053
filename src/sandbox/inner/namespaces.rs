//! Namespaces of our own: processes, files, network and names that the program shares with nobody.
//!
//! Root makes them as root, so that the folders it may read can be shown to the program, which is another user. Others
//! need a user namespace; once the new root stands, a second one inside it takes their rights over the first away.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

use super::limits;
use crate::sandbox::confined::inner_argument;
use crate::sandbox::job::Place;

/// The user that a program sees itself as in a user namespace: `nobody`.
const NOBODY: u32 = 65534;

/// Makes namespaces, starts `program` in them and waits for its end.
pub(super) fn enter(options: &[&str]) -> Result<ExitCode, String> {
    let has = |option: &str| options.contains(&option);
    limits::close_descriptors()?;
    // Not one of queues and shared memory: those are refused, and the kernel takes long to end it.
    let mut flags = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
    if !has("network") {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    if has("user") {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    unshare(flags).map_err(|error| format!("cannot make namespaces: {error}"))?;
    if has("user") {
        map_user(0, uid, 0, gid)?;
    }
    limits::end_with_parent(Place::Prepared)?;
    let mut child = Command::new("/proc/self/exe")
        .arg(inner_argument())
        .spawn()
        .map_err(|error| format!("cannot start inside the namespaces: {error}"))?;
    let status = child.wait().map_err(|error| format!("cannot wait for the namespaces: {error}"))?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Enters a user namespace inside the first, which has no rights over the mounts.
pub(super) fn nest() -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWUSER)
        .map_err(|error| format!("cannot make a second user namespace: {error}"))?;
    map_user(NOBODY, 0, NOBODY, 0)
}

/// Maps one user and one group of a new user namespace to those outside.
fn map_user(uid: u32, outer_uid: u32, gid: u32, outer_gid: u32) -> Result<(), String> {
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("{uid} {outer_uid} 1"))?;
    write("/proc/self/gid_map", &format!("{gid} {outer_gid} 1"))
}

/// Writes a file of `/proc` at once, as it must be.
fn write(path: &str, text: &str) -> Result<(), String> {
    let written = std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("cannot write `{path}`: {error}"))
}
