//! An input file of a run: the hash of its content, and its metadata when it was read.
//!
//! A check reads it for the fingerprint; stages read it again later, some of them for hours. At the end of a
//! start the engine verifies that it has not changed.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The state of an input file when the pipeline was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// What the fingerprint contains, 32 hex digits: the BLAKE3 hash of the content, or of what a stage uses as
    /// its content.
    pub hash: String,
    /// The BLAKE3 hash of the content.
    content: String,
    /// `None` if it could not be read.
    stamp: Option<FileStamp>,
}

/// Metadata that changes when a file is written to or replaced, whatever clock its writer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    length: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl InputFile {
    /// Hashes the file at `path`. A file that cannot be read counts by its name only; the stage reports the error
    /// when it reads it.
    pub(crate) fn read(path: &str) -> Self {
        let hashed = || -> std::io::Result<(String, FileStamp)> {
            let mut file = File::open(path)?;
            // Taken before reading: a write during the read counts as a change.
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

    /// The same file with another hash, if a run depends on something other than its bytes.
    pub(crate) fn with_hash(self, hash: &str) -> Self {
        Self { hash: hash.to_owned(), ..self }
    }

    /// Describes how the file at `path` differs now; `None` if its content is unchanged. Reads the content only
    /// if the metadata changed. Blocks.
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
    fn a_change_is_reported_and_a_touch_is_not() {
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
