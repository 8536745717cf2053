//! Reuse of another run's answers: looked up by request, each handed out once.
//!
//! After a change of a later stage the requests are the same, and sending them again would pay for them twice. The
//! other run's logs are only read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::answers::{RequestKey, ReuseIndex, answer_in};
use super::disk::Disk;
use super::writer::StorageError;

/// Bytes before a frame's payload: its length and checksum.
const FRAME: u64 = 8;

/// The unused answers of another run.
pub(super) struct ReusableAnswers {
    disk: Arc<dyn Disk>,
    logs: Vec<PathBuf>,
    index: Mutex<ReuseIndex>,
}

impl ReusableAnswers {
    pub(super) fn new(disk: Arc<dyn Disk>, logs: Vec<PathBuf>, index: ReuseIndex) -> Self {
        Self { disk, logs, index: Mutex::new(index) }
    }

    /// Takes an unused answer to a request.
    pub(super) async fn take(&self, question: &RequestKey) -> Result<Option<Vec<u8>>, StorageError> {
        let place = self.index.lock().unwrap_or_else(PoisonError::into_inner).take(question);
        let Some((log, offset)) = place else { return Ok(None) };
        let Some(path) = self.logs.get(log as usize).cloned() else { return Ok(None) };
        let disk = Arc::clone(&self.disk);
        let read = tokio::task::spawn_blocking(move || read(&*disk, &path, offset)).await;
        read.unwrap_or(Ok(None))
    }
}

fn read(disk: &dyn Disk, path: &Path, offset: u64) -> Result<Option<Vec<u8>>, StorageError> {
    let failed = |source| StorageError::new("read", path, source);
    let head = disk.read_at(path, offset, FRAME as usize).map_err(failed)?;
    let length = head.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let payload = disk.read_at(path, offset + FRAME, length as usize).map_err(failed)?;
    Ok(answer_in(&payload))
}
