//! The files of batches in the run directory: the log of their steps, and files of questions and of results.
//!
//! The journal stores them as bytes; `events` defines what they mean. All models in batch mode share this; each takes
//! the batches that earlier starts of it left with a provider.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use super::events::{BatchEvent, Batches, OpenBatch};
use crate::journal::disk::Disk;
use crate::journal::{NoteLog, NoteLogThread, StorageError};

/// The batches known at a start, and the storage for new steps.
pub struct BatchFiles {
    notes: NoteLog,
    next: AtomicU32,
    /// Batches that earlier starts left with a provider, until their model takes them.
    open: Mutex<Vec<OpenBatch>>,
}

impl BatchFiles {
    /// Continues from the notes of earlier starts.
    #[must_use]
    pub fn new(notes: NoteLog) -> Self {
        let Batches { open, last, .. } = Batches::of(&notes.earlier());
        Self { notes, next: AtomicU32::new(last + 1), open: Mutex::new(open) }
    }

    /// Stores batches in a folder without a run, starting empty.
    pub fn without_run(disk: Arc<dyn Disk>, root: &Path) -> Result<(Self, NoteLogThread), StorageError> {
        let (notes, thread) = NoteLog::without_run(disk, root)?;
        Ok((Self::new(notes), thread))
    }

    /// Takes the batches of `model` that earlier starts left with a provider.
    pub(super) fn take_open(&self, model: &str) -> Vec<OpenBatch> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.extract_if(.., |batch| batch.model == model).collect()
    }

    /// Returns the number of questions in batches that no model has taken.
    pub(crate) fn abandoned(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().map(|batch| batch.questions.iter().flatten().count()).sum()
    }

    /// Returns the number for a new batch.
    pub(super) fn next_number(&self) -> u32 {
        self.next.fetch_add(1, SeqCst)
    }

    /// Records an event durably.
    pub(super) async fn record(&self, event: BatchEvent) -> Result<(), StorageError> {
        self.notes.note(event.encode()).await
    }

    /// Appends bytes to a file.
    pub(super) async fn append(&self, name: String, bytes: Vec<u8>) -> Result<(), StorageError> {
        self.notes.append(name, bytes).await
    }

    /// Reads up to `length` bytes of a file from `offset`; fewer at its end.
    pub(super) async fn read(
        &self,
        name: String,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, StorageError> {
        self.notes.read(name, offset, length).await
    }

    /// Removes a file if it exists.
    pub(super) async fn remove(&self, name: String) -> Result<(), StorageError> {
        self.notes.remove(name).await
    }
}
