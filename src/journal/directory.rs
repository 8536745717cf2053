//! A run directory: made, or found and checked, then locked for one process.
//!
//! Opening reads the manifest and the commit logs, tells which items are done, and cuts each output file to
//! where it is stable. Everything after that is written by `writer`. The rule for a pipeline that differs
//! from the one the run began with is here: refused, with what differs.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::commits::{CommitLogError, Done, Stable};
use super::disk::{self, Disk};
use super::manifest::{FORMAT, Manifest, RunState};
use super::writer::{Committed, Files, StorageError, Writer};

/// A run directory that this process holds the lock of.
pub struct RunDirectory {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    stable: Vec<Stable>,
    manifest: Manifest,
    /// Held for its lock, which ends with the process.
    _lock: File,
}

/// A run directory as it was found or made.
pub struct Opened {
    /// The directory.
    pub directory: RunDirectory,
    /// Items that need not be made again.
    pub done: RoaringTreemap,
    /// What earlier starts committed.
    pub before: Committed,
    /// Whether the run had already been started.
    pub resumed: bool,
    /// Where an old run was moved to make room.
    pub moved: Option<PathBuf>,
}

/// Why a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works on it.
    #[error("another process works on `{0}`")]
    Locked(PathBuf),
    /// A folder with files of some other kind.
    #[error("`{0}` is not empty and holds no run\nhint: name another folder with `--out`")]
    Foreign(PathBuf),
    /// The pipeline's meaning changed since the run began.
    #[error(
        "the run in `{path}` was begun with another pipeline; these differ: {}\n\
         hint: `--fresh` moves the old run aside and begins anew",
        .parts.join(", ")
    )]
    Different {
        /// The directory.
        path: PathBuf,
        /// The parts that differ, such as `stages.prompt`.
        parts: Vec<String>,
    },
    /// Made by another version of the program.
    #[error("`{path}` has format {found}, this program reads format {FORMAT}")]
    Format {
        /// The directory.
        path: PathBuf,
        /// The format found.
        found: u64,
    },
    /// The manifest cannot be read as one.
    #[error("`{path}` is damaged: {message}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A commit log is damaged.
    #[error("`{path}`: {source}")]
    CommitLog {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: CommitLogError,
    },
    /// An output file is shorter than what was committed to it.
    #[error("`{path}` has {found} bytes, but {committed} were committed: it was cut or replaced")]
    Shortened {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The committed length.
        committed: u64,
    },
    /// An output file is gone.
    #[error("`{path}` is missing, but {committed} bytes were committed to it")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The committed length.
        committed: u64,
    },
    /// The system refused an operation.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What a run directory should hold.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The pipeline's name.
    pub pipeline: String,
    /// Hashes of what the run depends on, by part.
    pub fingerprint: BTreeMap<String, String>,
    /// The sinks' paths, relative to the directory.
    pub sinks: Vec<String>,
    /// The resolved pipeline, for `pipeline.yaml`.
    pub pipeline_yaml: String,
    /// Now, local time, `YYYY-MM-DD_HH-MM-SS`.
    pub now: String,
    /// Whether an old run is moved aside.
    pub fresh: bool,
}

impl RunDirectory {
    /// Opens `root` for the run that `wanted` describes.
    pub fn open(disk: Arc<dyn Disk>, root: &Path, wanted: Wanted) -> Result<Opened, OpenError> {
        let mut moved = None;
        if wanted.fresh && disk.length(root).map_err(|source| failed("look at", root, source))?.is_some() {
            moved = move_aside(&*disk, root)?;
        }
        for folder in ["journal", "provenance"] {
            let path = root.join(folder);
            if moved.is_none() && folder == "journal" {
                refuse_foreign(&*disk, root)?;
            }
            disk.create_dir_all(&path).map_err(|source| failed("make", &path, source))?;
        }
        let lock = lock(root)?;
        let found = read_manifest(&*disk, root)?;
        let resumed = found.is_some();
        let manifest = match found {
            Some(found) => continued(found, &wanted, root)?,
            None => new_manifest(&wanted),
        };
        let done = read_commits(&*disk, root, manifest.generation)?;
        let mut stable = done.files;
        stable.resize(manifest.files.len(), Stable::default());
        let directory = Self { disk, root: root.to_owned(), stable, manifest, _lock: lock };
        directory.check_outputs()?;
        let lines = directory.stable.iter().map(|stable| stable.lines).collect();
        let before = Committed { ok: done.ok, dropped: done.dropped, rejected: done.rejected, lines };
        if !resumed {
            let path = root.join("pipeline.yaml");
            disk::replace(&*directory.disk, &path, wanted.pipeline_yaml.as_bytes(), true)
                .map_err(|source| failed("write", &path, source))?;
        }
        Ok(Opened { directory, done: done.items, before, resumed, moved })
    }

