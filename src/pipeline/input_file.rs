//! A file that a run depends on: the hash of its content, and what the file system said of it meanwhile.
//!
//! A check reads it for the fingerprint; the stages read it again later, some for hours. At the end of a start the
//! engine asks whether it is still the same.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file as a check found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// What a run that reads it depends on, 32 hex digits: the BLAKE3 of the content, or of what a stage takes for it.
    pub hash: String,
    /// The BLAKE3 of the content.
    content: String,
    /// None where it could not be read.
    stamp: Option<FileStamp>,
}

/// What changes when a file is written to or replaced, whatever clock its writer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    length: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl InputFile {
    /// Reads the file at `path`. One that cannot be read counts by its name; reading it is the stage's affair.
    pub(crate) fn read(path: &str) -> Self {
        let hashed = || -> std::io::Result<(String, FileStamp)> {
            let mut file = File::open(path)?;
            // Of before: what is written while it is read is a change.
            let stamp = FileStamp::of(&file.metadata()?);
            let mut hasher = blake3::Hasher::new();
            std::io::copy(&mut file, &mut hasher)?;
            Ok((hasher.finalize().to_hex()[..32].to_owned(), stamp))
        };
        match hashed() {
            Ok((hash, stamp)) => Self { content: hash.clone(), hash, stamp: Some(stamp) },
            Err(_) => Self { hash: "unreadable".to_owned(), content: String::new(), stamp: None },
        }
    }

    /// The same file, where something else than its bytes is what a run depends on.
    pub(crate) fn with_hash(self, hash: &str) -> Self {
        Self { hash: hash.to_owned(), ..self }
    }

    /// What is different about the file at `path` now; `None` where its content is as it was. Reads it only where
    /// the file system knows of a change. Blocks.
    #[must_use]
    pub fn change(&self, path: &str) -> Option<String> {
        let before = self.stamp?;
        let now = Path::new(path).metadata().ok().map(|metadata| FileStamp::of(&metadata));
        let Some(now) = now else { return Some(format!("`{path}` is gone")) };
        if now == before || Self::read(path).content == self.content {
            return None;
        }
        Some(match now.length == before.length {
            true => format!("`{path}` has another content"),
            false => format!("`{path}` has {} bytes, where it had {}", now.length, before.length),
        })
    }
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_and_a_touch_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let name = path.to_str().unwrap();
        let check = |write: &dyn Fn(), expected: Option<&str>| {
            std::fs::write(&path, "one\ntwo\n").unwrap();
            let input = InputFile::read(name);
            write();
            assert_eq!(input.change(name), expected.map(|expected| format!("`{name}` {expected}")));
        };
        check(&|| {}, None);
        check(&|| std::fs::write(&path, "one\ntwo\n").unwrap(), None);
        check(&|| std::fs::write(&path, "one\nTWO\n").unwrap(), Some("has another content"));
        check(&|| std::fs::write(&path, "one\n").unwrap(), Some("has 4 bytes, where it had 8"));
        check(&|| std::fs::remove_file(&path).unwrap(), Some("is gone"));
        let replace = || {
            std::fs::write(folder.path().join("new"), "one\nTWO\n").unwrap();
            std::fs::rename(folder.path().join("new"), &path).unwrap();
        };
        check(&replace, Some("has another content"));
        assert_eq!(InputFile::read("/no/such/file").change("/no/such/file"), None);
    }
}
