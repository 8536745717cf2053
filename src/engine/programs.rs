//! The unit of a stage that runs programs: has each program of a record run, and hands the outcomes to the stage.
//!
//! Which programs run and what their outcomes mean is the stage's business (`stage::RunPrograms`), how they are confined
//! that of `sandbox`. A `Responder` decides whether an outcome is journaled (`program_effect`) or not (`preview`).

mod pool;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};

pub(crate) use self::pool::{EndedProgram, ProgramPool};
use super::event::{FatalError, Halt, InFlightRecord};
use super::execute::{BuiltStage, Executor, StageOutcome, catching_panics};
use super::metrics::StageMetrics;
use crate::record::RecordId;
use crate::sandbox::{Program, SandboxError};
use crate::stage::RunPrograms;

/// Programs of one record that wait or run at the same time.
const CONCURRENT_PROGRAMS: usize = 64;

/// A stage that runs programs, and the slots and workers that they share.
pub(crate) struct ProgramUnit {
    /// The stage's path.
    pub(crate) path: Arc<str>,
    pub(crate) stage: Box<dyn RunPrograms>,
    pub(crate) pool: ProgramPool,
    pub(crate) metrics: Arc<StageMetrics>,
    /// What outcomes depend on besides the programs themselves.
    pub(crate) key: String,
}

/// One program of a record, to be run.
#[derive(Clone, Copy)]
pub(crate) struct ProgramRun<'a> {
    pub(crate) unit: &'a ProgramUnit,
    pub(crate) program: &'a Program,
    /// Its number among the programs of the record.
    pub(crate) index: usize,
    pub(crate) record: &'a RecordId,
    /// The time that the record's programs took so far, in nanoseconds, without their waits for slots.
    worked: &'a AtomicU64,
}

impl ProgramUnit {
    /// Runs the programs of one record and has the stage store their outcomes.
    pub(crate) async fn run(
        &self,
        stage: &BuiltStage,
        record: &mut InFlightRecord,
        executor: &Executor,
    ) -> StageOutcome {
        let programs = match catching_panics(|| self.stage.programs(&record.record)) {
            Ok(programs) => programs,
            Err(error) => return stage.reject(error),
        };
        let id = record.record.id.clone();
        let (begin, worked) = (Instant::now(), AtomicU64::new(0));
        let runs: Vec<_> = (0..)
            .zip(&programs)
            .map(|(index, program)| ProgramRun { unit: self, program, index, record: &id, worked: &worked })
            .map(|run| executor.responder.run_program(run))
            .collect();
        let outcomes = tokio::select! {
            biased;
            () = executor.stop.aborting() => Err(Halt::Aborted),
            outcomes = stream::iter(runs).buffered(CONCURRENT_PROGRAMS).try_collect() => outcomes,
        };
        // Several programs may wait at the same time, so that their waits cannot be added up.
        let worked = Duration::from_nanos(worked.load(Relaxed));
        self.metrics.add_waited(begin.elapsed().saturating_sub(worked));
        match outcomes {
            Ok(outcomes) => stage.apply(record, |record| self.stage.accept(record, outcomes)),
            Err(halt) => StageOutcome::Halted(halt),
        }
    }

    /// The failure that ends the run if the sandbox fails.
    fn fatal(&self, error: SandboxError) -> Halt {
        let class = FatalError::SANDBOX.to_owned();
        Halt::Fatal(FatalError { stage: Arc::clone(&self.path), class, message: error.message })
    }
}

impl ProgramRun<'_> {
    /// Runs the program as soon as a slot is free.
    pub(crate) async fn perform(&self) -> Result<EndedProgram<'_>, Halt> {
        let slot = self.unit.pool.slot().await;
        let begin = Instant::now();
        let ended = self.unit.pool.run(self.program, slot, |line| self.unit.stage.is_answer(line)).await;
        let took = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.worked.fetch_add(took, Relaxed);
        ended.map_err(|error| self.unit.fatal(error))
    }
}
