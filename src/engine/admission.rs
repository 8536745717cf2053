//! From the source part to the first chain: numbers the items, skips those that are done, and is the only place that
//! waits for a permit in the run.
//!
//! The source part runs on a thread of its own, since it reads files; a small channel of units connects it to the
//! admission task. Each item acquires a permit here, which the ledger holds until the item has ended, so nothing
//! downstream ever has to refuse work.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use roaring::RoaringTreemap;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use super::chain::ChainInput;
use super::event::{FatalError, InFlightRecord, LedgerEvent};
use super::gate::AdmissionLimit;
use super::lending::{LendingSemaphore, PermitLender, PermitLenders};
use super::stop::Stop;
use crate::record::RecordId;
use crate::stage::{LeftOut, Source, SourceFailure, SourceTransform, SourceUnit, StageError};

/// The most items that are admitted at a time, if there are permits for them: one event tells the ledger of all.
const GROUP: usize = 16;
/// The capacity of the channel between the source's thread and admission, in units.
const UNITS: usize = 2;

/// The source part of a pipeline: a source, and the steps that make items of its units.
pub(crate) struct SourcePart {
    pub(crate) source_id: Arc<str>,
    pub(crate) source: Box<dyn Source>,
    pub(crate) steps: Vec<(Arc<str>, Box<dyn SourceTransform>)>,
}

/// What the source's thread sends: a unit, or why it could not be read.
pub(crate) type UnitResult = Result<SourceUnit, SourceFailure>;

impl SourcePart {
    /// Returns the next unit with its items, or why it failed; `None` at the end. Blocks. A panic of a stage is a
    /// failure of the unit.
    pub(crate) fn next(&mut self) -> Option<UnitResult> {
        let result = catch_unwind(AssertUnwindSafe(|| self.source.next()));
        let unit = match result {
            Ok(next) => next?,
            Err(panic) => Err(SourceFailure {
                unit: self.source_id.to_string(),
                message: format!("the stage panicked: {}", panic_message(&*panic)),
            }),
        };
        Some(unit.and_then(|unit| self.run_steps(unit)))
    }

    /// Returns the next unit that can be read, and adds the failures before it to `failures`. Blocks.
    pub(super) fn next_readable(&mut self, failures: &mut Vec<String>) -> Option<SourceUnit> {
        loop {
            match self.next()? {
                Ok(unit) => return Some(unit),
                Err(failure) => failures.push(failure.to_string()),
            }
        }
    }

    fn run_steps(&self, mut unit: SourceUnit) -> UnitResult {
        for (id, step) in &self.steps {
            let records = std::mem::take(&mut unit.records);
            let transformed =
                catch_unwind(AssertUnwindSafe(|| step.transform(records))).unwrap_or_else(|panic| {
                    Err(StageError::new("panic", format!("the stage panicked: {}", panic_message(&*panic))))
                });
            match transformed {
                Ok(records) => unit.records = records,
                Err(error) => {
                    return Err(SourceFailure { unit: unit.name, message: format!("`{id}`: {error}") });
                }
            }
        }
        Ok(unit)
    }

    /// The number of units, if known beforehand.
    pub(crate) fn units(&self) -> Option<u64> {
        self.source.units()
    }

    /// What the source leaves out of the folders it searches.
    pub(crate) fn left_out(&self) -> Option<LeftOut> {
        self.source.left_out()
    }

    /// The number of items, if known beforehand.
    pub(crate) fn items(&self) -> Option<u64> {
        if self.steps.is_empty() { self.source.records() } else { None }
    }

    /// Skips items that are done, where the source can do so without making them. Returns the numbers of items and
    /// units that were skipped. `units` holds the number of items of each of the first units, as an earlier start
    /// counted them.
    pub(crate) fn skip_done(&mut self, done: &RoaringTreemap, units: &[u32]) -> (u64, usize) {
        let done = leading(done);
        if self.steps.is_empty() {
            let skipped = self.source.skip(done);
            if skipped > 0 {
                return (skipped, 0);
            }
        }
        let (mut items, mut wanted) = (0, 0);
        for count in units {
            if items + u64::from(*count) > done {
                break;
            }
            items += u64::from(*count);
            wanted += 1;
        }
        let skipped = usize::try_from(self.source.skip_units(wanted)).unwrap_or(0).min(units.len());
        (units[..skipped].iter().map(|count| u64::from(*count)).sum(), skipped)
    }

    /// Starts the source's thread. It ends with the source, or when the receiver is dropped.
    pub(crate) fn start(mut self) -> std::io::Result<async_channel::Receiver<UnitResult>> {
        let (sender, receiver) = async_channel::bounded(UNITS);
        std::thread::Builder::new().name("synthmill-source".into()).spawn(move || {
            while let Some(unit) = self.next() {
                if sender.send_blocking(unit).is_err() {
                    return;
                }
            }
        })?;
        Ok(receiver)
    }
}

