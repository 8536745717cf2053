//! The files of batches and the thread that works on them: `journal/batches-0001.log`, `journal/batches/`.
//!
//! The model client gathers a batch's questions into a file here, notes its steps, and puts the answers that
//! come back beside it until they are given out. What the log's events mean stands in `batches`. A file in
//! the folder is of use to its start alone: what is lost of it can be made, or fetched, again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::batches::{self, BatchEvent, KIND, OpenBatch};
use super::disk::{self, Disk, DiskFile};
use super::frames::{self, Header};
use super::lock::Lock;
use super::manifest::RunId;
use super::writer::StorageError;

/// Work that may wait for the thread.
const BACKLOG: usize = 16;

type Job = Box<dyn FnOnce(&mut Cabinet) + Send>;

/// What a start knows of batches, and where it keeps what it does with them.
pub struct BatchFiles {
    jobs: mpsc::Sender<Job>,
    next: AtomicU32,
    /// Batches that earlier starts left with a provider, until their model takes them up.
    open: Mutex<Vec<OpenBatch>>,
}

/// The end of the thread, for whoever closes the run.
pub struct BatchThread(JoinHandle<()>);

/// What the logs of earlier starts say.
#[derive(Default)]
pub(super) struct Left {
    pub(super) open: Vec<OpenBatch>,
    pub(super) last: u32,
    /// What the new log begins with; none where there were no batches.
    pub(super) carried: Vec<BatchEvent>,
}

impl BatchFiles {
    /// Keeps batches in a folder without a run, as if nothing had been before.
    pub fn without_run(disk: Arc<dyn Disk>, root: &Path) -> Result<(Self, BatchThread), StorageError> {
        let of = Header { run: RunId::draw(), generation: 1, first: 1 };
        Self::start(disk, root, (of, None), Left::default(), false)
    }

    /// Starts the thread; makes no file yet.
    pub(super) fn start(
        disk: Arc<dyn Disk>,
        root: &Path,
        (of, lock): (Header, Option<Arc<Lock>>),
        left: Left,
        sync: bool,
    ) -> Result<(Self, BatchThread), StorageError> {
        let folder = root.join("journal/batches");
        let log_path = batches::path(root, of.generation);
        let mut cabinet =
            Cabinet { disk, folder, log_path, of, lock, log: None, length: 0, open: HashMap::new(), sync };
        cabinet.clear()?;
        if !left.carried.is_empty() {
            cabinet.begin(&left.carried)?;
        }
        let (jobs, mut waiting) = mpsc::channel::<Job>(BACKLOG);
        let failed = |source| StorageError::new("start the thread of", &root.join("journal"), source);
        let thread = std::thread::Builder::new()
            .name("synthmill-batches".into())
            .spawn(move || {
                while let Some(job) = waiting.blocking_recv() {
                    job(&mut cabinet);
                }
            })
            .map_err(failed)?;
        Ok((
            Self { jobs, next: AtomicU32::new(left.last + 1), open: Mutex::new(left.open) },
            BatchThread(thread),
        ))
    }

    /// Takes up the batches of `model` that earlier starts left with a provider.
    #[must_use]
    pub fn take_up(&self, model: &str) -> Vec<OpenBatch> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.extract_if(.., |batch| batch.model == model).collect()
    }

    /// Questions in batches that no model has taken up.
    pub(crate) fn abandoned(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().map(|batch| batch.questions.iter().flatten().count()).sum()
    }

    /// The number of a new batch.
    pub fn number(&self) -> u32 {
        self.next.fetch_add(1, SeqCst)
    }

    /// Notes what happened, durably.
    pub async fn note(&self, event: BatchEvent) -> Result<(), StorageError> {
        self.work(move |cabinet| cabinet.note(&event)).await
    }

    /// Adds bytes to a file of the folder.
    pub async fn append(&self, name: String, bytes: Vec<u8>) -> Result<(), StorageError> {
        self.work(move |cabinet| cabinet.append(&name, &bytes)).await
    }

    /// Up to `length` bytes of a file from `offset` on; fewer at its end.
    pub async fn read(&self, name: String, offset: u64, length: usize) -> Result<Vec<u8>, StorageError> {
        self.work(move |cabinet| cabinet.read(&name, offset, length)).await
    }

    /// Removes a file, if it is there.
    pub async fn remove(&self, name: String) -> Result<(), StorageError> {
        self.work(move |cabinet| cabinet.remove(&name)).await
    }

    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Cabinet) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |cabinet| drop(reply.send(job(cabinet))));
        let ended = || {
            let source = std::io::Error::other("its thread ended");
            StorageError::new("use", Path::new("the folder of batches"), source)
        };
        self.jobs.send(job).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl BatchThread {
    /// Waits for the thread, which ends when every `BatchFiles` is dropped. Blocks.
    pub(crate) fn finish(self) {
        let _ = self.0.join();
    }
}

