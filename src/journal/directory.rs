//! A run directory, created or opened, checked, and locked for one process.
//!
//! Opening reads the manifest and the commit logs, checks the directory's integrity, and returns which items are
//! done; `start` continues from there. A pipeline that differs from the one the run began with is refused here,
//! with the differences, unless the run has made nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringTreemap;
use serde_json::Value;

use super::archive::{archive_run, refuse_foreign};
use super::commits::{AnswerLogPosition, GateKeys, Spent};
use super::disk::{self, Disk};
use super::integrity::{self, IntegrityReport};
use super::lock::RunLock;
use super::manifest::{self, FORMAT, Manifest, RunId, RunState};
use super::notes::EarlierNotes;
use super::open_error::OpenError;
use super::recover;
use super::rewrite;
use super::writer::{CommittedTotals, StorageError, UNITS};

/// A run directory whose lock this process holds.
pub struct RunDirectory {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) root: PathBuf,
    pub(super) manifest: Manifest,
    /// State that earlier starts left, as read and checked at opening.
    pub(super) checked: IntegrityReport,
    pub(super) pipeline_yaml: String,
    /// Held at the latest until the process ends.
    pub(super) lock: Arc<RunLock>,
    /// Output files of the replaced run, which had made nothing.
    pub(super) replaced: Option<Vec<String>>,
}

/// The result of opening a run directory.
pub struct OpenedRun {
    /// The locked directory.
    pub directory: RunDirectory,
    /// Items that need not be made again; has gaps where rejected items are to be retried.
    pub done: RoaringTreemap,
    /// State from which the gates are rebuilt, by item number.
    pub keys: GateKeys,
    /// Totals committed by earlier starts.
    pub before: CommittedTotals,
    /// Whether the run had been started before.
    pub resumed: bool,
    /// Where an old run was moved to make room.
    pub moved: Option<PathBuf>,
    /// Whether this run replaces one of another pipeline that had made nothing.
    pub replaced: bool,
}

/// Description of the run that a directory is opened for.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// The pipeline's name.
    pub pipeline: String,
    /// What the run's results depend on, by part.
    pub fingerprint: BTreeMap<String, Value>,
    /// The explanations of the stages, such as the shares they draw by.
    pub explained: Vec<Value>,
    /// The sinks' paths, relative to the directory.
    pub sinks: Vec<String>,
    /// The resolved pipeline, for `pipeline.yaml`.
    pub pipeline_yaml: String,
    /// The current local time, `YYYY-MM-DD_HH-MM-SS`.
    pub now: String,
    /// Whether an existing run is moved out of the way.
    pub fresh: bool,
    /// Whether to reuse the answers of the run that is moved out of the way.
    pub reuse_moved: bool,
    /// Another run directory whose answers are reused.
    pub reuse: Option<PathBuf>,
}

impl RunDirectory {
    /// Opens `root` for the run described by `wanted`.
    pub fn open(disk: Arc<dyn Disk>, root: &Path, wanted: RunSpec) -> Result<OpenedRun, OpenError> {
        let mut moved = None;
        if wanted.fresh
            && disk.length(root).map_err(|source| StorageError::new("look at", root, source))?.is_some()
        {
            if wanted.reuse_moved {
                recover::refuse_unreadable_answers(&*disk, root)?;
            }
            moved = archive_run(&disk, root)?;
        }
        if moved.is_none() {
            refuse_foreign(&*disk, root)?;
        }
        for folder in ["journal", "provenance"] {
            let path = root.join(folder);
            disk.create_dir_all(&path).map_err(|source| StorageError::new("make", &path, source))?;
        }
        let lock = RunLock::acquire(Arc::clone(&disk), root)?;
        let new = new_manifest(&wanted, moved.as_deref());
        let mut directory = Self {
            disk,
            root: root.to_owned(),
            checked: IntegrityReport::empty(new.files.len()),
            manifest: new,
            pipeline_yaml: wanted.pipeline_yaml,
            lock,
            replaced: None,
        };
        let Some(mut found) = recover::manifest(&*directory.disk, root)? else {
            if let Some(file) = integrity::without_manifest(&*directory.disk, root)? {
                return Err(OpenError::NoManifest { path: root.to_owned(), file });
            }
            return Ok(directory.opened(false, moved));
        };
        rewrite::finish_rewriting(&*directory.disk, root, &mut found)?;
        let checked =
            integrity::check_with_keys(&*directory.disk, root, &found, directory.lock.previous_mark())?;
        let differences = manifest::differences(&found.fingerprint, &wanted.fingerprint);
        if !differences.is_empty() {
            return match directory.replace(found, &checked)? {
                true => Ok(directory.opened(false, moved)),
                false => Err(OpenError::Different { path: root.to_owned(), parts: differences }),
            };
        }
        if !checked.contradictions.is_empty() {
            return Err(OpenError::Contradicted { path: root.to_owned(), found: checked.contradictions });
        }
        directory.manifest = found;
        directory.checked = checked;
        Ok(directory.opened(true, moved))
    }

