//! Keeps bytes that are removed from a run's outputs and may not be made again, in `journal/removed-0003/`.
//!
//! These are lines behind the last commit of a run whose lock file is missing, and lines that `repair` does not
//! find in the journal. Nothing reads these files; they are there for the user to inspect and to delete.

use std::path::{Path, PathBuf};

use super::commits::StablePrefix;
use super::disk::Disk;
use super::line_frames;
use super::new_file::{CHUNK, NewFile};
use super::rewrite::ExistingRun;
use super::writer::StorageError;

/// Returns where bytes removed from the output `name` are kept, after the start `generation`. The name does not end
/// in `.jsonl`, so that nobody who collects all outputs picks it up.
pub(super) fn path(root: &Path, generation: u32, name: &str) -> PathBuf {
    root.join("journal").join(format!("removed-{generation:04}")).join(format!("{name}.removed"))
}

/// Copies the bytes of an output behind its stable prefix; returns the path of the copy.
pub(super) fn copy_excess(
    disk: &dyn Disk,
    root: &Path,
    generation: u32,
    name: &str,
    stable: StablePrefix,
) -> Result<PathBuf, StorageError> {
    let (from, to) = (root.join(name), path(root, generation, name));
    if let Some(parent) = to.parent() {
        disk.create_dir_all(parent).map_err(|source| StorageError::new("make", parent, source))?;
    }
    let failed = |source| StorageError::new("write", &to, source);
    if disk.length(&to).map_err(failed)?.is_some() {
        disk.remove(&to).map_err(failed)?;
    }
    let mut file = disk.append(&to).map_err(failed)?;
    let mut at = stable.offset;
    loop {
        let bytes =
            disk.read_at(&from, at, CHUNK).map_err(|source| StorageError::new("read", &from, source))?;
        if bytes.is_empty() {
            break;
        }
        file.write(&bytes).map_err(failed)?;
        at += bytes.len() as u64;
    }
    file.sync().map_err(failed)?;
    sync_folder(disk, &to)?;
    Ok(to)
}

/// Makes the name of a copy durable, before the original is truncated.
fn sync_folder(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    for folder in path.ancestors().skip(1) {
        disk.sync_dir(folder).map_err(|source| StorageError::new("sync", folder, source))?;
        if folder.ends_with("journal") {
            break;
        }
    }
    Ok(())
}

/// The bytes of the outputs that no commit refers to any more.
pub(super) struct RemovedBytes {
    keep: bool,
    /// For each output, the offset up to which it has been processed.
    at: Vec<u64>,
    files: Vec<Option<NewFile>>,
}

impl RemovedBytes {
    pub(super) fn new(keep: bool, outputs: usize) -> Self {
        Self { keep, at: vec![0; outputs], files: (0..outputs).map(|_| None).collect() }
    }

    /// Keeps the unprocessed bytes of an output before `from`; continues at `next`.
    pub(super) fn keep_up_to(
        &mut self,
        run: &ExistingRun,
        index: usize,
        from: u64,
        next: u64,
    ) -> Result<(), StorageError> {
        let name = &run.manifest.files[index];
        while self.keep && self.at[index] < from {
            let end = from.min(self.at[index] + CHUNK as u64);
            let bytes = run.range(name, self.at[index], end)?;
            if bytes.is_empty() {
                break;
            }
            self.file(run, index)?.write(&bytes)?;
            self.at[index] += bytes.len() as u64;
        }
        self.at[index] = next;
        Ok(())
    }

    /// Keeps intact lines of an output whose item is removed.
    pub(super) fn keep(&mut self, run: &ExistingRun, index: usize, bytes: &[u8]) -> Result<(), StorageError> {
        if !self.keep || bytes.is_empty() {
            return Ok(());
        }
        let file = self.file(run, index)?;
        let bytes = line_frames::encode(Path::new(&run.manifest.files[index]), bytes)
            .map_err(|source| StorageError::new("compress", &file.path, source))?;
        file.write(&bytes)
    }

    /// Returns the file that keeps what is removed from an output; creates it if needed.
    fn file(&mut self, run: &ExistingRun, index: usize) -> Result<&mut NewFile, StorageError> {
        let none = match &mut self.files[index] {
            Some(file) => return Ok(file),
            none => none,
        };
        let path = path(&run.root, run.manifest.generation, &run.manifest.files[index]);
        if let Some(folder) = path.parent() {
            let made = run.disk.create_dir_all(folder);
            made.map_err(|source| StorageError::new("make", folder, source))?;
        }
        Ok(none.insert(NewFile::make(&*run.disk, path)?))
    }

    /// Makes the kept files durable; returns their paths.
    pub(super) fn sync(self, disk: &dyn Disk) -> Result<Vec<PathBuf>, StorageError> {
        let mut paths = Vec::new();
        for mut file in self.files.into_iter().flatten() {
            file.sync()?;
            sync_folder(disk, &file.path)?;
            paths.push(file.path);
        }
        Ok(paths)
    }
}
