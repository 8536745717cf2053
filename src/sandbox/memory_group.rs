//! Groups of processes whose memory the kernel counts and limits (cgroups), where we may make them: mostly as root.
//!
//! The watch inside a sandbox sees what processes have mapped. A group also counts what they only hold, such as shared
//! memory that nobody maps and buffers of pipes, and it holds while nobody looks. Without one, the limits of `inner` remain.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::HIDDEN_COMMAND;
use super::confined::{executable, inner_environment};

/// The name of our groups, before the number of our process.
const NAME: &str = "synthmill-";
/// The step that joins a group.
pub(super) const JOIN: &str = "join";
/// Bytes for our own processes in a group, and for programs that the watch ends first.
const SPARE: u64 = 48 << 20;

static GROUPS: OnceLock<Option<Groups>> = OnceLock::new();
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Where groups can be made.
#[derive(Debug)]
struct Groups {
    folder: PathBuf,
    files: &'static GroupFiles,
}

/// The names of a group's files, which differ between the versions.
#[derive(Debug)]
struct GroupFiles {
    limits: [&'static str; 2],
    events: &'static str,
}

const VERSION_1: GroupFiles = GroupFiles {
    limits: ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"],
    events: "memory.oom_control",
};
const VERSION_2: GroupFiles =
    GroupFiles { limits: ["memory.max", "memory.swap.max"], events: "memory.events" };

/// A group for one program. Dropping it removes it, if all of its processes have ended.
#[derive(Debug)]
pub(super) struct MemoryGroup {
    folder: PathBuf,
    events: &'static str,
}

impl MemoryGroup {
    /// Makes a group with a limit; `None` where that is not possible.
    pub(super) fn new(memory: u64) -> Option<Self> {
        let groups = GROUPS.get_or_init(find).as_ref()?;
        groups.make(memory).ok()
    }

    /// Whether groups can be made here.
    pub(super) fn are_possible() -> bool {
        GROUPS.get_or_init(find).is_some()
    }

    /// A command that joins the group and then becomes `command`, so that nothing of it runs outside.
    pub(super) fn join(&self, command: &Command) -> Command {
        let mut joining = Command::new(executable());
        joining.arg(format!("{HIDDEN_COMMAND}{JOIN}")).arg(self.folder.join("cgroup.procs"));
        joining.arg(command.get_program()).args(command.get_args());
        joining.env_clear().envs(inner_environment());
        joining
    }

    /// Whether a process was ended since the group had no more memory.
    pub(super) fn is_exceeded(&self) -> bool {
        let events = fs::read_to_string(self.folder.join(self.events)).unwrap_or_default();
        kills(&events) > 0
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // One whose processes are still ending is removed by the next start (`remove_abandoned`).
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Joins the group and becomes the command, both of which follow the step.
pub(super) fn join_and_become(arguments: impl Iterator<Item = OsString>) -> Result<ExitCode, String> {
    let mut arguments = arguments;
    let (Some(group), Some(program)) = (arguments.next(), arguments.next()) else {
        return Err("a group and a command are needed".to_owned());
    };
    fs::write(&group, "0").map_err(|error| format!("cannot join the group of a program: {error}"))?;
    let error = std::os::unix::process::CommandExt::exec(Command::new(&program).args(arguments));
    Err(format!("cannot become `{}`: {error}", Path::new(&program).display()))
}

impl Groups {
    fn make(&self, memory: u64) -> io::Result<MemoryGroup> {
        let name = format!("{NAME}{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let folder = self.folder.join(name);
        fs::create_dir(&folder)?;
        let group = MemoryGroup { folder, events: self.files.events };
        let limit = memory.saturating_add(SPARE).to_string();
        let [limit_file, swap_file] = self.files.limits;
        fs::write(group.folder.join(limit_file), &limit)?;
        // Absent where swap is not counted. In version 1 it limits memory and swap together, in version 2 swap.
        let swap = if swap_file == VERSION_2.limits[1] { "0" } else { &limit };
        let _ = fs::write(group.folder.join(swap_file), swap);
        Ok(group)
    }
}

/// Finds where groups can be made, by making one.
fn find() -> Option<Groups> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    candidates(&own).into_iter().find(|groups| {
        if groups.files.events == VERSION_2.events {
            // Refused where it is set already by others, or where the group has processes of its own.
            let _ = fs::write(groups.folder.join("cgroup.subtree_control"), "+memory");
        }
        remove_abandoned(&groups.folder);
        groups.make(u64::from(u32::MAX)).is_ok_and(|group| !group.is_exceeded())
    })
}

/// Where groups may be made, by the groups that a process is in: below its own, else below the first of all.
fn candidates(own: &str) -> Vec<Groups> {
    let mut found = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, files) = match controllers {
            "" => ("/sys/fs/cgroup", &VERSION_2),
            controllers if controllers.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", &VERSION_1)
            }
            _ => continue,
        };
        let below = Path::new(root).join(path.trim_start_matches('/'));
        found.extend([below, root.into()].map(|folder| Groups { folder, files }));
    }
    found
}

/// Removes the groups of processes of ours that have ended without doing so.
fn remove_abandoned(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(NAME)?.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The number of processes that were ended, by the events of a group.
fn kills(events: &str) -> u64 {
    let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_looked_for_below_the_own_one_and_at_the_top() {
        let folders = |own: &str| -> Vec<String> {
            candidates(own).iter().map(|groups| groups.folder.display().to_string()).collect()
        };
        assert_eq!(folders("0::/user.slice/a\n"), ["/sys/fs/cgroup/user.slice/a", "/sys/fs/cgroup"]);
        assert_eq!(
            folders("5:devices:/\n4:cpu,memory:/x/y\n"),
            ["/sys/fs/cgroup/memory/x/y", "/sys/fs/cgroup/memory"]
        );
        assert!(folders("1:cpu:/\nnonsense\n").is_empty());
    }

    #[test]
    fn kills_are_counted_in_both_versions() {
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
        assert_eq!(kills("low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n"), 1);
        assert_eq!(kills("oom_kill_disable 0\n"), 0);
    }

    #[test]
    fn a_group_is_removed_when_it_is_dropped() {
        let Some(group) = MemoryGroup::new(64 << 20) else { return };
        let folder = group.folder.clone();
        assert!(folder.exists() && !group.is_exceeded());
        drop(group);
        assert!(!folder.exists());
    }
}
