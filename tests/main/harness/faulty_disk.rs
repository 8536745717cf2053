//! An in-memory disk that tracks what was synced, fails on demand, and can lose power.
//!
//! Files and names each have a current state, which a process sees, and a durable one, which survives a power loss. A write
//! becomes durable with the sync of its file, a name with the sync of its folder; at a power loss each pending write may be
//! kept, lost, cut, or replaced by garbage.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use synthmill::journal::disk::{Disk, DiskFile, FileIdentity};

/// The fault of the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails with EIO and has no effect.
    Io,
    /// It fails with ENOSPC; a write leaves half of its bytes.
    Full,
    /// A sync fails, and writes that were not durable are lost although a process still sees them.
    LostPages,
    /// Power is lost before the operation.
    Power,
}

/// The operation that a fault waits for.
enum Moment {
    /// By its number since the disk was made.
    Number(usize),
    /// The last of so many operations whose description starts with a text.
    Last { of: usize, start: &'static str },
}

impl Moment {
    fn is_now(&mut self, number: usize, operation: &str) -> bool {
        match self {
            Self::Number(at) => *at == number,
            Self::Last { of, start } => {
                *of -= usize::from(*of > 0 && operation.starts_with(*start));
                *of == 0
            }
        }
    }
}

#[derive(Default)]
struct State {
    present: BTreeMap<PathBuf, Arc<Mutex<Bytes>>>,
    durable: BTreeMap<PathBuf, Arc<Mutex<Bytes>>>,
    operations: Vec<String>,
    fault: Option<(Moment, Fault)>,
    struck: bool,
    off: bool,
}

#[derive(Default, Clone)]
struct Bytes {
    present: Vec<u8>,
    durable: Vec<u8>,
}

/// The disk; a clone is the same disk.
#[derive(Clone, Default)]
pub(crate) struct FaultyDisk {
    state: Arc<Mutex<State>>,
    locked: Arc<AtomicBool>,
}

impl FaultyDisk {
    /// Schedules `fault` for the operation after `count` more.
    pub(crate) fn strike(&self, count: usize, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        let at = state.operations.len() + count;
        state.fault = Some((Moment::Number(at), fault));
        state.struck = false;
    }

    /// Schedules `fault` for the `nth` operation from now on, from 1, whose description starts with `start`.
    pub(crate) fn strike_nth(&self, nth: usize, start: &'static str, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        state.fault = Some((Moment::Last { of: nth, start }, fault));
        state.struck = false;
    }

    /// Cancels a fault that has not occurred.
    pub(crate) fn calm(&self) {
        self.state.lock().unwrap().fault = None;
    }

    /// Returns whether the fault occurred.
    pub(crate) fn was_struck(&self) -> bool {
        self.state.lock().unwrap().struck
    }

    /// Returns the kinds of operations so far.
    pub(crate) fn operations(&self) -> Vec<String> {
        self.state.lock().unwrap().operations.clone()
    }

    /// Returns the disk after a power loss.
    pub(crate) fn after_power_loss(&self, seed: u64) -> Self {
        let state = self.state.lock().unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut files = BTreeMap::new();
        let names: Vec<&PathBuf> = state.present.keys().chain(state.durable.keys()).collect();
        for name in names {
            let (present, durable) = (state.present.get(name), state.durable.get(name));
            let same = matches!((present, durable), (Some(a), Some(b)) if Arc::ptr_eq(a, b));
            // A change of a name that was not synced is either kept or undone.
            let kept = if same || rng.random_bool(0.5) { present } else { durable };
            if let Some(bytes) = kept {
                let left = left_of(&bytes.lock().unwrap(), &mut rng);
                files.insert(name.clone(), Arc::new(Mutex::new(left)));
            }
        }
        let state = State { present: files.clone(), durable: files, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), locked: Arc::default() }
    }

    /// Returns the disk after the process was killed: everything written is kept.
    pub(crate) fn after_kill(&self) -> Self {
        let state = self.state.lock().unwrap();
        let copy = |bytes: &Arc<Mutex<Bytes>>| {
            let present = bytes.lock().unwrap().present.clone();
            Arc::new(Mutex::new(Bytes { durable: present.clone(), present }))
        };
        let files: BTreeMap<_, _> =
            state.present.iter().map(|(name, bytes)| (name.clone(), copy(bytes))).collect();
        let state = State { present: files.clone(), durable: files, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), locked: Arc::default() }
    }

    /// Returns the content of a file as a process sees it.
    pub(crate) fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state.lock().unwrap();
        state.present.get(path).map(|bytes| bytes.lock().unwrap().present.clone())
    }

    /// Returns the paths of all files.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.state.lock().unwrap().present.keys().cloned().collect()
    }

    /// Replaces the content of a file, as another program would.
    pub(crate) fn overwrite(&self, path: &Path, content: Vec<u8>) {
        let bytes = Bytes { present: content.clone(), durable: content };
        let bytes = Arc::new(Mutex::new(bytes));
        let mut state = self.state.lock().unwrap();
        state.present.insert(path.to_owned(), Arc::clone(&bytes));
        state.durable.insert(path.to_owned(), bytes);
    }

    /// Removes a file, as another program would.
    pub(crate) fn lose(&self, path: &Path) {
        let mut state = self.state.lock().unwrap();
        state.present.remove(path);
        state.durable.remove(path);
    }

    fn is_on(&self) -> io::Result<()> {
        match self.state.lock().unwrap().off {
            true => Err(io::Error::other("the power is off")),
            false => Ok(()),
        }
    }

    /// Counts an operation; returns the fault if it is the chosen one.
    fn operation(&self, kind: &str, path: &Path) -> io::Result<Option<Fault>> {
        let mut state = self.state.lock().unwrap();
        if state.off {
            return Err(io::Error::other("the power is off"));
        }
        let number = state.operations.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let operation = format!("{kind} {name}");
        let struck = state.struck;
        let is_now =
            state.fault.as_mut().is_some_and(|(moment, _)| !struck && moment.is_now(number, &operation));
        state.operations.push(operation);
        match state.fault {
            Some((_, fault)) if is_now => {
                state.struck = true;
                match fault {
                    Fault::Power => {
                        state.off = true;
                        Err(io::Error::other("the power is off"))
                    }
                    // Only a sync loses pages and only a write can be partial; elsewhere these are plain errors.
                    Fault::LostPages if kind == "sync" => Ok(Some(fault)),
                    Fault::Full if kind == "write" => Ok(Some(fault)),
                    Fault::Full => Err(io::Error::from(io::ErrorKind::StorageFull)),
                    Fault::Io | Fault::LostPages => Err(io::Error::other("input/output error")),
                }
            }
            _ => Ok(None),
        }
    }
}

