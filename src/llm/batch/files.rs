//! What a run's batches keep in its directory: the notes of each step, and files of questions and of results.
//!
//! The journal stores them and knows nothing of batches; `events` has what the notes mean. All models that are asked
//! in batches share this; each takes up what earlier starts left of it with a provider.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use super::events::{BatchEvent, Batches, OpenBatch};
use crate::journal::disk::Disk;
use crate::journal::{NoteLog, NoteLogThread, StorageError};

/// What a start knows of batches, and where it keeps what it does with them.
pub struct BatchFiles {
    notes: NoteLog,
    next: AtomicU32,
    /// Batches that earlier starts left with a provider, until their model takes them up.
    open: Mutex<Vec<OpenBatch>>,
}

impl BatchFiles {
    /// Goes on from the notes of earlier starts.
    #[must_use]
    pub fn new(notes: NoteLog) -> Self {
        let Batches { open, last, .. } = Batches::of(&notes.earlier());
        Self { notes, next: AtomicU32::new(last + 1), open: Mutex::new(open) }
    }

    /// Keeps batches in a folder without a run, as if nothing had been before.
    pub fn without_run(disk: Arc<dyn Disk>, root: &Path) -> Result<(Self, NoteLogThread), StorageError> {
        let (notes, thread) = NoteLog::without_run(disk, root)?;
        Ok((Self::new(notes), thread))
    }

    /// Takes up the batches of `model` that earlier starts left with a provider.
    pub(super) fn take_up(&self, model: &str) -> Vec<OpenBatch> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.extract_if(.., |batch| batch.model == model).collect()
    }

    /// Questions in batches that no model has taken up.
    pub(crate) fn abandoned(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().map(|batch| batch.questions.iter().flatten().count()).sum()
    }

    /// The number of a new batch.
    pub(super) fn number(&self) -> u32 {
        self.next.fetch_add(1, SeqCst)
    }

    /// Notes what happened, durably.
    pub(super) async fn note(&self, event: BatchEvent) -> Result<(), StorageError> {
        self.notes.note(event.encode()).await
    }

    /// Adds bytes to a file.
    pub(super) async fn append(&self, name: String, bytes: Vec<u8>) -> Result<(), StorageError> {
        self.notes.append(name, bytes).await
    }

    /// Up to `length` bytes of a file from `offset` on; fewer at its end.
    pub(super) async fn read(
        &self,
        name: String,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, StorageError> {
        self.notes.read(name, offset, length).await
    }

    /// Removes a file, if it is there.
    pub(super) async fn remove(&self, name: String) -> Result<(), StorageError> {
        self.notes.remove(name).await
    }
}
