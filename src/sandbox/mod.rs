//! Runs programs that are not trusted: with limits, in a fresh work folder, and where the machine allows it in a sandbox.
//!
//! `exec` and `run_tests` describe a [`Program`]; the engine has it run as an effect and journals the [`ProgramOutcome`].
//! What a program does decides its outcome; that the sandbox itself fails is a [`SandboxError`], which says nothing
//! about the record and ends the run.

#[cfg(target_os = "linux")]
mod bubblewrap;
mod command;
#[cfg(target_os = "linux")]
mod confined;
#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod confined;
#[cfg(target_os = "linux")]
mod detect;
#[cfg(target_os = "linux")]
mod inner;
#[cfg(target_os = "linux")]
mod job;
#[cfg(target_os = "linux")]
mod memory_group;
mod outcome;
mod output;
mod running;
mod spawner;
mod unconfined;
#[cfg(target_os = "linux")]
mod unused_user;
#[cfg(target_os = "linux")]
mod verdict;
#[cfg(target_os = "linux")]
mod view;
mod work_folder;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use confined::use_executable;
pub use worker::Worker;

/// A program with everything it is given.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The command and its arguments. A name without `/` is looked up in [`PATH`].
    pub command: Vec<String>,
    /// The variables of its environment beyond the few that every program has (`PATH`, `HOME`, `TMPDIR`, `LANG`).
    /// Nothing of our own environment is inherited.
    pub env: BTreeMap<String, String>,
    /// What it reads from standard input; for a worker nothing.
    pub stdin: Vec<u8>,
    /// Files placed into its work folder before it starts: relative paths and contents.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Files and folders that it may read besides those of the system, absolute.
    pub readable: Vec<PathBuf>,
    /// Whether it may use the network.
    pub network: bool,
    /// Its limits.
    pub limits: ProgramLimits,
}

/// The directories in which programs are looked up; also the `PATH` of programs.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The beginning of the argument with which a sandbox starts our program inside. It is a single one, so that a program
/// that uses the library and takes it for something else does as little as possible: a test binary runs no test.
const HIDDEN_COMMAND: &str = "__sandbox:";

/// What a program may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProgramLimits {
    /// The time it may take; for a worker, the time for one line.
    pub timeout: Duration,
    /// Seconds of processor time, of all its processes together; for a worker `None`.
    pub cpu_seconds: Option<u64>,
    /// Bytes of memory, of all its processes together.
    pub memory: u64,
    /// Processes and threads at a time.
    pub processes: u32,
    /// Bytes on standard output and standard error together, and the size of each file it writes; for a worker, bytes
    /// of one line.
    pub output_bytes: u64,
}

impl Default for ProgramLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            cpu_seconds: None,
            memory: 512 << 20,
            processes: 32,
            output_bytes: 1 << 20,
        }
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgramStatus {
    /// With exit code 0.
    Finished,
    /// With another exit code.
    Failed,
    /// By a signal of its own doing, such as a segmentation fault.
    Crashed,
    /// It took longer than `timeout`.
    Timeout,
    /// It used more processor time than `cpu_seconds`.
    CpuTime,
    /// It used more memory than `memory`.
    OutOfMemory,
    /// It wrote more than `output_bytes`.
    TooMuchOutput,
    /// It started more processes than `processes`.
    TooManyProcesses,
    /// It tried to use the network.
    Network,
    /// It failed after the sandbox refused something else: a file, a signal to a process, a forbidden system call.
    Denied,
}

impl ProgramStatus {
    /// The word by which reports name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
            Self::Timeout => "timeout",
            Self::CpuTime => "cpu_time",
            Self::OutOfMemory => "out_of_memory",
            Self::TooMuchOutput => "too_much_output",
            Self::TooManyProcesses => "too_many_processes",
            Self::Network => "network",
            Self::Denied => "denied",
        }
    }
}

/// The outcome of a program: final, journaled, and the same at every resume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramOutcome {
    /// How it ended.
    pub status: ProgramStatus,
    /// Its exit code, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output as far as it was read; for a worker the line. Bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Its standard error likewise.
    pub stderr: String,
    /// Seconds from its start to its end; for a worker, the time of the line.
    pub seconds: f64,
    /// The largest memory of its processes, in bytes, as far as it could be measured.
    pub peak_memory: u64,
}

impl ProgramOutcome {
    /// Whether it ended by itself with exit code 0; for a worker, whether it answered.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.status == ProgramStatus::Finished
    }
}

/// How programs are confined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sandbox {
    /// By the program `bwrap` at this path, and by limits that our own process sets inside.
    Bubblewrap(PathBuf),
    /// By our own process, which limits itself and then becomes the program.
    Builtin,
    /// Only by time, output and a fresh work folder: the program is trusted.
    Off,
}

/// Whether a stage's programs must be confined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxMode {
    /// A machine that offers no sandbox is refused before anything runs. The default.
    #[default]
    Required,
    /// Only time and output are limited. For programs that you wrote yourself.
    Off,
}

/// The sandbox itself failed, or cannot run the program. Says nothing about a record.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SandboxError {
    /// What happened, and what to do about it.
    pub message: String,
}

impl Sandbox {
    /// Finds the sandbox of this machine: bubblewrap where it works, else our own.
    ///
    /// # Errors
    ///
    /// The machine offers neither; the message says what is missing.
    pub fn detect() -> Result<Self, SandboxError> {
        confined::detect()
    }

    /// Describes in one line what confines programs, and what of it is missing here.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Off => "none: only time and output are limited".to_owned(),
            Self::Bubblewrap(_) | Self::Builtin => confined::describe(self),
        }
    }

    /// Runs a program to its end, and ends all processes that it left behind. Dropping the future ends it as well.
    ///
    /// # Errors
    ///
    /// The sandbox could not be set up or the program cannot be started at all.
    pub async fn run(&self, program: &Program) -> Result<ProgramOutcome, SandboxError> {
        match self {
            Self::Off => unconfined::run(program).await,
            Self::Bubblewrap(_) | Self::Builtin => confined::run(self, program).await,
        }
    }

    /// Starts a program that answers each line on its standard input with one on its standard output.
    ///
    /// # Errors
    ///
    /// As for [`Sandbox::run`].
    pub async fn start_worker(&self, program: &Program) -> Result<Worker, SandboxError> {
        match self {
            Self::Off => unconfined::start_worker(program).await,
            Self::Bubblewrap(_) | Self::Builtin => confined::start_worker(self, program).await,
        }
    }
}

/// Runs the hidden command that a sandbox starts inside, if this is what the arguments of this process ask for. To be
/// called before any thread is started.
#[must_use]
pub fn run_inside() -> Option<std::process::ExitCode> {
    let argument = std::env::args_os().nth(1)?.into_string().ok()?;
    let steps = argument.strip_prefix(HIDDEN_COMMAND)?;
    #[cfg(target_os = "linux")]
    return Some(inner::main(steps));
    #[cfg(not(target_os = "linux"))]
    return steps.is_empty().then_some(std::process::ExitCode::FAILURE);
}

impl SandboxError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}
