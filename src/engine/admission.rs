//! From the source part to the first chain: numbers the items, skips those that are done, and is the only place that
//! waits for a permit in the run.
//!
//! Each item acquires a permit here, which the ledger holds until the item has ended, so nothing downstream ever has to
//! refuse work. The records come in batches from the source's thread (`source_part`).

use std::sync::Arc;

use roaring::RoaringTreemap;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use super::chain::ChainInput;
use super::event::{FatalError, Halt, InFlightRecord, LedgerEvent};
use super::gate::AdmissionLimit;
use super::lending::{LendingSemaphore, PermitLender, PermitLenders};
use super::source_part::SourceBatch;
use super::stop::Stop;
use crate::record::RecordId;
use crate::stage::{SourceFailure, SourceHalt};

/// The maximum number of items that are admitted together, if there are permits for them: one event reports them all
/// to the ledger.
const GROUP: usize = 16;

/// An item with its permit to be in flight.
type AdmittedItem = (InFlightRecord, OwnedSemaphorePermit);

/// The admission task.
pub(crate) struct Admission {
    /// The number of the first item of `batches`.
    pub(crate) first_item: u64,
    /// The id of the source.
    pub(crate) source_id: Arc<str>,
    pub(crate) batches: async_channel::Receiver<SourceBatch>,
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
        let (mut item, mut in_unit) = (self.first_item, 0_usize);
        // Items that have a permit and are to be admitted together.
        let mut group = Vec::with_capacity(GROUP);
        loop {
            let batch = tokio::select! {
                biased;
                () = self.stop.draining() => return,
                batch = self.batches.recv() => batch,
            };
            let Ok(batch) = batch else { break };
            in_unit += batch.records.len();
            if let Some(end) = batch.end {
                if let Err(SourceFailure { unit, message, halt }) = end {
                    if let Some(halt) = halt {
                        let halt = halt_of(halt, &self.source_id);
                        let _ = self.ledger.send(LedgerEvent::Halted(halt)).await;
                        return;
                    }
                    let _ = self.ledger.send(LedgerEvent::SourceFailed { unit, message }).await;
                }
                let items = u32::try_from(in_unit).unwrap_or(u32::MAX);
                let _ = self.ledger.send(LedgerEvent::UnitRead { items }).await;
                in_unit = 0;
            }
            for mut record in batch.records {
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

/// The end of a run whose source cannot go on. The items after it must keep their numbers, so they wait for a later start.
fn halt_of(halt: SourceHalt, source: &Arc<str>) -> Halt {
    match halt {
        SourceHalt::Storage(error) => Halt::Storage(error),
        SourceHalt::Sandbox(error) => {
            let class = FatalError::SANDBOX.to_owned();
            Halt::Fatal(FatalError { stage: Arc::clone(source), class, message: error.message })
        }
    }
}
