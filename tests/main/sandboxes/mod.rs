//! The sandboxes that programs run in, and what they keep out.

mod attacks;
mod usual;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use synthmill::sandbox::{Program, ProgramLimits, Sandbox, use_executable};

/// The sandboxes of this machine. bubblewrap may be missing or fail, unless the tests are told that it is there.
pub(crate) fn sandboxes() -> Vec<Sandbox> {
    prepare();
    let bwrap = ["/usr/local/bin/bwrap", "/usr/bin/bwrap", "/bin/bwrap"].map(PathBuf::from);
    let bwrap = bwrap.into_iter().find(|path| path.exists()).map(Sandbox::Bubblewrap);
    let bwrap = bwrap.filter(|bwrap| !bwrap.describe().starts_with("none"));
    assert!(
        bwrap.is_some() || std::env::var_os("SYNTHMILL_REQUIRE_BWRAP").is_none(),
        "bubblewrap is not installed, or does not work"
    );
    bwrap.into_iter().chain([Sandbox::Builtin]).collect()
}

/// Has sandboxes start the program that belongs to these tests, at a place that every user can reach.
pub(crate) fn prepare() {
    static PREPARED: OnceLock<()> = OnceLock::new();
    PREPARED.get_or_init(|| use_executable(PathBuf::from(env!("CARGO_BIN_EXE_synthmill"))));
}

/// A program with limits that tests can wait for.
pub(crate) fn program(command: &[&str]) -> Program {
    Program {
        command: command.iter().map(|&part| part.to_owned()).collect(),
        limits: ProgramLimits {
            timeout: Duration::from_secs(10),
            cpu_seconds: Some(4),
            memory: 256 << 20,
            processes: 24,
            output_bytes: 4 << 20,
        },
        ..Program::default()
    }
}
