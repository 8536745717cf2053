//! The answer log of a run: the handle through which the engine stores answers and looks them up.
//!
//! An answer is passed on as soon as `write` has returned for it; no answer waits for a sync. A task groups the answers
//! (`answer_log/collector`), one thread appends them (`answer_log/writer`), a second one syncs.

mod collector;
mod writer;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

pub use self::collector::AnswerCollector;
use self::collector::PendingAnswer;
use self::writer::{AnswerLogCommand, AnswerLogWriter, AnswerToStore, start_syncer};
use super::answers::{self, AnswerPacker, KIND, RecoveredAnswers, RequestKeys};
use super::commits::Spent;
use super::disk::{self, Disk};
use super::frames::{self, LogHeader};
use super::lock::RunLock;
use super::outstanding::OutstandingCost;
use super::reuse::ReusableAnswers;
use super::writer::StorageError;

/// Capacity of the collector's queue, in answers.
const ANSWERS: usize = 256;
/// Capacity of the thread's queue, in commands.
const COMMANDS: usize = 64;

/// Handle of a run's answer log: looks up the answers of earlier starts and stores new ones.
pub struct AnswerLog {
    recovered: Mutex<RecoveredAnswers>,
    reuse: Option<ReusableAnswers>,
    answers: mpsc::Sender<PendingAnswer>,
    commands: mpsc::Sender<AnswerLogCommand>,
    end: Arc<AtomicU64>,
    outstanding: Arc<OutstandingCost>,
    /// Offset of the latest frame that records the outstanding cost.
    outstanding_at: Arc<AtomicU64>,
    failure: Arc<OnceLock<StorageError>>,
    found: AtomicU64,
    reused: AtomicU64,
}

/// Join handle of the log's thread.
pub struct AnswerLogThread(JoinHandle<()>, Arc<OnceLock<StorageError>>);

impl AnswerLog {
    /// Creates the log at `path`, copies the recovered answers into it, and starts the thread. The collector is to be
    /// run as a task.
    pub(super) fn start(
        disk: &Arc<dyn Disk>,
        path: &Path,
        (header, lock): (LogHeader, &Arc<RunLock>),
        recovered: RecoveredAnswers,
        reuse: Option<ReusableAnswers>,
        (sync, pack): (bool, bool),
    ) -> Result<(Self, AnswerCollector, AnswerLogThread), StorageError> {
        let failed = |action, source| StorageError::new(action, path, source);
        let mut bytes = frames::header(KIND, header);
        // Copied so that this log alone holds everything that unfinished items need.
        answers::push_outstanding(&mut bytes, recovered.spent, Spent::default());
        for (names, stored) in recovered.answers.values() {
            answers::push(&mut bytes, *names, stored, recovered.spent, false);
        }
        let file = disk::begin(&**disk, path, &bytes, sync).map_err(|source| failed("make", source))?;
        let end = Arc::new(AtomicU64::new(bytes.len() as u64));
        let failure = Arc::new(OnceLock::new());
        let syncer = match sync {
            true => Some(start_syncer(&**disk, path, (&failure, &end, lock))?),
            false => None,
        };
        let (answers, incoming) = mpsc::channel(ANSWERS);
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let collector = AnswerCollector { incoming, log: commands.clone() };
        let (outstanding, outstanding_at) = (Arc::<OutstandingCost>::default(), Arc::<AtomicU64>::default());
        let writer = AnswerLogWriter {
            disk: Arc::clone(disk),
            path: path.to_owned(),
            file,
            end: Arc::clone(&end),
            outstanding: Arc::clone(&outstanding),
            outstanding_at: Arc::clone(&outstanding_at),
            failure: Arc::clone(&failure),
            lock: Arc::clone(lock),
            syncer,
            packer: AnswerPacker::new(pack),
            buffer: Vec::new(),
            has_grown: false,
            is_unsynced: false,
        };
        let thread = std::thread::Builder::new()
            .name("synthmill-answers".into())
            .spawn(move || writer.work(receiver))
            .map_err(|source| failed("start the thread of", source))?;
        let log = Self {
            recovered: Mutex::new(recovered),
            reuse,
            answers,
            commands,
            end,
            outstanding,
            outstanding_at,
            failure: Arc::clone(&failure),
            found: AtomicU64::new(0),
            reused: AtomicU64::new(0),
        };
        Ok((log, collector, AnswerLogThread(thread, failure)))
    }

