//! A started program as our process sees it: its pipes and its end.
//!
//! However the program ends, also when nobody waits for it any more, all of its processes are ended with it.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};

#[cfg(target_os = "linux")]
use super::memory_group::MemoryGroup;
use super::output::ProgramOutput;
use super::{SandboxError, spawner};

/// How long output is read after the end of a program, for what processes outside of its group still hold open.
const LINGERING: Duration = Duration::from_millis(200);
/// How long the end of killed processes is waited for.
#[cfg(target_os = "linux")]
const UNENDING: Duration = Duration::from_secs(5);

/// A started program. Dropping it ends the program and removes its work folder.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    ending: Option<Ending>,
    kept: KeptForProgram,
}

/// What exists as long as a program runs, and is removed after it.
#[derive(Debug, Default)]
pub(super) struct KeptForProgram {
    /// Its work folder, if that is on a disk.
    pub(super) folder: Option<TempDir>,
    /// The group in which its memory is counted.
    #[cfg(target_os = "linux")]
    pub(super) group: Option<MemoryGroup>,
}

/// How all processes of a program are ended.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(unix), expect(dead_code, reason = "there are no groups of processes"))]
enum Ending {
    /// By killing the group of the first one, also when that has ended.
    Group(u32),
    /// By killing the first one inside, with which the kernel kills the others; this one waits for that.
    #[cfg(target_os = "linux")]
    First(u32),
    /// By asking the first one, which ends the others.
    #[cfg(target_os = "linux")]
    Ask(u32),
}

/// The pipes of a started program.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Running {
    /// Starts a trusted program.
    pub(super) async fn start(
        command: std::process::Command,
        folder: TempDir,
    ) -> Result<(Self, Pipes), SandboxError> {
        let kept = KeptForProgram { folder: Some(folder), ..KeptForProgram::default() };
        Self::spawn(command, kept, Ending::Group).await
    }

    /// Starts a sandbox, all of whose processes end with its first one: at once, or when that is asked to.
    #[cfg(target_os = "linux")]
    pub(super) async fn start_confined(
        command: std::process::Command,
        kept: KeptForProgram,
        killable: bool,
    ) -> Result<(Self, Pipes), SandboxError> {
        Self::spawn(command, kept, if killable { Ending::First } else { Ending::Ask }).await
    }

    async fn spawn(
        mut command: std::process::Command,
        kept: KeptForProgram,
        ending: fn(u32) -> Ending,
    ) -> Result<(Self, Pipes), SandboxError> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = spawner::spawn(command)
            .await
            .map_err(|error| SandboxError::new(format!("cannot start the program `{name}`: {error}")))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let running = Self { ending: child.id().map(ending), child, kept };
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

    /// Ends whatever still runs, and waits until it has ended.
    #[cfg(target_os = "linux")]
    pub(super) async fn end_all(&mut self) {
        self.end();
        // A process that the kernel cannot end is waited for no longer.
        let _ = tokio::time::timeout(UNENDING, self.child.wait()).await;
    }

    /// Whether the kernel ended a process of the program since its group had no more memory.
    #[cfg(target_os = "linux")]
    pub(super) fn is_over_memory(&self) -> bool {
        self.kept.group.as_ref().is_some_and(MemoryGroup::is_exceeded)
    }

    /// Waits for the end of the program.
    pub(super) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends whatever still runs.
    #[cfg(unix)]
    pub(super) fn end(&mut self) {
        use nix::sys::signal::{Signal, kill, killpg};
        let Some(ending) = self.ending.take() else { return };
        let id = |process: u32| nix::unistd::Pid::from_raw(process.cast_signed());
        #[cfg(target_os = "linux")]
        let runs = self.child.id().is_some();
        // Nobody may be left.
        let _ = match ending {
            Ending::Group(group) => killpg(id(group), Signal::SIGKILL),
            #[cfg(target_os = "linux")]
            Ending::First(process) if runs => {
                kill(id(first_inside(process).unwrap_or(process)), Signal::SIGKILL)
            }
            #[cfg(target_os = "linux")]
            Ending::Ask(process) if runs => kill(id(process), Signal::SIGTERM),
            #[cfg(target_os = "linux")]
            Ending::First(_) | Ending::Ask(_) => Ok(()),
        };
    }

    /// Ends the program.
    #[cfg(not(unix))]
    pub(super) fn end(&mut self) {
        let _ = self.child.start_kill();
    }
}

/// The first process inside, whose parent is the one that we started.
#[cfg(target_os = "linux")]
fn first_inside(started: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{started}/task/{started}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        let Some(folder) = self.kept.folder.take() else { return };
        // A large folder takes its time, which the threads of the runtime do not have.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(folder));
        }
    }
}