    /// What run this is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The directory's path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All file access of the run.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Begins a new generation: cuts the outputs to where they are stable and starts the writer.
    pub fn start(&mut self, sync: bool) -> Result<Writer, StorageError> {
        self.manifest.generation += 1;
        self.save(|manifest| manifest.state = RunState::Running)?;
        let mut outputs = Vec::with_capacity(self.stable.len());
        for (name, stable) in self.manifest.files.iter().zip(&self.stable) {
            let path = self.root.join(name);
            if let Some(parent) = path.parent() {
                self.disk.create_dir_all(parent).map_err(|source| failed("make", parent, source))?;
            }
            let mut file = self.disk.append(&path).map_err(|source| failed("open", &path, source))?;
            let length = self.disk.length(&path).map_err(|source| failed("look at", &path, source))?;
            if length.unwrap_or(0) > stable.offset {
                file.truncate(stable.offset).map_err(|source| failed("cut", &path, source))?;
            }
            outputs.push((path, *stable));
        }
        let files = Files {
            disk: Arc::clone(&self.disk),
            root: self.root.clone(),
            log: log_path(&self.root, self.manifest.generation),
            outputs,
            sync,
        };
        Writer::start(files, self.manifest.generation)
    }

    /// Changes the manifest and makes the change durable.
    pub fn save(&mut self, change: impl FnOnce(&mut Manifest)) -> Result<(), StorageError> {
        change(&mut self.manifest);
        let path = self.root.join("manifest.json");
        let json = serde_json::to_vec_pretty(&self.manifest)
            .map_err(|error| failed("write", &path, std::io::Error::other(error)))?;
        disk::replace(&*self.disk, &path, &json, true).map_err(|source| failed("replace", &path, source))
    }

    /// Replaces `status.json`.
    pub fn save_status(&self, status: &impl serde::Serialize) -> Result<(), StorageError> {
        let path = self.root.join("status.json");
        let json = serde_json::to_vec_pretty(status)
            .map_err(|error| failed("write", &path, std::io::Error::other(error)))?;
        disk::replace(&*self.disk, &path, &json, false).map_err(|source| failed("replace", &path, source))
    }

