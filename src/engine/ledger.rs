//! The one task that owns a run's state: which items are in flight, how each ended, and whether to continue.
//!
//! Every other task reports events to it. It sends ended items to the writer, releases their permits, enforces the
//! error budget, and publishes snapshots. Nothing else in the program decides how an item ended.

mod context;
mod error_budget;
mod gates;
mod in_flight_item;
mod snapshot;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use context::{LedgerContext, LedgerReport};
pub use error_budget::ErrorRateExceeded;
use in_flight_item::InFlightItem;

use super::accept::{AcceptGate, EndedItem};
use super::event::{Halt, LedgerEvent, RunEvent};
use super::gate::{GateStage, GateWindow};
use super::record_end::{EndedRecord, RecordEnd};
use super::status::RunPhase;
use crate::journal::{CommitWriter, ItemCommit, WriterCommand};

/// The interval at which the writer is flushed and the figures are published.
const TICK: Duration = Duration::from_millis(100);
/// The interval at which `status.json` is replaced.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// The most events that are applied before the other tasks and the clock get their turn.
const EVENT_BATCH: usize = 64;
/// The maximum number of items that are sent to the writer together, without waiting for the next tick.
const COMMIT_BATCH: usize = 64;
/// The size of lines, in bytes, from which items are sent without waiting for the next tick.
const COMMIT_BATCH_BYTES: usize = 1 << 20;
/// The most source failures that are kept for the summary.
const MAX_SOURCE_FAILURES: usize = 10;

/// The task that owns a run's state.
pub(crate) struct Ledger {
    context: LedgerContext,
    /// Taken at the end, to join its thread.
    writer: Option<CommitWriter>,
    /// Ended items that are not yet sent to the writer, at the latest with the next tick, at which they are
    /// committed.
    ended_items: Vec<ItemCommit>,
    ended_bytes: usize,
    /// Whether the writer has items that it was not yet ordered to commit.
    has_uncommitted: bool,
    items: HashMap<u64, InFlightItem>,
    accept: Option<AcceptGate>,
    gates: Vec<GateStage>,
    window: GateWindow,
    /// Items that a gate has released, and that neither wait at another gate nor have ended.
    past_gates: u64,
    /// Records that gates dropped, which are still to be counted.
    dropped: VecDeque<EndedRecord>,
    /// Items in the order of admission, each with the end of the answers' log at that time. Ended items are removed
    /// from the front.
    admissions: VecDeque<(u64, u64)>,
    units_written: usize,
    /// Items with answers from earlier starts that are not committed yet.
    recovered: HashSet<u64>,
    report: LedgerReport,
    drops: BTreeMap<Cow<'static, str>, u64>,
    rejections: BTreeMap<String, u64>,
    /// Rejected records by stage, class and message.
    rejection_reasons: HashMap<String, u64>,
    ended: u64,
    rejected_items: u64,
    rejected_in_a_row: u64,
    admitted: u64,
    source_failures: u64,
    started: Instant,
    /// The number of ended items at each of the last ticks, for the rate.
    recent_ended: VecDeque<(Instant, u64)>,
    next_status: Instant,
    reported_draining: bool,
}

impl Ledger {
    pub(crate) fn new(mut context: LedgerContext, writer: CommitWriter) -> Self {
        let started = Instant::now();
        let before = (context.before.ok, context.before.last_ok);
        let accept = context.accept.map(|wanted| AcceptGate::new(wanted, before, Arc::clone(&context.done)));
        if accept.as_ref().is_some_and(AcceptGate::is_over) {
            context.stop.abort();
        }
        Self {
            writer: Some(writer),
            ended_items: Vec::with_capacity(COMMIT_BATCH),
            ended_bytes: 0,
            has_uncommitted: false,
            items: HashMap::new(),
            accept,
            gates: std::mem::take(&mut context.gates),
            window: GateWindow::default(),
            past_gates: 0,
            dropped: VecDeque::new(),
            admissions: VecDeque::new(),
            units_written: 0,
            recovered: context.answers.recovered_items(),
            context,
            report: LedgerReport::default(),
            drops: BTreeMap::new(),
            rejections: BTreeMap::new(),
            rejection_reasons: HashMap::new(),
            ended: 0,
            rejected_items: 0,
            rejected_in_a_row: 0,
            admitted: 0,
            source_failures: 0,
            started,
            recent_ended: VecDeque::new(),
            next_status: started,
            reported_draining: false,
        }
    }

