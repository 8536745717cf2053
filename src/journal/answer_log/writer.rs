//! The thread that appends to the answer log, and the one that syncs it.
//!
//! Answers come in groups (`collector`), each packed with one zstd context, appended with one `write`, and acknowledged
//! as one. Syncs are requested on the ledger's clock.

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

/// A command to the thread; the sender is notified once it is written.
pub(super) enum AnswerLogCommand {
    Answers(Vec<AnswerToStore>, oneshot::Sender<()>),
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
    /// Reused for each group of answers.
    pub(super) buffer: Vec<u8>,
    /// Whether answers were appended since the outstanding cost was last recorded.
    pub(super) has_grown: bool,
    pub(super) is_unsynced: bool,
}

/// The syncing thread, and the channel that requests a sync.
type LogSyncer = (std::sync::mpsc::SyncSender<()>, JoinHandle<()>);

impl AnswerLogWriter {
    /// Appends what the handles send, until all of them are dropped or the log fails.
    pub(super) fn work(mut self, mut receiver: mpsc::Receiver<AnswerLogCommand>) {
        while let Some(command) = receiver.blocking_recv() {
            if self.failure.get().is_some() || self.carry_out(command).is_err() {
                return;
            }
        }
        if self.outstanding.is_stale() && self.append(&[], true).is_err() {
            return;
        }
        self.close();
    }

    /// Fails if the log does, with the error in `failure`; a command that was not carried out is not acknowledged.
    fn carry_out(&mut self, command: AnswerLogCommand) -> Result<(), ()> {
        match command {
            AnswerLogCommand::Answers(answers, written) => {
                self.append(&answers, false)?;
                let _ = written.send(());
            }
            AnswerLogCommand::Outstanding(written) => {
                // One entry covers all requests that wait for one.
                if !self.outstanding.is_covered() {
                    self.append(&[], true)?;
                }
                let _ = written.send(());
            }
            AnswerLogCommand::Sync => {
                // Recorded again from time to time, so that a next start need not read far back.
                if self.has_grown || self.outstanding.is_stale() {
                    self.append(&[], true)?;
                }
                if self.is_unsynced {
                    self.request_sync();
                }
            }
        }
        Ok(())
    }

    /// Appends answers, and the outstanding cost if it is to be recorded, with a single write.
    fn append(&mut self, answers: &[AnswerToStore], records_outstanding: bool) -> Result<(), ()> {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        for answer in answers {
            let stored = self.packer.pack(&answer.bytes, answer.is_reusable);
            answers::push(&mut bytes, answer.names, &stored, answer.spent, answer.is_reused);
        }
        let outstanding = records_outstanding.then(|| self.push_outstanding(&mut bytes));
        self.file.write(&bytes).map_err(|source| self.fail("write", source))?;
        let begin = self.end.fetch_add(bytes.len() as u64, SeqCst);
        if let Some((at, sum)) = outstanding {
            self.outstanding.wrote(sum);
            self.outstanding_at.store(begin + at, SeqCst);
        }
        self.has_grown = !records_outstanding && (self.has_grown || !answers.is_empty());
        self.is_unsynced = true;
        self.buffer = bytes;
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
