//! Chains: neighbouring stages that run as one call after the other, and the tasks that run them.
//!
//! There is a channel only where something waits: before a stage that asks a model or runs programs, or contains one
//! that does, and after a gate. Each record received from a channel gets a task of its own, which takes it through all stages of the
//! chain; so a slow answer delays only its own record. If a model answers without waiting, a task takes a few. The
//! first chain runs in the admission task if nothing waits in it. What happens to a record is decided in `execute` and
//! counted by the ledger, to which chains only report.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::FutureExt;
use roaring::RoaringTreemap;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::task::TaskTracker;

use super::event::{Halt, InFlightRecord, LedgerEvent};
use super::execute::{BuiltProcessor, BuiltStage, Executor, StageOutcome};
use super::gate::{GateStage, ReorderBuffer};
use super::lending::{LendingSemaphore, PermitLender};
use super::record_end::EndedRecord;
use crate::stage::Gate;

/// The capacity of the channel before a chain, in records.
const CHANNEL: usize = 32;
/// Records in a chain's first stage beyond the slots: for work in a block that is not a question, and for outcomes of
/// programs that are being journaled.
const EXTRA_RECORDS: usize = 64;
/// The most events that are reported to the ledger at a time.
const EVENT_BATCH: usize = 64;
/// The maximum number of records that one task passes through a chain in which nothing waits.
const GROUP: usize = 8;

/// Stages that run one after the other, and where their records go next.
pub(super) struct Chain {
    stages: Vec<BuiltStage>,
    output: ChainOutput,
    ledger: mpsc::Sender<LedgerEvent>,
    executor: Arc<Executor>,
}

/// Where records go after a chain.
enum ChainOutput {
    /// Nowhere: they have completed the pipeline.
    End,
    /// Into the next chain.
    Next(mpsc::Sender<InFlightRecord>),
    /// To the gate with this index.
    Gate(usize),
}

/// The input of the first chain.
pub(super) enum ChainInput {
    /// Called directly, as nothing waits in the chain.
    Chain(Arc<Chain>),
    Channel(mpsc::Sender<InFlightRecord>),
}

impl ChainInput {
    /// Sends records to the chain. Those that are no longer accepted stay in flight: the run is being aborted.
    pub(super) async fn send(&self, records: Vec<InFlightRecord>) {
        match self {
            Self::Chain(chain) => chain.run(records, None).await,
            Self::Channel(sender) => {
                for record in records {
                    // Fails only if the chain has ended, which happens when a run is aborted.
                    let _ = sender.send(record).await;
                }
            }
        }
    }

    /// Closes the input: no further record is sent.
    pub(super) async fn close(self) {
        if let Self::Chain(chain) = self {
            chain.close().await;
        }
    }
}

/// Splits the stages into chains and starts the tasks of those with a channel. Returns the input of the first chain,
/// and the gates between chains.
pub(super) fn start(
    stages: Vec<BuiltStage>,
    done: &Arc<RoaringTreemap>,
    ledger: &mpsc::Sender<LedgerEvent>,
    executor: Executor,
    tasks: &TaskTracker,
) -> (ChainInput, Vec<GateStage>) {
    let mut chains = into_chains(stages);
    let gates = chains.iter().filter(|chain| gate_of(chain).is_some()).count();
    let mut builder = ChainBuilder {
        done,
        ledger,
        executor: Arc::new(executor),
        tasks,
        gates: Vec::with_capacity(gates),
        gates_left: gates,
        next: None,
    };
    let first = chains.remove(0);
    let waits = first.first().is_some_and(BuiltStage::waits);
    for stages in chains.into_iter().rev() {
        builder.spawn(stages);
    }
    let entry = match waits {
        false => ChainInput::Chain(builder.chain(first)),
        true => ChainInput::Channel(builder.spawn(first)),
    };
    builder.gates.reverse();
    (entry, builder.gates)
}

/// Builds chains from the last to the first.
struct ChainBuilder<'a> {
    done: &'a Arc<RoaringTreemap>,
    ledger: &'a mpsc::Sender<LedgerEvent>,
    executor: Arc<Executor>,
    tasks: &'a TaskTracker,
    /// From the last to the first.
    gates: Vec<GateStage>,
    /// The number of gates that are not built yet, which is also the index of the one built last.
    gates_left: usize,
    /// The input of the chain that was built last, which is the next one in the pipeline.
    next: Option<mpsc::Sender<InFlightRecord>>,
}