    /// Returns an error if the log has failed: no more requests may be sent once answers cannot be stored.
    pub fn check(&self) -> Result<(), StorageError> {
        self.failure.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Returns the stored answer to a request that was made before, in this run or in the one whose answers are
    /// reused. Fails if the log has failed.
    pub async fn find(&self, names: RequestKeys) -> Result<Option<Vec<u8>>, StorageError> {
        self.check()?;
        let found = {
            let mut recovered = self.recovered.lock().unwrap_or_else(PoisonError::into_inner);
            recovered.answers.remove(&names.key)
        };
        if let Some(bytes) = found.and_then(|(_, stored)| stored.unpacked()) {
            self.found.fetch_add(1, SeqCst);
            return Ok(Some(bytes));
        }
        let Some(reuse) = &self.reuse else { return Ok(None) };
        let Some(bytes) = reuse.take(&names.question).await? else { return Ok(None) };
        // Stored as this run's own, so that a later start finds it here instead of taking another.
        let spent = Spent::default();
        self.append(AnswerToStore { names, bytes: bytes.clone(), is_reusable: true, is_reused: true, spent })
            .await?;
        self.reused.fetch_add(1, SeqCst);
        Ok(Some(bytes))
    }

    /// Stores the result of a request together with what the run has spent by then. Returns once both are written
    /// and so survive a kill. `is_reusable` states whether another run may use the answer for the same request.
    pub async fn store(
        &self,
        names: RequestKeys,
        bytes: Vec<u8>,
        is_reusable: bool,
        spent: Spent,
    ) -> Result<(), StorageError> {
        self.append(AnswerToStore { names, bytes, is_reusable, is_reused: false, spent }).await
    }

    /// Records that a request is about to be sent that may cost up to `most`; returns once the log covers it, which
    /// a kill cannot undo. The request is outstanding until `release`, even if this future is dropped.
    pub(crate) async fn reserve(&self, most: Spent) -> Result<(), StorageError> {
        let mut covered = self.outstanding.add(most);
        while !covered {
            let (written, ack) = oneshot::channel();
            if self.commands.send(AnswerLogCommand::Outstanding(written)).await.is_err() || ack.await.is_err()
            {
                return Err(self.failed());
            }
            covered = self.outstanding.is_covered();
        }
        Ok(())
    }

    /// Records that requests with the bound `most` are no longer outstanding; `for_nothing` of it stays, since it
    /// may have been served without an answer.
    pub(crate) fn release(&self, most: Spent, for_nothing: Spent) {
        self.outstanding.add(for_nothing);
        self.outstanding.remove(most);
    }

    /// Returns the offset of the frame that records the outstanding cost: a next start must read from there.
    pub(crate) fn outstanding_offset(&self) -> u64 {
        self.outstanding_at.load(SeqCst)
    }

    /// Requests a sync of what has been written.
    pub(crate) fn request_sync(&self) {
        let _ = self.commands.try_send(AnswerLogCommand::Sync);
    }

    /// Returns the end of the log: answers of items admitted from now on are stored behind it.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(SeqCst)
    }

    /// Returns the items that earlier starts left answers for. These answers are at the front of this start's log,
    /// so a next start has to read all of it until these items are done.
    pub(crate) fn recovered_items(&self) -> HashSet<u64> {
        let recovered = self.recovered.lock().unwrap_or_else(PoisonError::into_inner);
        recovered.answers.values().map(|(names, _)| names.item).collect()
    }

    /// Returns the number of answers recovered from earlier starts, and of answers reused from another run.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.found.load(SeqCst), self.reused.load(SeqCst))
    }

    async fn append(&self, answer: AnswerToStore) -> Result<(), StorageError> {
        let (written, ack) = oneshot::channel();
        let sent = self.answers.send((answer, written)).await.is_ok();
        if sent && ack.await.is_ok() {
            return Ok(());
        }
        Err(self.failed())
    }

    /// The collector and the thread close their channels only after a failure.
    fn failed(&self) -> StorageError {
        let unknown = || {
            StorageError::new(
                "write",
                Path::new("the answers' log"),
                std::io::Error::other("the thread ended"),
            )
        };
        self.failure.get().cloned().unwrap_or_else(unknown)
    }
}

impl AnswerLogThread {
    /// Waits for the thread, which ends when every `AnswerLog` is dropped. Blocks.
    pub(crate) fn finish(self) -> Result<(), StorageError> {
        let _ = self.0.join();
        self.1.get().map_or(Ok(()), |error| Err(error.clone()))
    }
}
