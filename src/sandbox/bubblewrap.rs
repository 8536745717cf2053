//! The command line of bubblewrap: a new root as `inner/new_root.rs` makes it, and all namespaces.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::SYSTEM;
use super::confined::{executable, inner_argument, inner_environment};
use super::job::Job;
use super::view::WRITABLE;

/// Where our own program is inside.
const OUR_PROGRAM: &str = "/.synthmill";

/// The command that starts our own program inside for this job.
pub(super) fn command(bwrap: &Path, job: &Job) -> Command {
    let mut arguments = Arguments::default();
    arguments.add(["--die-with-parent", "--new-session", "--as-pid-1", "--unshare-pid", "--unshare-uts"]);
    if !job.network {
        arguments.add(["--unshare-net"]);
    }
    if job.uid.is_none() {
        arguments.add(["--unshare-user"]);
    }
    for folder in SYSTEM {
        match Path::new(folder).read_link() {
            Ok(target) => arguments.add([OsStr::new("--symlink"), target.as_os_str(), OsStr::new(folder)]),
            Err(_) => arguments.add(["--ro-bind-try", folder, folder]),
        }
    }
    // All of it, since bubblewrap takes a sixth of a millisecond for each mount: landlock leaves only the files that every
    // program may read (`SYSTEM_FILES`).
    arguments.add(["--ro-bind-try", "/etc", "/etc"]);
    arguments.add(["--proc", "/proc", "--dev", "/dev"]);
    let size = job.limits.memory.to_string();
    for folder in WRITABLE {
        arguments.add(["--perms", "0700", "--size", &size, "--tmpfs", folder]);
    }
    for path in &job.readable {
        arguments.add_parents(path);
        arguments.add([OsStr::new("--ro-bind"), path.as_os_str(), path.as_os_str()]);
    }
    arguments.add([OsStr::new("--ro-bind"), executable().as_os_str(), OsStr::new(OUR_PROGRAM)]);
    arguments.add(["--remount-ro", "/", "--chdir", "/", "--", OUR_PROGRAM]);
    let mut command = Command::new(bwrap);
    command.args(arguments.all).arg(inner_argument()).env_clear().envs(inner_environment());
    command
}

#[derive(Default)]
struct Arguments {
    all: Vec<OsString>,
    /// The folders that are made so far.
    folders: BTreeSet<PathBuf>,
}

impl Arguments {
    fn add<T: AsRef<OsStr>, const N: usize>(&mut self, arguments: [T; N]) {
        self.all.extend(arguments.iter().map(|argument| argument.as_ref().to_owned()));
    }

    /// Makes the folders above a path, which by themselves would be open to their owner only.
    fn add_parents(&mut self, path: &Path) {
        let mut parents: Vec<&Path> = path.ancestors().skip(1).collect();
        parents.pop();
        for parent in parents.into_iter().rev() {
            if self.folders.insert(parent.to_owned()) {
                self.add([
                    OsStr::new("--perms"),
                    OsStr::new("0755"),
                    OsStr::new("--dir"),
                    parent.as_os_str(),
                ]);
            }
        }
    }
}
