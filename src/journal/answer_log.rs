//! The thread that appends answers to the answer log, and the handle through which the engine stores and looks them
//! up.
//!
//! An answer is passed on as soon as `write` has returned for it; no answer waits for a sync. Syncs are made by a
//! second thread, on the ledger's clock. Answers are few and small compared with the time a model takes to produce
//! them; those that queue up are written together.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::answers::{self, JournaledAnswer, KIND, RecoveredAnswers, RequestKeys};
use super::commits::Spent;
use super::disk::{self, Disk, DiskFile};
use super::frames::{self, LogHeader};
use super::lock::RunLock;
use super::outstanding::OutstandingCost;
use super::reuse::ReusableAnswers;
use super::writer::{StorageError, check_in_place};

/// Capacity of the thread's queue, in answers.
const BACKLOG: usize = 256;
/// The most bytes of a single write.
const BATCH: usize = 1 << 20;

/// Handle of a run's answer log: looks up the answers of earlier starts and stores new ones.
pub struct AnswerLog {
    recovered: Mutex<RecoveredAnswers>,
    reuse: Option<ReusableAnswers>,
    work: mpsc::Sender<AnswerLogCommand>,
    end: Arc<AtomicU64>,
    outstanding: Arc<OutstandingCost>,
    /// Offset of the latest frame that records the outstanding cost.
    outstanding_at: Arc<AtomicU64>,
    failure: Arc<OnceLock<StorageError>>,
    pack: bool,
    found: AtomicU64,
    reused: AtomicU64,
}

/// Join handle of the log's thread.
pub struct AnswerLogThread(JoinHandle<()>, Arc<OnceLock<StorageError>>);

enum AnswerLogCommand {
    Answer {
        bytes: Vec<u8>,
        written: oneshot::Sender<()>,
    },
    /// Record the outstanding cost in the log.
    Outstanding {
        written: oneshot::Sender<()>,
    },
    Sync,
}

impl AnswerLog {
    /// Creates the log at `path`, copies the recovered answers into it, and starts the thread.
    pub(super) fn start(
        disk: &Arc<dyn Disk>,
        path: &Path,
        (header, lock): (LogHeader, &Arc<RunLock>),
        recovered: RecoveredAnswers,
        reuse: Option<ReusableAnswers>,
        (sync, pack): (bool, bool),
    ) -> Result<(Self, AnswerLogThread), StorageError> {
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
        let (work, receiver) = mpsc::channel(BACKLOG);
        let (outstanding, outstanding_at) = (Arc::<OutstandingCost>::default(), Arc::<AtomicU64>::default());
        let log = AnswerLogWriter {
            disk: Arc::clone(disk),
            path: path.to_owned(),
            file,
            end: Arc::clone(&end),
            outstanding: Arc::clone(&outstanding),
            outstanding_at: Arc::clone(&outstanding_at),
            failure: Arc::clone(&failure),
            lock: Arc::clone(lock),
            syncer,
        };
        let thread = std::thread::Builder::new()
            .name("synthmill-answers".into())
            .spawn(move || log.work(receiver))
            .map_err(|source| failed("start the thread of", source))?;
        let answers = Self {
            recovered: Mutex::new(recovered),
            reuse,
            work,
            end,
            outstanding,
            outstanding_at,
            failure: Arc::clone(&failure),
            pack,
            found: AtomicU64::new(0),
            reused: AtomicU64::new(0),
        };
        Ok((answers, AnswerLogThread(thread, failure)))
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
        self.append(names, &JournaledAnswer::new(&bytes, true, self.pack), Spent::default(), true).await?;
        self.reused.fetch_add(1, SeqCst);
        Ok(Some(bytes))
    }

    /// Stores the result of a request together with what the run has spent by then. Returns once both are written
    /// and so survive a kill. `reusable` states whether another run may use the answer for the same request.
    pub async fn store(
        &self,
        names: RequestKeys,
        bytes: &[u8],
        reusable: bool,
        spent: Spent,
    ) -> Result<(), StorageError> {
        self.append(names, &JournaledAnswer::new(bytes, reusable, self.pack), spent, false).await
    }