    fn opened(mut self, resumed: bool, moved: Option<PathBuf>) -> OpenedRun {
        let done = &mut self.checked.done;
        let lines = done.files.iter().map(|stable| stable.lines).collect();
        let before = CommittedTotals {
            ok: done.ok,
            last_ok: done.last_ok,
            dropped: done.dropped,
            rejected: done.rejected,
            lines,
        };
        let items = std::mem::take(&mut done.items);
        let mut keys = done.keys.take().unwrap_or_default();
        keys.sort_unstable_by_key(|(item, _)| *item);
        let replaced = self.replaced.is_some();
        OpenedRun { directory: self, done: items, keys, before, resumed, moved, replaced }
    }

    /// Replaces `found`, a run of another pipeline, by this one if it has made nothing: no item has ended, and no
    /// line, answer, cost or note was stored. Returns whether it was replaced.
    fn replace(&mut self, found: Manifest, checked: &IntegrityReport) -> Result<bool, OpenError> {
        let whole = checked.contradictions.is_empty() && checked.excess.iter().all(|bytes| *bytes == 0);
        if !whole || !checked.done.items.is_empty() {
            return Ok(false);
        }
        let new = std::mem::replace(&mut self.manifest, found);
        let (mut answers, _) = recover::answers(self, AnswerLogPosition::default(), &checked.done.items)?;
        let noted = EarlierNotes::read(&*self.disk, &self.root, 1..=self.manifest.generation)?;
        let found = std::mem::replace(&mut self.manifest, new);
        let spent = answers.settle(checked.done.spent);
        if !answers.answers.is_empty() || !noted.notes.is_empty() || spent != Spent::default() {
            return Ok(false);
        }
        // Its logs stay; those of this run have higher numbers.
        self.manifest.run = found.run;
        self.manifest.generation = found.generation;
        self.manifest.first_generation = found.generation + 1;
        self.manifest.logs = found.logs;
        self.replaced = Some(found.files);
        Ok(true)
    }

    /// Returns the run's manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the directory's path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the disk that all file access of the run goes through.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Returns the number of items in each of the first units of the source, as counted by earlier starts; empty if
    /// that was not stored, or was truncated by a loss of power.
    pub fn units(&self) -> Result<Vec<u32>, StorageError> {
        let found = recover::read(&*self.disk, &self.root.join(UNITS))?;
        Ok(found.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default())
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

    /// Saves how the start ended and how far its logs reach. Fails if another process has taken over the run.
    pub fn close(&mut self, change: impl FnOnce(&mut Manifest)) -> Result<(), StorageError> {
        self.lock.check()?;
        let (generation, lengths) = (self.manifest.generation, self.lock.lengths());
        self.save(|manifest| {
            manifest.logs.insert(generation, lengths);
            change(manifest);
            manifest.retrying &= manifest.state != RunState::Finished;
        })
    }

    pub(super) fn length(&self, path: &Path) -> Result<Option<u64>, StorageError> {
        self.disk.length(path).map_err(|source| StorageError::new("look at", path, source))
    }

    /// Replaces `status.json` at the end of a start.
    pub fn save_status(&self, status: &impl serde::Serialize) -> Result<(), StorageError> {
        self.lock.check()?;
        let path = self.root.join("status.json");
        let json = serde_json::to_vec_pretty(status)
            .map_err(|error| StorageError::new("write", &path, std::io::Error::other(error)))?;
        disk::replace(&*self.disk, &path, &json, false)
            .map_err(|source| StorageError::new("replace", &path, source))
    }
}

fn new_manifest(wanted: &RunSpec, moved: Option<&Path>) -> Manifest {
    let mut files = vec!["rejected.jsonl".to_owned(), "provenance/records-0001.jsonl.zst".to_owned()];
    files.extend(wanted.sinks.iter().cloned());
    Manifest {
        format: FORMAT,
        run: RunId::draw(),
        synthmill: env!("CARGO_PKG_VERSION").to_owned(),
        pipeline: wanted.pipeline.clone(),
        fingerprint: wanted.fingerprint.clone(),
        explained: wanted.explained.clone(),
        started: wanted.now.clone(),
        generation: 0,
        first_generation: 1,
        logs: BTreeMap::new(),
        rewriting: false,
        retrying: false,
        state: RunState::Running,
        seconds: 0.0,
        files,
        arrays: BTreeMap::new(),
        items: None,
        limit: None,
        reuse: wanted.reuse.clone().or_else(|| moved.filter(|_| wanted.reuse_moved).map(Path::to_owned)),
    }
}