impl ChainBuilder<'_> {
    /// Builds a chain whose output is the chain that was built last, or the gate at its own end.
    fn chain(&mut self, stages: Vec<BuiltStage>) -> Arc<Chain> {
        let output = match (gate_of(&stages), self.next.take()) {
            (Some((stage, gate)), out) => {
                self.gates_left -= 1;
                self.gates.push(GateStage {
                    path: Arc::clone(&stage.path),
                    decider: gate.decider(),
                    order: ReorderBuffer::new(Arc::clone(self.done)),
                    releasing: VecDeque::new(),
                    out,
                    is_closed: false,
                });
                ChainOutput::Gate(self.gates_left)
            }
            (None, Some(next)) => ChainOutput::Next(next),
            (None, None) => ChainOutput::End,
        };
        let (ledger, executor) = (self.ledger.clone(), Arc::clone(&self.executor));
        Arc::new(Chain { stages, output, ledger, executor })
    }

    /// Builds a chain with a channel before it and starts its tasks. Returns the input.
    fn spawn(&mut self, stages: Vec<BuiltStage>) -> mpsc::Sender<InFlightRecord> {
        let chain = self.chain(stages);
        let (sender, input) = mpsc::channel(CHANNEL);
        self.tasks.spawn(run_tasks(chain, input));
        self.next = Some(sender.clone());
        sender
    }
}

/// The stage at the end of a chain, if it is a gate, and that gate.
fn gate_of(chain: &[BuiltStage]) -> Option<(&BuiltStage, &dyn Gate)> {
    let stage = chain.last()?;
    match &stage.processor {
        BuiltProcessor::Gate(gate) => Some((stage, &**gate)),
        _ => None,
    }
}

/// The stages of each chain; at least one chain.
fn into_chains(stages: Vec<BuiltStage>) -> Vec<Vec<BuiltStage>> {
    let mut chains: Vec<Vec<BuiltStage>> = vec![Vec::new()];
    for stage in stages {
        match chains.last_mut() {
            Some(chain) if chain.is_empty() || !(stage.waits() || gate_of(chain).is_some()) => {
                chain.push(stage)
            }
            _ => chains.push(vec![stage]),
        }
    }
    chains
}

/// Starts a task for each record until the input ends, or for a few records at a time if nothing waits in the chain.
/// Permits limit the number of records in the first stage. They are acquired in the order of arrival, so the first to
/// arrive is asked first.
async fn run_tasks(chain: Arc<Chain>, mut input: mpsc::Receiver<InFlightRecord>) {
    let semaphore = LendingSemaphore::new(chain.capacity());
    let answers_at_once = chain.answers_at_once();
    let tasks = TaskTracker::new();
    while let Some(mut record) = input.recv().await {
        if let Some(stage) = chain.stages.first() {
            stage.metrics.set_queue(input.len());
        }
        let Some(permit) = semaphore.acquire().await else { return };
        record.lenders.stage = Some(PermitLender::new(&semaphore));
        let mut records = vec![record];
        // A task for each would cost as much as the work itself.
        while answers_at_once
            && records.len() < GROUP
            && let Ok(record) = input.try_recv()
        {
            records.push(record);
        }
        let chain = Arc::clone(&chain);
        // Boxed, since a task is moved several times before it starts.
        tasks.spawn(async move { chain.run(records, Some(permit)).await }.boxed());
    }
    tasks.close();
    tasks.wait().await;
    chain.close().await;
}

impl Chain {
    /// How many records may be in its first stage.
    fn capacity(&self) -> usize {
        let Some(first) = self.stages.first() else { return EXTRA_RECORDS };
        if let BuiltProcessor::Ask(unit) = &first.processor {
            return unit.model.concurrency() as usize;
        }
        let mut most = 0;
        first.visit(&mut |stage| match &stage.processor {
            BuiltProcessor::Ask(unit) => most = most.max(unit.model.concurrency() as usize),
            BuiltProcessor::Programs(unit) => most = most.max(unit.pool.size()),
            _ => {}
        });
        most + EXTRA_RECORDS
    }

