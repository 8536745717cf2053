//! The thread that writes a run's outputs and commits.
//!
//! The ledger sends it items that have ended; it groups them, writes and syncs their lines, then writes and syncs
//! the commit record that names them. A failed write or sync ends the thread, and with it the run: a failed sync is
//! never retried, because the system may have dropped the pages and report success the second time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};

use super::commits::{AnswerLogPosition, CommitGroup, ItemOutcome, KIND, Spent, StablePrefix};
use super::decision::GateRecord;
use super::disk::{self, Disk, DiskFile};
use super::frames::{self, LogHeader};
use super::line_frames::FrameEncoder;
use super::lock::RunLock;

/// Index of `rejected.jsonl` among a run's files.
pub const REJECTED: usize = 0;
/// Index of the provenance file among a run's files.
pub const PROVENANCE: usize = 1;
/// Index of the first sink's file.
pub const SINKS: usize = 2;
/// The file with the number of items of each unit of the source.
pub(super) const UNITS: &str = "journal/units.json";
/// The most items of a commit record; also bounds the memory used.
const GROUP: usize = 512;
/// The most bytes of lines buffered before a group is committed.
pub(super) const GROUP_BYTES: usize = 4 << 20;
/// Capacity of the thread's queue, in commands.
const BACKLOG: usize = 16;

/// Lines with their line endings, each with the index of its file.
pub type OutputLines = Vec<(usize, Vec<u8>)>;

/// An item that has ended, with everything it writes.
#[derive(Debug)]
pub struct ItemCommit {
    /// The item's number.
    pub item: u64,
    /// How it ended.
    pub outcome: ItemOutcome,
    /// What the gates decided on it.
    pub decision: GateRecord,
    /// Its lines in the outputs.
    pub lines: OutputLines,
    /// What the run had spent when it ended.
    pub spent: Spent,
    /// Offset in this start's answer log from which the answers of items still in flight are found.
    pub answers_from: u64,
}

/// A command to the thread.
#[derive(Debug)]
pub enum WriterCommand {
    /// Commit items with the next group.
    Commit(Vec<ItemCommit>),
    /// Commit the current group now.
    Flush,
    /// Replace `status.json`.
    Status(Vec<u8>),
    /// Replace the number of items of each unit of the source.
    Units(Vec<u8>),
}

/// What is durable so far: items of this start, lines of all starts. Published after each group.
#[derive(Debug, Clone, Default)]
pub struct CommittedTotals {
    /// Items that ended ok.
    pub ok: u64,
    /// The highest of their numbers, including earlier starts.
    pub last_ok: Option<u64>,
    /// Items that ended dropped.
    pub dropped: u64,
    /// Items that ended rejected.
    pub rejected: u64,
    /// Lines written, by file index.
    pub lines: Vec<u64>,
}

/// A file operation that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {action} `{path}`: {source}")]
pub struct StorageError {
    /// The operation that was attempted.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The system's error.
    #[source]
    pub source: Arc<std::io::Error>,
}

impl StorageError {
    pub(super) fn new(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self { action, path: path.to_owned(), source: Arc::new(source) }
    }
}

/// Handle of the writer thread, owned by the ledger.
pub struct CommitWriter {
    work: mpsc::Sender<WriterCommand>,
    committed: watch::Receiver<CommittedTotals>,
    thread: JoinHandle<Result<(), StorageError>>,
}

/// The files that a writer works on.
pub(super) struct WriterFiles {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) root: PathBuf,
    pub(super) log: PathBuf,
    pub(super) outputs: Vec<(PathBuf, StablePrefix)>,
    pub(super) lock: Arc<RunLock>,
    pub(super) sync: bool,
}

impl CommitWriter {
    /// Opens the files and starts the thread.
    pub(super) fn start(files: WriterFiles, header: LogHeader) -> Result<Self, StorageError> {
        let (work, receiver) = mpsc::channel(BACKLOG);
        let lines = files.outputs.iter().map(|(_, stable)| stable.lines).collect();
        let (publish, committed) = watch::channel(CommittedTotals { lines, ..CommittedTotals::default() });
        let mut state = WriterThread::open(files, header, publish)?;
        let path = state.root.clone();
        let thread = std::thread::Builder::new()
            .name("synthmill-writer".into())
            .spawn(move || state.work(receiver))
            .map_err(|source| StorageError::new("start the writer of", &path, source))?;
        Ok(Self { work, committed, thread })
    }

