//! A file written from its start, beside the one it is going to replace, with its length and checksum.

use std::path::PathBuf;

use super::commits::StablePrefix;
use super::disk::{Disk, DiskFile};
use super::writer::StorageError;

/// Bytes buffered before each write.
pub(super) const CHUNK: usize = 1 << 20;

/// A file written from its start, with its length and checksum.
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    file: Box<dyn DiskFile>,
    pub(super) stable: StablePrefix,
    waiting: Vec<u8>,
}

impl NewFile {
    pub(super) fn make(disk: &dyn Disk, path: PathBuf) -> Result<Self, StorageError> {
        // Left by an earlier attempt that was killed.
        if disk.length(&path).map_err(|source| StorageError::new("look at", &path, source))?.is_some() {
            disk.remove(&path).map_err(|source| StorageError::new("remove", &path, source))?;
        }
        let file = disk.append(&path).map_err(|source| StorageError::new("open", &path, source))?;
        Ok(Self { path, file, stable: StablePrefix::default(), waiting: Vec::new() })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let mut crc = crc32fast::Hasher::new_with_initial_len(self.stable.crc, self.stable.offset);
        crc.update(bytes);
        self.stable.crc = crc.finalize();
        self.stable.offset += bytes.len() as u64;
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.file.write(&waiting).map_err(|source| StorageError::new("write", &self.path, source))
    }

    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        self.flush()?;
        self.file.sync().map_err(|source| StorageError::new("sync", &self.path, source))
    }
}
