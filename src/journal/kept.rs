//! Results that a run keeps beside its logs, so that a later start finds them again: texts of converted files.
//!
//! Each is a file in `journal/converted/`, named by a hash of everything it was made from. Results are opaque bytes
//! here; who keeps them interprets them. A file is made whole or not at all, and one that was damaged counts as missing.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use super::directory::RunDirectory;
use super::disk::{self, Disk};
use super::writer::StorageError;

/// The folder, in the run directory.
const FOLDER: &str = "journal/converted";
/// The length of the checksum at the start of each file, with its line end.
const CHECKSUM: usize = 65;

/// The results that a run keeps.
#[derive(Clone)]
pub struct KeptResults {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    sync: bool,
}

impl RunDirectory {
    /// The results kept in this directory; with `sync`, new ones outlive a loss of power.
    #[must_use]
    pub fn kept_results(&self, sync: bool) -> KeptResults {
        KeptResults { disk: Arc::clone(&self.disk), folder: self.root.join(FOLDER), sync }
    }
}

impl KeptResults {
    /// Returns what was kept under `key`, the name of a file; `None` if there is nothing whole.
    ///
    /// # Errors
    ///
    /// The file exists and cannot be read.
    pub fn find(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.folder.join(key);
        let failed = |source| StorageError::new("read", &path, source);
        if self.disk.length(&path).map_err(failed)?.is_none() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.disk.read(&path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(failed)?;
        if bytes.len() < CHECKSUM || bytes[..CHECKSUM] != *checksum(&bytes[CHECKSUM..]).as_bytes() {
            tracing::warn!("`{}` is damaged, and made again", path.display());
            return Ok(None);
        }
        Ok(Some(bytes.split_off(CHECKSUM)))
    }

    /// Keeps a result under `key`, a name for a file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn keep(&self, key: &str, result: &[u8]) -> Result<(), StorageError> {
        let path = self.folder.join(key);
        self.make_folder().map_err(|source| StorageError::new("make", &self.folder, source))?;
        let content = [checksum(result).as_bytes(), result].concat();
        disk::replace(&*self.disk, &path, &content, self.sync)
            .map_err(|source| StorageError::new("write", &path, source))
    }

    fn make_folder(&self) -> std::io::Result<()> {
        self.disk.create_dir_all(&self.folder)?;
        match self.folder.parent() {
            Some(parent) if self.sync => self.disk.sync_dir(parent),
            _ => Ok(()),
        }
    }
}

/// The first line of a file.
fn checksum(bytes: &[u8]) -> String {
    format!("{}\n", blake3::hash(bytes).to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::RealDisk;

    #[test]
    fn a_result_is_found_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(FOLDER);
        RealDisk.create_dir_all(&root.path().join("journal")).unwrap();
        for sync in [true, false] {
            let kept = KeptResults { disk: Arc::new(RealDisk), folder: folder.clone(), sync };
            let key = format!("key-{sync}");
            assert_eq!(kept.find(&key).unwrap(), None);
            kept.keep(&key, b"one").unwrap();
            kept.keep(&key, b"a text\n").unwrap();
            assert_eq!(kept.find(&key).unwrap().unwrap(), b"a text\n");
            let mut file = RealDisk.append(&folder.join(&key)).unwrap();
            for length in (0..CHECKSUM as u64 + 7).rev() {
                file.truncate(length).unwrap();
                assert_eq!(kept.find(&key).unwrap(), None, "{length} bytes");
            }
        }
        assert_eq!(RealDisk.list(&folder).unwrap(), ["key-false", "key-true"], "nothing temporary is left");
    }
}
