//! Programs that a stage runs about each record, such as checkers and tests.
//!
//! The stage describes the programs and makes fields of their outcomes. The engine runs them, in the sandbox that the
//! stage asks for, and journals each outcome.

use super::{StageError, TransformOutput};
use crate::record::Record;
use crate::sandbox::{Program, ProgramOutcome, SandboxMode};

/// A stage that runs programs about records.
pub trait RunPrograms: Send + Sync {
    /// How its programs are run.
    fn settings(&self) -> ProgramSettings;

    /// The programs for one record; each is journaled on its own. For workers, `stdin` is the line that is sent.
    fn programs(&self, record: &Record) -> Result<Vec<Program>, StageError>;

    /// Whether a worker's line can be the answer to what it was sent. A worker that wrote something else is replaced: what it
    /// writes next may be the answer to an earlier line.
    fn is_answer(&self, _line: &str) -> bool {
        true
    }

    /// Stores the outcomes, which are in the order of the programs, and returns what becomes of the record.
    fn accept(
        &self,
        record: &mut Record,
        outcomes: Vec<ProgramOutcome>,
    ) -> Result<TransformOutput, StageError>;
}

/// How the programs of a stage are run.
#[derive(Debug, Clone, Default)]
pub struct ProgramSettings {
    /// The most that run at a time; `None` for one worker per processor, or three programs for two
    /// processors: a program spends part of its time waiting until its sandbox is set up.
    pub workers: Option<u32>,
    /// Whether they are confined.
    pub sandbox: SandboxMode,
    /// The program of long-lived workers; `None` if each program is a process of its own.
    pub worker: Option<Program>,
    /// What the outcomes depend on besides the programs, such as hashes of the files that the command names.
    pub key: String,
}
