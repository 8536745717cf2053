//! A question's slot at its model, which it releases while it waits for a retry.
//!
//! A refused question may wait for a minute. Meanwhile another one uses its slot at the model, and within a limit its
//! item's permit in the run is lent too (`lending`). `effect` acquires the slot; the model client releases and
//! reacquires it (`llm::Slot`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::lending::PermitLenders;
use super::metrics::StageMetrics;
use crate::llm::{Client, ModelPermit, Slot};

/// The most questions that wait while their items' permits are lent.
pub(crate) const MAX_LENDING: u64 = 8192;
/// The most bytes that they take, images not counted.
const MAX_BYTES: usize = 32 << 20;

/// The questions of a run that wait for a retry.
#[derive(Debug)]
pub(crate) struct RetryBacklog {
    /// How many may start to lend, one after another, without any question being answered.
    max_unanswered: u64,
    state: Mutex<WaitTotals>,
}

#[derive(Debug, Default)]
struct WaitTotals {
    waiting: u64,
    /// Those whose permits are lent, and the bytes of their requests.
    lending: u64,
    bytes: usize,
    /// How many of them started to wait since a question was last answered.
    since_answer: u64,
}

impl RetryBacklog {
    /// The backlog of a run with at most `max_in_flight` items in flight.
    pub(crate) fn new(max_in_flight: u32) -> Arc<Self> {
        Arc::new(Self { max_unanswered: u64::from(max_in_flight.max(1)), state: Mutex::default() })
    }

    /// The number of questions that wait now.
    pub(crate) fn waiting(&self) -> u64 {
        self.state().waiting
    }

    /// Notes that a question was answered.
    pub(crate) fn note_answer(&self) {
        self.state().since_answer = 0;
    }

    /// Notes that a question of `bytes` bytes starts to wait, and returns whether its permits may be lent. The number
    /// that wait is the rate of requests times the share that is refused times the wait. Lending is pointless while
    /// no question is answered, as in an outage.
    fn begin(&self, bytes: usize) -> bool {
        let mut state = self.state();
        state.waiting += 1;
        let lends = state.lending < MAX_LENDING
            && state.bytes.saturating_add(bytes) <= MAX_BYTES
            && state.since_answer < self.max_unanswered;
        if lends {
            state.lending += 1;
            state.bytes += bytes;
            state.since_answer += 1;
        }
        lends
    }

    fn end(&self, bytes: usize, lent: bool) {
        let mut state = self.state();
        state.waiting -= 1;
        if lent {
            state.lending -= 1;
            state.bytes -= bytes;
        }
    }

    fn state(&self) -> MutexGuard<'_, WaitTotals> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot at a model, held or not.
#[derive(Debug)]
pub(crate) struct ModelSlot {
    client: Arc<Client>,
    metrics: Arc<StageMetrics>,
    held: Mutex<Option<ModelPermit>>,
}

impl ModelSlot {
    /// A slot that is not held yet. `metrics` counts the time spent waiting for it, which is not time that the model
    /// took.
    pub(crate) fn new(client: &Arc<Client>, metrics: &Arc<StageMetrics>) -> Arc<Self> {
        Arc::new(Self { client: Arc::clone(client), metrics: Arc::clone(metrics), held: Mutex::default() })
    }

    fn set(&self, place: Option<ModelPermit>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }
}

impl Slot for ModelSlot {
    fn release(&self) {
        self.set(None);
    }

    fn reacquire(&self) -> BoxFuture<'_, ()> {
        async {
            let begin = Instant::now();
            let place = self.client.acquire().await;
            self.metrics.add_waited(begin.elapsed());
            self.set(Some(place));
        }
        .boxed()
    }
}

/// What a question holds: its slot at the model, and a share in the permits of its item.
#[derive(Debug)]
pub(crate) struct QuestionSlot {
    pub(crate) model_slot: Arc<ModelSlot>,
    lenders: PermitLenders,
    backlog: Arc<RetryBacklog>,
    bytes: usize,
    /// While the question waits: whether it lends its permits.
    waiting: Mutex<Option<bool>>,
}

impl QuestionSlot {
    /// The slot of a question of `bytes` bytes; the slot at the model is not held yet.
    pub(crate) fn new(
        model_slot: Arc<ModelSlot>,
        lenders: PermitLenders,
        backlog: Arc<RetryBacklog>,
        bytes: usize,
    ) -> Self {
        lenders.each(|lender| lender.open());
        Self { model_slot, lenders, backlog, bytes, waiting: Mutex::default() }
    }

    fn resume(&self) {
        let waited = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(lends) = waited else { return };
        self.backlog.end(self.bytes, lends);
        if lends {
            self.lenders.each(|lender| lender.resume());
        }
    }
}

impl Slot for QuestionSlot {
    fn release(&self) {
        let lends = self.backlog.begin(self.bytes);
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(lends);
        self.model_slot.release();
        if lends {
            self.lenders.each(|lender| lender.wait());
        }
    }

    fn reacquire(&self) -> BoxFuture<'_, ()> {
        self.resume();
        self.model_slot.reacquire()
    }
}

impl Drop for QuestionSlot {
    fn drop(&mut self) {
        self.resume();
        self.lenders.each(|lender| lender.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::lending::{LendingSemaphore, PermitLender};
    use crate::heuristic::Heuristic;

    struct TestRun {
        semaphore: Arc<LendingSemaphore>,
        backlog: Arc<RetryBacklog>,
        client: Arc<Client>,
    }

    impl TestRun {
        fn new(max_in_flight: u32) -> Self {
            let client = Arc::new(Client::new(Arc::new(Heuristic::default()), 1));
            Self { semaphore: LendingSemaphore::new(1), backlog: RetryBacklog::new(max_in_flight), client }
        }

        /// A question of an item of its own that waits for a retry.
        fn wait(&self, bytes: usize) -> QuestionSlot {
            let model_slot = ModelSlot::new(&self.client, &StageMetrics::new("llm".into()));
            let lenders = PermitLenders { item: Some(PermitLender::new(&self.semaphore)), stage: None };
            let slot = QuestionSlot::new(model_slot, lenders, Arc::clone(&self.backlog), bytes);
            slot.reacquire().now_or_never().unwrap();
            slot.release();
            slot
        }
    }

    #[test]
    fn lending_is_limited_by_records_and_by_bytes() {
        let run = TestRun::new(u32::MAX);
        let mut slots: Vec<_> = (0..MAX_LENDING + 5).map(|_| run.wait(10)).collect();
        assert_eq!((run.semaphore.lent() as u64, run.backlog.waiting()), (MAX_LENDING, MAX_LENDING + 5));
        slots.drain(..10);
        assert_eq!((run.semaphore.lent() as u64, run.backlog.waiting()), (MAX_LENDING - 10, MAX_LENDING - 5));
        slots.clear();
        assert_eq!((run.semaphore.lent(), run.backlog.waiting()), (0, 0));
        let _large: Vec<_> = (0..5).map(|_| run.wait(MAX_BYTES / 4)).collect();
        assert_eq!(run.semaphore.lent(), 4);
    }

    #[test]
    fn nothing_more_is_lent_while_no_question_is_answered() {
        let run = TestRun::new(3);
        let slots: Vec<_> = (0..5).map(|_| run.wait(10)).collect();
        assert_eq!((run.semaphore.lent(), run.backlog.waiting()), (3, 5));
        run.backlog.note_answer();
        let _another = run.wait(10);
        assert_eq!(run.semaphore.lent(), 4);
        drop(slots);
        assert_eq!((run.semaphore.lent(), run.backlog.waiting()), (1, 1));
    }
}
