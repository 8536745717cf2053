//! What the processes of the program use, read from `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::sandbox::job::Place;
use crate::sandbox::view::WRITABLE;

/// Clock ticks a second in `/proc`, the same on all machines that Linux runs on.
const TICKS: f64 = 100.0;

/// What the processes of the program use together.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct ProgramUsage {
    /// Processes and threads.
    pub(super) tasks: u64,
    /// Bytes of memory. What processes share is counted for each of them.
    pub(super) memory: u64,
    /// Seconds of processor time, also of processes that they waited for.
    pub(super) cpu: f64,
    /// Bytes and number of files in memory.
    pub(super) file_bytes: u64,
    pub(super) files: u64,
}

/// Adds up what the processes use. One that ends meanwhile uses nothing.
pub(super) fn usage(processes: &[i32], place: Place) -> ProgramUsage {
    let mut usage = ProgramUsage::default();
    for process in processes {
        let Ok(status) = fs::read_to_string(format!("/proc/{process}/status")) else { continue };
        usage.tasks += field(&status, "Threads:").unwrap_or(1);
        usage.memory +=
            (field(&status, "RssAnon:").unwrap_or(0) + field(&status, "RssShmem:").unwrap_or(0)) << 10;
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        usage.cpu += cpu_seconds(&stat);
    }
    if place != Place::Plain {
        for folder in WRITABLE {
            let Ok(status) = statvfs(folder) else { continue };
            usage.file_bytes += (status.blocks() - status.blocks_free()) * status.fragment_size();
            usage.files += status.files() - status.files_free();
        }
    }
    usage
}

/// Bytes of memory of the processes, in which what they share is counted once.
pub(super) fn shared_once(processes: &[i32]) -> u64 {
    let mut bytes = 0;
    for process in processes {
        let sums = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
        bytes += (field(&sums, "Pss_Anon:").unwrap_or(0) + field(&sums, "Pss_Shmem:").unwrap_or(0)) << 10;
    }
    bytes
}

/// The processes of the program: all but ours in the namespace, or all that descend from ours.
pub(super) fn all(place: Place) -> Vec<i32> {
    if place == Place::Plain {
        return descendants();
    }
    numbers(Path::new("/proc")).into_iter().filter(|process| *process != 1).collect()
}

/// All processes that descend from this one, which those are handed to whose parents ended.
fn descendants() -> Vec<i32> {
    let mut found = BTreeSet::new();
    let mut open = vec![std::process::id().cast_signed()];
    while let Some(process) = open.pop() {
        let tasks = format!("/proc/{process}/task");
        for task in numbers(Path::new(&tasks)) {
            let children = fs::read_to_string(format!("{tasks}/{task}/children")).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|child| child.parse::<i32>().ok());
            open.extend(children.filter(|child| found.insert(*child)));
        }
    }
    found.into_iter().collect()
}

/// The number of processes and threads of a user.
pub(super) fn tasks_of_user(uid: u32) -> u64 {
    let mut tasks = 0;
    for process in numbers(Path::new("/proc")) {
        let Ok(status) = fs::read_to_string(format!("/proc/{process}/status")) else { continue };
        if field(&status, "Uid:") == Some(u64::from(uid)) {
            tasks += field(&status, "Threads:").unwrap_or(1);
        }
    }
    tasks
}

/// The names in a folder that are numbers.
fn numbers(folder: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The number after a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Seconds of processor time of a process and of the children that it waited for, from its `stat`.
fn cpu_seconds(stat: &str) -> f64 {
    // The name of the program stands in parentheses and may hold anything.
    let Some((_, fields)) = stat.rsplit_once(')') else { return 0.0 };
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_proc() {
        assert_eq!(field("Name:\tRssAnon: 5\nRssAnon:\t  12 kB\n", "RssAnon:"), Some(12));
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 100 50 25 25 20 0 1 0 1000";
        assert!((cpu_seconds(stat) - 2.0).abs() < 1e-9);
        assert!(cpu_seconds("").abs() < 1e-9);
    }

    #[test]
    fn descendants_are_found() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let id = child.id().cast_signed();
        assert!(descendants().contains(&id));
        let usage = usage(&[id], Place::Plain);
        assert_eq!(usage.tasks, 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!descendants().contains(&id));
    }
}
