//! Whether a run directory is whole: the logs of all starts, the outputs and the manifest belong together.
//!
//! Read at each opening, before anything is changed, and by `repair` and `status`. What must hold:
//! each log is the run's and reaches as far as the manifest says (for starts that have ended) or the
//! high-water mark in the lock file (for one that was killed); the ranges that the commits vouch for tile
//! each output from 0 to its stable end; no item is committed twice; no log is of a start that the manifest
//! does not know; nothing stands behind the last commit except what a killed start was about to commit.
//! The content of outputs is compared elsewhere, beside the run, because it takes longer.

use std::path::{Path, PathBuf};

use super::commits::{CommitGroup, CommitState, KIND as COMMITS, StablePrefix};
use super::disk::Disk;
use super::frames::{self, HEADER, LogError, LogKind};
use super::lock::HighWaterMark;
use super::manifest::{LogLengths, Manifest};
use super::recover::{answers_path, commits_path, read};
use super::writer::StorageError;
use super::{answers, notes};

/// What a run directory says as a whole.
#[derive(Debug, Default)]
pub(super) struct IntegrityReport {
    /// What is committed.
    pub(super) done: CommitState,
    /// How far the commit log of the last start reaches, where that is known from the log alone.
    pub(super) last_commits: Option<u64>,
    /// Bytes behind the last commit, by output.
    pub(super) excess: Vec<u64>,
    /// Whether the lock file tells how far the last start came, or the manifest does.
    pub(super) is_witnessed: bool,
    /// What does not hold, a line each.
    pub(super) contradictions: Vec<String>,
}

impl IntegrityReport {
    /// A run of so many outputs that has not begun.
    pub(super) fn nothing(outputs: usize) -> Self {
        let done = CommitState { files: vec![StablePrefix::default(); outputs], ..CommitState::default() };
        Self { done, ..Self::default() }
    }
}

/// Compares everything in the run directory that tells of commits. `mark` is the one in the lock file.
pub(super) fn check(
    disk: &dyn Disk,
    root: &Path,
    manifest: &Manifest,
    mark: Option<HighWaterMark>,
) -> Result<IntegrityReport, StorageError> {
    check_into(IntegrityReport::default(), disk, root, manifest, mark)
}

/// The same, and gathers what the gates are rebuilt from.
pub(super) fn check_with_keys(
    disk: &dyn Disk,
    root: &Path,
    manifest: &Manifest,
    mark: Option<HighWaterMark>,
) -> Result<IntegrityReport, StorageError> {
    let done = CommitState { keys: Some(Vec::new()), ..CommitState::default() };
    check_into(IntegrityReport { done, ..IntegrityReport::default() }, disk, root, manifest, mark)
}

fn check_into(
    checked: IntegrityReport,
    disk: &dyn Disk,
    root: &Path,
    manifest: &Manifest,
    mark: Option<HighWaterMark>,
) -> Result<IntegrityReport, StorageError> {
    let mark = mark.filter(|mark| mark.run == manifest.run);
    let mut walk = IntegrityCheck { disk, root, manifest, mark, is_joined: true, checked };
    walk.newer_starts()?;
    for generation in manifest.first_generation..=manifest.generation {
        walk.commit_log(generation)?;
    }
    for generation in 1..=manifest.generation {
        let (wanted, exact) = walk.wanted(generation);
        walk.other_log(&answers_path(root, generation), answers::KIND, generation, wanted.answers)?;
        if generation < manifest.first_generation {
            continue;
        }
        let notes_path = notes::path(root, generation);
        walk.other_log(&notes_path, notes::KIND, generation, wanted.notes)?;
        if exact && wanted.notes.is_none() && length(disk, &notes_path)?.is_some() {
            walk.tell(&notes_path, "was not made by this run");
        }
    }
    walk.outputs()?;
    walk.arrays()?;
    Ok(walk.checked)
}

struct IntegrityCheck<'a> {
    disk: &'a dyn Disk,
    root: &'a Path,
    manifest: &'a Manifest,
    mark: Option<HighWaterMark>,
    /// Whether all commits before are known, so that the next ones must begin where they end.
    is_joined: bool,
    checked: IntegrityReport,
}

