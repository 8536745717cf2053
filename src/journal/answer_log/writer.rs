//! The thread that appends to the answer log, and the one that syncs it.
//!
//! Answers that wait together are a group: packed with one zstd context, appended with one `write`, then acknowledged
//! one by one. Syncs are requested on the ledger's clock.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::super::answers::{self, AnswerPacker, RequestKeys};
use super::super::commits::Spent;
use super::super::disk::{Disk, DiskFile};
use super::super::lock::RunLock;
use super::super::outstanding::OutstandingCost;
use super::super::writer::{StorageError, check_in_place};

/// The most bytes of a single write, before packing.
const BATCH: usize = 1 << 20;

/// A command to the thread; the sender is notified once it is written.
pub(super) enum AnswerLogCommand {
    Answer(AnswerToStore, oneshot::Sender<()>),
    /// Record the outstanding cost in the log.
    Outstanding(oneshot::Sender<()>),
    Sync,
}

/// An answer to append.
pub(super) struct AnswerToStore {
    pub(super) names: RequestKeys,
    pub(super) bytes: Vec<u8>,
    /// Whether another run may use it for the same request.
    pub(super) is_reusable: bool,
    /// Whether it was taken from another run.
    pub(super) is_reused: bool,
    /// What the run has spent by then.
    pub(super) spent: Spent,
}

/// The state of the thread.
pub(super) struct AnswerLogWriter {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn DiskFile>,
    pub(super) end: Arc<AtomicU64>,
    pub(super) outstanding: Arc<OutstandingCost>,
    pub(super) outstanding_at: Arc<AtomicU64>,
    pub(super) failure: Arc<OnceLock<StorageError>>,
    pub(super) lock: Arc<RunLock>,
    pub(super) syncer: Option<LogSyncer>,
    pub(super) packer: AnswerPacker,
    /// Reused for each group.
    pub(super) buffer: Vec<u8>,
    /// Whether answers were appended since the outstanding cost was last recorded.
    pub(super) has_grown: bool,
    pub(super) is_unsynced: bool,
}

/// The syncing thread, and the channel that requests a sync.
type LogSyncer = (std::sync::mpsc::SyncSender<()>, JoinHandle<()>);

/// The commands that are handled together.
#[derive(Default)]
struct AnswerGroup {
    answers: Vec<AnswerToStore>,
    waiting: Vec<oneshot::Sender<()>>,
    records_outstanding: bool,
    syncs: bool,
}

impl AnswerGroup {
    /// Takes a command, and those that wait after it.
    fn collect(&mut self, first: AnswerLogCommand, receiver: &mut mpsc::Receiver<AnswerLogCommand>) {
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                AnswerLogCommand::Answer(answer, written) => {
                    bytes += answer.bytes.len();
                    self.answers.push(answer);
                    self.waiting.push(written);
                }
                AnswerLogCommand::Outstanding(written) => {
                    self.records_outstanding = true;
                    self.waiting.push(written);
                }
                AnswerLogCommand::Sync => self.syncs = true,
            }
            next = if bytes < BATCH { receiver.try_recv().ok() } else { None };
        }
    }
}

impl AnswerLogWriter {
    /// Appends what the handles send, until all of them are dropped or the log fails.
    pub(super) fn work(mut self, mut receiver: mpsc::Receiver<AnswerLogCommand>) {
        let mut group = AnswerGroup::default();
        while let Some(first) = receiver.blocking_recv() {
            group.collect(first, &mut receiver);
            if self.failure.get().is_some() || self.append(&mut group).is_err() {
                return;
            }
        }
        if self.outstanding.is_stale() {
            group.records_outstanding = true;
            if self.append(&mut group).is_err() {
                return;
            }
        }
        self.close();
    }

    /// Appends a group with a single write and acknowledges it, then syncs if the group asks for it. On failure the
    /// error is stored for the handles.
    fn append(&mut self, group: &mut AnswerGroup) -> Result<(), ()> {
        let mut bytes = std::mem::take(&mut self.buffer);
        for answer in group.answers.drain(..) {
            let stored = self.packer.pack(&answer.bytes, answer.is_reusable);
            answers::push(&mut bytes, answer.names, &stored, answer.spent, answer.is_reused);
            self.has_grown = true;
        }
        // Recorded again from time to time, so that a next start need not read far back.
        let is_due = group.syncs && (self.has_grown || self.outstanding.is_stale());
        let outstanding = (group.records_outstanding || is_due).then(|| self.push_outstanding(&mut bytes));
        self.has_grown &= outstanding.is_none();
        if !bytes.is_empty() {
            self.file.write(&bytes).map_err(|source| self.fail("write", source))?;
            let begin = self.end.fetch_add(bytes.len() as u64, SeqCst);
            if let Some((at, sum)) = outstanding {
                self.outstanding.wrote(sum);
                self.outstanding_at.store(begin + at, SeqCst);
            }
            self.is_unsynced = true;
            for written in group.waiting.drain(..) {
                let _ = written.send(());
            }
        }
        bytes.clear();
        self.buffer = bytes;
        if std::mem::take(&mut group.syncs) && self.is_unsynced {
            self.request_sync();
        }
        group.records_outstanding = false;
        Ok(())
    }

    fn request_sync(&mut self) {
        self.is_unsynced = match &self.syncer {
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

    /// Stores a failure, which the handles return from then on.
    fn fail(&self, action: &'static str, source: std::io::Error) {
        let _ = self.failure.set(StorageError::new(action, &self.path, source));
    }

    /// Appends a frame with the outstanding cost to `bytes`; returns its offset in them, and the cost.
    fn push_outstanding(&self, bytes: &mut Vec<u8>) -> (u64, Spent) {
        let at = bytes.len() as u64;
        let sum = self.outstanding.begin_writing();
        answers::push_outstanding(bytes, Spent::default(), sum);
        (at, sum)
    }

    fn close(mut self) {
        if let Some((syncer, thread)) = self.syncer.take() {
            drop(syncer);
            let _ = thread.join();
            if self.is_unsynced
                && let Err(source) = self.file.sync()
            {
                self.fail("sync", source);
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
pub(super) fn start_syncer(
    disk: &dyn Disk,
    path: &Path,
    (failure, end, lock): (&Arc<OnceLock<StorageError>>, &Arc<AtomicU64>, &Arc<RunLock>),
) -> Result<LogSyncer, StorageError> {
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
