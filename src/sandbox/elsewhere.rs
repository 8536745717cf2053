//! Stands for the sandbox on systems other than Linux, where there is none.

use std::path::PathBuf;

use super::{Program, ProgramOutcome, Sandbox, SandboxError, Worker};

/// Has sandboxes start this executable inside, where there are sandboxes.
pub fn use_executable(_: PathBuf) {}

pub(super) fn detect() -> Result<Sandbox, SandboxError> {
    Err(none())
}

pub(super) fn describe(_: &Sandbox) -> String {
    none().message
}

pub(super) async fn run(_: &Sandbox, _: &Program) -> Result<ProgramOutcome, SandboxError> {
    Err(none())
}

pub(super) async fn start_worker(_: &Sandbox, _: &Program) -> Result<Worker, SandboxError> {
    Err(none())
}

fn none() -> SandboxError {
    SandboxError::new(
        "programs are confined on Linux only; hint: say `sandbox: off` if you trust the programs",
    )
}
