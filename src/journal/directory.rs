//! A run directory: made, or found and checked, then locked for one process.
//!
//! Opening reads the manifest and the commit logs (`recover`) and tells which items are done; starting cuts
//! each output file to where it is stable. Everything after that is written by `writer` and `answer_log`.
//! The rule for a pipeline that differs from the one the run began with is here: refused, with what differs.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringTreemap;
use serde_json::Value;

use super::answer_log::{Answers, AnswersThread};
use super::aside::{move_aside, refuse_foreign};
use super::batch_files::{BatchFiles, BatchThread, Left};
use super::batches::{self, Batches};
use super::commits::{AnswersFrom, Spent, Stable};
use super::disk::{self, Disk};
use super::manifest::{self, FORMAT, Manifest, RunState};
use super::open_error::OpenError;
use super::recover;
use super::rewrite;
use super::writer::{Committed, Files, StorageError, UNITS, Writer};

/// A run directory that this process holds the lock of.
pub struct RunDirectory {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    stable: Vec<Stable>,
    manifest: Manifest,
    answers: AnswersFrom,
    spent: Spent,
    pipeline_yaml: String,
    /// Held for its lock, which ends with the process at the latest.
    _lock: Box<dyn Send + Sync>,
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

/// How a run's files are written.
#[derive(Debug, Clone, Copy)]
pub struct Storing {
    /// Whether they are synced with each commit.
    pub sync: bool,
    /// Whether answers are packed.
    pub pack: bool,
}

/// The threads of a start, at work.
pub struct Started {
    /// Takes items that have ended.
    pub writer: Writer,
    /// Keeps and finds answers.
    pub answers: Arc<Answers>,
    /// Ends when every `answers` is dropped.
    pub answers_thread: AnswersThread,
    /// What is with providers in batches.
    pub batches: Arc<BatchFiles>,
    /// Ends when every `batches` is dropped.
    pub batch_thread: BatchThread,
    /// What earlier starts spent at the models.
    pub spent: Spent,
}

/// What a run directory should hold.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The pipeline's name.
    pub pipeline: String,
    /// What the run depends on, by part.
    pub fingerprint: BTreeMap<String, Value>,
    /// What the stages tell of themselves, such as the shares they draw by.
    pub explained: Vec<Value>,
    /// The sinks' paths, relative to the directory.
    pub sinks: Vec<String>,
    /// The resolved pipeline, for `pipeline.yaml`.
    pub pipeline_yaml: String,
    /// Now, local time, `YYYY-MM-DD_HH-MM-SS`.
    pub now: String,
    /// Whether an old run is moved aside.
    pub fresh: bool,
    /// Whether the answers of the run that is moved aside are used again.
    pub reuse_moved: bool,
    /// Another run directory whose answers are used again.
    pub reuse: Option<PathBuf>,
}

