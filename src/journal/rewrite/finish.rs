//! The second half of a rewrite: moves the new files into place.
//!
//! Also called when a run is opened, to finish what a kill interrupted.

use std::path::Path;

use super::{FOLDER, save};
use crate::journal::disk::Disk;
use crate::journal::integrity;
use crate::journal::manifest::Manifest;
use crate::journal::new_file::{CHUNK, NewFile};
use crate::journal::open_error::OpenError;
use crate::journal::writer::StorageError;

/// Moves rewritten files into place, if the manifest says that they are waiting. They are copied, and the originals
/// stay until the manifest says that all are in place: a rename whose two halves are not durable together could
/// lose one.
pub(in crate::journal) fn finish_rewriting(
    disk: &dyn Disk,
    root: &Path,
    manifest: &mut Manifest,
) -> Result<(), OpenError> {
    if !manifest.rewriting {
        return Ok(());
    }
    let folder = root.join(FOLDER);
    for name in integrity::file_names(disk, &folder)? {
        let to = match name.parse::<usize>() {
            Ok(index) => manifest.files.get(index).map(|name| root.join(name)),
            Err(_) => Some(root.join("journal").join(&name)),
        };
        if let Some(to) = to {
            put_in_place(disk, &folder.join(name), &to)?;
        }
    }
    manifest.rewriting = false;
    save(disk, root, manifest)?;
    Ok(clear(disk, &folder)?)
}

/// Removes waiting files, or those that a kill left before they counted.
pub(super) fn clear(disk: &dyn Disk, folder: &Path) -> Result<(), StorageError> {
    for path in integrity::file_names(disk, folder)?.into_iter().map(|name| folder.join(name)) {
        disk.remove(&path).map_err(|source| StorageError::new("remove", &path, source))?;
    }
    Ok(())
}

fn put_in_place(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), StorageError> {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let mut file = NewFile::make(disk, to.with_file_name(name))?;
    let mut source = disk.read(from).map_err(|source| StorageError::new("open", from, source))?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = source.read(&mut chunk).map_err(|source| StorageError::new("read", from, source))?;
        if read == 0 {
            break;
        }
        file.write(&chunk[..read])?;
    }
    file.sync()?;
    disk.rename(&file.path, to).map_err(|source| StorageError::new("rename", &file.path, source))?;
    match to.parent() {
        Some(parent) => disk.sync_dir(parent).map_err(|source| StorageError::new("sync", parent, source)),
        None => Ok(()),
    }
}