    /// Applies events until every other task has ended, then closes the writer.
    pub(crate) async fn run(mut self) -> LedgerReport {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.limit_admission();
            let releases = self.gates.iter().any(|gate| !gate.releasing.is_empty());
            tokio::select! {
                event = self.context.incoming.recv() => match event {
                    Some(event) => self.apply_all(event).await,
                    None => break,
                },
                _ = ticks.tick() => self.tick().await,
                freed = gates::release(&mut self.gates), if releases => self.window.remove(freed),
            }
        }
        self.close().await
    }

    /// Applies an event, and those that are waiting after it.
    async fn apply_all(&mut self, first: LedgerEvent) {
        let mut event = first;
        for _ in 0..EVENT_BATCH {
            self.apply(event);
            if self.ended_items.len() >= COMMIT_BATCH || self.ended_bytes >= COMMIT_BATCH_BYTES {
                self.send_ended_items().await;
            }
            let Ok(next) = self.context.incoming.try_recv() else { return };
            event = next;
        }
        self.apply(event);
    }

    /// Applies an event. Does not wait: ended items are sent to the writer afterwards.
    fn apply(&mut self, event: LedgerEvent) {
        match event {
            LedgerEvent::Batch(events) => {
                for event in events {
                    self.apply_one(event);
                }
            }
            event => self.apply_one(event),
        }
    }

    fn apply_one(&mut self, event: LedgerEvent) {
        match event {
            LedgerEvent::Admitted { item, permit } => {
                self.admitted += 1;
                self.items.insert(
                    item,
                    InFlightItem { permit: Some(permit), in_flight: 1, ..InFlightItem::default() },
                );
                self.admissions.push_back((item, self.context.answers.end()));
            }
            LedgerEvent::UnitRead { items } => {
                self.context.units.iter_mut().for_each(|units| units.push(items))
            }
            LedgerEvent::Split { item, children } => {
                if let Some(item) = self.items.get_mut(&item) {
                    item.in_flight += children - 1;
                }
            }
            LedgerEvent::Ended(ended) => self.end_record(*ended),
            LedgerEvent::ArrivedAtGate { gate, record } => self.arrive_at_gate(gate, *record),
            LedgerEvent::GateClosed { gate } => self.close_gate(gate),
            LedgerEvent::SourceFailed { unit, message } => {
                self.source_failures += 1;
                if self.report.source_failures.len() < MAX_SOURCE_FAILURES {
                    self.report.source_failures.push((unit.clone(), message.clone()));
                }
                self.publish(RunEvent::SourceFailed { unit, message });
            }
            LedgerEvent::SourceEnded { items } => {
                self.report.source_ended = true;
                self.context.total = Some(items);
            }
            LedgerEvent::Halted(halt) => self.halt(halt),
            // Batches are not nested.
            LedgerEvent::Batch(_) => {}
        }
        while let Some(dropped) = self.dropped.pop_front() {
            self.end_record(dropped);
        }
    }

    /// Stops the run for the reason that keeps a record in flight.
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

    fn end_record(&mut self, ended: EndedRecord) {
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
            self.offer_to_gate(number);
            return;
        }
        if let Some(item) = self.items.remove(&number) {
            self.past_gates -= u64::from(item.is_past_gate);
            self.pass_gates(number, item.gate);
            self.end_item(number, item);
        }
    }

    fn end_item(&mut self, number: u64, item: InFlightItem) {
        let ended = item.end();
        let outcome = ended.outcome;
        self.ended += 1;
        self.check_error_budget(outcome);
        match self.accept {
            Some(_) => self.accept_in_order(number, ended),
            None => self.commit(number, ended),
        }
    }

    fn commit(&mut self, item: u64, ended: EndedItem) {
        while let Some((item, _)) = self.admissions.front() {
            let waits = self.accept.as_ref().is_some_and(|accept| accept.order.contains(*item));
            if waits || self.items.contains_key(item) {
                break;
            }
            self.admissions.pop_front();
        }
        self.recovered.remove(&item);
        let oldest = self.admissions.front().map(|(_, end)| *end);
        let answers_from = match self.recovered.is_empty() {
            // Requests that are outstanding have an entry of their own in the log.
            true => {
                let oldest = oldest.unwrap_or_else(|| self.context.answers.end());
                oldest.min(self.context.answers.outstanding_offset())
            }
            false => 0,
        };
        let EndedItem { outcome, lines, decision } = ended;
        let spent = self.context.spending.spent();
        self.ended_bytes += lines.iter().map(|(_, line)| line.len()).sum::<usize>();
        self.ended_items.push(ItemCommit { item, outcome, decision, lines, spent, answers_from });
    }

    /// Sends the ended items to the writer together, so that it is not woken for each of them.
    async fn send_ended_items(&mut self) {
        self.ended_bytes = 0;
        while !self.ended_items.is_empty() {
            let rest = self.ended_items.split_off(self.ended_items.len().min(COMMIT_BATCH));
            let items = std::mem::replace(&mut self.ended_items, rest);
            self.has_uncommitted = true;
            self.write(WriterCommand::Commit(items)).await;
        }
    }

    async fn tick(&mut self) {
        if self.context.stop.is_draining() && !self.reported_draining {
            self.reported_draining = true;
            if self.report.error_rate_exceeded.is_none() && self.report.fatal.is_none() {
                self.publish(RunEvent::Draining);
            }
        }
        self.send_ended_items().await;
        if std::mem::take(&mut self.has_uncommitted) {
            self.write(WriterCommand::Flush).await;
        }
        // The next item may not end for long, and until then every answer is paid for in vain.
        if self.writer.as_ref().is_some_and(CommitWriter::has_failed) {
            self.context.stop.abort();
        }
        self.context.answers.request_sync();
        let now = Instant::now();
        self.recent_ended.push_back((now, self.ended));
        if self.recent_ended.len() > 50 {
            self.recent_ended.pop_front();
        }
        let state = if self.context.stop.is_draining() { RunPhase::Draining } else { RunPhase::Running };
        let committed = self.writer.as_ref().map(CommitWriter::committed).unwrap_or_default();
        let snapshot = self.snapshot(state, &committed);
        if now >= self.next_status {
            self.next_status = now + STATUS_INTERVAL;
            let json = serde_json::to_vec_pretty(&snapshot).unwrap_or_default();
            // The run does not wait for a slow writer; the next status replaces this one.
            if let Some(writer) = &self.writer {
                writer.try_send(WriterCommand::Status(json));
            }
            self.write_units().await;
        }
        self.publish(RunEvent::Tick(Box::new(snapshot)));
    }

    /// Stores the number of items of each unit of the source, so that a later start does not read units that are done.
    /// Sources whose units are rows have too many units for that, and are fast to read.
    async fn write_units(&mut self) {
        const MAX_UNITS: usize = 200_000;
        let Some(units) = &self.context.units else { return };
        if units.len() == self.units_written || units.len() > MAX_UNITS {
            return;
        }
        self.units_written = units.len();
        let json = serde_json::to_vec(units).unwrap_or_default();
        self.write(WriterCommand::Units(json)).await;
    }

    /// Sends work to the writer. If its thread has failed nothing more can be made durable, and the run is aborted;
    /// `close` returns the error.
    async fn write(&mut self, work: WriterCommand) {
        if let Some(writer) = &self.writer
            && !writer.send(work).await
        {
            self.context.stop.abort();
        }
    }

    /// Publishes an event. The run does not wait for slow consumers; they miss events.
    fn publish(&self, event: RunEvent) {
        let _ = self.context.events.try_send(event);
    }

    /// Writes what is left. The writer's last sync may take a while, so it is awaited on a blocking thread.
    async fn close(mut self) -> LedgerReport {
        self.commit_surplus();
        self.send_ended_items().await;
        self.write_units().await;
        self.report.accepted = self.accept.as_ref().map(|accept| (accept.accepted(), accept.is_over()));
        let Some(writer) = self.writer.take() else { return self.report };
        let finished = tokio::task::spawn_blocking(move || writer.finish()).await;
        let Ok((committed, result)) = finished else { return self.report };
        if let Err(error) = result {
            self.report.storage.get_or_insert(error);
        }
        self.report.snapshot = self.snapshot(RunPhase::Finished, &committed);
        self.report
    }
}
