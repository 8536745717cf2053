//! Chains: neighbouring stages that run one call after the other, and the tasks that run them.
//!
//! A channel stands only where something waits: before a stage that asks a model, or holds one that does. Such a stage
//! begins a chain, and each of its records has a task of its own, which goes on through the stages behind it; so a
//! slow answer delays only its own record. The first chain, if nothing waits in it, runs in the task that admits.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::departure;
use super::event::{Halt, InFlightRecord, LedgerEvent};
use super::execute::{Became, BuiltStage, Executor, Work};

/// Records that may wait before a chain.
const CHANNEL: usize = 32;
/// Tasks of a chain beside those whose questions are with the model: records that are being rendered, read or written.
const BESIDE: usize = 64;
/// Events that are told to the ledger at a time at most.
const TOLD_AT_ONCE: usize = 64;

/// Stages that run one after the other, and where records go behind them.
pub(super) struct Chain {
    stages: Vec<BuiltStage>,
    /// The way into the next chain; `None` behind the last one.
    next: Option<async_channel::Sender<InFlightRecord>>,
    ledger: async_channel::Sender<LedgerEvent>,
    executor: Arc<Executor>,
}

/// The way into the first chain.
pub(super) enum Entry {
    /// Nothing waits in it.
    Chain(Arc<Chain>),
    Channel(async_channel::Sender<InFlightRecord>),
}

impl Entry {
    /// Brings a record in. A record that cannot be taken any more stays in flight: the run is being given up.
    pub(super) async fn take(&self, record: InFlightRecord) {
        match self {
            Self::Chain(chain) => chain.run(record).await,
            Self::Channel(sender) => drop(sender.send(record).await),
        }
    }
}

/// Joins stages into chains and starts the tasks of those that wait; gives the way into the first.
pub(super) fn start(
    stages: Vec<BuiltStage>,
    ledger: &async_channel::Sender<LedgerEvent>,
    executor: Executor,
    tasks: &TaskTracker,
) -> Entry {
    let executor = Arc::new(executor);
    let mut next = None;
    let mut chains = joined(stages);
    let first = chains.remove(0);
    let chain = |stages, next| {
        Arc::new(Chain { stages, next, ledger: ledger.clone(), executor: Arc::clone(&executor) })
    };
    for stages in chains.into_iter().rev() {
        let (sender, input) = async_channel::bounded(CHANNEL);
        let chain = chain(stages, next.replace(sender));
        tasks.spawn(serve(chain, input, tasks.clone()));
    }
    if !first.first().is_some_and(BuiltStage::waits) {
        return Entry::Chain(chain(first, next));
    }
    let (sender, input) = async_channel::bounded(CHANNEL);
    tasks.spawn(serve(chain(first, next), input, tasks.clone()));
    Entry::Channel(sender)
}

/// The stages of each chain; one at least.
fn joined(stages: Vec<BuiltStage>) -> Vec<Vec<BuiltStage>> {
    let mut chains: Vec<Vec<BuiltStage>> = Vec::new();
    for stage in stages {
        match chains.last_mut() {
            Some(chain) if !stage.waits() => chain.push(stage),
            _ => chains.push(vec![stage]),
        }
    }
    if chains.is_empty() {
        chains.push(Vec::new());
    }
    chains
}

/// Starts a task for each record, until the input ends.
async fn serve(chain: Arc<Chain>, input: async_channel::Receiver<InFlightRecord>, tasks: TaskTracker) {
    let room = Arc::new(Semaphore::new(chain.places() + BESIDE));
    while let Ok(record) = input.recv().await {
        if let Some(stage) = chain.stages.first() {
            stage.metrics.queue(input.len());
        }
        let Ok(room) = Arc::clone(&room).acquire_owned().await else { return };
        let chain = Arc::clone(&chain);
        tasks.spawn(async move {
            chain.run(record).await;
            drop(room);
        });
    }
}

impl Chain {
    /// How many questions its first stage, which waits, can have at its models.
    fn places(&self) -> usize {
        let mut most = 0;
        for stage in &self.stages {
            stage.each(&mut |stage| {
                if let Work::Ask(unit) = &stage.work {
                    most = most.max(unit.model.places() as usize);
                }
            });
        }
        most
    }

    /// Brings a record, and what comes of it, through the chain and on.
    pub(super) async fn run(&self, record: InFlightRecord) {
        // A channel that always has a record would otherwise keep a task on its thread for good.
        tokio::task::consume_budget().await;
        let mut told = Vec::new();
        let mut waiting = vec![(record, 0)];
        'records: while let Some((mut record, first)) = waiting.pop() {
            for (index, stage) in self.stages.iter().enumerate().skip(first) {
                match self.executor.execute(stage, &mut record).await {
                    Became::Passed => {}
                    Became::Several(children) => {
                        let (item, count) = (record.record.id.item, children.len());
                        let count = u32::try_from(count).unwrap_or(u32::MAX);
                        // Told before any child goes on: the ledger must not see the last child end too early.
                        told.push(LedgerEvent::Split { item, children: count });
                        for child in children.into_iter().rev() {
                            match child.end {
                                None => waiting.push((child.record, index + 1)),
                                Some(ending) => told.push(departure::ended(child.record, ending)),
                            }
                        }
                        continue 'records;
                    }
                    Became::Ended(ending) => {
                        told.push(departure::ended(record, ending));
                        self.tell_many(&mut told).await;
                        continue 'records;
                    }
                    Became::Halted(halt) => {
                        if !matches!(halt, Halt::Aborted) {
                            told.push(LedgerEvent::Halted(halt));
                        }
                        continue 'records;
                    }
                }
            }
            let Some(next) = &self.next else {
                told.push(departure::arrived(record));
                self.tell_many(&mut told).await;
                continue;
            };
            self.tell(&mut told).await;
            // Fails only when the next chain is gone, which happens when a run is given up.
            let _ = next.send(record).await;
        }
        self.tell(&mut told).await;
    }

    async fn tell_many(&self, told: &mut Vec<LedgerEvent>) {
        if told.len() >= TOLD_AT_ONCE {
            self.tell(told).await;
        }
    }

    /// Tells the ledger what has become of the record so far.
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