/// The number of items from 0 on that are done without a gap.
fn leading(done: &RoaringTreemap) -> u64 {
    let (mut low, mut high) = (0, done.len());
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if done.rank(middle - 1) == middle {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

/// An item with its permit in the run.
type AdmittedItem = (InFlightRecord, OwnedSemaphorePermit);

/// The admission task.
pub(crate) struct Admission {
    /// The number of the first item of `units`.
    pub(crate) first_item: u64,
    pub(crate) units: async_channel::Receiver<UnitResult>,
    pub(crate) done: Arc<RoaringTreemap>,
    pub(crate) limit: u64,
    /// Limits the items in flight.
    pub(crate) permits: Arc<LendingSemaphore>,
    pub(crate) ledger: mpsc::Sender<LedgerEvent>,
    pub(crate) first: ChainInput,
    /// How far the gates let admission go.
    pub(crate) gate_limit: watch::Receiver<AdmissionLimit>,
    /// Items admitted in this start.
    pub(crate) admitted: u64,
    pub(crate) stop: Stop,
}

impl Admission {
    /// Admits items until the source ends, the limit is reached or the run is stopped. Everything downstream ends
    /// because `first` is dropped here.
    pub(crate) async fn run(mut self) {
        self.admit_all().await;
        self.first.close().await;
    }

    async fn admit_all(&mut self) {
        let mut item = self.first_item;
        // Items that have a permit and are to be admitted together.
        let mut group = Vec::with_capacity(GROUP);
        loop {
            let unit = tokio::select! {
                biased;
                () = self.stop.draining() => return,
                unit = self.units.recv() => unit,
            };
            let Ok(unit) = unit else { break };
            let unit = match unit {
                Ok(unit) => unit,
                Err(SourceFailure { unit, message }) => {
                    let _ = self.ledger.send(LedgerEvent::SourceFailed { unit, message }).await;
                    let _ = self.ledger.send(LedgerEvent::UnitRead { items: 0 }).await;
                    continue;
                }
            };
            let items = u32::try_from(unit.records.len()).unwrap_or(u32::MAX);
            let _ = self.ledger.send(LedgerEvent::UnitRead { items }).await;
            for mut record in unit.records {
                if item >= self.limit {
                    self.admit(&mut group).await;
                    return;
                }
                if !self.done.contains(item) {
                    record.id = RecordId::item(item);
                    let lenders = PermitLenders { item: Some(PermitLender::new(&self.permits)), stage: None };
                    let record = InFlightRecord { record, lenders, ..InFlightRecord::default() };
                    let Some(permit) = self.permit(&mut group).await else { return };
                    self.admitted += 1;
                    group.push((record, permit));
                    if group.len() >= GROUP && !self.admit(&mut group).await {
                        return;
                    }
                }
                item += 1;
            }
            if !self.admit(&mut group).await {
                return;
            }
        }
        let _ = self.ledger.send(LedgerEvent::SourceEnded { items: item }).await;
    }

    /// Returns a permit for the next item, once there is one; `None` if the run is being stopped. The items of `group` do
    /// not wait with it.
    async fn permit(&mut self, group: &mut Vec<AdmittedItem>) -> Option<OwnedSemaphorePermit> {
        let is_free = !self.stop.is_draining() && self.gate_limit.borrow().allows(self.admitted);
        if let Some(permit) = is_free.then(|| self.permits.try_acquire()).flatten() {
            return Some(permit);
        }
        if !self.admit(group).await {
            return None;
        }
        let admitted = self.admitted;
        tokio::select! {
            biased;
            () = self.stop.draining() => None,
            permit = async {
                // Fails only if the ledger has ended, in which case sending to it fails later.
                let _ = self.gate_limit.wait_for(|limit| limit.allows(admitted)).await;
                self.permits.acquire().await
            } => permit,
        }
    }

    /// Reports items to the ledger and passes them into the first chain. Returns false if the ledger has ended.
    async fn admit(&mut self, group: &mut Vec<AdmittedItem>) -> bool {
        let (records, events): (Vec<_>, Vec<_>) = group
            .drain(..)
            .map(|(record, permit)| {
                let item = record.record.id.item;
                (record, LedgerEvent::Admitted { item, permit })
            })
            .unzip();
        if !events.is_empty() && self.ledger.send(LedgerEvent::Batch(events)).await.is_err() {
            return false;
        }
        self.first.send(records).await;
        true
    }
}

/// The message of a panic.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "no message".to_owned())
}

/// The fatal error of a source whose thread cannot be started.
pub(crate) fn thread_failed(error: &std::io::Error) -> FatalError {
    FatalError {
        stage: "source".into(),
        class: "thread".into(),
        message: format!("cannot start the source's thread: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn done_items_are_counted_up_to_the_first_gap() {
        for (done, expected) in [
            (vec![], 0),
            (vec![0], 1),
            (vec![1, 2], 0),
            (vec![0, 1, 2, 5], 3),
            ((0..100_000).chain(100_001..100_050).collect(), 100_000),
        ] {
            assert_eq!(leading(&done.into_iter().collect()), expected);
        }
    }
}