    /// Sends a command, waiting for capacity. Returns false if the thread has ended with an error, which `finish`
    /// returns.
    pub async fn send(&self, work: WriterCommand) -> bool {
        self.work.send(work).await.is_ok()
    }

    /// Sends a command if the thread has capacity for it.
    pub fn try_send(&self, work: WriterCommand) {
        let _ = self.work.try_send(work);
    }

    /// Whether the thread has ended with an error.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.work.is_closed()
    }

    /// Returns what is durable so far.
    #[must_use]
    pub fn committed(&self) -> CommittedTotals {
        self.committed.borrow().clone()
    }

    /// Writes what is left, ends the thread, and returns what became durable. Blocks.
    pub fn finish(self) -> (CommittedTotals, Result<(), StorageError>) {
        drop(self.work);
        let result = self.thread.join().unwrap_or_else(|_| {
            let panicked = std::io::Error::other("the writer's thread panicked");
            Err(StorageError::new("write", Path::new("the run directory"), panicked))
        });
        let committed = self.committed.borrow().clone();
        (committed, result)
    }
}

struct OutputFile {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    /// Lines of the current group.
    waiting: Vec<u8>,
    /// What makes one frame of them, if the file is compressed.
    encoder: Option<FrameEncoder>,
    stable: StablePrefix,
}

struct WriterThread {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    outputs: Vec<OutputFile>,
    log_path: PathBuf,
    log: Box<dyn DiskFile>,
    log_length: u64,
    lock: Arc<RunLock>,
    group: CommitGroup,
    waiting_bytes: usize,
    totals: CommittedTotals,
    publish: watch::Sender<CommittedTotals>,
    sync: bool,
}

impl WriterThread {
    fn open(
        files: WriterFiles,
        header: LogHeader,
        publish: watch::Sender<CommittedTotals>,
    ) -> Result<Self, StorageError> {
        let mut outputs = Vec::with_capacity(files.outputs.len());
        for (path, stable) in files.outputs {
            let failed = |source| StorageError::new("open", &path, source);
            let file = files.disk.append(&path).map_err(failed)?;
            let encoder = FrameEncoder::of_output(&path).map_err(failed)?;
            outputs.push(OutputFile { path, file, waiting: Vec::new(), encoder, stable });
        }
        let header_bytes = frames::header(KIND, header);
        let log = disk::begin(&*files.disk, &files.log, &header_bytes, files.sync)
            .map_err(|source| StorageError::new("make", &files.log, source))?;
        if files.sync {
            let parents = [Some(files.root.as_path()), files.log.parent(), outputs[PROVENANCE].path.parent()];
            for parent in parents.into_iter().flatten() {
                files.disk.sync_dir(parent).map_err(|source| StorageError::new("sync", parent, source))?;
            }
        }
        let totals = publish.borrow().clone();
        Ok(Self {
            disk: files.disk,
            root: files.root,
            outputs,
            log_path: files.log,
            log,
            log_length: header_bytes.len() as u64,
            lock: files.lock,
            group: CommitGroup {
                answers: AnswerLogPosition { generation: header.generation, offset: 0 },
                ..CommitGroup::default()
            },
            waiting_bytes: 0,
            totals,
            publish,
            sync: files.sync,
        })
    }

    fn work(&mut self, mut receiver: mpsc::Receiver<WriterCommand>) -> Result<(), StorageError> {
        while let Some(work) = receiver.blocking_recv() {
            match work {
                WriterCommand::Commit(items) => {
                    for item in items {
                        self.take(item)?;
                    }
                }
                WriterCommand::Flush => self.flush()?,
                WriterCommand::Status(_) | WriterCommand::Units(_) => {
                    let (name, json) = match work {
                        WriterCommand::Units(json) => (UNITS, json),
                        WriterCommand::Status(json) => ("status.json", json),
                        _ => continue,
                    };
                    // The path may by now belong to the run of another process.
                    self.lock.check()?;
                    let path = self.root.join(name);
                    disk::replace(&*self.disk, &path, &json, false)
                        .map_err(|source| StorageError::new("replace", &path, source))?;
                }
            }
        }
        self.flush()?;
        self.check()
    }

