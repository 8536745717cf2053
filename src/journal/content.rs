//! Verifies the content of the outputs against the checksums of the commit log.
//!
//! Opening a run compares only lengths (`integrity`). This reads the files whole, so it runs beside a start, or
//! before a complete run reports that there is nothing to do.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::RunDirectory;
use super::disk::Disk;
use super::manifest::FileChecksum;
use super::writer::StorageError;

impl RunDirectory {
    /// Returns a closure that verifies every committed byte of the outputs, and the arrays made of them; it reads
    /// the files whole, so it is meant to run beside the start. Its error names the file that is not what was
    /// committed.
    pub fn verifier(&self) -> impl FnOnce() -> Result<(), StorageError> + Send + 'static {
        let disk = Arc::clone(&self.disk);
        let sums = self
            .checked
            .done
            .files
            .iter()
            .map(|stable| FileChecksum { length: stable.offset, crc: stable.crc });
        let outputs = self.manifest.files.iter().zip(sums);
        let arrays = self.manifest.arrays.iter().map(|(name, sum)| (name, *sum));
        let files: Vec<(PathBuf, FileChecksum)> =
            outputs.chain(arrays).map(|(name, sum)| (self.root.join(name), sum)).collect();
        move || files.iter().try_for_each(|(path, sum)| verify(&*disk, path, *sum))
    }

    /// Returns the missing files of a complete run that a start makes again: arrays, and outputs without lines.
    pub fn lost(&self) -> Result<Vec<PathBuf>, StorageError> {
        let mut lost = Vec::new();
        let names = self.manifest.arrays.keys().chain(&self.manifest.files);
        for path in names.map(|name| self.root.join(name)) {
            if self.length(&path)?.is_none() {
                lost.push(path);
            }
        }
        Ok(lost)
    }
}

fn verify(disk: &dyn Disk, path: &Path, committed: FileChecksum) -> Result<(), StorageError> {
    let failed = |source| StorageError::new("read", path, source);
    if committed.length == 0 || disk.length(path).map_err(failed)?.is_none() {
        // A missing file was reported when the run was opened.
        return Ok(());
    }
    if sum_of(disk, path, committed.length).map_err(failed)? == committed {
        return Ok(());
    }
    let edited = "its content is not what was committed; `synthmill repair` takes the changed part out, to be made again";
    Err(StorageError::new("trust", path, std::io::Error::other(edited)))
}

/// Returns the checksum of the first `most` bytes of a file.
pub(super) fn sum_of(disk: &dyn Disk, path: &Path, most: u64) -> std::io::Result<FileChecksum> {
    let mut file = disk.read(path)?.take(most);
    let mut sum = FileChecksum::default();
    let mut chunk = vec![0; 1 << 18];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(sum),
            read => sum.add(&chunk[..read]),
        }
    }
}
