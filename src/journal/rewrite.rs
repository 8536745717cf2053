//! Removes items from a run, so that the next start makes them again; for `repair` and `retry-rejected`.
//!
//! Every output is rewritten without the lines of those items, and the commit logs are merged into one. The new
//! files are created in `journal/rewrite/` and moved into place after the manifest says so: a kill at any moment
//! leaves either the run as it was, or one whose next opening finishes the move.

mod finish;
mod new_outputs;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::answers::{self, RecoveredAnswers};
use super::commits::{self, CommitGroup, ItemOutcome, Spent};
use super::disk::{self, Disk};
use super::frames::{self, LogHeader};
use super::integrity;
use super::line_frames;
use super::lock::RunLock;
use super::manifest::{LogLengths, Manifest, RunState};
use super::new_file::NewFile;
use super::notes::{self, CompactNotes, EarlierNotes};
use super::open_error::OpenError;
use super::recover;
use super::removed::RemovedBytes;
use super::writer::StorageError;

use self::finish::clear;
pub(super) use self::finish::finish_rewriting;
use self::new_outputs::{GroupBuilder, NewOutput};

/// Where new files are created.
const FOLDER: &str = "journal/rewrite";
/// Items in a frame of the merged commit log.
const GROUP: usize = 512;

/// An existing run directory, locked, with its commits.
pub(super) struct ExistingRun {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) root: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) groups: Vec<CommitGroup>,
    /// The contradictions found in the directory, one per entry.
    pub(super) contradictions: Vec<String>,
    lock: Arc<RunLock>,
}

/// Rewritten logs of earlier starts, each with its start.
pub(super) type RebuiltLogs = Vec<(u32, Vec<u8>)>;

/// What the next start finds besides the commits.
pub(super) struct RetainedLogs<'a> {
    pub(super) answers: &'a RecoveredAnswers,
    /// The notes that its log begins with.
    pub(super) notes: Vec<Vec<u8>>,
    pub(super) mended: RebuiltLogs,
}

/// A committed item with its lines, by file.
pub(super) struct CommittedItem<'a> {
    /// How it ended.
    pub(super) outcome: ItemOutcome,
    /// Its lines in each file, with their line endings.
    pub(super) lines: &'a [&'a [u8]],
}

impl ExistingRun {
    /// Locks the run in `root` and checks its integrity; does not read the commits.
    fn lock(disk: Arc<dyn Disk>, root: &Path) -> Result<Self, OpenError> {
        if recover::manifest(&*disk, root)?.is_none() {
            return Err(OpenError::NoRun(root.to_owned()));
        }
        let lock = RunLock::acquire(Arc::clone(&disk), root)?;
        let Some(mut manifest) = recover::manifest(&*disk, root)? else {
            return Err(OpenError::NoRun(root.to_owned()));
        };
        finish_rewriting(&*disk, root, &mut manifest)?;
        let contradictions = integrity::check(&*disk, root, &manifest, lock.previous_mark())?.contradictions;
        let root = root.to_owned();
        Ok(Self { disk, root, manifest, groups: Vec::new(), contradictions, lock })
    }

    /// Opens the run in `root`, which must be intact.
    pub(super) fn open_intact(disk: Arc<dyn Disk>, root: &Path) -> Result<Self, OpenError> {
        let mut run = Self::lock(disk, root)?;
        if !run.contradictions.is_empty() {
            return Err(OpenError::Contradicted { path: run.root, found: run.contradictions });
        }
        for generation in run.manifest.first_generation..=run.manifest.generation {
            let path = recover::commits_path(root, generation);
            let Some(log) = recover::read(&*run.disk, &path)? else { continue };
            let read = frames::check_header(&log, commits::KIND).and_then(|header| match header {
                None => Ok(0),
                Some(_) => frames::for_each(&log, frames::HEADER, |_, payload| {
                    run.groups.extend(CommitGroup::read(payload));
                }),
            });
            read.map_err(|source| OpenError::Log { path, source })?;
        }
        Ok(run)
    }

    /// Opens the run in `root` with every readable commit, whatever else is wrong with it.
    pub(super) fn open_salvaged(disk: Arc<dyn Disk>, root: &Path) -> Result<Self, OpenError> {
        let mut run = Self::lock(disk, root)?;
        let names = integrity::file_names(&*run.disk, &root.join("journal"))?;
        // A manifest restored from an earlier time does not know the last starts, and no number must be used twice.
        let mark = run.lock.previous_mark().filter(|mark| mark.run == run.manifest.run);
        let numbers = names.iter().filter_map(|name| integrity::generation_of(name));
        let newest = numbers.chain(mark.map(|mark| mark.generation)).max();
        run.manifest.generation = run.manifest.generation.max(newest.unwrap_or_default());
        let mut first = run.manifest.first_generation;
        let outputs = run.manifest.files.len();
        for generation in run.manifest.first_generation..=run.manifest.generation {
            let path = recover::commits_path(root, generation);
            let Some(log) = recover::read(&*run.disk, &path)? else { continue };
            match frames::check_header(&log, commits::KIND) {
                Ok(Some(header)) if header.run != run.manifest.run => continue,
                Ok(Some(header)) if header.first > first => {
                    // An earlier repair merged all previous commits into this log.
                    first = header.first;
                    run.groups.clear();
                }
                // If only the header is damaged, a commit is still accepted when the outputs match it.
                _ => {}
            }
            frames::salvage(&log, |payload| {
                run.groups.extend(CommitGroup::read(payload).filter(|group| group.files.len() == outputs));
            });
        }
        Ok(run)
    }

