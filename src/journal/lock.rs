//! The lock of a run directory, and the high-water mark in its file: how far the logs of the start that holds it
//! are durable.
//!
//! A lock is on a file, not on a path: removing or replacing `.lock`, renaming the folder, or mounting it on
//! another machine lets a second process in. So the holder writes a random token into the file, and verifies before
//! each commit that the file at the path is still the one it holds, with its own content.
//!
//! The mark is written in place after each sync of a log, and is never synced itself: after a kill it is exact,
//! after a loss of power it is at most behind. It is stored outside of `journal/`, so that it reveals when that
//! folder was restored from an earlier time. The lengths of the logs of starts that have ended are in the manifest;
//! see `integrity`.
//!
//! ```text
//! .lock = magic:8 version:u32 holder:16 run:16 generation:u32 (length:u64)*3 crc32:u32     little-endian
//! ```
//! The lengths are those of the commit log, the answer log and the note log; all bits set means that there is none.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::{Disk, DiskFile};
use super::frames::{read_u32, read_u64};
use super::manifest::{LogLengths, RunId};
use super::open_error::OpenError;
use super::writer::StorageError;

const MAGIC: &[u8; 8] = b"SMLOCKED";
const VERSION: u32 = 1;
const LENGTH: usize = 76;

/// How far the logs of a start are durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HighWaterMark {
    pub(super) run: RunId,
    pub(super) generation: u32,
    pub(super) lengths: LogLengths,
}

/// The lock, held until it is dropped.
pub(super) struct RunLock {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    previous: Option<HighWaterMark>,
    held: Mutex<LockFile>,
}

struct LockFile {
    file: Box<dyn DiskFile>,
    holder: [u8; 16],
    mark: HighWaterMark,
    /// The file's content; empty until this process has written to it.
    written: Vec<u8>,
}

impl RunLock {
    /// Acquires the lock of the run in `root`.
    pub(super) fn acquire(disk: Arc<dyn Disk>, root: &Path) -> Result<Arc<Self>, OpenError> {
        let path = root.join(".lock");
        let file = disk.lock(&path).map_err(|source| StorageError::new("lock", &path, source))?;
        let file = file.ok_or_else(|| OpenError::Locked(root.to_owned()))?;
        let previous = high_water(&*disk, root)?;
        let held =
            LockFile { file, holder: rand::random(), mark: HighWaterMark::default(), written: Vec::new() };
        Ok(Arc::new(Self { disk, path, previous, held: Mutex::new(held) }))
    }

    /// Returns the mark left by the last start; `None` if the file is new or holds anything else.
    pub(super) fn previous_mark(&self) -> Option<HighWaterMark> {
        self.previous
    }

    /// Writes the first mark of a start, whose logs exist by now. Synced, so that none of its commits is without a
    /// mark.
    pub(super) fn begin(&self, mark: HighWaterMark, sync: bool) -> Result<(), StorageError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.mark = mark;
        self.write(&mut held)?;
        if sync {
            held.file.sync().map_err(|source| StorageError::new("sync", &self.path, source))?;
        }
        Ok(())
    }

    /// Advances the mark: a log is durable up to a new length.
    pub(super) fn advance(&self, change: impl FnOnce(&mut LogLengths)) -> Result<(), StorageError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let before = held.mark;
        change(&mut held.mark.lengths);
        if held.mark == before { Ok(()) } else { self.write(&mut held) }
    }

    /// Returns how far the logs of this start are durable.
    pub(super) fn lengths(&self) -> LogLengths {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).mark.lengths
    }

    /// Fails if the file at the path is no longer the one that is held.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |source| StorageError::new("look at", &self.path, source);
        let here = self.disk.identity(&self.path).map_err(failed)?.map(|file| file.inode);
        let ours = held.file.identity().map_err(failed)?.inode;
        let same =
            here == Some(ours) && self.disk.read_at(&self.path, 0, LENGTH).map_err(failed)? == held.written;
        if same {
            return Ok(());
        }
        let lost = "it is not the lock that this process holds any more: it was removed or replaced, or another \
                    process works on the run directory; nothing more is committed";
        Err(StorageError::new("trust", &self.path, std::io::Error::other(lost)))
    }

    fn write(&self, held: &mut LockFile) -> Result<(), StorageError> {
        held.written = encoded(&held.holder, &held.mark);
        let LockFile { file, written, .. } = held;
        file.overwrite(written).map_err(|source| StorageError::new("write", &self.path, source))
    }
}

/// Reads the mark from the lock file of the run in `root`.
pub(super) fn high_water(disk: &dyn Disk, root: &Path) -> Result<Option<HighWaterMark>, StorageError> {
    let path = root.join(".lock");
    if disk.length(&path).map_err(|source| StorageError::new("look at", &path, source))?.is_none() {
        return Ok(None);
    }
    let bytes = disk.read_at(&path, 0, LENGTH).map_err(|source| StorageError::new("read", &path, source))?;
    Ok(decoded(&bytes))
}

fn encoded(holder: &[u8; 16], mark: &HighWaterMark) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(holder);
    bytes.extend_from_slice(mark.run.bytes());
    bytes.extend_from_slice(&mark.generation.to_le_bytes());
    let LogLengths { commits, answers, notes } = mark.lengths;
    for length in [commits, answers, notes] {
        bytes.extend_from_slice(&length.unwrap_or(u64::MAX).to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Returns `None` for bytes that hold no mark, such as those of a new file or of a torn write.
fn decoded(bytes: &[u8]) -> Option<HighWaterMark> {
    let fields = bytes.get(..LENGTH - 4)?;
    let version = read_u32(fields, 8)?;
    if !fields.starts_with(MAGIC) || version != VERSION {
        return None;
    }
    let run = RunId::from(*fields.get(28..44)?.first_chunk::<16>()?);
    let length = |at: usize| Some(Some(read_u64(fields, at)?).filter(|length| *length != u64::MAX));
    let lengths = LogLengths { commits: length(48)?, answers: length(56)?, notes: length(64)? };
    let whole = read_u32(bytes, LENGTH - 4)? == crc32fast::hash(fields);
    whole.then_some(HighWaterMark { run, generation: read_u32(fields, 44)?, lengths })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_whole_or_not_at_all() {
        let lengths = LogLengths { commits: Some(40), answers: Some(1 << 40), notes: None };
        let mark = HighWaterMark { run: RunId::of_test(), generation: 3, lengths };
        let bytes = encoded(&[1; 16], &mark);
        assert_eq!((bytes.len(), decoded(&bytes)), (LENGTH, Some(mark)));
        for at in 0..LENGTH {
            let mut bad = bytes.clone();
            bad[at] ^= 16;
            assert_eq!((decoded(&bad), decoded(&bytes[..at])), (None, None), "at {at}");
        }
    }
}