impl IntegrityCheck<'_> {
    fn tell(&mut self, path: &Path, what: &str) {
        self.checked.contradictions.push(format!("`{}` {what}", path.display()));
    }

    /// What the logs of a start must reach, and whether that is all they may.
    fn wanted(&self, generation: u32) -> (LogLengths, bool) {
        if let Some(lengths) = self.manifest.logs.get(&generation) {
            return (*lengths, true);
        }
        let mark = self.mark.filter(|mark| mark.generation == generation);
        (mark.map(|mark| mark.lengths).unwrap_or_default(), false)
    }

    /// A manifest from an earlier time does not know the starts after it.
    fn newer_starts(&mut self) -> Result<(), StorageError> {
        let folder = self.root.join("journal");
        let known = self.manifest.generation;
        let mut newest = self.mark.map_or(0, |mark| mark.generation);
        for name in names(self.disk, &folder)? {
            newest = newest.max(generation_of(&name).unwrap_or_default());
        }
        if newest > known {
            let path = self.root.join("manifest.json");
            self.tell(
                &path,
                &format!("knows {known} starts, but there was start {newest}: it is from an earlier time"),
            );
        }
        Ok(())
    }

    fn commit_log(&mut self, generation: u32) -> Result<(), StorageError> {
        let path = commits_path(self.root, generation);
        let (wanted, exact) = self.wanted(generation);
        let is_last = generation == self.manifest.generation;
        if is_last {
            self.checked.is_witnessed = exact || wanted.commits.is_some();
        }
        let Some(log) = read(self.disk, &path)? else {
            // A start that was killed before it made its log left none.
            if let Some(wanted) = wanted.commits {
                self.tell(&path, &format!("is missing, but it had {wanted} bytes"));
                self.is_joined = false;
            }
            // Such a start has cut the outputs, and written nothing to them.
            self.checked.is_witnessed |= is_last;
            return Ok(());
        };
        let end = match self.header(&path, &log, COMMITS, generation) {
            Ok(true) => match self.groups(&path, &log) {
                Ok(end) => end,
                Err(error) => {
                    self.tell(&path, &told(&error));
                    self.is_joined = false;
                    return Ok(());
                }
            },
            Ok(false) => log.len() as u64,
            Err(()) => {
                self.is_joined = false;
                return Ok(());
            }
        };
        if is_last {
            self.checked.last_commits = Some(end);
        }
        match wanted.commits {
            Some(wanted) if end < wanted => {
                self.tell(&path, &shorter(end, wanted));
                self.is_joined = false;
            }
            Some(wanted) if exact && end > wanted => self.tell(
                &path,
                &format!("holds commits up to byte {end}, but ended at {wanted}: it was added to"),
            ),
            None if exact => self.tell(&path, "was not made by this run"),
            _ => {}
        }
        Ok(())
    }

    /// Adds up the commits of a log; returns where the last one ends.
    fn groups(&mut self, path: &Path, log: &[u8]) -> Result<u64, LogError> {
        let mut unread = None;
        let mut found = Vec::new();
        let names = &self.manifest.files;
        let (is_joined, done) = (&mut self.is_joined, &mut self.checked.done);
        let end = frames::each(log, HEADER, |offset, payload| {
            let Some(group) = CommitGroup::read(payload).filter(|group| group.files.len() == names.len())
            else {
                unread = unread.or(Some(offset));
                return;
            };
            if *is_joined {
                found.extend(gap(names, done, &group).map(|gap| format!("at byte {offset}: {gap}")));
            }
            *is_joined = true;
            if let Some(item) = done.take(&group) {
                found.push(format!("at byte {offset}: commits item {item}, which was committed before"));
            }
        })?;
        // One contradiction of a kind brings many more of the same.
        found.truncate(1);
        found.into_iter().for_each(|what| self.tell(path, &what));
        match unread {
            Some(offset) => Err(LogError::Damaged { offset }),
            None => Ok(end),
        }
    }

    /// Checks a log's first bytes; whether there is anything behind them. An error has been told.
    fn header(&mut self, path: &Path, log: &[u8], kind: LogKind, generation: u32) -> Result<bool, ()> {
        match frames::check_header(log, kind) {
            Ok(Some(header)) if header.run != self.manifest.run => {
                self.tell(path, "belongs to another run");
                Err(())
            }
            Ok(Some(header)) if header.generation != generation => {
                self.tell(path, &format!("is the log of start {}", header.generation));
                Err(())
            }
            Ok(header) => Ok(header.is_some()),
            Err(error) => {
                self.tell(path, &told(&error));
                Err(())
            }
        }
    }

    /// A log that is not read whole here: whose it is, and that it is long enough.
    fn other_log(
        &mut self,
        path: &Path,
        kind: LogKind,
        generation: u32,
        wanted: Option<u64>,
    ) -> Result<(), StorageError> {
        let Some(length) = length(self.disk, path)? else {
            if let Some(wanted) = wanted {
                self.tell(path, &format!("is missing, but it had {wanted} bytes"));
            }
            return Ok(());
        };
        let first = self.disk.read_at(path, 0, HEADER);
        let first = first.map_err(|source| StorageError::new("read", path, source))?;
        if self.header(path, &first, kind, generation).is_ok()
            && let Some(wanted) = wanted.filter(|wanted| length < *wanted)
        {
            self.tell(path, &shorter(length, wanted));
        }
        Ok(())
    }

    fn outputs(&mut self) -> Result<(), StorageError> {
        let manifest = self.manifest;
        self.checked.done.files.resize(manifest.files.len(), StablePrefix::default());
        let ended = manifest.logs.contains_key(&manifest.generation);
        let begun = self.checked.last_commits.is_some();
        for (index, name) in manifest.files.iter().enumerate() {
            let path = self.root.join(name);
            let committed = self.checked.done.files[index].offset;
            let found = length(self.disk, &path)?;
            self.checked.excess.push(found.unwrap_or(0).saturating_sub(committed));
            match found {
                None if committed > 0 => {
                    self.tell(&path, &format!("is missing, but {committed} bytes were committed to it"));
                }
                Some(found) if found < committed => self.tell(
                    &path,
                    &format!("has {found} bytes, but {committed} were committed: it was cut or replaced"),
                ),
                // Where commits are lost, that has been told, and these bytes are theirs.
                Some(found) if found > committed && self.is_joined && (ended || !begun) => self.tell(
                    &path,
                    &format!("has {found} bytes, but the journal vouches for {committed} of them only"),
                ),
                _ => {}
            }
        }
        Ok(())
    }

    /// Files made of outputs at the end: one that is gone is made again, one that was changed is not overwritten.
    fn arrays(&mut self) -> Result<(), StorageError> {
        for (name, sum) in &self.manifest.arrays {
            let path = self.root.join(name);
            if let Some(found) = length(self.disk, &path)?.filter(|found| *found != sum.length) {
                let what = format!("has {found} bytes, but {} were written: it was changed", sum.length);
                self.tell(&path, &what);
            }
        }
        Ok(())
    }
}

