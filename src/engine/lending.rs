//! A semaphore whose permits are lent to others while their holders only wait for a retry.
//!
//! One limits the items in the run (`admission`), and one per chain the records in a stage that asks (`chain`). Each
//! holder of a permit has a `PermitLender`, which its questions (`slot`) notify when they start and stop waiting. A
//! lent permit comes back as a debt, which is paid before anyone else acquires a permit; so nobody ever waits for a
//! permit again that he already held.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A semaphore with `size` permits, and one more for each that is lent.
///
/// At all times `taken + free = size + lent + debt`, and a permit is acquired only while the debt is zero. So there are
/// never more holders than `size` plus the highest number of permits that were ever lent at a time.
#[derive(Debug)]
pub(crate) struct LendingSemaphore {
    free: Arc<Semaphore>,
    lent: AtomicUsize,
    /// Lent permits that came back while those who acquired one meanwhile still hold it.
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

    /// Waits for a permit, which is free again when it is dropped.
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

    /// Acquires a permit if one is available.
    pub(crate) fn try_acquire(&self) -> Option<OwnedSemaphorePermit> {
        self.acquire().now_or_never().flatten()
    }

    /// The number of lent permits.
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

/// Lends the permit of an item in the run, or of a record in a stage.
///
/// It lends the permit only while all of its open questions wait. A holder with a question at the model, or in the
/// queue for it, keeps a slot there busy itself, so nobody is needed in its place; and it may have hundreds of
/// elements in flight (`for_each`), whose number the permits limit. A holder that only waits keeps little more alive
/// than the records of its questions, and those are limited by `RetryBacklog`.
#[derive(Debug)]
pub(crate) struct PermitLender {
    semaphore: Arc<LendingSemaphore>,
    questions: Mutex<QuestionCounts>,
}

#[derive(Debug, Default)]
struct QuestionCounts {
    /// Questions without an answer so far.
    open: u32,
    /// Those of them that wait for a retry.
    waiting: u32,
    is_lent: bool,
}

impl PermitLender {
    pub(crate) fn new(semaphore: &Arc<LendingSemaphore>) -> Arc<Self> {
        Arc::new(Self { semaphore: Arc::clone(semaphore), questions: Mutex::default() })
    }

    /// Notes that a question is open.
    pub(super) fn open(&self) {
        self.change(|questions| questions.open += 1);
    }

    /// Notes that a question is answered or given up.
    pub(super) fn close(&self) {
        self.change(|questions| questions.open -= 1);
    }

    /// Notes that a question waits for a retry.
    pub(super) fn wait(&self) {
        self.change(|questions| questions.waiting += 1);
    }

    /// Notes that a question waits no longer.
    pub(super) fn resume(&self) {
        self.change(|questions| questions.waiting -= 1);
    }

    fn change(&self, change: impl FnOnce(&mut QuestionCounts)) {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut questions);
        let only_waits = questions.waiting > 0 && questions.waiting == questions.open;
        match (std::mem::replace(&mut questions.is_lent, only_waits), only_waits) {
            (false, true) => self.semaphore.lend(),
            (true, false) => self.semaphore.reclaim(),
            _ => {}
        }
    }
}

/// The lenders of the permits that a record holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct PermitLenders {
    /// Its item's permit in the run.
    pub(crate) item: Option<Arc<PermitLender>>,
    /// The permit in the stage that asks, of the record itself or of the one whose element it is; after that stage, of
    /// the last such stage.
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

    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn a_lent_permit_is_acquired_once_and_paid_back_before_the_next() {
        let semaphore = LendingSemaphore::new(1);
        let take = || semaphore.try_acquire();
        let first = take().unwrap();
        assert!(take().is_none());
        semaphore.lend();
        let second = take().unwrap();
        assert!(take().is_none());
        semaphore.reclaim();
        drop(second);
        assert!(take().is_none(), "it belongs to the first holder, who is back");
        drop(first);
        assert!(take().is_some());
        assert_eq!((semaphore.lent(), semaphore.debt.load(SeqCst)), (0, 0));
    }

    #[test]
    fn a_permit_is_lent_only_while_all_its_questions_wait() {
        let semaphore = LendingSemaphore::new(1);
        let lender = PermitLender::new(&semaphore);
        let check = |step: fn(&PermitLender), lent| {
            step(&lender);
            assert_eq!(semaphore.lent(), lent);
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

    #[test]
    fn no_more_permits_are_held_than_its_size_and_the_most_that_were_lent() {
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let size = rng.random_range(1..6);
            let semaphore = LendingSemaphore::new(size);
            let mut taken = Vec::new();
            let mut waiting = VecDeque::new();
            let mut most = 0;
            for _ in 0..500 {
                match rng.random_range(0..4) {
                    0 if waiting.len() < taken.len().min(7) => {
                        semaphore.lend();
                        waiting.push_back(());
                    }
                    1 if waiting.pop_front().is_some() => semaphore.reclaim(),
                    // A holder that waits does not drop its permit.
                    2 if taken.len() > waiting.len() => drop(taken.pop()),
                    _ => taken.extend(semaphore.try_acquire()),
                }
                most = most.max(semaphore.lent());
                assert!(taken.len() <= size + most, "seed {seed}: {} of {size} and {most}", taken.len());
            }
            waiting.drain(..).for_each(|()| semaphore.reclaim());
            taken.clear();
            taken.extend(std::iter::from_fn(|| semaphore.try_acquire()));
            assert_eq!(taken.len(), size, "seed {seed}: all permits are back");
        }
    }
}
