//! A started program as our process sees it: its pipes and its end.
//!
//! However the program ends, also when nobody waits for it any more, all of its processes are ended with it.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::SandboxError;
use super::output::ProgramOutput;

/// How long output is read after the end of a program, for what processes outside of its group still hold open.
const LINGERING: Duration = Duration::from_millis(200);

/// A started program. Dropping it ends the program and removes its work folder.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    group: Option<u32>,
    _folder: Option<TempDir>,
}

/// The pipes of a started program.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Running {
    /// Starts a command as the leader of a process group of its own.
    pub(super) fn start(
        mut command: std::process::Command,
        folder: Option<TempDir>,
    ) -> Result<(Self, Pipes), SandboxError> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| SandboxError::new(format!("cannot start the program `{name}`: {error}")))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let running = Self { group: child.id(), child, _folder: folder };
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(SandboxError::new(format!("the program `{name}` was started without pipes")));
        };
        Ok((running, Pipes { stdin, stdout, stderr }))
    }

    /// Follows the program to its end; `None` if it writes more than `limit` bytes.
    pub(super) async fn follow(
        &mut self,
        stdout: ChildStdout,
        stderr: ChildStderr,
        output: &mut ProgramOutput,
        limit: u64,
    ) -> std::io::Result<Option<ExitStatus>> {
        let mut reading = std::pin::pin!(output.read(stdout, stderr, limit));
        let status = tokio::select! {
            too_much = &mut reading => match too_much? {
                true => return Ok(None),
                // It closed its output, which is not yet its end.
                false => return self.child.wait().await.map(Some),
            },
            status = self.child.wait() => status?,
        };
        self.end();
        let too_much = matches!(tokio::time::timeout(LINGERING, reading).await, Ok(Ok(true)));
        Ok((!too_much).then_some(status))
    }

    /// Waits for the end of the program.
    pub(super) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends whatever still runs.
    pub(super) fn end(&mut self) {
        #[cfg(unix)]
        if let Some(group) = self.group.take() {
            let group = nix::unistd::Pid::from_raw(group.cast_signed());
            // Nobody may be left.
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
        let _ = self.child.start_kill();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