fn left_of(bytes: &Bytes, rng: &mut ChaCha8Rng) -> Bytes {
    let (present, durable) = (&bytes.present, &bytes.durable);
    let mut left = durable.clone();
    if present.len() > durable.len() && present.starts_with(durable) {
        let pending = &present[durable.len()..];
        let kept = rng.random_range(0..=pending.len());
        match rng.random_range(0..4) {
            0 => {}
            1 => left.extend_from_slice(pending),
            2 => left.extend_from_slice(&pending[..kept]),
            _ => left.extend(pending[..kept].iter().map(|_| rng.random::<u8>())),
        }
    } else if present != durable && rng.random_bool(0.5) {
        left.clone_from(present);
    }
    Bytes { present: left.clone(), durable: left }
}

impl Disk for FaultyDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.operation("make", path).map(drop)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.operation("open", path)?;
        let bytes = Arc::clone(self.state.lock().unwrap().present.entry(path.to_owned()).or_default());
        Ok(Box::new(OpenFile { disk: self.clone(), path: path.to_owned(), bytes, _lock: None }))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        self.operation("read", path)?;
        let content = self.content(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(content)))
    }

    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        // The lock file is compared before each step, like identities below.
        match path.ends_with(".lock") {
            true => self.is_on()?,
            false => drop(self.operation("read", path)?),
        }
        let content = self.content(path).ok_or(io::ErrorKind::NotFound)?;
        let from = content.len().min(offset as usize);
        Ok(content[from..content.len().min(from.saturating_add(length))].to_vec())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskFile>>> {
        if self.locked.swap(true, SeqCst) {
            return Ok(None);
        }
        let lock = Some(Unlock(Arc::clone(&self.locked)));
        let bytes = Arc::clone(self.state.lock().unwrap().present.entry(path.to_owned()).or_default());
        Ok(Some(Box::new(OpenFile { disk: self.clone(), path: path.to_owned(), bytes, _lock: lock })))
    }

    fn identity(&self, path: &Path) -> io::Result<Option<FileIdentity>> {
        // Called many times per commit, without effect: not worth a fault each.
        self.is_on()?;
        Ok(self.state.lock().unwrap().present.get(path).map(identity))
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        self.operation("look", path)?;
        if let Some(content) = self.content(path) {
            return Ok(Some(content.len() as u64));
        }
        let is_folder = self.paths().iter().any(|file| file.starts_with(path));
        Ok(is_folder.then_some(0))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.operation("list", path)?;
        let inside = self.paths().into_iter().filter_map(|file| {
            let first = file.strip_prefix(path).ok()?.components().next()?;
            Some(first.as_os_str().to_string_lossy().into_owned())
        });
        let mut names: Vec<String> = inside.collect();
        names.dedup();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operation("rename", from)?;
        let mut state = self.state.lock().unwrap();
        let file = state.present.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.present.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operation("remove", path)?;
        self.state.lock().unwrap().present.remove(path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.operation("sync_dir", path)?;
        let mut state = self.state.lock().unwrap();
        let inside = |name: &PathBuf| name.parent() == Some(path);
        state.durable.retain(|name, _| !inside(name));
        let now: Vec<_> = state
            .present
            .iter()
            .filter(|(name, _)| inside(name))
            .map(|(n, f)| (n.clone(), Arc::clone(f)))
            .collect();
        state.durable.extend(now);
        Ok(())
    }
}

struct Unlock(Arc<AtomicBool>);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

struct OpenFile {
    disk: FaultyDisk,
    path: PathBuf,
    bytes: Arc<Mutex<Bytes>>,
    _lock: Option<Unlock>,
}

fn identity(bytes: &Arc<Mutex<Bytes>>) -> FileIdentity {
    FileIdentity { inode: (0, Arc::as_ptr(bytes) as u64), length: bytes.lock().unwrap().present.len() as u64 }
}

impl DiskFile for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fault = self.disk.operation("write", &self.path)?;
        let mut file = self.bytes.lock().unwrap();
        if fault == Some(Fault::Full) {
            file.present.extend_from_slice(&bytes[..bytes.len() / 2]);
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        file.present.extend_from_slice(bytes);
        Ok(())
    }

    fn overwrite(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.operation("overwrite", &self.path)?;
        self.bytes.lock().unwrap().present = bytes.to_vec();
        Ok(())
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity(&self.bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        let fault = self.disk.operation("sync", &self.path)?;
        let mut file = self.bytes.lock().unwrap();
        if fault == Some(Fault::LostPages) {
            file.present = file.durable.clone();
            return Err(io::Error::other("input/output error"));
        }
        file.durable = file.present.clone();
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.disk.operation("truncate", &self.path)?;
        self.bytes.lock().unwrap().present.truncate(length as usize);
        Ok(())
    }
}
