//! Checks that a run directory is intact: that the logs of all starts, the outputs and the manifest belong
//! together.
//!
//! Runs at each opening, before anything is changed, and in `repair` and `status`. The conditions: each log belongs
//! to the run, and reaches as far as the manifest says (for starts that have ended) or as the high-water mark in
//! the lock file says (for one that was killed); the byte ranges of the commits tile each output from 0 to its
//! stable end; no item is committed twice; no log belongs to a start that the manifest does not know; and nothing
//! follows the last commit except what a killed start was about to commit. The content of the outputs is verified
//! elsewhere (`content`), beside the run, because that takes longer.

use std::path::{Path, PathBuf};

use super::commits::{CommitGroup, CommitState, KIND as COMMITS, StablePrefix};
use super::disk::Disk;
use super::frames::{self, HEADER, LogError, LogKind};
use super::lock::HighWaterMark;
use super::manifest::{LogLengths, Manifest};
use super::recover::{answers_path, commits_path, read};
use super::writer::StorageError;
use super::{answers, notes};

/// The state of a run directory as a whole.
#[derive(Debug, Default)]
pub(super) struct IntegrityReport {
    /// The sum of all commits.
    pub(super) done: CommitState,
    /// Where the commit log of the last start ends, if that log could be read.
    pub(super) last_commits: Option<u64>,
    /// Bytes behind the last commit, by output.
    pub(super) excess: Vec<u64>,
    /// Whether the lock file or the manifest states how far the last start got.
    pub(super) is_witnessed: bool,
    /// The contradictions found, one per entry.
    pub(super) contradictions: Vec<String>,
}

impl IntegrityReport {
    /// The state of a new run with this number of output files.
    pub(super) fn empty(outputs: usize) -> Self {
        let done = CommitState { files: vec![StablePrefix::default(); outputs], ..CommitState::default() };
        Self { done, ..Self::default() }
    }
}

/// Checks the run directory. `mark` is the high-water mark from its lock file.
pub(super) fn check(
    disk: &dyn Disk,
    root: &Path,
    manifest: &Manifest,
    mark: Option<HighWaterMark>,
) -> Result<IntegrityReport, StorageError> {
    check_into(IntegrityReport::default(), disk, root, manifest, mark)
}

/// As `check`, and collects the state from which the gates are rebuilt.
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
    let mut check = IntegrityCheck { disk, root, manifest, mark, is_joined: true, checked };
    check.check_newer_starts()?;
    for generation in manifest.first_generation..=manifest.generation {
        check.check_commit_log(generation)?;
    }
    for generation in 1..=manifest.generation {
        let (wanted, exact) = check.expected_lengths(generation);
        check.check_other_log(&answers_path(root, generation), answers::KIND, generation, wanted.answers)?;
        if generation < manifest.first_generation {
            continue;
        }
        let notes_path = notes::path(root, generation);
        check.check_other_log(&notes_path, notes::KIND, generation, wanted.notes)?;
        if exact && wanted.notes.is_none() && length(disk, &notes_path)?.is_some() {
            check.report(&notes_path, "was not made by this run");
        }
    }
    check.check_outputs()?;
    check.check_arrays()?;
    Ok(check.checked)
}

struct IntegrityCheck<'a> {
    disk: &'a dyn Disk,
    root: &'a Path,
    manifest: &'a Manifest,
    mark: Option<HighWaterMark>,
    /// Whether all commits so far are known, so that the next ones must begin where they end.
    is_joined: bool,
    checked: IntegrityReport,
}

