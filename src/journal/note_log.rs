//! The note log, `journal/batches-0001.log`, a folder of files beside it, and the thread that writes both.
//!
//! The batch client appends its notes here, durably, and may put data that is too large for memory into the folder.
//! The content of the notes is its own; `notes` defines the format. Files in the folder are used by one start only:
//! what is lost of them can be made or fetched again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::disk::{self, Disk, DiskFile};
use super::frames::{self, LogHeader};
use super::lock::RunLock;
use super::manifest::RunId;
use super::notes::{self, KIND};
use super::writer::StorageError;

/// Capacity of the thread's queue, in jobs.
const BACKLOG: usize = 16;
/// Where the files are stored.
const FOLDER: &str = "journal/batches";

type NoteLogJob = Box<dyn FnOnce(&mut NoteLogWriter) + Send>;

/// Handle of a run's note log and of the files beside it.
pub struct NoteLog {
    jobs: mpsc::Sender<NoteLogJob>,
    earlier: Mutex<Vec<Vec<u8>>>,
}

/// Join handle of the thread.
pub struct NoteLogThread(JoinHandle<()>);

impl NoteLog {
    /// Creates a log in a folder that holds no run, without any earlier notes.
    pub fn without_run(disk: Arc<dyn Disk>, root: &Path) -> Result<(Self, NoteLogThread), StorageError> {
        let header = LogHeader { run: RunId::draw(), generation: 1, first: 1 };
        Self::start(disk, root, (header, None), Vec::new(), false)
    }

    /// Starts the thread. Creates the log if there are notes to begin it with.
    pub(super) fn start(
        disk: Arc<dyn Disk>,
        root: &Path,
        (header, lock): (LogHeader, Option<Arc<RunLock>>),
        carried: Vec<Vec<u8>>,
        sync: bool,
    ) -> Result<(Self, NoteLogThread), StorageError> {
        let folder = root.join(FOLDER);
        let log_path = notes::path(root, header.generation);
        let mut state = NoteLogWriter {
            disk,
            folder,
            log_path,
            header,
            lock,
            log: None,
            length: 0,
            open: HashMap::new(),
            sync,
        };
        state.clear()?;
        if !carried.is_empty() {
            state.begin(|bytes| notes::push_carried(bytes, &carried))?;
        }
        let (jobs, mut waiting) = mpsc::channel::<NoteLogJob>(BACKLOG);
        let failed = |source| StorageError::new("start the thread of", &root.join("journal"), source);
        let thread = std::thread::Builder::new()
            .name("synthmill-notes".into())
            .spawn(move || {
                while let Some(job) = waiting.blocking_recv() {
                    job(&mut state);
                }
            })
            .map_err(failed)?;
        Ok((Self { jobs, earlier: Mutex::new(carried) }, NoteLogThread(thread)))
    }

    /// Takes the notes of earlier starts that are still needed, oldest first. Empty on a second call.
    #[must_use]
    pub fn earlier(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.earlier.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Appends a note, durably.
    pub async fn note(&self, note: Vec<u8>) -> Result<(), StorageError> {
        self.work(move |state| state.note(&note)).await
    }

    /// Appends bytes to a file in the folder.
    pub async fn append(&self, name: String, bytes: Vec<u8>) -> Result<(), StorageError> {
        self.work(move |state| state.append(&name, &bytes)).await
    }

    /// Reads up to `length` bytes of a file from `offset` on; fewer at its end.
    pub async fn read(&self, name: String, offset: u64, length: usize) -> Result<Vec<u8>, StorageError> {
        self.work(move |state| state.read(&name, offset, length)).await
    }

    /// Removes a file, if it exists.
    pub async fn remove(&self, name: String) -> Result<(), StorageError> {
        self.work(move |state| state.remove(&name)).await
    }

    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut NoteLogWriter) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        let job: NoteLogJob = Box::new(move |state| drop(reply.send(job(state))));
        let ended = || {
            let source = std::io::Error::other("its thread ended");
            StorageError::new("use", Path::new(FOLDER), source)
        };
        self.jobs.send(job).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl NoteLogThread {
    /// Waits for the thread, which ends when `NoteLog` is dropped. Blocks.
    pub(crate) fn finish(self) {
        let _ = self.0.join();
    }
}

/// The files, owned by the thread.
struct NoteLogWriter {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    log_path: PathBuf,
    header: LogHeader,
    /// `None` if there is no run.
    lock: Option<Arc<RunLock>>,
    log: Option<Box<dyn DiskFile>>,
    length: u64,
    open: HashMap<String, Box<dyn DiskFile>>,
    sync: bool,
}

impl NoteLogWriter {
    /// Removes files left by earlier starts.
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

    fn note(&mut self, note: &[u8]) -> Result<(), StorageError> {
        if let Some(lock) = &self.lock {
            lock.check()?;
        }
        let Some(log) = &mut self.log else {
            self.begin(|bytes| notes::push(bytes, note))?;
            return self.advance_mark();
        };
        let failed = |action, source| StorageError::new(action, &self.log_path, source);
        let mut bytes = Vec::new();
        notes::push(&mut bytes, note);
        log.write(&bytes).map_err(|source| failed("write", source))?;
        if self.sync {
            log.sync().map_err(|source| failed("sync", source))?;
        }
        self.length += bytes.len() as u64;
        self.advance_mark()
    }

    /// Advances the high-water mark to the end of the log.
    fn advance_mark(&self) -> Result<(), StorageError> {
        let Some(lock) = &self.lock else { return Ok(()) };
        lock.advance(|lengths| lengths.notes = Some(self.length))
    }

    /// Creates the log with the notes that `push` appends.
    fn begin(&mut self, push: impl FnOnce(&mut Vec<u8>)) -> Result<(), StorageError> {
        let mut bytes = frames::header(KIND, self.header);
        push(&mut bytes);
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
        // A file that is read is no longer written to.
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