    fn check_outputs(&self) -> Result<(), OpenError> {
        for (name, stable) in self.manifest.files.iter().zip(&self.stable) {
            let path = self.root.join(name);
            let length = self.disk.length(&path).map_err(|source| failed("look at", &path, source))?;
            match length {
                None if stable.offset > 0 => {
                    return Err(OpenError::Missing { path, committed: stable.offset });
                }
                Some(found) if found < stable.offset => {
                    return Err(OpenError::Shortened { path, found, committed: stable.offset });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What a run directory says, without a byte of it changed.
pub struct Inspection {
    /// What run it is.
    pub manifest: Manifest,
    /// What is committed, lines counted by file.
    pub done: Committed,
    /// Whether a process works on it now.
    pub running: bool,
}

/// Reads a run directory; `None` when there is no run in it.
pub fn inspect(root: &Path) -> Result<Option<Inspection>, OpenError> {
    let disk = &disk::RealDisk;
    let Some(manifest) = read_manifest(disk, root)? else { return Ok(None) };
    let done = read_commits(disk, root, manifest.generation)?;
    let mut lines: Vec<u64> = done.files.iter().map(|file| file.lines).collect();
    lines.resize(manifest.files.len(), 0);
    let done = Committed { ok: done.ok, dropped: done.dropped, rejected: done.rejected, lines };
    // A shared lock can be had only while no process holds the exclusive one.
    let running = File::open(root.join(".lock"))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
    Ok(Some(Inspection { manifest, done, running }))
}

fn refuse_foreign(disk: &dyn Disk, root: &Path) -> Result<(), OpenError> {
    if disk.length(root).map_err(|source| failed("look at", root, source))?.is_none() {
        return Ok(());
    }
    let names = disk.list(root).map_err(|source| failed("read", root, source))?;
    let ours = ["manifest.json", "manifest.json.new", ".lock", "journal"];
    if names.is_empty() || names.iter().any(|name| ours.contains(&name.as_str())) {
        return Ok(());
    }
    Err(OpenError::Foreign(root.to_owned()))
}

fn move_aside(disk: &dyn Disk, root: &Path) -> Result<Option<PathBuf>, OpenError> {
    refuse_foreign(disk, root)?;
    // Locked first: a run that another process works on is not pulled from under it.
    let lock = lock(root)?;
    let stamp = read_manifest(disk, root)?.map_or_else(|| "old".to_owned(), |manifest| manifest.started);
    let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut target = root.with_file_name(format!("{name}.{stamp}"));
    let mut count = 1;
    while disk.length(&target).map_err(|source| failed("look at", &target, source))?.is_some() {
        count += 1;
        target = root.with_file_name(format!("{name}.{stamp}-{count}"));
    }
    disk.rename(root, &target).map_err(|source| failed("move", root, source))?;
    drop(lock);
    Ok(Some(target))
}

fn lock(root: &Path) -> Result<File, OpenError> {
    let path = root.join(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| failed("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(root.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path, source).into()),
    }
}

fn read_manifest(disk: &dyn Disk, root: &Path) -> Result<Option<Manifest>, OpenError> {
    let path = root.join("manifest.json");
    if disk.length(&path).map_err(|source| failed("look at", &path, source))?.is_none() {
        return Ok(None);
    }
    let bytes = read(disk, &path)?;
    let damaged =
        |error: serde_json::Error| OpenError::Manifest { path: path.clone(), message: error.to_string() };
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(damaged)?;
    let found = value.get("format").and_then(serde_json::Value::as_u64).unwrap_or_default();
    if found != u64::from(FORMAT) {
        return Err(OpenError::Format { path: root.to_owned(), found });
    }
    Ok(Some(serde_json::from_value(value).map_err(damaged)?))
}

fn continued(found: Manifest, wanted: &Wanted, root: &Path) -> Result<Manifest, OpenError> {
    let mut parts = Vec::new();
    for (part, hash) in &wanted.fingerprint {
        match found.fingerprint.get(part) {
            None => parts.push(format!("`{part}` is new")),
            Some(old) if old != hash => parts.push(format!("`{part}`")),
            Some(_) => {}
        }
    }
    for part in found.fingerprint.keys().filter(|part| !wanted.fingerprint.contains_key(*part)) {
        parts.push(format!("`{part}` is gone"));
    }
    if parts.is_empty() {
        return Ok(found);
    }
    Err(OpenError::Different { path: root.to_owned(), parts })
}

fn new_manifest(wanted: &Wanted) -> Manifest {
    let mut files = vec!["rejected.jsonl".to_owned(), "provenance/records.jsonl".to_owned()];
    files.extend(wanted.sinks.iter().cloned());
    Manifest {
        format: FORMAT,
        synthmill: env!("CARGO_PKG_VERSION").to_owned(),
        pipeline: wanted.pipeline.clone(),
        fingerprint: wanted.fingerprint.clone(),
        started: wanted.now.clone(),
        generation: 0,
        state: RunState::Running,
        seconds: 0.0,
        files,
        items: None,
        limit: None,
    }
}

fn log_path(root: &Path, generation: u32) -> PathBuf {
    root.join("journal").join(format!("commits-{generation:04}.log"))
}

fn read_commits(disk: &dyn Disk, root: &Path, generations: u32) -> Result<Done, OpenError> {
    let mut done = Done::default();
    for generation in 1..=generations {
        let path = log_path(root, generation);
        if disk.length(&path).map_err(|source| failed("look at", &path, source))?.is_none() {
            // The start that counted this generation was killed before it made its log.
            continue;
        }
        let bytes = read(disk, &path)?;
        done.add(&bytes).map_err(|source| OpenError::CommitLog { path, source })?;
    }
    Ok(done)
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, StorageError> {
    let mut bytes = Vec::new();
    let mut file = disk.read(path).map_err(|source| failed("open", path, source))?;
    file.read_to_end(&mut bytes).map_err(|source| failed("read", path, source))?;
    Ok(bytes)
}

fn failed(action: &'static str, path: &Path, source: std::io::Error) -> StorageError {
    StorageError { action, path: path.to_owned(), source }
}