impl RunDirectory {
    /// Opens `root` for the run that `wanted` describes.
    pub fn open(disk: Arc<dyn Disk>, root: &Path, wanted: Wanted) -> Result<Opened, OpenError> {
        let mut moved = None;
        if wanted.fresh
            && disk.length(root).map_err(|source| StorageError::new("look at", root, source))?.is_some()
        {
            moved = move_aside(&*disk, root)?;
        }
        for folder in ["journal", "provenance"] {
            let path = root.join(folder);
            if moved.is_none() && folder == "journal" {
                refuse_foreign(&*disk, root)?;
            }
            disk.create_dir_all(&path).map_err(|source| StorageError::new("make", &path, source))?;
        }
        let lock = lock(&*disk, root)?;
        let found = recover::manifest(&*disk, root)?;
        let resumed = found.is_some();
        let manifest = match found {
            Some(mut found) => {
                rewrite::finish_rewriting(&*disk, root, &mut found)?;
                continued(found, &wanted, root)?
            }
            None => new_manifest(&wanted, moved.as_deref()),
        };
        let done = recover::commits(&*disk, root, &manifest)?;
        let mut stable = done.files;
        stable.resize(manifest.files.len(), Stable::default());
        let (answers, spent) = (done.answers, done.spent);
        let pipeline_yaml = wanted.pipeline_yaml;
        let directory = Self {
            disk,
            root: root.to_owned(),
            stable,
            manifest,
            answers,
            spent,
            pipeline_yaml,
            _lock: lock,
        };
        directory.check_outputs()?;
        let lines = directory.stable.iter().map(|stable| stable.lines).collect();
        let before = Committed { ok: done.ok, dropped: done.dropped, rejected: done.rejected, lines };
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

    /// How many items the first units of the source have, as earlier starts counted them; nothing where that
    /// was not kept, or was cut off by a loss of power.
    pub fn units(&self) -> Result<Vec<u32>, StorageError> {
        let found = recover::read(&*self.disk, &self.root.join(UNITS))?;
        Ok(found.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default())
    }

    /// Begins a new generation: cuts the outputs to where they are stable, gathers the answers that
    /// unfinished items have, and starts the threads that write.
    pub fn start(&mut self, done: &RoaringTreemap, how: Storing) -> Result<Started, OpenError> {
        let mut recovered = recover::answers(self, self.answers, done)?;
        let reuse = recover::reuse(self)?;
        let earlier = self.manifest.first_generation..=self.manifest.generation;
        let mut batches = Batches::read(&*self.disk, &self.root, earlier)?;
        let open = batches.open(done, &recovered);
        let carried = if batches.last > 0 { batches.carried(&RoaringTreemap::new()) } else { Vec::new() };
        let left = Left { last: batches.last, open, carried };
        let spent = recovered.settle(self.spent);
        self.manifest.generation += 1;
        // First the manifest: without it the next start would take the folder for somebody else's.
        self.save(|manifest| manifest.state = RunState::Running)?;
        self.save_pipeline()?;
        let mut outputs = Vec::with_capacity(self.stable.len());
        for (name, stable) in self.manifest.files.iter().zip(&self.stable) {
            let path = self.root.join(name);
            if let Some(parent) = path.parent() {
                self.disk
                    .create_dir_all(parent)
                    .map_err(|source| StorageError::new("make", parent, source))?;
            }
            let mut file =
                self.disk.append(&path).map_err(|source| StorageError::new("open", &path, source))?;
            let length =
                self.disk.length(&path).map_err(|source| StorageError::new("look at", &path, source))?;
            if length.unwrap_or(0) > stable.offset {
                file.truncate(stable.offset).map_err(|source| StorageError::new("cut", &path, source))?;
            }
            outputs.push((path, *stable));
        }
        let generation = self.manifest.generation;
        let log = recover::answers_path(&self.root, generation);
        let commits = recover::commits_path(&self.root, generation);
        for leftover in [&log, &commits, &batches::path(&self.root, generation)] {
            self.remove_leftover(leftover)?;
        }
        let sync = (how.sync, how.pack);
        let (answers, answers_thread) =
            Answers::start(&*self.disk, &log, generation, recovered, reuse, sync)?;
        let (batches, batch_thread) =
            BatchFiles::start(Arc::clone(&self.disk), &self.root, generation, left, how.sync)?;
        let files = Files {
            disk: Arc::clone(&self.disk),
            root: self.root.clone(),
            log: commits,
            outputs,
            sync: how.sync,
        };
        let writer = Writer::start(files, generation)?;
        let (answers, batches) = (Arc::new(answers), Arc::new(batches));
        Ok(Started { writer, answers, answers_thread, batches, batch_thread, spent })
    }

    /// Compares every committed byte of the outputs with its checksum; to be run beside the start, since
    /// it reads them whole. An error names the file that is not what was committed.
    pub fn verifier(&self) -> impl FnOnce() -> Result<(), StorageError> + Send + 'static {
        let disk = Arc::clone(&self.disk);
        let paths = self.manifest.files.iter().map(|name| self.root.join(name));
        let files: Vec<(PathBuf, Stable)> = paths.zip(self.stable.iter().copied()).collect();
        move || files.iter().try_for_each(|(path, stable)| verify(&*disk, path, *stable))
    }

    /// Changes the manifest and makes the change durable.
    pub fn save(&mut self, change: impl FnOnce(&mut Manifest)) -> Result<(), StorageError> {
        change(&mut self.manifest);
        let path = self.root.join("manifest.json");
        let json = serde_json::to_vec_pretty(&self.manifest)
            .map_err(|error| StorageError::new("write", &path, std::io::Error::other(error)))?;
        disk::replace(&*self.disk, &path, &json, true)
            .map_err(|source| StorageError::new("replace", &path, source))
    }

