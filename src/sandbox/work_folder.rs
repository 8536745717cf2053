//! The fresh folder that an unconfined program works in: with its files, removed afterwards.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use tempfile::TempDir;

use super::SandboxError;

/// Makes an empty folder that only we may read, and places the files in it.
pub(super) fn create(files: &BTreeMap<String, Vec<u8>>) -> Result<TempDir, SandboxError> {
    let failed = |error| SandboxError::new(format!("cannot make a work folder for a program: {error}"));
    let folder = tempfile::Builder::new().prefix("synthmill-").tempdir().map_err(failed)?;
    place(folder.path(), files.iter().map(|(name, content)| (name.as_str(), content.as_slice())))?;
    Ok(folder)
}

/// Writes files into a folder, below which all of them must stay.
pub(super) fn place<'a>(
    folder: &Path,
    files: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<(), SandboxError> {
    for (name, content) in files {
        check_name(name)?;
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, content));
        written.map_err(|error| {
            SandboxError::new(format!("cannot place the file `{name}` in the work folder: {error}"))
        })?;
    }
    Ok(())
}

/// Refuses a name that leads out of the folder.
pub(super) fn check_name(name: &str) -> Result<(), SandboxError> {
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if inside && !name.is_empty() && !name.ends_with('/') && !name.contains('\0') {
        return Ok(());
    }
    Err(SandboxError::new(format!(
        "the file name `{name}` leads out of the work folder; hint: names are relative and without `..`"
    )))
}

/// Makes a folder and all in it belong to a user and the group of the same number.
#[cfg(target_os = "linux")]
pub(super) fn give_to(folder: &Path, uid: u32) -> std::io::Result<()> {
    std::os::unix::fs::lchown(folder, Some(uid), Some(uid))?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give_to(&entry.path(), uid)?;
        } else {
            std::os::unix::fs::lchown(entry.path(), Some(uid), Some(uid))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for name in ["a", "a/b.py", "ä b", "a/./b", "..a"] {
            check_name(name).unwrap();
        }
        for name in ["", "/etc/passwd", "../a", "a/../../b", "a/..", ".", "a/", "a\0"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_folder_has_its_files_and_is_removed() {
        let files = BTreeMap::from([("sub/a.txt".to_owned(), b"a".to_vec())]);
        let folder = create(&files).unwrap();
        let path = folder.path().to_owned();
        assert_eq!(std::fs::read(path.join("sub/a.txt")).unwrap(), b"a");
        drop(folder);
        assert!(!path.exists());
    }
}
