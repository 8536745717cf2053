//! The machine: platform, sandbox, interpreters, limits, free space, clock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Finding, FindingLevel, needs_sandbox};
use crate::cli::exit::Exit;
use crate::cli::file_descriptors;
use crate::config::Plan;
use crate::sandbox::{PATH, Sandbox};
use crate::stages::Role;

/// The interpreters and compilers that programs are mostly written for.
const INTERPRETERS: [&str; 4] = ["python3", "bash", "node", "cc"];
/// Bytes below which a run may soon fill the disk, and below which none should begin.
const LITTLE_SPACE: u64 = 1 << 30;
const NO_SPACE: u64 = 64 << 20;
/// Years in which a clock may be right.
const YEARS: std::ops::Range<i16> = 2025..2100;

/// What is found about the machine; `output` is the run directory or the folder of run directories.
pub(super) fn findings(plan: Option<&Plan>, output: &Path) -> Vec<Finding> {
    let mut findings = vec![platform(), sandbox(plan), interpreters(), files(plan)];
    findings.push(space("output", output));
    findings.push(space("temporary files", &std::env::temp_dir()));
    findings.push(clock(jiff::Zoned::now().year()));
    findings
}

fn platform() -> Finding {
    let (version, system, processor) =
        (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let message = format!("synthmill {version} on {system}, {processor}, processors: {count}");
    Finding::new(FindingLevel::Fine, "platform", message)
}

fn sandbox(plan: Option<&Plan>) -> Finding {
    let error = match Sandbox::detect() {
        Ok(found) => {
            let finding = Finding::new(FindingLevel::Fine, "sandbox", found.describe());
            let hint = "with bubblewrap installed, programs would also be kept apart by namespaces";
            return if found == Sandbox::Builtin { finding.with_hint(hint) } else { finding };
        }
        Err(error) => error,
    };
    let level = match plan.is_some_and(needs_sandbox) {
        true => FindingLevel::Failing(Exit::Usage),
        false => FindingLevel::Doubtful,
    };
    Finding::new(level, "sandbox", error.message)
}

fn interpreters() -> Finding {
    let is_there = |name: &&str| PATH.split(':').any(|folder| Path::new(folder).join(name).is_file());
    let (found, missing): (Vec<&str>, Vec<&str>) = INTERPRETERS.into_iter().partition(is_there);
    let level = if found.is_empty() { FindingLevel::Doubtful } else { FindingLevel::Fine };
    let mut message = format!("programs find {} in {PATH}", listed(&found));
    if !missing.is_empty() {
        message.push_str(&format!("; not {}", listed(&missing)));
    }
    Finding::new(level, "interpreters", message)
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// Whether as many files may be open as a run opens connections and files.
fn files(plan: Option<&Plan>) -> Finding {
    let none = BTreeMap::new();
    let models = plan.map_or(&none, |plan| &plan.models);
    let stages = plan.into_iter().flat_map(Plan::all_stages);
    let sinks = stages.filter(|stage| stage.kind.role == Role::Sink).count();
    match file_descriptors::limit_and_need(models, sinks) {
        Ok((limit, need)) if limit < need => Finding::new(
            FindingLevel::Doubtful,
            "open files",
            format!("a process may open {limit} files, and the run would open up to {need}"),
        )
        .with_hint("`ulimit -n` raises that; otherwise models get fewer requests at a time"),
        Ok((limit, _)) => {
            Finding::new(FindingLevel::Fine, "open files", format!("a process may open {limit} files"))
        }
        Err(error) => {
            Finding::new(FindingLevel::Doubtful, "open files", format!("their limit is unknown: {error}"))
        }
    }
}

/// The free space of the file system that a folder is on, or will be.
fn space(subject: &str, folder: &Path) -> Finding {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let there: PathBuf = absolute.ancestors().find(|path| path.exists()).unwrap_or(&absolute).to_owned();
    let free = nix::sys::statvfs::statvfs(&there)
        // Their types differ between systems.
        .map(|found| (found.blocks_available() as f64 * found.fragment_size() as f64) as u64);
    match free {
        Ok(free) => {
            let message = format!("{:.1} GB are free in {}", free as f64 / 1e9, there.display());
            Finding::new(level_of(free), subject, message)
        }
        Err(error) => {
            let message = format!("the free space in {} is unknown: {error}", there.display());
            Finding::new(FindingLevel::Doubtful, subject, message)
        }
    }
}

fn level_of(free: u64) -> FindingLevel {
    match free {
        0..NO_SPACE => FindingLevel::Failing(Exit::Storage),
        NO_SPACE..LITTLE_SPACE => FindingLevel::Doubtful,
        _ => FindingLevel::Fine,
    }
}

fn clock(year: i16) -> Finding {
    if YEARS.contains(&year) {
        return Finding::new(FindingLevel::Fine, "clock", format!("it is {year}"));
    }
    let message = format!("it says that the year is {year}");
    let hint = "servers' certificates are not valid then; set the clock";
    Finding::new(FindingLevel::Doubtful, "clock", message).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_space_is_doubtful_and_hardly_any_fails() {
        assert_eq!(level_of(0), FindingLevel::Failing(Exit::Storage));
        assert_eq!(level_of(NO_SPACE), FindingLevel::Doubtful);
        assert_eq!(level_of(LITTLE_SPACE), FindingLevel::Fine);
        let found = space("output", Path::new("/no/such/folder/anywhere"));
        assert!(found.message.ends_with("GB are free in /"), "{found:?}");
    }

    #[test]
    fn a_clock_that_was_never_set_is_doubtful() {
        for (year, level) in
            [(1970, FindingLevel::Doubtful), (2026, FindingLevel::Fine), (2106, FindingLevel::Doubtful)]
        {
            assert_eq!(clock(year).level, level, "{year}");
        }
    }
}
