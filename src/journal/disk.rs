//! All access to a run directory's files, behind a trait.
//!
//! `RealDisk` is the operating system; tests substitute a disk that fails at the n-th operation or forgets what was
//! not synced. Uses plain `std::fs`, called from the journal's threads and while a run is opened: tokio's file type
//! can lose a failed write.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A file system.
pub trait Disk: Send + Sync + 'static {
    /// Creates a directory and its parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Opens a file for appending; creates it if missing.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading from its start.
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;
    /// Reads up to `length` bytes from `offset` on; fewer at the end of the file.
    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// Locks a file for this process until it is closed; creates it if missing. `None` if another process holds the
    /// lock.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskFile>>>;
    /// Returns the file's length, or `None` if there is no such file.
    fn length(&self, path: &Path) -> io::Result<Option<u64>>;
    /// Returns which file is at the path, or `None` if there is none.
    fn identity(&self, path: &Path) -> io::Result<Option<FileIdentity>>;
    /// Returns the names in a directory, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Renames a file, replacing one at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// Identifies a file independently of its name, with its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    /// The device and the inode number.
    pub inode: (u64, u64),
    /// Bytes.
    pub length: u64,
}

/// A file open for appending, or a lock file.
pub trait DiskFile: Send {
    /// Appends all bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Overwrites the content of a lock file in place, from its first byte on.
    fn overwrite(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns which file it is, whatever its current name.
    fn identity(&self) -> io::Result<FileIdentity>;
    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Truncates the file to `length` bytes.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// Replaces `path` atomically: a reader, or a start after a crash, sees either the old or the new content.
pub fn replace(disk: &dyn Disk, path: &Path, content: &[u8], sync: bool) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary: PathBuf = path.with_file_name(name);
    if disk.length(&temporary)?.is_some() {
        disk.remove(&temporary)?;
    }
    let mut file = disk.append(&temporary)?;
    file.write(content)?;
    if sync {
        file.sync()?;
    }
    drop(file);
    disk.rename(&temporary, path)?;
    match path.parent() {
        Some(parent) if sync => disk.sync_dir(parent),
        _ => Ok(()),
    }
}

/// Creates a log whose first bytes are `bytes`, and opens it. Its name becomes visible only once they are durable,
/// so a log with invalid first bytes is damaged rather than cut off by a loss of power while it was made.
pub fn begin(disk: &dyn Disk, path: &Path, bytes: &[u8], sync: bool) -> io::Result<Box<dyn DiskFile>> {
    replace(disk, path, bytes, sync)?;
    disk.append(path)
}

/// How many times to try for a lock while a reader probes it, which takes microseconds.
const LOCK_TRIES: u32 = 1000;

/// Whether another process holds the lock of a file; does not create the file.
pub fn is_locked(path: &Path) -> bool {
    // A shared lock is granted only while nobody holds the exclusive one.
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        abort_point::reach("make", path);
        fs::create_dir_all(path)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        abort_point::reach("open", path);
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Box::new(RealFile { file, path: path.to_owned() }))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(path)?))
    }

    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(length);
        file.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskFile>>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Box::new(RealFile { file, path: path.to_owned() }))),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // A running process holds the exclusive lock. If a shared one is granted, the holder was a reader that
            // is about to finish.
            match file.try_lock_shared() {
                Ok(()) => file.unlock()?,
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            std::thread::yield_now();
        }
        Ok(None)
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn identity(&self, path: &Path) -> io::Result<Option<FileIdentity>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(identity(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        abort_point::reach("rename", to);
        fs::rename(from, to)?;
        abort_point::reach("renamed", to);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        abort_point::reach("remove", path);
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        abort_point::reach("sync_dir", path);
        File::open(path)?.sync_all()
    }
}

fn identity(metadata: &fs::Metadata) -> FileIdentity {
    FileIdentity { inode: (metadata.dev(), metadata.ino()), length: metadata.len() }
}

struct RealFile {
    file: File,
    path: PathBuf,
}

impl DiskFile for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        abort_point::reach("write", &self.path);
        if abort_point::is_armed() && bytes.len() > 1 {
            // In two halves, so that a test can abort between them.
            self.file.write_all(&bytes[..bytes.len() / 2])?;
            abort_point::reach("half", &self.path);
            self.file.write_all(&bytes[bytes.len() / 2..])?;
        } else {
            self.file.write_all(bytes)?;
        }
        abort_point::reach("written", &self.path);
        Ok(())
    }

    fn overwrite(&mut self, bytes: &[u8]) -> io::Result<()> {
        abort_point::reach("overwrite", &self.path);
        self.file.write_all_at(bytes, 0)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity(&self.file.metadata()?))
    }

    fn sync(&mut self) -> io::Result<()> {
        abort_point::reach("sync", &self.path);
        self.file.sync_data()?;
        abort_point::reach("synced", &self.path);
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        abort_point::reach("truncate", &self.path);
        self.file.set_len(length)
    }
}

/// Named points at which a test can abort the process, as a crash would. Compiled into debug builds only.
mod abort_point {
    use std::path::Path;

    /// Aborts the process if `SYNTHMILL_ABORT` is `KIND FILE N` and this is the N-th operation of this kind on a
    /// file whose name starts with `FILE`.
    #[cfg(debug_assertions)]
    pub(super) fn reach(kind: &str, path: &Path) {
        use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
        static MET: AtomicU64 = AtomicU64::new(0);
        let Some((wanted, file, times)) = armed() else { return };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if kind == wanted && name.starts_with(file.as_str()) && MET.fetch_add(1, SeqCst) + 1 == *times {
            std::process::abort();
        }
    }

    #[cfg(debug_assertions)]
    pub(super) fn is_armed() -> bool {
        armed().is_some()
    }

    #[cfg(debug_assertions)]
    fn armed() -> Option<&'static (String, String, u64)> {
        static ARMED: std::sync::OnceLock<Option<(String, String, u64)>> = std::sync::OnceLock::new();
        let read = || {
            let text = std::env::var("SYNTHMILL_ABORT").ok()?;
            let mut words = text.split(' ');
            Some((words.next()?.to_owned(), words.next()?.to_owned(), words.next()?.parse().ok()?))
        };
        ARMED.get_or_init(read).as_ref()
    }

    #[cfg(not(debug_assertions))]
    pub(super) fn reach(_kind: &str, _path: &Path) {}

    #[cfg(not(debug_assertions))]
    pub(super) fn is_armed() -> bool {
        false
    }
}
