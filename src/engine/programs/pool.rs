//! The slots in which the programs of a stage run, and its long-lived workers.
//!
//! A slot is one program at a time, or one worker. Workers are started when they are needed and kept until the run
//! ends; one that dies or hangs is replaced, and only the record that it was busy with is affected.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::sandbox::{Program, ProgramOutcome, Sandbox, SandboxError, Worker};
use crate::stage::ProgramSettings;

/// Why a run stops whose worker may have given answers to the wrong records.
const UNASKED: &str = "a worker wrote a line that nobody asked for, so earlier answers may belong to other records; hint: it \
                       writes exactly one line for each that it reads, and logs to standard error";

/// The slots and workers of a stage.
pub(crate) struct ProgramPool {
    sandbox: Sandbox,
    slots: Semaphore,
    size: usize,
    /// The program of the workers, if there are any.
    worker: Option<Program>,
    /// The workers that wait for a line.
    idle: Mutex<Vec<Worker>>,
}

/// A program that has ended, and the slot that it occupies until its outcome is journaled.
pub(crate) struct EndedProgram<'a> {
    pub(crate) outcome: ProgramOutcome,
    #[expect(dead_code, reason = "held, not read")]
    slot: Option<SemaphorePermit<'a>>,
}

impl ProgramPool {
    /// A pool of the size that the settings ask for, or as many slots as keep the processors busy.
    pub(crate) fn new(sandbox: Sandbox, settings: ProgramSettings) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        // A program waits a third of its time until its sandbox is set up.
        let busy = if settings.worker.is_some() { processors } else { (processors * 3).div_ceil(2) };
        let size = settings.workers.map_or(busy, |workers| workers.max(1) as usize);
        let (slots, idle) = (Semaphore::new(size), Mutex::default());
        Self { sandbox, slots, size, worker: settings.worker, idle }
    }

    /// The program of the workers, if there are any.
    pub(crate) fn worker(&self) -> Option<&Program> {
        self.worker.as_ref()
    }

    /// The most programs that run at a time.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Waits for a slot, in FIFO order.
    pub(crate) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.slots.acquire().await.ok()
    }

    /// Runs a program in its slot, or has a worker answer its input.
    pub(crate) async fn run<'a>(
        &'a self,
        program: &Program,
        slot: Option<SemaphorePermit<'a>>,
        is_answer: impl Fn(&str) -> bool,
    ) -> Result<EndedProgram<'a>, SandboxError> {
        match &self.worker {
            None => Ok(EndedProgram { outcome: self.sandbox.run(program).await?, slot }),
            // A worker answers the next line while the answer to this one is journaled.
            Some(worker) => Ok(EndedProgram {
                outcome: self.ask_worker(worker, &program.stdin, is_answer).await?,
                slot: None,
            }),
        }
    }

    /// Has a worker answer a line. `is_answer` tells whether what it wrote can be the answer.
    async fn ask_worker(
        &self,
        program: &Program,
        line: &[u8],
        is_answer: impl Fn(&str) -> bool,
    ) -> Result<ProgramOutcome, SandboxError> {
        if let Some(mut worker) = self.idle_worker()? {
            let outcome = worker.answer(line).await?;
            // A worker may end itself after some lines, which says nothing about this one: a fresh one decides.
            if outcome.is_finished() || outcome.exit_code != Some(0) {
                self.keep(worker, &outcome, is_answer);
                return Ok(outcome);
            }
        }
        let mut worker = self.sandbox.start_worker(program).await?;
        let outcome = worker.answer(line).await?;
        self.keep(worker, &outcome, is_answer);
        Ok(outcome)
    }

    /// Takes a worker that waits for a line. Those that died while they were idle are dropped.
    fn idle_worker(&self) -> Result<Option<Worker>, SandboxError> {
        loop {
            let Some(mut worker) = self.idle().pop() else { return Ok(None) };
            if worker.is_ready() {
                return Ok(Some(worker));
            }
            if worker.has_written_unasked() {
                return Err(SandboxError { message: UNASKED.to_owned() });
            }
        }
    }

    /// Keeps a worker for the next line, unless it has ended or may be out of step.
    fn keep(&self, worker: Worker, outcome: &ProgramOutcome, is_answer: impl Fn(&str) -> bool) {
        if outcome.is_finished() && is_answer(&outcome.stdout) {
            self.idle().push(worker);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
