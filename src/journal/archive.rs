//! Moves an existing run out of the way of a `--fresh` one. The folder must hold a run or be empty, and is renamed
//! as a whole.
//!
//! Used by `directory` before it opens anything. Nothing inside the old run is changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::lock::RunLock;
use super::open_error::OpenError;
use super::recover;
use super::writer::StorageError;

/// Refuses a folder that holds anything other than a run.
pub(super) fn refuse_foreign(disk: &dyn Disk, root: &Path) -> Result<(), OpenError> {
    if disk.length(root).map_err(|source| StorageError::new("look at", root, source))?.is_none() {
        return Ok(());
    }
    let names = disk.list(root).map_err(|source| StorageError::new("read", root, source))?;
    let ours = ["manifest.json", "manifest.json.new", ".lock", "journal"];
    if names.is_empty() || names.iter().any(|name| ours.contains(&name.as_str())) {
        return Ok(());
    }
    Err(OpenError::Foreign(root.to_owned()))
}

/// Renames an old run to a sibling folder; returns its new path, or `None` if there was nothing to move.
pub(super) fn archive_run(shared: &Arc<dyn Disk>, root: &Path) -> Result<Option<PathBuf>, OpenError> {
    let disk = &**shared;
    refuse_foreign(disk, root)?;
    let names = disk.list(root).map_err(|source| StorageError::new("read", root, source))?;
    if names.iter().all(|name| name == ".lock") {
        return Ok(None);
    }
    // Locked first, so that a run in use by another process is not moved.
    let lock = RunLock::acquire(Arc::clone(shared), root)?;
    // A run whose manifest is lost or damaged is moved as well: this is the way to recover from that.
    let stamp = recover::started(disk, root).unwrap_or_else(|| "old".to_owned());
    let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut target = root.with_file_name(format!("{name}.{stamp}"));
    let mut count = 1;
    while disk.length(&target).map_err(|source| StorageError::new("look at", &target, source))?.is_some() {
        count += 1;
        target = root.with_file_name(format!("{name}.{stamp}-{count}"));
    }
    disk.rename(root, &target).map_err(|source| StorageError::new("move", root, source))?;
    drop(lock);
    Ok(Some(target))
}
