//! LendingSemaphore for so many at a time, which is lent while those who have it only wait before they ask again.
//!
//! There is room for items in the run (`admission`) and for records in a stage that asks (`chain`). Whoever has some is a
//! `PermitLender`; its questions (`slot`) tell it when they wait. What is lent comes back as a debt that is paid before anyone
//! else comes in, so nobody ever waits for room that he had before.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// LendingSemaphore for so many, and for as many more as are lent.
///
/// At all times `taken + free = size + lent + debt`, and somebody comes in only while the debt is nothing. So there are
/// never more in it than its size and the most that were ever lent at a time.
#[derive(Debug)]
pub(crate) struct LendingSemaphore {
    free: Arc<Semaphore>,
    lent: AtomicUsize,
    /// What was lent and came back, while those who came in meanwhile are still there.
    debt: AtomicUsize,
}

impl LendingSemaphore {
    pub(crate) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(size)),
            lent: AtomicUsize::new(0),
            debt: AtomicUsize::new(0),
        })
    }

    /// Waits for room; it is free again when the permit is dropped.
    pub(crate) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            // The semaphore is never closed.
            let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
            let paid = self.debt.fetch_update(SeqCst, SeqCst, |debt| debt.checked_sub(1));
            if paid.is_err() {
                return Some(permit);
            }
            permit.forget();
        }
    }

    /// How much is lent.
    pub(crate) fn lent(&self) -> usize {
        self.lent.load(SeqCst)
    }

    fn lend(&self) {
        self.lent.fetch_add(1, SeqCst);
        self.free.add_permits(1);
    }

    fn reclaim(&self) {
        self.lent.fetch_sub(1, SeqCst);
        self.debt.fetch_add(1, SeqCst);
    }
}

/// Somebody who has room and asks questions: an item in the run, or a record in a stage.
///
/// It lends its room only while all of its questions wait. One with a question at the model, or in line for it, keeps a
/// slot there busy itself, so that nobody is needed in its stead; and it may have hundreds of elements under way
/// (`for_each`), of which there must not be more than there is room for. Of one that only waits, little more is alive
/// than the records whose questions these are, and those are counted (`RetryBacklog`).
#[derive(Debug)]
pub(crate) struct PermitLender {
    room: Arc<LendingSemaphore>,
    questions: Mutex<QuestionCounts>,
}

#[derive(Debug, Default)]
struct QuestionCounts {
    /// Those that are not answered yet.
    open: u32,
    /// Those of them that wait.
    waiting: u32,
    is_lent: bool,
}

impl PermitLender {
    pub(crate) fn new(room: &Arc<LendingSemaphore>) -> Arc<Self> {
        Arc::new(Self { room: Arc::clone(room), questions: Mutex::default() })
    }

    /// A question is to be put.
    pub(super) fn open(&self) {
        self.change(|questions| questions.open += 1);
    }

    /// A question is no longer to be put.
    pub(super) fn close(&self) {
        self.change(|questions| questions.open -= 1);
    }

    /// A question waits before it is put again.
    pub(super) fn wait(&self) {
        self.change(|questions| questions.waiting += 1);
    }

    /// A question has waited.
    pub(super) fn resume(&self) {
        self.change(|questions| questions.waiting -= 1);
    }

    fn change(&self, change: impl FnOnce(&mut QuestionCounts)) {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut questions);
        let only_waits = questions.waiting > 0 && questions.waiting == questions.open;
        match (std::mem::replace(&mut questions.is_lent, only_waits), only_waits) {
            (false, true) => self.room.lend(),
            (true, false) => self.room.reclaim(),
            _ => {}
        }
    }
}

/// Whose room a record takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct PermitLenders {
    /// Its item, in the run.
    pub(crate) item: Option<Arc<PermitLender>>,
    /// Itself or the record it is an element of, in the stage that asks; the last one, behind it.
    pub(crate) stage: Option<Arc<PermitLender>>,
}

impl PermitLenders {
    pub(super) fn each(&self, call: impl Fn(&PermitLender)) {
        [&self.item, &self.stage].into_iter().flatten().for_each(|lender| call(lender));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::FutureExt;
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn what_is_lent_lets_one_in_and_is_paid_back_before_the_next() {
        let room = LendingSemaphore::new(1);
        let take = || room.acquire().now_or_never().flatten();
        let first = take().unwrap();
        assert!(take().is_none());
        room.lend();
        let second = take().unwrap();
        assert!(take().is_none());
        room.reclaim();
        drop(second);
        assert!(take().is_none(), "it was the first one's, who is back");
        drop(first);
        assert!(take().is_some());
        assert_eq!((room.lent(), room.debt.load(SeqCst)), (0, 0));
    }

    #[test]
    fn a_holder_lends_only_while_all_its_questions_wait() {
        let room = LendingSemaphore::new(1);
        let lender = PermitLender::new(&room);
        let check = |step: fn(&PermitLender), lent| {
            step(&lender);
            assert_eq!(room.lent(), lent);
        };
        check(PermitLender::open, 0);
        check(PermitLender::open, 0);
        check(PermitLender::wait, 0);
        check(PermitLender::wait, 1);
        check(PermitLender::open, 0);
        check(PermitLender::close, 1);
        check(PermitLender::resume, 0);
        check(PermitLender::close, 1);
        check(PermitLender::resume, 0);
        check(PermitLender::close, 0);
    }

    /// Whatever happens in whatever order, there are never more in it than its size and the most that were lent.
    #[test]
    fn no_more_come_in_than_its_size_and_what_was_lent() {
        for seed in 0..200 {
            let mut chance = ChaCha8Rng::seed_from_u64(seed);
            let size = chance.random_range(1..6);
            let room = LendingSemaphore::new(size);
            let mut taken = Vec::new();
            let mut waiting = VecDeque::new();
            let mut most = 0;
            for _ in 0..500 {
                match chance.random_range(0..4) {
                    0 if waiting.len() < taken.len().min(7) => {
                        room.lend();
                        waiting.push_back(());
                    }
                    1 if waiting.pop_front().is_some() => room.reclaim(),
                    // Who waits does not end.
                    2 if taken.len() > waiting.len() => drop(taken.pop()),
                    _ => taken.extend(room.acquire().now_or_never().flatten()),
                }
                most = most.max(room.lent());
                assert!(taken.len() <= size + most, "seed {seed}: {} of {size} and {most}", taken.len());
            }
            waiting.drain(..).for_each(|()| room.reclaim());
            taken.clear();
            taken.extend(std::iter::from_fn(|| room.acquire().now_or_never().flatten()));
            assert_eq!(taken.len(), size, "seed {seed}: all of it is there again");
        }
    }
}