/// Where a group does not begin at the end of those before it, in words.
fn gap(names: &[String], done: &CommitState, group: &CommitGroup) -> Option<String> {
    for (index, (name, (from, stable))) in names.iter().zip(&group.files).enumerate() {
        let end = done.files.get(index).map_or(0, |file| file.offset);
        if *from != end || stable.offset < *from {
            return Some(format!(
                "its lines of `{name}` begin at byte {from}, but those before end at {end}"
            ));
        }
    }
    None
}

fn told(error: &LogError) -> String {
    match error {
        LogError::Damaged { offset } => {
            format!("is damaged at byte {offset}: the checksum does not match, and good records follow")
        }
        error => format!("cannot be used: {error}"),
    }
}

fn shorter(found: u64, wanted: u64) -> String {
    format!("is whole up to byte {found}, but had {wanted}: it was cut, or replaced by an older copy")
}

/// The start that a log in the journal's folder belongs to, by its name.
pub(super) fn generation_of(name: &str) -> Option<u32> {
    let (kind, number) = name.strip_suffix(".log")?.split_once('-')?;
    ["commits", "answers", "batches"].contains(&kind).then(|| number.parse().ok())?
}

pub(super) fn names(disk: &dyn Disk, folder: &Path) -> Result<Vec<String>, StorageError> {
    match length(disk, folder)? {
        Some(_) => disk.list(folder).map_err(|source| StorageError::new("read", folder, source)),
        None => Ok(Vec::new()),
    }
}

fn length(disk: &dyn Disk, path: &Path) -> Result<Option<u64>, StorageError> {
    disk.length(path).map_err(|source| StorageError::new("look at", path, source))
}

/// A file that a run without a manifest cannot have: a first start makes the manifest before anything else.
pub(super) fn without_manifest(disk: &dyn Disk, root: &Path) -> Result<Option<PathBuf>, StorageError> {
    for folder in [root.join("journal"), root.join("provenance"), root.to_owned()] {
        let own = |name: &String| {
            let made_before = ["journal", "provenance", "manifest.json.new"].contains(&name.as_str());
            name.starts_with('.') || (made_before && folder == root)
        };
        if let Some(name) = names(disk, &folder)?.into_iter().find(|name| !own(name)) {
            return Ok(Some(folder.join(name)));
        }
    }
    Ok(None)
}
