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

use super::departure;
use super::event::{Halt, InFlightRecord, LedgerEvent};
use super::execute::{Became, BuiltStage, Executor, Work};
use super::gate::{GateStage, Ordered};
use super::room::{Holder, Room};
use crate::stage::Gate;

/// Records that may wait before a chain.
const CHANNEL: usize = 32;
/// Records in a block beside those whose questions are with the model, or in a first stage where nothing waits.
const BESIDE: usize = 64;
/// Events that are told to the ledger at a time at most.
const TOLD_AT_ONCE: usize = 64;

/// Stages that run one after the other, and where records go behind them.
pub(super) struct Chain {
    stages: Vec<BuiltStage>,
    exit: Exit,
    ledger: async_channel::Sender<LedgerEvent>,
    executor: Arc<Executor>,
}

/// Where records go behind a chain.
enum Exit {
    /// Nowhere: they have come through the pipeline.
    End,
    /// Into the next chain.
    Next(mpsc::Sender<InFlightRecord>),
    /// To the gate with this number.
    Gate(usize),
}

/// The way into the first chain.
pub(super) enum Entry {
    /// Nothing waits in it.
    Chain(Arc<Chain>),
    Channel(mpsc::Sender<InFlightRecord>),
}

impl Entry {
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
) -> (Entry, Vec<GateStage>) {
    let mut builder = Builder { done, ledger, executor: Arc::new(executor), gates: Vec::new(), next: None };
    let mut chains = joined(stages);
    let mut gates = chains.iter().filter(|chain| gate_of(chain).is_some()).count();
    let first = chains.remove(0);
    let waits = first.first().is_some_and(BuiltStage::waits);
    for stages in chains.into_iter().rev() {
        builder.put_before(stages, &mut gates, tasks);
    }
    let entry = match waits {
        false => Entry::Chain(builder.chain(first, &mut gates)),
        true => Entry::Channel(builder.put_before(first, &mut gates, tasks)),
    };
    builder.gates.reverse();
    (entry, builder.gates)
}

/// Makes chains from the last to the first.
struct Builder<'a> {
    done: &'a Arc<RoaringTreemap>,
    ledger: &'a async_channel::Sender<LedgerEvent>,
    executor: Arc<Executor>,
    /// From the last to the first.
    gates: Vec<GateStage>,
    /// The way into the chain that was made last, which is the one behind.
    next: Option<mpsc::Sender<InFlightRecord>>,
}

impl Builder<'_> {
    /// A chain whose way on leads into the one made last; `gates` counts the gates that are still to be made.
    fn chain(&mut self, stages: Vec<BuiltStage>, gates: &mut usize) -> Arc<Chain> {
        let exit = match (gate_of(&stages), self.next.take()) {
            (Some((stage, gate)), out) => {
                *gates -= 1;
                self.gates.push(GateStage {
                    path: Arc::clone(&stage.path),
                    decider: gate.decider(),
                    order: Ordered::new(Arc::clone(self.done)),
                    releasing: VecDeque::new(),
                    out,
                    is_closed: false,
                });
                Exit::Gate(*gates)
            }
            (None, Some(next)) => Exit::Next(next),
            (None, None) => Exit::End,
        };
        let (ledger, executor) = (self.ledger.clone(), Arc::clone(&self.executor));
        Arc::new(Chain { stages, exit, ledger, executor })
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
        tasks.spawn(serve(chain, input));
        self.next = Some(sender.clone());
        sender
    }
}

/// The stage at the end of a chain, if it is a gate, and that gate.
fn gate_of(chain: &[BuiltStage]) -> Option<(&BuiltStage, &dyn Gate)> {
    let stage = chain.last()?;
    match &stage.work {
        Work::Gate(gate) => Some((stage, &**gate)),
        _ => None,
    }
}