    /// Whether its model answers without waiting, as the heuristic does.
    fn answers_at_once(&self) -> bool {
        let first = self.stages.first().map(|stage| &stage.processor);
        matches!(first, Some(BuiltProcessor::Ask(unit)) if !unit.model.is_paid())
    }

    /// Closes the gate after the chain, if there is one.
    async fn close(&self) {
        if let ChainOutput::Gate(gate) = self.output {
            // Fails only if the ledger has ended, and the gate with it.
            let _ = self.ledger.send(LedgerEvent::GateClosed { gate }).await;
        }
    }

    /// Passes records, one after the other, through the chain and sends them on.
    async fn run(&self, records: Vec<InFlightRecord>, mut permit: Option<OwnedSemaphorePermit>) {
        let mut events = Vec::new();
        for record in records {
            // Otherwise a channel that always has a record would keep a task on its thread forever.
            tokio::task::consume_budget().await;
            self.run_one(record, &mut permit, &mut events).await;
        }
        self.report(&mut events).await;
    }

    /// Passes a record, and those into which it is split, through the chain and sends them on. The permit is dropped
    /// after the first stage: a full channel must not keep other records from being asked.
    async fn run_one(
        &self,
        record: InFlightRecord,
        permit: &mut Option<OwnedSemaphorePermit>,
        events: &mut Vec<LedgerEvent>,
    ) {
        let mut waiting = vec![(record, 0)];
        while let Some((mut record, first)) = waiting.pop() {
            match self.run_stages(&mut record, first, permit).await {
                (_, StageOutcome::Passed) => self.send_on(record, events).await,
                (index, StageOutcome::Split(children)) => {
                    let item = record.record.id.item;
                    let count = u32::try_from(children.len()).unwrap_or(u32::MAX);
                    // Reported before any child continues: the ledger must not see the last child end too early.
                    events.push(LedgerEvent::Split { item, children: count });
                    for child in children.into_iter().rev() {
                        match child.end {
                            None => waiting.push((child.record, index + 1)),
                            Some(end) => events.push(EndedRecord::stopped(child.record, end).into()),
                        }
                    }
                }
                (_, StageOutcome::Ended(end)) => events.push(EndedRecord::stopped(record, end).into()),
                (_, StageOutcome::Halted(Halt::Aborted)) => {}
                (_, StageOutcome::Halted(halt)) => events.push(LedgerEvent::Halted(halt)),
            }
            if events.len() >= EVENT_BATCH {
                self.report(events).await;
            }
        }
    }

    /// Passes a record through the stages from `first` on. Returns the outcome, and the index of the stage that it is
    /// from.
    async fn run_stages(
        &self,
        record: &mut InFlightRecord,
        first: usize,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> (usize, StageOutcome) {
        for (index, stage) in self.stages.iter().enumerate().skip(first) {
            let outcome = self.executor.execute(stage, record).await;
            drop(permit.take());
            if !matches!(outcome, StageOutcome::Passed) {
                return (index, outcome);
            }
        }
        (self.stages.len(), StageOutcome::Passed)
    }

    /// Sends on a record that has completed the chain.
    async fn send_on(&self, record: InFlightRecord, events: &mut Vec<LedgerEvent>) {
        match &self.output {
            ChainOutput::End => events.push(EndedRecord::completed(record).into()),
            ChainOutput::Gate(gate) => {
                events.push(LedgerEvent::ArrivedAtGate { gate: *gate, record: Box::new(record) })
            }
            ChainOutput::Next(next) => {
                self.report(events).await;
                // Fails only if the next chain has ended, which happens when a run is aborted.
                let _ = next.send(record).await;
            }
        }
    }

    /// Reports the events so far to the ledger.
    async fn report(&self, events: &mut Vec<LedgerEvent>) {
        let event = match events.len() {
            0 => return,
            1 => events.pop(),
            _ => Some(LedgerEvent::Batch(std::mem::take(events))),
        };
        if let Some(event) = event {
            // Fails only if the ledger has ended, and with it the run.
            let _ = self.ledger.send(event).await;
        }
    }
}
