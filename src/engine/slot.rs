//! A question's slot at its model, and what becomes of it while the question waits before it is put again.
//!
//! A refused question may wait for a minute. Meanwhile its place at the model is another's, and its item's room in the
//! run too (`room`), as long as that keeps within a bound. `effect` takes the slot; the model client gives it up and
//! takes it again (`llm::Slot`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::lending::PermitLenders;
use super::metrics::StageMetrics;
use crate::llm::{Client, ModelPermit, Slot};

/// Questions that may wait while others have their items' room.
pub(crate) const MOST_WAITING: u64 = 8192;
/// Bytes that they may take, images not counted.
const MOST_BYTES: usize = 32 << 20;

/// The questions of a run that wait before they are put again.
#[derive(Debug)]
pub(crate) struct RetryBacklog {
    /// How many may begin to wait, one after the other, while nobody is answered.
    unanswered: u64,
    state: Mutex<WaitTotals>,
}

#[derive(Debug, Default)]
struct WaitTotals {
    waiting: u64,
    /// Those that lend, and the bytes of what they ask.
    lending: u64,
    bytes: usize,
    /// How many of them began since a question was answered.
    since_answer: u64,
}

impl RetryBacklog {
    /// For a run in which so many items may be in flight.
    pub(crate) fn new(max_in_flight: u32) -> Arc<Self> {
        Arc::new(Self { unanswered: u64::from(max_in_flight.max(1)), state: Mutex::default() })
    }

    /// How many wait now.
    pub(crate) fn waiting(&self) -> u64 {
        self.state().waiting
    }

    /// A question was answered.
    pub(crate) fn note_answer(&self) {
        self.state().since_answer = 0;
    }

    /// A question of so many bytes begins to wait; gives whether it may lend what it holds. As many wait as the rate of
    /// requests times the share that is refused times the wait; what others are lent serves nothing where nobody is
    /// answered, as in an outage.
    fn begin(&self, bytes: usize) -> bool {
        let mut state = self.state();
        state.waiting += 1;
        let lends = state.lending < MOST_WAITING
            && state.bytes.saturating_add(bytes) <= MOST_BYTES
            && state.since_answer < self.unanswered;
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

/// A place at a model, held or not.
#[derive(Debug)]
pub(crate) struct ModelSlot {
    client: Arc<Client>,
    metrics: Arc<StageMetrics>,
    held: Mutex<Option<ModelPermit>>,
}

impl ModelSlot {
    /// One that is still to be taken. The time that it is waited for is told to `metrics`: it is none that the model took.
    pub(crate) fn new(client: &Arc<Client>, metrics: &Arc<StageMetrics>) -> Arc<Self> {
        Arc::new(Self { client: Arc::clone(client), metrics: Arc::clone(metrics), held: Mutex::default() })
    }

    fn put(&self, place: Option<ModelPermit>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }
}

impl Slot for ModelSlot {
    fn release(&self) {
        self.put(None);
    }

    fn reacquire(&self) -> BoxFuture<'_, ()> {
        async {
            let begin = Instant::now();
            let place = self.client.acquire().await;
            self.metrics.add_waited(begin.elapsed());
            self.put(Some(place));
        }
        .boxed()
    }
}

/// What a question holds: its place at the model, and its share in the room of its item.
#[derive(Debug)]
pub(crate) struct QuestionSlot {
    pub(crate) place: Arc<ModelSlot>,
    lenders: PermitLenders,
    backlog: Arc<RetryBacklog>,
    bytes: usize,
    /// Whether it lends, while it waits.
    waiting: Mutex<Option<bool>>,
}

impl QuestionSlot {
    /// The slot of a question of so many bytes; its place is still to be taken.
    pub(crate) fn new(
        place: Arc<ModelSlot>,
        lenders: PermitLenders,
        backlog: Arc<RetryBacklog>,
        bytes: usize,
    ) -> Self {
        lenders.each(|lender| lender.open());
        Self { place, lenders, backlog, bytes, waiting: Mutex::default() }
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
        self.place.release();
        if lends {
            self.lenders.each(|lender| lender.wait());
        }
    }

    fn reacquire(&self) -> BoxFuture<'_, ()> {
        self.resume();
        self.place.reacquire()
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

    struct Waiting {
        room: Arc<LendingSemaphore>,
        backlog: Arc<RetryBacklog>,
        client: Arc<Client>,
    }

    impl Waiting {
        fn new(max_in_flight: u32) -> Self {
            let client = Arc::new(Client::new(Arc::new(Heuristic), 1));
            Self { room: LendingSemaphore::new(1), backlog: RetryBacklog::new(max_in_flight), client }
        }

        /// A question that waits, of an item of its own.
        fn wait(&self, bytes: usize) -> QuestionSlot {
            let place = ModelSlot::new(&self.client, &StageMetrics::new("llm".into()));
            let lenders = PermitLenders { item: Some(PermitLender::new(&self.room)), stage: None };
            let slot = QuestionSlot::new(place, lenders, Arc::clone(&self.backlog), bytes);
            slot.reacquire().now_or_never().unwrap();
            slot.release();
            slot
        }
    }

    #[test]
    fn the_bound_is_of_records_and_of_bytes() {
        let run = Waiting::new(u32::MAX);
        let mut slots: Vec<_> = (0..MOST_WAITING + 5).map(|_| run.wait(10)).collect();
        assert_eq!((run.room.lent() as u64, run.backlog.waiting()), (MOST_WAITING, MOST_WAITING + 5));
        slots.drain(..10);
        assert_eq!((run.room.lent() as u64, run.backlog.waiting()), (MOST_WAITING - 10, MOST_WAITING - 5));
        slots.clear();
        assert_eq!((run.room.lent(), run.backlog.waiting()), (0, 0));
        let _large: Vec<_> = (0..5).map(|_| run.wait(MOST_BYTES / 4)).collect();
        assert_eq!(run.room.lent(), 4);
    }

    #[test]
    fn nothing_more_is_lent_while_nobody_is_answered() {
        let run = Waiting::new(3);
        let slots: Vec<_> = (0..5).map(|_| run.wait(10)).collect();
        assert_eq!((run.room.lent(), run.backlog.waiting()), (3, 5));
        run.backlog.note_answer();
        let _another = run.wait(10);
        assert_eq!(run.room.lent(), 4);
        drop(slots);
        assert_eq!((run.room.lent(), run.backlog.waiting()), (1, 1));
    }
}
