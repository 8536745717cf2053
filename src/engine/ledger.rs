//! The one task that owns a run's state: which items are in flight, how each ended, whether to go on.
//!
//! Every other task tells it what happens; it hands ended items to the writer, gives their room back, keeps the
//! error budget, and publishes snapshots. Nothing else in the program decides how an item ended.

mod error_budget;
mod gates;
mod in_flight_item;
mod snapshot;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use roaring::RoaringTreemap;
use tokio::sync::watch;
use tokio::time::Instant;

pub use error_budget::ErrorRateExceeded;
use in_flight_item::InFlightItem;

use super::accept::{AcceptGate, EndedItem};
use super::event::{FatalError, Halt, LedgerEvent, RunEvent, Snapshot};
use super::gate::{AdmissionLimit, GateStage, GateWindow};
use super::lending::LendingSemaphore;
use super::metrics::StageMetrics;
use super::record_end::{EndedRecord, RecordEnd};
use super::slot::RetryBacklog;
use super::spending::Spending;
use super::stop::Stop;
use crate::journal::{AnswerLog, CommitWriter, CommittedTotals, ItemCommit, WriterCommand};
use crate::llm::Model;
use crate::pipeline::ErrorBudget;
use crate::stage::LeftOut;

/// How often the writer is told to commit and the figures are published.
const TICK: Duration = Duration::from_millis(100);
/// How often `status.json` is replaced.
const STATUS: Duration = Duration::from_secs(1);
/// Events that are noted before the clock is looked at again.
const AT_ONCE: usize = 64;
/// Lines kept of a kind for the summary.
const KEPT: usize = 10;

/// What the ledger is given.
pub(crate) struct LedgerContext {
    pub(crate) pipeline: String,
    pub(crate) told: async_channel::Receiver<LedgerEvent>,
    pub(crate) answers: Arc<AnswerLog>,
    pub(crate) spending: Arc<Spending>,
    pub(crate) events: async_channel::Sender<RunEvent>,
    pub(crate) budget: ErrorBudget,
    pub(crate) stop: Stop,
    pub(crate) stages: Vec<Arc<StageMetrics>>,
    pub(crate) models: Vec<Arc<dyn Model>>,
    pub(crate) sinks: Vec<String>,
    /// What earlier starts committed.
    pub(crate) before: CommittedTotals,
    pub(crate) limit: Option<u64>,
    /// Items between admission and their end.
    pub(crate) max_in_flight: u64,
    /// The room that they have.
    pub(crate) room: Arc<LendingSemaphore>,
    /// Questions that wait before they are put again.
    pub(crate) backlog: Arc<RetryBacklog>,
    /// The run ends when so many items have ended ok.
    pub(crate) accept: Option<u64>,
    /// Items that earlier starts have committed.
    pub(crate) done: Arc<RoaringTreemap>,
    /// Gates between the chains, in the order of the pipeline.
    pub(crate) gates: Vec<GateStage>,
    /// Tells admission whether the gates have room.
    pub(crate) admission: watch::Sender<AdmissionLimit>,
    /// The items of each unit of the source, from the first unit on; `None` where they are not counted.
    pub(crate) units: Option<Vec<u32>>,
    /// How many units the source has, if it knows.
    pub(crate) unit_count: Option<u64>,
    /// What the source reads and leaves out, if it looks for files.
    pub(crate) files: Option<LeftOut>,
    pub(crate) total: Option<u64>,
}

/// What the run came to, besides its snapshot.
#[derive(Debug, Default)]
pub(crate) struct LedgerReport {
    pub(crate) snapshot: Snapshot,
    pub(crate) fatal: Option<FatalError>,
    /// A request might have exceeded the budget.
    pub(crate) out_of_budget: bool,
    pub(crate) error_rate_exceeded: Option<ErrorRateExceeded>,
    /// The source was read to its end.
    pub(crate) source_ended: bool,
    /// With `accept`: how many items were accepted, and whether that is enough.
    pub(crate) accepted: Option<(u64, bool)>,
    pub(crate) source_failures: Vec<(String, String)>,
    pub(crate) storage: Option<crate::journal::StorageError>,
}

pub(crate) struct Ledger {
    context: LedgerContext,
    /// Taken at the end, when its thread is joined.
    writer: Option<CommitWriter>,
    items: HashMap<u64, InFlightItem>,
    accept: Option<AcceptGate>,
    gates: Vec<GateStage>,
    window: GateWindow,
    /// Items that gates have let go on, and that neither wait at another nor have ended.
    behind_gates: u64,
    /// Records that gates dropped, to be ended.
    dropped: VecDeque<EndedRecord>,
    /// Items in the order of admission with where the answers' log then ended; those in front have ended.
    admissions: VecDeque<(u64, u64)>,
    units_written: usize,
    /// Items with answers from earlier starts that are not committed yet.
    recovered: HashSet<u64>,
    report: LedgerReport,
    drops: BTreeMap<Cow<'static, str>, u64>,
    rejections: BTreeMap<String, u64>,
    reasons: HashMap<String, u64>,
    ended: u64,
    rejected_items: u64,
    in_a_row: u64,
    admitted: u64,
    failures: u64,
    begin: Instant,
    /// Items ended at the last few ticks, for the rate.
    lately: VecDeque<(Instant, u64)>,
    next_status: Instant,
    told_draining: bool,
}

