//! Chains: neighbouring stages that run one call after the other, and the tasks that run them.
//!
//! A channel stands only where something waits: before a stage that asks a model, or holds one that does, and behind a
//! gate. Each record that comes out of a channel has a task of its own, which goes on through the stages of the chain;
//! so a slow answer delays only its own record. The first chain, if nothing waits in it, runs in the task that admits.

use std::collections::VecDeque;
use std::sync::Arc;

use roaring::RoaringTreemap;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::task::TaskTracker;

use super::event::{Halt, InFlightRecord, LedgerEvent};
use super::execute::{BuiltProcessor, BuiltStage, Executor, StageOutcome};
use super::gate::{GateStage, ReorderBuffer};
use super::lending::{LendingSemaphore, PermitLender};
use super::record_end::EndedRecord;
use crate::stage::Gate;

/// Records that may wait before a chain.
const CHANNEL: usize = 32;
/// Records in a block beside those whose questions are with the model, or in a first stage where nothing waits.
const EXTRA_RECORDS: usize = 64;
/// Events that are told to the ledger at a time at most.
const EVENT_BATCH: usize = 64;

/// Stages that run one after the other, and where records go behind them.
pub(super) struct Chain {
    stages: Vec<BuiltStage>,
    output: ChainOutput,
    ledger: async_channel::Sender<LedgerEvent>,
    executor: Arc<Executor>,
}

/// Where records go behind a chain.
enum ChainOutput {
    /// Nowhere: they have come through the pipeline.
    End,
    /// Into the next chain.
    Next(mpsc::Sender<InFlightRecord>),
    /// To the gate with this number.
    Gate(usize),
}

/// The way into the first chain.
pub(super) enum ChainInput {
    /// Nothing waits in it.
    Chain(Arc<Chain>),
    Channel(mpsc::Sender<InFlightRecord>),
}

impl ChainInput {
    /// Brings a record in. A record that cannot be taken any more stays in flight: the run is being given up.
    pub(super) async fn take(&self, record: InFlightRecord) {
        match self {
            Self::Chain(chain) => chain.run(record, None).await,
            Self::Channel(sender) => drop(sender.send(record).await),
        }
    }

    /// Says that no further record comes.
    pub(super) async fn close(self) {
        if let Self::Chain(chain) = self {
            chain.close().await;
        }
    }
}

/// Joins stages into chains and starts the tasks of those with a channel; gives the way into the first, and the gates
/// between them.
pub(super) fn start(
    stages: Vec<BuiltStage>,
    done: &Arc<RoaringTreemap>,
    ledger: &async_channel::Sender<LedgerEvent>,
    executor: Executor,
    tasks: &TaskTracker,
) -> (ChainInput, Vec<GateStage>) {
    let mut builder =
        ChainBuilder { done, ledger, executor: Arc::new(executor), gates: Vec::new(), next: None };
    let mut chains = into_chains(stages);
    let mut gates = chains.iter().filter(|chain| gate_of(chain).is_some()).count();
    let first = chains.remove(0);
    let waits = first.first().is_some_and(BuiltStage::awaits_model);
    for stages in chains.into_iter().rev() {
        builder.put_before(stages, &mut gates, tasks);
    }
    let entry = match waits {
        false => ChainInput::Chain(builder.chain(first, &mut gates)),
        true => ChainInput::Channel(builder.put_before(first, &mut gates, tasks)),
    };
    builder.gates.reverse();
    (entry, builder.gates)
}

/// Makes chains from the last to the first.
struct ChainBuilder<'a> {
    done: &'a Arc<RoaringTreemap>,
    ledger: &'a async_channel::Sender<LedgerEvent>,
    executor: Arc<Executor>,
    /// From the last to the first.
    gates: Vec<GateStage>,
    /// The way into the chain that was made last, which is the one behind.
    next: Option<mpsc::Sender<InFlightRecord>>,
}