    /// Returns the run's manifest.
    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the committed items.
    pub(super) fn items(&self) -> impl Iterator<Item = u64> {
        self.groups.iter().flat_map(|group| group.items.iter().map(|(item, _)| *item))
    }

    /// Returns the items for which `predicate` returns true.
    pub(super) fn select(
        &self,
        predicate: impl Fn(CommittedItem<'_>) -> bool,
    ) -> Result<RoaringTreemap, OpenError> {
        let mut chosen = RoaringTreemap::new();
        for group in &self.groups {
            let ranges = self.ranges(group)?;
            for ((item, outcome), places) in group.items.iter().zip(line_ranges(group, &ranges)) {
                let lines: Vec<&[u8]> =
                    ranges.iter().zip(places).map(|(bytes, place)| &bytes[place]).collect();
                if predicate(CommittedItem { outcome: *outcome, lines: &lines }) {
                    chosen.insert(*item);
                }
            }
        }
        Ok(chosen)
    }

    /// Rewrites the run without the items in `redo`. With `keep`, bytes that no commit refers to any more are kept
    /// aside; returns the files that hold them.
    pub(super) fn rewrite_without(
        mut self,
        redo: &RoaringTreemap,
        left: RetainedLogs<'_>,
        keep: bool,
    ) -> Result<Vec<PathBuf>, OpenError> {
        let RetainedLogs { answers, notes, mended } = left;
        let generation = self.manifest.generation + 1;
        let header = LogHeader { run: self.manifest.run, generation, first: generation };
        let folder = self.root.join(FOLDER);
        self.disk.create_dir_all(&folder).map_err(|source| StorageError::new("make", &folder, source))?;
        clear(&*self.disk, &folder)?;
        let mut files = Vec::new();
        for (index, name) in self.manifest.files.iter().enumerate() {
            files.push(NewOutput::make(&*self.disk, folder.join(index.to_string()), name)?);
        }
        let mut log = self.new_log(&recover::commits_path(&self.root, generation))?;
        log.write(&frames::header(commits::KIND, header))?;
        let mut gathered =
            GroupBuilder::new(generation, self.spent().later(answers.spent).plus(answers.outstanding));
        let mut removed = RemovedBytes::new(keep, files.len());
        for group in &self.groups {
            for (index, (from, stable)) in group.files.iter().enumerate() {
                removed.keep_up_to(&self, index, *from, stable.offset)?;
            }
            let ranges = self.ranges(group)?;
            let places = line_ranges(group, &ranges);
            for (index, (item, outcome)) in group.items.iter().enumerate() {
                if redo.contains(*item) {
                    for (file, (bytes, place)) in ranges.iter().zip(&places[index]).enumerate() {
                        removed.keep(&self, file, &bytes[place.clone()])?;
                    }
                    continue;
                }
                let counts = group.lines_of(index);
                for (file, output) in files.iter_mut().enumerate() {
                    let lines = &ranges[file][places[index][file].clone()];
                    output.write(lines, counts.get(file).copied().unwrap_or_default())?;
                }
                gathered.add(*item, *outcome, group.decision_of(index), counts);
                if gathered.is_full(&files) {
                    gathered.close(&mut files, &mut log)?;
                }
            }
        }
        gathered.close(&mut files, &mut log)?;
        for index in 0..files.len() {
            removed.keep_up_to(&self, index, u64::MAX, u64::MAX)?;
        }
        for file in &mut files {
            file.sync()?;
        }
        log.sync()?;
        let lengths = LogLengths {
            commits: Some(log.stable.offset),
            answers: Some(self.write_answers(header, answers)?),
            notes: self.write_notes(header, &notes)?,
        };
        for (generation, bytes) in mended {
            let mut file = self.new_log(&recover::answers_path(&self.root, generation))?;
            file.write(&bytes)?;
            file.sync()?;
        }
        let removed = removed.sync(&*self.disk)?;
        for folder in [&folder, &self.root.join("journal")] {
            self.disk.sync_dir(folder).map_err(|source| StorageError::new("sync", folder, source))?;
        }
        self.manifest.logs = self.older_answers()?;
        self.manifest.logs.insert(generation, lengths);
        self.manifest.generation = generation;
        self.manifest.first_generation = generation;
        self.manifest.rewriting = true;
        self.manifest.arrays.clear();
        self.manifest.state = RunState::Interrupted;
        save(&*self.disk, &self.root, &self.manifest)?;
        finish_rewriting(&*self.disk, &self.root, &mut self.manifest)?;
        Ok(removed)
    }

    /// Creates the new version of the log at `path`, to be moved into place later.
    pub(super) fn new_log(&self, path: &Path) -> Result<NewFile, StorageError> {
        let name = path.file_name().unwrap_or_default();
        NewFile::make(&*self.disk, self.root.join(FOLDER).join(name))
    }

    /// Returns the lengths of the answer logs of all earlier starts, which stay. Their commits and notes are merged
    /// into the new logs.
    fn older_answers(&self) -> Result<BTreeMap<u32, LogLengths>, StorageError> {
        let mut logs = BTreeMap::new();
        for generation in 1..=self.manifest.generation {
            let path = recover::answers_path(&self.root, generation);
            let name = path.file_name().unwrap_or_default();
            let mut answers = None;
            for path in [&self.root.join(FOLDER).join(name), &path] {
                let length = self.disk.length(path);
                let length = length.map_err(|source| StorageError::new("look at", path, source))?;
                answers = answers.or(length);
            }
            logs.insert(generation, LogLengths { answers, ..LogLengths::default() });
        }
        Ok(logs)
    }

    /// Returns what the run had spent at its last commit.
    fn spent(&self) -> Spent {
        self.groups.iter().fold(Spent::default(), |spent, group| spent.later(group.spent))
    }

    fn write_answers(&self, header: LogHeader, answers: &RecoveredAnswers) -> Result<u64, OpenError> {
        let mut file = self.new_log(&recover::answers_path(&self.root, header.generation))?;
        file.write(&frames::header(answers::KIND, header))?;
        for (names, stored) in answers.answers.values() {
            let mut bytes = Vec::new();
            answers::push(&mut bytes, *names, stored, answers.spent, false);
            file.write(&bytes)?;
        }
        file.sync()?;
        Ok(file.stable.offset)
    }

    /// Returns the notes that are still needed when the items in `forgotten` are requested anew.
    pub(super) fn notes(
        &self,
        carry: CompactNotes,
        forgotten: &RoaringTreemap,
    ) -> Result<Vec<Vec<u8>>, OpenError> {
        let earlier = self.manifest.first_generation..=self.manifest.generation;
        let notes = EarlierNotes::salvage(&*self.disk, &self.root, earlier, &mut Vec::new())?;
        Ok(carry(&notes, &|item, _| !forgotten.contains(item)))
    }

    fn write_notes(&self, header: LogHeader, carried: &[Vec<u8>]) -> Result<Option<u64>, OpenError> {
        if carried.is_empty() {
            return Ok(None);
        }
        let mut file = self.new_log(&notes::path(&self.root, header.generation))?;
        let mut bytes = frames::header(notes::KIND, header);
        notes::push_carried(&mut bytes, carried);
        file.write(&bytes)?;
        file.sync()?;
        Ok(Some(file.stable.offset))
    }

    /// Reads a group's lines in each file.
    fn ranges(&self, group: &CommitGroup) -> Result<Vec<Vec<u8>>, StorageError> {
        let mut ranges = Vec::with_capacity(group.files.len());
        for (name, (from, stable)) in self.manifest.files.iter().zip(&group.files) {
            let bytes = self.range(name, *from, stable.offset)?;
            let lines = line_frames::decode(Path::new(name), bytes);
            ranges.push(lines.map_err(|source| StorageError::new("read", &self.root.join(name), source))?);
        }
        Ok(ranges)
    }

    /// Reads the bytes `from..to` of a file; fewer if it is shorter or missing.
    pub(super) fn range(&self, name: &str, from: u64, to: u64) -> Result<Vec<u8>, StorageError> {
        let path = self.root.join(name);
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        if length == 0 {
            return Ok(Vec::new());
        }
        match self.disk.read_at(&path, from, length) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|source| StorageError::new("read", &path, source)),
        }
    }
}

/// Returns where each item's lines are in those of the group: by item, then by file.
fn line_ranges(group: &CommitGroup, ranges: &[Vec<u8>]) -> Vec<Vec<Range<usize>>> {
    let mut at = vec![0; ranges.len()];
    let mut places = Vec::with_capacity(group.items.len());
    for index in 0..group.items.len() {
        let mut of_item = Vec::with_capacity(ranges.len());
        for ((bytes, at), lines) in ranges.iter().zip(&mut at).zip(group.lines_of(index)) {
            let start = *at;
            for _ in 0..*lines {
                let rest = &bytes[*at..];
                *at += rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
            }
            of_item.push(start..*at);
        }
        places.push(of_item);
    }
    places
}

fn save(disk: &dyn Disk, root: &Path, manifest: &Manifest) -> Result<(), StorageError> {
    let path = root.join("manifest.json");
    let json = serde_json::to_vec_pretty(manifest)
        .map_err(|error| StorageError::new("write", &path, std::io::Error::other(error)))?;
    disk::replace(disk, &path, &json, true).map_err(|source| StorageError::new("replace", &path, source))
}
