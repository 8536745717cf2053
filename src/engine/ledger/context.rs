//! What the ledger is created with, and what it returns.

use std::sync::Arc;

use roaring::RoaringTreemap;
use tokio::sync::{mpsc, watch};

use super::ErrorRateExceeded;
use crate::engine::event::{FatalError, LedgerEvent, RunEvent};
use crate::engine::gate::{AdmissionLimit, GateStage};
use crate::engine::lending::LendingSemaphore;
use crate::engine::metrics::StageMetrics;
use crate::engine::slot::RetryBacklog;
use crate::engine::spending::Spending;
use crate::engine::status::RunStatus;
use crate::engine::stop::Stop;
use crate::journal::{AnswerLog, CommittedTotals, StorageError};
use crate::llm::Model;
use crate::pipeline::ErrorBudget;
use crate::stage::LeftOut;

/// What the ledger is created with.
pub(crate) struct LedgerContext {
    pub(crate) pipeline: String,
    pub(crate) incoming: mpsc::Receiver<LedgerEvent>,
    pub(crate) answers: Arc<AnswerLog>,
    pub(crate) spending: Arc<Spending>,
    pub(crate) events: async_channel::Sender<RunEvent>,
    pub(crate) error_budget: ErrorBudget,
    pub(crate) stop: Stop,
    pub(crate) stages: Vec<Arc<StageMetrics>>,
    pub(crate) models: Vec<Arc<dyn Model>>,
    pub(crate) sinks: Vec<String>,
    /// The figures that earlier starts committed.
    pub(crate) before: CommittedTotals,
    pub(crate) limit: Option<u64>,
    /// The most items between admission and their end.
    pub(crate) max_in_flight: u64,
    /// The permits that they hold.
    pub(crate) permits: Arc<LendingSemaphore>,
    /// Questions that wait for a retry.
    pub(crate) backlog: Arc<RetryBacklog>,
    /// The number of items that have to end ok, after which the run ends.
    pub(crate) accept: Option<u64>,
    /// Items that earlier starts have committed.
    pub(crate) done: Arc<RoaringTreemap>,
    /// Gates between the chains, in the order of the pipeline.
    pub(crate) gates: Vec<GateStage>,
    /// Limits admission by what the gates can take.
    pub(crate) admission_limit: watch::Sender<AdmissionLimit>,
    /// The number of items of each unit of the source, from the first unit on; `None` if they are not counted.
    pub(crate) units: Option<Vec<u32>>,
    /// The number of units of the source, if known.
    pub(crate) unit_count: Option<u64>,
    /// The files that the source reads and leaves out, if it searches folders.
    pub(crate) files: Option<LeftOut>,
    pub(crate) total: Option<u64>,
}

/// How the run ended, as far as the ledger knows.
#[derive(Debug, Default)]
pub(crate) struct LedgerReport {
    pub(crate) snapshot: RunStatus,
    pub(crate) fatal: Option<FatalError>,
    /// Whether a request might have exceeded the budget.
    pub(crate) out_of_budget: bool,
    pub(crate) error_rate_exceeded: Option<ErrorRateExceeded>,
    /// Whether the source was read to its end.
    pub(crate) source_ended: bool,
    /// With `accept`: the number of accepted items, and whether that is enough.
    pub(crate) accepted: Option<(u64, bool)>,
    pub(crate) source_failures: Vec<(String, String)>,
    pub(crate) storage: Option<StorageError>,
}