impl ChainBuilder<'_> {
    /// A chain whose way on leads into the one made last; `gates` counts the gates that are still to be made.
    fn chain(&mut self, stages: Vec<BuiltStage>, gates: &mut usize) -> Arc<Chain> {
        let output = match (gate_of(&stages), self.next.take()) {
            (Some((stage, gate)), out) => {
                *gates -= 1;
                self.gates.push(GateStage {
                    path: Arc::clone(&stage.path),
                    decider: gate.decider(),
                    order: ReorderBuffer::new(Arc::clone(self.done)),
                    releasing: VecDeque::new(),
                    out,
                    is_closed: false,
                });
                ChainOutput::Gate(*gates)
            }
            (None, Some(next)) => ChainOutput::Next(next),
            (None, None) => ChainOutput::End,
        };
        let (ledger, executor) = (self.ledger.clone(), Arc::clone(&self.executor));
        Arc::new(Chain { stages, output, ledger, executor })
    }

    /// The same with a channel before it and its tasks started; gives the way in.
    fn put_before(
        &mut self,
        stages: Vec<BuiltStage>,
        gates: &mut usize,
        tasks: &TaskTracker,
    ) -> mpsc::Sender<InFlightRecord> {
        let chain = self.chain(stages, gates);
        let (sender, input) = mpsc::channel(CHANNEL);
        tasks.spawn(run_tasks(chain, input));
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

/// The stages of each chain; one at least.
fn into_chains(stages: Vec<BuiltStage>) -> Vec<Vec<BuiltStage>> {
    let mut chains: Vec<Vec<BuiltStage>> = vec![Vec::new()];
    for stage in stages {
        match chains.last_mut() {
            Some(chain) if chain.is_empty() || !(stage.awaits_model() || gate_of(chain).is_some()) => {
                chain.push(stage)
            }
            _ => chains.push(vec![stage]),
        }
    }
    chains
}

/// Starts a task for each record, until the input ends. As many are in the first stage as it has room for, in the order
/// in which they came: what came first is asked first.
async fn run_tasks(chain: Arc<Chain>, mut input: mpsc::Receiver<InFlightRecord>) {
    let room = LendingSemaphore::new(chain.room());
    let tasks = TaskTracker::new();
    while let Some(mut record) = input.recv().await {
        if let Some(stage) = chain.stages.first() {
            stage.metrics.set_queue(input.len());
        }
        let Some(permit) = room.acquire().await else { return };
        record.lenders.stage = Some(PermitLender::new(&room));
        let chain = Arc::clone(&chain);
        tasks.spawn(async move { chain.run(record, Some(permit)).await });
    }
    tasks.close();
    tasks.wait().await;
    chain.close().await;
}

impl Chain {
    /// How many records may be in its first stage.
    fn room(&self) -> usize {
        let Some(first) = self.stages.first() else { return EXTRA_RECORDS };
        if let BuiltProcessor::Ask(unit) = &first.processor {
            return unit.model.concurrency() as usize;
        }
        let mut most = 0;
        first.visit(&mut |stage| {
            if let BuiltProcessor::Ask(unit) = &stage.processor {
                most = most.max(unit.model.concurrency() as usize);
            }
        });
        most + EXTRA_RECORDS
    }

    /// Tells the gate behind it, if there is one, that nothing more comes.
    async fn close(&self) {
        if let ChainOutput::Gate(gate) = self.output {
            let _ = self.ledger.send(LedgerEvent::GateClosed { gate }).await;
        }
    }

    /// Brings a record, and what comes of it, through the chain and on. `room` is given back behind the first stage: a
    /// full channel must not keep others from being asked.
    async fn run(&self, record: InFlightRecord, mut room: Option<OwnedSemaphorePermit>) {
        // A channel that always has a record would otherwise keep a task on its thread for good.
        tokio::task::consume_budget().await;
        let mut events = Vec::new();
        let mut waiting = vec![(record, 0)];
        while let Some((mut record, first)) = waiting.pop() {
            match self.run_stages(&mut record, first, &mut room).await {
                (_, StageOutcome::Passed) => self.send_on(record, &mut events).await,
                (index, StageOutcome::Split(children)) => {
                    let item = record.record.id.item;
                    let count = u32::try_from(children.len()).unwrap_or(u32::MAX);
                    // Told before any child goes on: the ledger must not see the last child end too early.
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
                self.report(&mut events).await;
            }
        }
        self.report(&mut events).await;
    }

    /// Brings a record through the stages from `first` on; gives the stage that did not let it go on as it was.
    async fn run_stages(
        &self,
        record: &mut InFlightRecord,
        first: usize,
        room: &mut Option<OwnedSemaphorePermit>,
    ) -> (usize, StageOutcome) {
        for (index, stage) in self.stages.iter().enumerate().skip(first) {
            let outcome = self.executor.execute(stage, record).await;
            drop(room.take());
            if !matches!(outcome, StageOutcome::Passed) {
                return (index, outcome);
            }
        }
        (self.stages.len(), StageOutcome::Passed)
    }

    /// Sends a record on that has come through.
    async fn send_on(&self, record: InFlightRecord, events: &mut Vec<LedgerEvent>) {
        match &self.output {
            ChainOutput::End => events.push(EndedRecord::completed(record).into()),
            ChainOutput::Gate(gate) => {
                events.push(LedgerEvent::Arrived { gate: *gate, record: Box::new(record) })
            }
            ChainOutput::Next(next) => {
                self.report(events).await;
                // Fails only when the next chain is gone, which happens when a run is given up.
                let _ = next.send(record).await;
            }
        }
    }

    /// Tells the ledger what has become of the records so far.
    async fn report(&self, events: &mut Vec<LedgerEvent>) {
        let event = match events.len() {
            0 => return,
            1 => events.pop(),
            _ => Some(LedgerEvent::Batch(std::mem::take(events))),
        };
        if let Some(event) = event {
            let _ = self.ledger.send(event).await;
        }
    }
}