impl IntegrityCheck<'_> {
    fn report(&mut self, path: &Path, what: &str) {
        self.checked.contradictions.push(format!("`{}` {what}", path.display()));
    }

    /// Returns the lengths that the logs of a start must have, and whether they must match exactly.
    fn expected_lengths(&self, generation: u32) -> (LogLengths, bool) {
        if let Some(lengths) = self.manifest.logs.get(&generation) {
            return (*lengths, true);
        }
        let mark = self.mark.filter(|mark| mark.generation == generation);
        (mark.map(|mark| mark.lengths).unwrap_or_default(), false)
    }

    /// Finds starts that the manifest does not know: it was restored from an earlier time.
    fn check_newer_starts(&mut self) -> Result<(), StorageError> {
        let folder = self.root.join("journal");
        let known = self.manifest.generation;
        let mut newest = self.mark.map_or(0, |mark| mark.generation);
        for name in file_names(self.disk, &folder)? {
            newest = newest.max(generation_of(&name).unwrap_or_default());
        }
        if newest > known {
            let path = self.root.join("manifest.json");
            self.report(
                &path,
                &format!("knows {known} starts, but there was start {newest}: it is from an earlier time"),
            );
        }
        Ok(())
    }

    fn check_commit_log(&mut self, generation: u32) -> Result<(), StorageError> {
        let path = commits_path(self.root, generation);
        let (wanted, exact) = self.expected_lengths(generation);
        let is_last = generation == self.manifest.generation;
        if is_last {
            self.checked.is_witnessed = exact || wanted.commits.is_some();
        }
        let Some(log) = read(self.disk, &path)? else {
            // A start that was killed before it created its log has none.
            if let Some(wanted) = wanted.commits {
                self.report(&path, &format!("is missing, but it had {wanted} bytes"));
                self.is_joined = false;
            }
            // Such a start has truncated the outputs, and written nothing to them.
            self.checked.is_witnessed |= is_last;
            return Ok(());
        };
        let end = match self.check_header(&path, &log, COMMITS, generation) {
            Ok(true) => match self.add_groups(&path, &log) {
                Ok(end) => end,
                Err(error) => {
                    self.report(&path, &describe(&error));
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
                self.report(&path, &describe_cut(end, wanted));
                self.is_joined = false;
            }
            Some(wanted) if exact && end > wanted => self.report(
                &path,
                &format!("holds commits up to byte {end}, but ended at {wanted}: it was added to"),
            ),
            None if exact => self.report(&path, "was not made by this run"),
            _ => {}
        }
        Ok(())
    }

    /// Adds the commits of a log; returns the end of the last one.
    fn add_groups(&mut self, path: &Path, log: &[u8]) -> Result<u64, LogError> {
        let mut unread = None;
        let mut found = Vec::new();
        let names = &self.manifest.files;
        let (is_joined, done) = (&mut self.is_joined, &mut self.checked.done);
        let end = frames::for_each(log, HEADER, |offset, payload| {
            let Some(group) = CommitGroup::read(payload).filter(|group| group.files.len() == names.len())
            else {
                unread = unread.or(Some(offset));
                return;
            };
            if *is_joined {
                found.extend(gap(names, done, &group).map(|gap| format!("at byte {offset}: {gap}")));
            }
            *is_joined = true;
            if let Some(item) = done.add_group(&group) {
                found.push(format!("at byte {offset}: commits item {item}, which was committed before"));
            }
        })?;
        // One contradiction usually entails many more of the same kind.
        found.truncate(1);
        found.into_iter().for_each(|what| self.report(path, &what));
        match unread {
            Some(offset) => Err(LogError::Damaged { offset }),
            None => Ok(end),
        }
    }

    /// Checks a log's header; returns whether the log is longer than that. `Err` if a contradiction was reported.
    fn check_header(&mut self, path: &Path, log: &[u8], kind: LogKind, generation: u32) -> Result<bool, ()> {
        match frames::check_header(log, kind) {
            Ok(Some(header)) if header.run != self.manifest.run => {
                self.report(path, "belongs to another run");
                Err(())
            }
            Ok(Some(header)) if header.generation != generation => {
                self.report(path, &format!("is the log of start {}", header.generation));
                Err(())
            }
            Ok(header) => Ok(header.is_some()),
            Err(error) => {
                self.report(path, &describe(&error));
                Err(())
            }
        }
    }

    /// Checks a log that is not read whole here: its header, and that it is long enough.
    fn check_other_log(
        &mut self,
        path: &Path,
        kind: LogKind,
        generation: u32,
        wanted: Option<u64>,
    ) -> Result<(), StorageError> {
        let Some(length) = length(self.disk, path)? else {
            if let Some(wanted) = wanted {
                self.report(path, &format!("is missing, but it had {wanted} bytes"));
            }
            return Ok(());
        };
        let first = self.disk.read_at(path, 0, HEADER);
        let first = first.map_err(|source| StorageError::new("read", path, source))?;
        if self.check_header(path, &first, kind, generation).is_ok()
            && let Some(wanted) = wanted.filter(|wanted| length < *wanted)
        {
            self.report(path, &describe_cut(length, wanted));
        }
        Ok(())
    }

    fn check_outputs(&mut self) -> Result<(), StorageError> {
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
                    self.report(&path, &format!("is missing, but {committed} bytes were committed to it"));
                }
                Some(found) if found < committed => self.report(
                    &path,
                    &format!("has {found} bytes, but {committed} were committed: it was cut or replaced"),
                ),
                // If commits are missing, that has been reported, and these bytes are theirs.
                Some(found) if found > committed && self.is_joined && (ended || !begun) => self.report(
                    &path,
                    &format!("has {found} bytes, but the journal vouches for {committed} of them only"),
                ),
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks files made of outputs at the end: a missing one is made again, a changed one must not be overwritten.
    fn check_arrays(&mut self) -> Result<(), StorageError> {
        for (name, sum) in &self.manifest.arrays {
            let path = self.root.join(name);
            if let Some(found) = length(self.disk, &path)?.filter(|found| *found != sum.length) {
                let what = format!("has {found} bytes, but {} were written: it was changed", sum.length);
                self.report(&path, &what);
            }
        }
        Ok(())
    }
}