    /// A log of this number can only be what a killed `repair` left.
    fn remove_leftover(&self, log: &Path) -> Result<(), StorageError> {
        match self.disk.length(log).map_err(|source| StorageError::new("look at", log, source))? {
            Some(_) => self.disk.remove(log).map_err(|source| StorageError::new("remove", log, source)),
            None => Ok(()),
        }
    }

    fn save_pipeline(&self) -> Result<(), StorageError> {
        let path = self.root.join("pipeline.yaml");
        let found = self.disk.length(&path).map_err(|source| StorageError::new("look at", &path, source))?;
        if found.is_some_and(|length| length > 0) {
            return Ok(());
        }
        disk::replace(&*self.disk, &path, self.pipeline_yaml.as_bytes(), true)
            .map_err(|source| StorageError::new("write", &path, source))
    }

    /// Replaces `status.json` at the end of a start, whose number goes in too.
    pub fn save_status(&self, status: &impl serde::Serialize) -> Result<(), StorageError> {
        let path = self.root.join("status.json");
        let json = serde_json::to_value(status)
            .and_then(|mut status| {
                if let Some(status) = status.as_object_mut() {
                    status.insert("start".to_owned(), self.manifest.generation.into());
                }
                serde_json::to_vec_pretty(&status)
            })
            .map_err(|error| StorageError::new("write", &path, std::io::Error::other(error)))?;
        disk::replace(&*self.disk, &path, &json, false)
            .map_err(|source| StorageError::new("replace", &path, source))
    }

    fn check_outputs(&self) -> Result<(), OpenError> {
        for (name, stable) in self.manifest.files.iter().zip(&self.stable) {
            let path = self.root.join(name);
            let length =
                self.disk.length(&path).map_err(|source| StorageError::new("look at", &path, source))?;
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

fn continued(found: Manifest, wanted: &Wanted, root: &Path) -> Result<Manifest, OpenError> {
    let parts = manifest::differences(&found.fingerprint, &wanted.fingerprint);
    if parts.is_empty() {
        return Ok(found);
    }
    Err(OpenError::Different { path: root.to_owned(), parts })
}

fn new_manifest(wanted: &Wanted, moved: Option<&Path>) -> Manifest {
    let mut files = vec!["rejected.jsonl".to_owned(), "provenance/records.jsonl".to_owned()];
    files.extend(wanted.sinks.iter().cloned());
    Manifest {
        format: FORMAT,
        synthmill: env!("CARGO_PKG_VERSION").to_owned(),
        pipeline: wanted.pipeline.clone(),
        fingerprint: wanted.fingerprint.clone(),
        explained: wanted.explained.clone(),
        started: wanted.now.clone(),
        generation: 0,
        first_generation: 1,
        rewriting: false,
        state: RunState::Running,
        seconds: 0.0,
        files,
        items: None,
        limit: None,
        reuse: wanted.reuse.clone().or_else(|| moved.filter(|_| wanted.reuse_moved).map(Path::to_owned)),
    }
}

pub(super) fn lock(disk: &dyn Disk, root: &Path) -> Result<Box<dyn Send + Sync>, OpenError> {
    let path = root.join(".lock");
    let lock = disk.lock(&path).map_err(|source| StorageError::new("lock", &path, source))?;
    lock.ok_or_else(|| OpenError::Locked(root.to_owned()))
}

fn verify(disk: &dyn Disk, path: &Path, stable: Stable) -> Result<(), StorageError> {
    if stable.offset == 0 {
        return Ok(());
    }
    let failed = |source| StorageError::new("read", path, source);
    let mut file = disk.read(path).map_err(failed)?.take(stable.offset);
    let mut crc = crc32fast::Hasher::new();
    let mut chunk = vec![0; 1 << 18];
    loop {
        match file.read(&mut chunk).map_err(failed)? {
            0 => break,
            read => crc.update(&chunk[..read]),
        }
    }
    if crc.finalize() == stable.crc {
        return Ok(());
    }
    let edited =
        "its content is not what was committed; `synthmill repair` makes the items of the changed part again";
    Err(StorageError::new("trust", path, std::io::Error::other(edited)))
}