/// The files, as the thread has them.
struct Cabinet {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    log_path: PathBuf,
    of: Header,
    /// None where there is no run.
    lock: Option<Arc<Lock>>,
    log: Option<Box<dyn DiskFile>>,
    length: u64,
    open: HashMap<String, Box<dyn DiskFile>>,
    sync: bool,
}

impl Cabinet {
    /// Removes what earlier starts left half done.
    fn clear(&mut self) -> Result<(), StorageError> {
        let failed = |source| StorageError::new("clear", &self.folder, source);
        if self.disk.length(&self.folder).map_err(failed)?.is_none() {
            return Ok(());
        }
        for name in self.disk.list(&self.folder).map_err(failed)? {
            self.disk.remove(&self.folder.join(name)).map_err(failed)?;
        }
        Ok(())
    }

    fn note(&mut self, event: &BatchEvent) -> Result<(), StorageError> {
        if let Some(lock) = &self.lock {
            lock.check()?;
        }
        let Some(log) = &mut self.log else {
            self.begin(std::slice::from_ref(event))?;
            return self.raise();
        };
        let failed = |action, source| StorageError::new(action, &self.log_path, source);
        let mut bytes = Vec::new();
        batches::push(&mut bytes, event);
        log.write(&bytes).map_err(|source| failed("write", source))?;
        if self.sync {
            log.sync().map_err(|source| failed("sync", source))?;
        }
        self.length += bytes.len() as u64;
        self.raise()
    }

    /// Notes how far the log is durable.
    fn raise(&self) -> Result<(), StorageError> {
        let Some(lock) = &self.lock else { return Ok(()) };
        lock.raise(|lengths| lengths.batches = Some(self.length))
    }

    /// Makes the log, with its first events.
    fn begin(&mut self, events: &[BatchEvent]) -> Result<(), StorageError> {
        let mut bytes = frames::header(KIND, self.of);
        events.iter().for_each(|event| batches::push(&mut bytes, event));
        self.length = bytes.len() as u64;
        let log = disk::begin(&*self.disk, &self.log_path, &bytes, self.sync);
        self.log = Some(log.map_err(|source| StorageError::new("make", &self.log_path, source))?);
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let path = self.folder.join(name);
        if !self.open.contains_key(name) {
            let folder = &self.folder;
            self.disk.create_dir_all(folder).map_err(|source| StorageError::new("make", folder, source))?;
            let file = self.disk.append(&path).map_err(|source| StorageError::new("open", &path, source))?;
            self.open.insert(name.to_owned(), file);
        }
        match self.open.get_mut(name) {
            Some(file) => file.write(bytes).map_err(|source| StorageError::new("write", &path, source)),
            None => Ok(()),
        }
    }

    fn read(&mut self, name: &str, offset: u64, length: usize) -> Result<Vec<u8>, StorageError> {
        // What is read is not written to any more.
        self.open.remove(name);
        let path = self.folder.join(name);
        self.disk.read_at(&path, offset, length).map_err(|source| StorageError::new("read", &path, source))
    }

    fn remove(&mut self, name: &str) -> Result<(), StorageError> {
        self.open.remove(name);
        let path = self.folder.join(name);
        let failed = |source| StorageError::new("remove", &path, source);
        match self.disk.length(&path).map_err(failed)? {
            Some(_) => self.disk.remove(&path).map_err(failed),
            None => Ok(()),
        }
    }
}