/// Describes where a group does not start at the end of those before it; `None` if it does.
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

fn describe(error: &LogError) -> String {
    match error {
        LogError::Damaged { offset } => {
            format!("is damaged at byte {offset}: the checksum does not match, and good records follow")
        }
        error => format!("cannot be used: {error}"),
    }
}

fn describe_cut(found: u64, wanted: u64) -> String {
    format!("is whole up to byte {found}, but had {wanted}: it was cut, or replaced by an older copy")
}

/// Returns the start that a log in the journal folder belongs to, by its file name.
pub(super) fn generation_of(name: &str) -> Option<u32> {
    let (kind, number) = name.strip_suffix(".log")?.split_once('-')?;
    ["commits", "answers", "batches"].contains(&kind).then(|| number.parse().ok())?
}

pub(super) fn file_names(disk: &dyn Disk, folder: &Path) -> Result<Vec<String>, StorageError> {
    match length(disk, folder)? {
        Some(_) => disk.list(folder).map_err(|source| StorageError::new("read", folder, source)),
        None => Ok(Vec::new()),
    }
}

fn length(disk: &dyn Disk, path: &Path) -> Result<Option<u64>, StorageError> {
    disk.length(path).map_err(|source| StorageError::new("look at", path, source))
}

/// Returns a file that cannot exist without a manifest: the first start creates the manifest before anything else.
pub(super) fn without_manifest(disk: &dyn Disk, root: &Path) -> Result<Option<PathBuf>, StorageError> {
    for folder in [root.join("journal"), root.join("provenance"), root.to_owned()] {
        let own = |name: &String| {
            let made_before = ["journal", "provenance", "manifest.json.new"].contains(&name.as_str());
            name.starts_with('.') || (made_before && folder == root)
        };
        if let Some(name) = file_names(disk, &folder)?.into_iter().find(|name| !own(name)) {
            return Ok(Some(folder.join(name)));
        }
    }
    Ok(None)
}
