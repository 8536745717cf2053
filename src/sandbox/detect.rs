//! Finds out which sandbox this machine offers, by trying each.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;

use super::confined::{self, PreparedProgram};
use super::job::{Place, take_report};
use super::memory_group::MemoryGroup;
use super::{Program, Sandbox, SandboxError, command};

/// What was found: it does not change while we run.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) sandbox: Sandbox,
    /// One line for people.
    pub(super) description: String,
}

/// What each sandbox can do here; tried once.
#[derive(Debug)]
struct Tried {
    bubblewrap: Result<Found, String>,
    builtin: Result<(Place, Found), String>,
}

/// The sandbox of this machine: bubblewrap where it works, else our own.
pub(super) fn detect() -> Result<Found, SandboxError> {
    let tried = tried();
    match (&tried.bubblewrap, &tried.builtin) {
        (Ok(found), _) | (Err(_), Ok((_, found))) => Ok(found.clone()),
        (Err(first), Err(second)) => Err(SandboxError::new(format!(
            "this machine offers no sandbox for programs: {first}; {second}; hint: install bubblewrap, or say \
             `sandbox: off` if you trust the programs"
        ))),
    }
}

/// Describes a sandbox, or says why it does not work.
pub(super) fn describe(sandbox: &Sandbox) -> String {
    let found = match sandbox {
        Sandbox::Bubblewrap(_) => tried().bubblewrap.as_ref(),
        _ => tried().builtin.as_ref().map(|(_, found)| found),
    };
    found.map_or_else(|reason| format!("none: {reason}"), |found| found.description.clone())
}

/// Where our own sandbox runs programs here.
pub(super) fn place(sandbox: &Sandbox) -> Result<Place, SandboxError> {
    match sandbox {
        Sandbox::Bubblewrap(_) => Ok(Place::Prepared),
        _ => match &tried().builtin {
            Ok((place, _)) => Ok(*place),
            Err(reason) => Err(SandboxError::new(reason.clone())),
        },
    }
}

fn tried() -> &'static Tried {
    static TRIED: OnceLock<Tried> = OnceLock::new();
    TRIED.get_or_init(|| Tried { bubblewrap: try_bubblewrap(), builtin: try_builtin() })
}

fn try_bubblewrap() -> Result<Found, String> {
    let path = command::search("bwrap").ok_or("bubblewrap is not installed")?;
    let sandbox = Sandbox::Bubblewrap(path.clone());
    let landlock =
        attempt(&sandbox, Place::Prepared).map_err(|error| format!("bubblewrap fails: {error}"))?;
    let description = format!(
        "bubblewrap {} at `{}` with landlock version {landlock}, seccomp and limits of our own{}",
        version(&path).unwrap_or_default(),
        path.display(),
        memory()
    );
    Ok(Found { sandbox, description })
}

fn try_builtin() -> Result<(Place, Found), String> {
    let is_root = nix::unistd::geteuid().is_root();
    let with_namespaces = [Place::Namespaces { user: false }, Place::Namespaces { user: true }];
    let mut reasons = Vec::new();
    for place in with_namespaces.into_iter().chain([Place::Plain]) {
        // Root needs no user namespace, and others can make none of the rest without one.
        if matches!(place, Place::Namespaces { user } if user == is_root) {
            continue;
        }
        match attempt(&Sandbox::Builtin, place) {
            Ok(landlock) => {
                let description = description(place, is_root, landlock, reasons.first());
                return Ok((place, Found { sandbox: Sandbox::Builtin, description }));
            }
            Err(reason) => reasons.push(reason),
        }
    }
    Err(format!("our own sandbox fails: {}", reasons.join("; without namespaces: ")))
}

fn description(place: Place, is_root: bool, landlock: i32, missing: Option<&String>) -> String {
    let user = if is_root { "an unused user, " } else { "" };
    let rest = format!("landlock version {landlock}, seccomp, limits{}", memory());
    match (place, missing) {
        (Place::Plain, Some(reason)) => format!("own sandbox: {user}{rest}; without namespaces: {reason}"),
        _ => format!("own sandbox: {user}namespaces of files, processes and network, {rest}"),
    }
}

/// Runs a program that does nothing; returns the version of landlock that restricted it.
fn attempt(sandbox: &Sandbox, place: Place) -> Result<i32, String> {
    let program = Program { command: vec!["true".to_owned()], ..Program::default() };
    let prepared = confined::prepare(sandbox, place, &program, false).map_err(|error| error.message)?;
    let PreparedProgram { mut command, input, word, .. } = prepared;
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let failed = |error: std::io::Error| format!("cannot start it: {error}");
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // It may have ended already; standard error then says why.
        let _ = stdin.write_all(&input);
    }
    let mut stderr = Vec::new();
    if let Some(mut stream) = child.stderr.take() {
        stream.read_to_end(&mut stderr).map_err(failed)?;
    }
    child.wait().map_err(failed)?;
    let (started, report) = take_report(&mut stderr, &word);
    match report {
        Some(report) if started && report.exit_code == Some(0) => Ok(report.landlock),
        report => Err(confined::not_started(report, &stderr).message),
    }
}

/// How memory is counted.
fn memory() -> &'static str {
    match MemoryGroup::are_possible() {
        true => "; memory by cgroup",
        false => "; memory without a cgroup",
    }
}

fn version(bwrap: &PathBuf) -> Option<String> {
    let output = std::process::Command::new(bwrap).arg("--version").env_clear().output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).split_whitespace().nth(1)?.to_owned())
}