impl Ledger {
    pub(crate) fn new(mut context: LedgerContext, writer: CommitWriter) -> Self {
        let begin = Instant::now();
        let before = (context.before.ok, context.before.last_ok);
        let accept = context.accept.map(|wanted| AcceptGate::new(wanted, before, Arc::clone(&context.done)));
        if accept.as_ref().is_some_and(AcceptGate::is_over) {
            context.stop.abort();
        }
        Self {
            writer: Some(writer),
            items: HashMap::new(),
            accept,
            gates: std::mem::take(&mut context.gates),
            window: GateWindow::default(),
            behind_gates: 0,
            dropped: VecDeque::new(),
            admissions: VecDeque::new(),
            units_written: 0,
            recovered: context.answers.recovered_items(),
            context,
            report: LedgerReport::default(),
            drops: BTreeMap::new(),
            rejections: BTreeMap::new(),
            reasons: HashMap::new(),
            ended: 0,
            rejected_items: 0,
            in_a_row: 0,
            admitted: 0,
            failures: 0,
            begin,
            lately: VecDeque::new(),
            next_status: begin,
            told_draining: false,
        }
    }

    /// Works until every other task has ended, then closes the writer.
    pub(crate) async fn run(mut self) -> LedgerReport {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.limit_admission();
            let releases = self.gates.iter().any(|gate| !gate.releasing.is_empty());
            tokio::select! {
                event = self.context.told.recv() => match event {
                    Ok(event) => self.note_all(event).await,
                    Err(_) => break,
                },
                _ = ticks.tick() => self.tick().await,
                freed = gates::release(&mut self.gates), if releases => self.window.remove(freed),
            }
        }
        self.close().await
    }

    /// Notes an event, and those that wait behind it.
    async fn note_all(&mut self, event: LedgerEvent) {
        self.note(event).await;
        for _ in 0..AT_ONCE {
            let Ok(event) = self.context.told.try_recv() else { return };
            self.note(event).await;
        }
    }

    async fn note(&mut self, event: LedgerEvent) {
        match event {
            LedgerEvent::Batch(events) => {
                for event in events {
                    self.note_one(event).await;
                }
            }
            event => self.note_one(event).await,
        }
    }

    async fn note_one(&mut self, event: LedgerEvent) {
        match event {
            LedgerEvent::Admitted { item, room } => {
                self.admitted += 1;
                self.items
                    .insert(item, InFlightItem { room: Some(room), in_flight: 1, ..InFlightItem::default() });
                self.admissions.push_back((item, self.context.answers.end()));
            }
            LedgerEvent::Unit { items } => self.context.units.iter_mut().for_each(|units| units.push(items)),
            LedgerEvent::Split { item, children } => {
                if let Some(item) = self.items.get_mut(&item) {
                    item.in_flight += children - 1;
                }
            }
            LedgerEvent::Ended(ended) => self.end_record(*ended).await,
            LedgerEvent::Arrived { gate, record } => self.arrive(gate, *record),
            LedgerEvent::GateClosed { gate } => self.close_gate(gate),
            LedgerEvent::SourceFailed { unit, message } => {
                self.failures += 1;
                if self.report.source_failures.len() < KEPT {
                    self.report.source_failures.push((unit.clone(), message.clone()));
                }
                self.tell(RunEvent::SourceFailed { unit, message });
            }
            LedgerEvent::SourceEnded { items } => {
                self.report.source_ended = true;
                self.context.total = Some(items);
            }
            LedgerEvent::Halted(halt) => self.halt(halt),
            // They come one level deep.
            LedgerEvent::Batch(_) => {}
        }
        while let Some(dropped) = self.dropped.pop_front() {
            self.end_record(dropped).await;
        }
    }

    /// Stops the run for what keeps a record in flight.
    fn halt(&mut self, halt: Halt) {
        match halt {
            Halt::OutOfBudget => {
                self.report.out_of_budget = true;
                self.context.stop.drain();
            }
            Halt::Storage(error) => {
                self.report.storage.get_or_insert(error);
                self.context.stop.abort();
            }
            Halt::Fatal(error) => {
                self.report.fatal.get_or_insert(error);
                self.context.stop.abort();
            }
            Halt::Aborted => {}
        }
    }

    async fn end_record(&mut self, ended: EndedRecord) {
        let number = ended.id.item;
        let Some(item) = self.items.get_mut(&number) else { return };
        item.in_flight -= 1;
        item.ended.push((ended.id.clone(), ended.lines));
        item.written |= ended.written;
        item.rejected |= matches!(ended.end, Some(RecordEnd::Rejected(_)));
        let is_over = item.in_flight == 0;
        match ended.end {
            None => {}
            Some(RecordEnd::Dropped(reason)) => *self.drops.entry(reason).or_default() += 1,
            Some(RecordEnd::Rejected(rejection)) => self.count_rejection(ended.id, rejection),
        }
        if !is_over {
            self.offer(number);
            return;
        }
        if let Some(item) = self.items.remove(&number) {
            self.behind_gates -= u64::from(item.is_behind_gate);
            self.pass_gates(number, item.gate);
            self.end_item(number, item).await;
        }
    }

    async fn end_item(&mut self, number: u64, item: InFlightItem) {
        let ended = item.end();
        let outcome = ended.outcome;
        self.ended += 1;
        self.check_error_budget(outcome);
        match self.accept {
            Some(_) => self.hold_ended(number, ended).await,
            None => self.commit(number, ended).await,
        }
    }

    async fn commit(&mut self, item: u64, ended: EndedItem) {
        while let Some((item, _)) = self.admissions.front() {
            let waits = self.accept.as_ref().is_some_and(|accept| accept.order.holds(*item));
            if waits || self.items.contains_key(item) {
                break;
            }
            self.admissions.pop_front();
        }
        self.recovered.remove(&item);
        let oldest = self.admissions.front().map(|(_, end)| *end);
        let answers_from = match self.recovered.is_empty() {
            // What is out is said at a place of its own.
            true => {
                let oldest = oldest.unwrap_or_else(|| self.context.answers.end());
                oldest.min(self.context.answers.out_at())
            }
            false => 0,
        };
        let EndedItem { outcome, lines, decision } = ended;
        let spent = self.context.spending.spent();
        self.write(WriterCommand::Commit(ItemCommit { item, outcome, decision, lines, spent, answers_from }))
            .await;
    }

    async fn tick(&mut self) {
        if self.context.stop.is_draining() && !self.told_draining {
            self.told_draining = true;
            if self.report.error_rate_exceeded.is_none() && self.report.fatal.is_none() {
                self.tell(RunEvent::Draining);
            }
        }
        self.write(WriterCommand::Flush).await;
        self.context.answers.sync_soon();
        let now = Instant::now();
        self.lately.push_back((now, self.ended));
        if self.lately.len() > 50 {
            self.lately.pop_front();
        }
        let state = if self.context.stop.is_draining() { "draining" } else { "running" };
        let committed = self.writer.as_ref().map(CommitWriter::committed).unwrap_or_default();
        let snapshot = self.snapshot(state, &committed);
        if now >= self.next_status {
            self.next_status = now + STATUS;
            let json = serde_json::to_vec_pretty(&snapshot).unwrap_or_default();
            self.write(WriterCommand::Status(json)).await;
            self.write_units().await;
        }
        self.tell(RunEvent::Tick(Box::new(snapshot)));
    }

    /// Notes how many items each unit of the source has, so that a later start need not read those that are
    /// done. Sources whose units are rows have too many, and are quick to read.
    async fn write_units(&mut self) {
        const MOST: usize = 200_000;
        let Some(units) = &self.context.units else { return };
        if units.len() == self.units_written || units.len() > MOST {
            return;
        }
        self.units_written = units.len();
        let json = serde_json::to_vec(units).unwrap_or_default();
        self.write(WriterCommand::Units(json)).await;
    }

    /// Hands work to the writer. When its thread has ended with an error nothing more can be made durable,
    /// and the run is given up; `close` tells the error.
    async fn write(&self, work: WriterCommand) {
        if let Some(writer) = &self.writer
            && !writer.send(work).await
        {
            self.context.stop.abort();
        }
    }

    /// Tells those who show the run; when they are slow they miss some, the run does not wait for them.
    fn tell(&self, event: RunEvent) {
        let _ = self.context.events.try_send(event);
    }

    /// Writes what is left. The writer's last sync may take a while, so it is awaited off the async threads.
    async fn close(mut self) -> LedgerReport {
        self.commit_surplus().await;
        self.write_units().await;
        self.report.accepted = self.accept.as_ref().map(|accept| (accept.accepted(), accept.is_over()));
        let Some(writer) = self.writer.take() else { return self.report };
        let finished = tokio::task::spawn_blocking(move || writer.finish()).await;
        let Ok((committed, result)) = finished else { return self.report };
        if let Err(error) = result {
            self.report.storage.get_or_insert(error);
        }
        self.report.snapshot = self.snapshot("finished", &committed);
        self.report
    }
}