    /// Records that a request is about to be sent that may cost up to `most`; returns once the log covers it, which
    /// a kill cannot undo. The request is outstanding until `release`, even if this future is dropped.
    pub(crate) async fn reserve(&self, most: Spent) -> Result<(), StorageError> {
        let mut covered = self.outstanding.add(most);
        while !covered {
            let (written, ack) = oneshot::channel();
            if self.work.send(AnswerLogCommand::Outstanding { written }).await.is_err() || ack.await.is_err()
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
        let _ = self.work.try_send(AnswerLogCommand::Sync);
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

    async fn append(
        &self,
        names: RequestKeys,
        stored: &JournaledAnswer<'_>,
        spent: Spent,
        reused: bool,
    ) -> Result<(), StorageError> {
        let mut bytes = Vec::new();
        answers::push(&mut bytes, names, stored, spent, reused);
        let (written, ack) = oneshot::channel();
        let sent = self.work.send(AnswerLogCommand::Answer { bytes, written }).await.is_ok();
        if sent && ack.await.is_ok() {
            return Ok(());
        }
        Err(self.failed())
    }

    /// The thread closes its channel only after a failure.
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

struct AnswerLogWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    end: Arc<AtomicU64>,
    outstanding: Arc<OutstandingCost>,
    outstanding_at: Arc<AtomicU64>,
    failure: Arc<OnceLock<StorageError>>,
    lock: Arc<RunLock>,
    syncer: Option<(std::sync::mpsc::SyncSender<()>, JoinHandle<()>)>,
}

impl AnswerLogWriter {
    fn work(mut self, mut receiver: mpsc::Receiver<AnswerLogCommand>) {
        let mut unsynced = false;
        // Whether answers were appended since the outstanding cost was last recorded.
        let mut has_grown = false;
        while let Some(first) = receiver.blocking_recv() {
            let mut bytes = Vec::new();
            let mut waiting = Vec::new();
            let (mut sync, mut record) = (false, false);
            let mut next = Some(first);
            while let Some(append) = next {
                match append {
                    AnswerLogCommand::Answer { bytes: more, written } => {
                        bytes.extend_from_slice(&more);
                        waiting.push(written);
                        has_grown = true;
                    }
                    AnswerLogCommand::Outstanding { written } => {
                        record = true;
                        waiting.push(written);
                    }
                    AnswerLogCommand::Sync => sync = true,
                }
                next = if bytes.len() < BATCH { receiver.try_recv().ok() } else { None };
            }
            if self.failure.get().is_some() {
                return;
            }
            // Recorded again from time to time, so that a next start need not read far back.
            let out = (record || sync && (has_grown || self.outstanding.is_stale()))
                .then(|| self.push_outstanding(&mut bytes));
            has_grown &= out.is_none();
            if !bytes.is_empty() {
                if let Err(source) = self.file.write(&bytes) {
                    let _ = self.failure.set(StorageError::new("write", &self.path, source));
                    return;
                }
                let begin = self.end.fetch_add(bytes.len() as u64, SeqCst);
                if let Some((at, sum)) = out {
                    self.outstanding.wrote(sum);
                    self.outstanding_at.store(begin + at, SeqCst);
                }
                unsynced = true;
                for written in waiting {
                    let _ = written.send(());
                }
            }
            if sync && unsynced {
                unsynced = match &self.syncer {
                    // If a sync is already in progress, the next tick requests another.
                    Some((syncer, _)) => syncer.try_send(()).is_err(),
                    None => {
                        if let Err(error) = raise(&self.lock, &self.end) {
                            let _ = self.failure.set(error);
                        }
                        false
                    }
                };
            }
        }
        if self.outstanding.is_stale() {
            let mut bytes = Vec::new();
            self.push_outstanding(&mut bytes);
            if let Err(source) = self.file.write(&bytes) {
                let _ = self.failure.set(StorageError::new("write", &self.path, source));
                return;
            }
            self.end.fetch_add(bytes.len() as u64, SeqCst);
            unsynced = true;
        }
        self.close(unsynced);
    }

    /// Appends a frame with the outstanding cost to `bytes`; returns its offset in them, and the cost.
    fn push_outstanding(&self, bytes: &mut Vec<u8>) -> (u64, Spent) {
        let at = bytes.len() as u64;
        let sum = self.outstanding.begin_writing();
        answers::push_outstanding(bytes, Spent::default(), sum);
        (at, sum)
    }

    fn close(mut self, unsynced: bool) {
        if let Some((syncer, thread)) = self.syncer.take() {
            drop(syncer);
            let _ = thread.join();
            if unsynced && let Err(source) = self.file.sync() {
                let _ = self.failure.set(StorageError::new("sync", &self.path, source));
            }
        }
        if self.failure.get().is_some() {
            return;
        }
        let here = check_in_place(&*self.disk, &self.path, &*self.file, self.end.load(SeqCst));
        if let Err(error) = here.and_then(|()| raise(&self.lock, &self.end)) {
            let _ = self.failure.set(error);
        }
    }
}

/// Advances the high-water mark to what has been written.
fn raise(lock: &RunLock, end: &AtomicU64) -> Result<(), StorageError> {
    let end = end.load(SeqCst);
    lock.advance(|lengths| lengths.answers = Some(end))
}

/// Starts a thread that syncs the log through a second handle, so that no answer waits for a sync.
fn start_syncer(
    disk: &dyn Disk,
    path: &Path,
    (failure, end, lock): (&Arc<OnceLock<StorageError>>, &Arc<AtomicU64>, &Arc<RunLock>),
) -> Result<(std::sync::mpsc::SyncSender<()>, JoinHandle<()>), StorageError> {
    let mut file = disk.append(path).map_err(|source| StorageError::new("open", path, source))?;
    let (ask, asked) = std::sync::mpsc::sync_channel(1);
    let (path, failure) = (path.to_owned(), Arc::clone(failure));
    let (end, lock) = (Arc::clone(end), Arc::clone(lock));
    let error_path = path.clone();
    let thread = std::thread::Builder::new()
        .name("synthmill-sync".into())
        .spawn(move || {
            while asked.recv().is_ok() {
                // Loaded before the sync, which may miss what is written in the meantime.
                let written = end.load(SeqCst);
                let synced = file.sync().map_err(|source| StorageError::new("sync", &path, source));
                let raised = synced.and_then(|()| lock.advance(|lengths| lengths.answers = Some(written)));
                if let Err(error) = raised {
                    let _ = failure.set(error);
                    return;
                }
            }
        })
        .map_err(|source| StorageError::new("start the syncing of", &error_path, source))?;
    Ok((ask, thread))
}
