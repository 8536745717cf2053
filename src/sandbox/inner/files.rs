//! Which files the program may open, by landlock: rules that a process sets for itself and what it starts, for good.
//!
//! Where there is a new root these rules hold beside it; where there is none they are what keeps files out of reach.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use crate::sandbox::command::SYSTEM;
use crate::sandbox::job::{Job, Place};
use crate::sandbox::view::{DEVICES, NETWORK_FILES, PROCESS_FILES, SYSTEM_FILES, WRITABLE};

/// The newest version of landlock that the rules are written for. An older kernel keeps those that it knows.
const KNOWN: ABI = ABI::V6;

/// The first version that keeps signals from processes outside.
const SIGNALS: i32 = ABI::V6 as i32;

/// Restricts this thread and all that it starts; returns the version of landlock of this kernel.
pub(super) fn restrict(job: &Job) -> Result<i32, String> {
    let failed = |error: RulesetError| format!("cannot restrict files: {error}");
    let status = rules(job).map_err(failed)?.restrict_self().map_err(failed)?;
    let LandlockStatus::Available { effective_abi, kernel_abi } = status.landlock else {
        return Err("this kernel has no landlock".to_owned());
    };
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err("landlock is not enforced".to_owned());
    }
    let version = kernel_abi.unwrap_or(effective_abi as i32);
    // Elsewhere a namespace or another user keeps signals away.
    if job.place == Place::Plain && job.uid.is_none() && version < SIGNALS {
        return Err(format!(
            "landlock of version {version} lets a program send signals to all processes of its user; version \
             {SIGNALS} or namespaces are needed"
        ));
    }
    Ok(version)
}

fn rules(job: &Job) -> Result<RulesetCreated, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?;
    if !job.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(KNOWN))?;
    }
    let mut created = ruleset.create()?;
    let read = AccessFs::from_read(KNOWN);
    let files = AccessFs::ReadFile | AccessFs::ReadDir;
    let more: &[&str] = if job.network { &NETWORK_FILES } else { &[] };
    created = allow(created, SYSTEM, read)?;
    created = allow(created, SYSTEM_FILES.iter().chain(more), files)?;
    created = allow(created, &job.readable, read)?;
    created = allow(created, DEVICES, AccessFs::ReadFile | AccessFs::WriteFile)?;
    let write = AccessFs::from_all(KNOWN) & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    if job.place == Place::Plain {
        created = allow(created, PROCESS_FILES, files)?;
        return allow(created, [&job.folder], write);
    }
    created = allow(created, ["/proc"], files)?;
    allow(created, WRITABLE, write)
}

/// Allows access to what exists of these paths and lies below them.
fn allow(
    mut rules: RulesetCreated,
    paths: impl IntoIterator<Item = impl AsRef<Path>>,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    for path in paths {
        // What cannot be opened cannot be read either.
        let Ok(file) = PathFd::new(path.as_ref()) else { continue };
        rules = rules.add_rule(PathBeneath::new(file, access))?;
    }
    Ok(rules)
}