    /// Fails if a file at its path is no longer the one being written, or if another process has taken over the
    /// run.
    fn check(&self) -> Result<(), StorageError> {
        self.lock.check()?;
        check_in_place(&*self.disk, &self.log_path, &*self.log, self.log_length)?;
        let mut outputs = self.outputs.iter();
        outputs.try_for_each(|output| output.check(&*self.disk))
    }

    fn take(&mut self, item: ItemCommit) -> Result<(), StorageError> {
        for (file, line) in &item.lines {
            self.outputs[*file].waiting.extend_from_slice(line);
            self.waiting_bytes += line.len();
            self.outputs[*file].stable.lines += 1;
        }
        self.waiting_bytes += item.decision.keys.len();
        self.group.add(item.item, item.outcome, item.decision);
        let first = self.group.lines.len();
        self.group.lines.resize(first + self.outputs.len(), 0);
        for (file, _) in &item.lines {
            self.group.lines[first + file] += 1;
        }
        self.group.answers.offset = item.answers_from;
        self.group.spent = item.spent;
        match item.outcome {
            ItemOutcome::Ok => self.totals.ok += 1,
            ItemOutcome::Dropped => self.totals.dropped += 1,
            ItemOutcome::Rejected => self.totals.rejected += 1,
        }
        if self.group.items.len() >= GROUP || self.waiting_bytes >= GROUP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        if self.group.items.is_empty() {
            return Ok(());
        }
        self.check()?;
        self.group.files.clear();
        for output in &mut self.outputs {
            let from = output.stable.offset;
            output.write(self.sync)?;
            self.group.files.push((from, output.stable));
        }
        let mut frame = Vec::new();
        self.group.push(&mut frame);
        // Checked again, since a sync may have taken long: the frame vouches for the content of these very files.
        self.check()?;
        self.log.write(&frame).map_err(|source| StorageError::new("write", &self.log_path, source))?;
        if self.sync {
            self.log.sync().map_err(|source| StorageError::new("sync", &self.log_path, source))?;
        }
        self.log_length += frame.len() as u64;
        self.lock.advance(|lengths| lengths.commits = Some(self.log_length))?;
        self.group.clear();
        self.waiting_bytes = 0;
        self.totals.lines = self.outputs.iter().map(|output| output.stable.lines).collect();
        self.publish.send_replace(self.totals.clone());
        Ok(())
    }
}

/// Checks that the file at `path` is the one that `file` writes, and that nothing else changed its length.
pub(super) fn check_in_place(
    disk: &dyn Disk,
    path: &Path,
    file: &dyn DiskFile,
    length: u64,
) -> Result<(), StorageError> {
    let failed = |source| StorageError::new("look at", path, source);
    let written = file.identity().map_err(failed)?;
    let what = match disk.identity(path).map_err(failed)? {
        None => "it was removed while the run wrote it",
        Some(here) if here.inode != written.inode => "it was replaced while the run wrote it",
        Some(here) if here.length != length => "it was changed while the run wrote it",
        Some(_) => return Ok(()),
    };
    Err(StorageError::new("trust", path, std::io::Error::other(what)))
}

impl OutputFile {
    fn check(&self, disk: &dyn Disk) -> Result<(), StorageError> {
        check_in_place(disk, &self.path, &*self.file, self.stable.offset)
    }

    fn write(&mut self, sync: bool) -> Result<(), StorageError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let bytes = match &mut self.encoder {
            Some(encoder) => encoder
                .encode(&self.waiting)
                .map_err(|source| StorageError::new("compress", &self.path, source))?,
            None => &self.waiting,
        };
        self.file.write(bytes).map_err(|source| StorageError::new("write", &self.path, source))?;
        if sync {
            self.file.sync().map_err(|source| StorageError::new("sync", &self.path, source))?;
        }
        let mut crc = crc32fast::Hasher::new_with_initial_len(self.stable.crc, self.stable.offset);
        crc.update(bytes);
        self.stable.offset += bytes.len() as u64;
        self.stable.crc = crc.finalize();
        self.waiting.clear();
        Ok(())
    }
}