/// The stages of each chain; one at least.
fn joined(stages: Vec<BuiltStage>) -> Vec<Vec<BuiltStage>> {
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

/// Starts a task for each record, until the input ends. As many are in the first stage as it has room for, in the order
/// in which they came: what came first is asked first.
async fn serve(chain: Arc<Chain>, mut input: mpsc::Receiver<InFlightRecord>) {
    let room = Room::new(chain.room());
    let tasks = TaskTracker::new();
    while let Some(mut record) = input.recv().await {
        if let Some(stage) = chain.stages.first() {
            stage.metrics.queue(input.len());
        }
        let Some(permit) = room.acquire().await else { return };
        record.holders.stage = Some(Holder::new(&room));
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
        let Some(first) = self.stages.first() else { return BESIDE };
        if let Work::Ask(unit) = &first.work {
            return unit.model.concurrency() as usize;
        }
        let mut most = 0;
        first.each(&mut |stage| {
            if let Work::Ask(unit) = &stage.work {
                most = most.max(unit.model.concurrency() as usize);
            }
        });
        most + BESIDE
    }

    /// Tells the gate behind it, if there is one, that nothing more comes.
    async fn close(&self) {
        if let Exit::Gate(gate) = self.exit {
            let _ = self.ledger.send(LedgerEvent::GateClosed { gate }).await;
        }
    }

    /// Brings a record, and what comes of it, through the chain and on. `room` is given back behind the first stage: a
    /// full channel must not keep others from being asked.
    async fn run(&self, record: InFlightRecord, mut room: Option<OwnedSemaphorePermit>) {
        // A channel that always has a record would otherwise keep a task on its thread for good.
        tokio::task::consume_budget().await;
        let mut told = Vec::new();
        let mut waiting = vec![(record, 0)];
        while let Some((mut record, first)) = waiting.pop() {
            match self.bring(&mut record, first, &mut room).await {
                (_, Became::Passed) => self.send_on(record, &mut told).await,
                (index, Became::Several(children)) => {
                    let item = record.record.id.item;
                    let count = u32::try_from(children.len()).unwrap_or(u32::MAX);
                    // Told before any child goes on: the ledger must not see the last child end too early.
                    told.push(LedgerEvent::Split { item, children: count });
                    for child in children.into_iter().rev() {
                        match child.end {
                            None => waiting.push((child.record, index + 1)),
                            Some(ending) => told.push(departure::ended(child.record, ending)),
                        }
                    }
                }
                (_, Became::Ended(ending)) => told.push(departure::ended(record, ending)),
                (_, Became::Halted(Halt::Aborted)) => {}
                (_, Became::Halted(halt)) => told.push(LedgerEvent::Halted(halt)),
            }
            if told.len() >= TOLD_AT_ONCE {
                self.tell(&mut told).await;
            }
        }
        self.tell(&mut told).await;
    }

    /// Brings a record through the stages from `first` on; gives the stage that did not let it go on as it was.
    async fn bring(
        &self,
        record: &mut InFlightRecord,
        first: usize,
        room: &mut Option<OwnedSemaphorePermit>,
    ) -> (usize, Became) {
        for (index, stage) in self.stages.iter().enumerate().skip(first) {
            let became = self.executor.execute(stage, record).await;
            drop(room.take());
            if !matches!(became, Became::Passed) {
                return (index, became);
            }
        }
        (self.stages.len(), Became::Passed)
    }

    /// Sends a record on that has come through.
    async fn send_on(&self, record: InFlightRecord, told: &mut Vec<LedgerEvent>) {
        match &self.exit {
            Exit::End => told.push(departure::arrived(record)),
            Exit::Gate(gate) => told.push(LedgerEvent::Arrived { gate: *gate, record: Box::new(record) }),
            Exit::Next(next) => {
                self.tell(told).await;
                // Fails only when the next chain is gone, which happens when a run is given up.
                let _ = next.send(record).await;
            }
        }
    }

    /// Tells the ledger what has become of the records so far.
    async fn tell(&self, told: &mut Vec<LedgerEvent>) {
        let event = match told.len() {
            0 => return,
            1 => told.pop(),
            _ => Some(LedgerEvent::Several(std::mem::take(told))),
        };
        if let Some(event) = event {
            let _ = self.ledger.send(event).await;
        }
    }
}
