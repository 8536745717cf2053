//! Reads the state that earlier starts of a run left: manifest, commits, answers. Changes nothing.
//!
//! `directory` uses it at a start; `inspect` serves the commands that only look at a run.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::answers::{OLDEST_REUSED, RecoveredAnswers, ReuseIndex};
use super::commits::{AnswerLogPosition, CommitState, Spent};
use super::directory::RunDirectory;
use super::disk::{self, Disk};
use super::frames::LogError;
use super::integrity::{self, IntegrityReport};
use super::lock;
use super::manifest::{FORMAT, Manifest, OLDEST_FORMAT};
use super::notes::{self, CompactNotes, EarlierNotes};
use super::open_error::OpenError;
use super::reuse::ReusableAnswers;
use super::writer::{CommittedTotals, StorageError};

/// The state of a run directory, read without changing anything.
pub struct RunInspection {
    /// The run's manifest.
    pub manifest: Manifest,
    /// Committed totals, with lines counted by file.
    pub done: CommittedTotals,
    /// What the run has spent on its models, including the most that requests still outstanding at its end may have
    /// cost.
    pub spent: Spent,
    /// Whether a process works on it now.
    pub running: bool,
    /// The contradictions found in the directory, one per entry; not looked for while a process works on it.
    pub contradictions: Vec<String>,
}

/// Reads a run directory; `None` if it holds no run.
pub fn inspect(root: &Path) -> Result<Option<RunInspection>, OpenError> {
    let disk = &disk::RealDisk;
    // Read before the logs, which may grow in the meantime.
    let mark = lock::high_water(disk, root)?;
    let Some(found) = manifest(disk, root)? else { return Ok(None) };
    let IntegrityReport { done, mut contradictions, .. } = integrity::check(disk, root, &found, mark)?;
    let spent = spent(disk, root, &found, &done)?;
    let lines: Vec<u64> = done.files.iter().map(|file| file.lines).collect();
    let done = CommittedTotals {
        ok: done.ok,
        last_ok: done.last_ok,
        dropped: done.dropped,
        rejected: done.rejected,
        lines,
    };
    let running = disk::is_locked(&root.join(".lock"));
    // If a start began or ended in the meantime, the parts that were read may disagree without any damage.
    if running || found.rewriting || manifest(disk, root)?.as_ref() != Some(&found) {
        contradictions.clear();
    }
    Ok(Some(RunInspection { manifest: found, done, spent, running, contradictions }))
}

/// Counts the items in a commit log; for fuzz targets.
pub fn count_items(log: &[u8]) -> Result<u64, LogError> {
    let mut done = CommitState::default();
    done.add_log(log)?;
    Ok(done.items.len())
}

/// Counts the answers in an answer log; for fuzz targets.
pub fn count_answers(log: &[u8]) -> Result<u64, LogError> {
    let mut recovered = RecoveredAnswers::default();
    recovered.add(log, true, |_| false)?;
    let mut reusable = ReuseIndex::default();
    reusable.add(0, log)?;
    Ok(recovered.answers.len() as u64)
}

/// Returns the notes in a note log; for fuzz targets.
pub fn read_notes(log: &[u8]) -> Result<Vec<Vec<u8>>, LogError> {
    Ok(notes::ParsedNoteLog::read(log)?.notes)
}

/// Returns the notes of the run in `root` that `carry` retains for its unfinished items. Empty if the run cannot be
/// read.
#[must_use]
pub fn pending_notes(root: &Path, carry: CompactNotes) -> Vec<Vec<u8>> {
    let disk = &disk::RealDisk;
    let left = || {
        let Some(manifest) = manifest(disk, root)? else { return Ok(Vec::new()) };
        let done = commits(disk, root, &manifest)?.items;
        let EarlierNotes { notes, .. } =
            EarlierNotes::read(disk, root, manifest.first_generation..=manifest.generation)?;
        Ok::<_, OpenError>(carry(&notes, &|item, _| !done.contains(item)))
    };
    left().unwrap_or_default()
}

/// Returns the path of the commit log of a start.
pub(super) fn commits_path(root: &Path, generation: u32) -> PathBuf {
    root.join("journal").join(format!("commits-{generation:04}.log"))
}

/// Returns the path of the answer log of a start.
pub(super) fn answers_path(root: &Path, generation: u32) -> PathBuf {
    root.join("journal").join(format!("answers-{generation:04}.log"))
}

pub(super) fn manifest(disk: &dyn Disk, root: &Path) -> Result<Option<Manifest>, OpenError> {
    let path = root.join("manifest.json");
    let Some(bytes) = read(disk, &path)? else { return Ok(None) };
    let damaged =
        |error: serde_json::Error| OpenError::Manifest { path: path.clone(), message: error.to_string() };
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(damaged)?;
    let found = value.get("format").and_then(serde_json::Value::as_u64).unwrap_or_default();
    if !(u64::from(OLDEST_FORMAT)..=u64::from(FORMAT)).contains(&found) {
        return Err(OpenError::Format { path: root.to_owned(), found });
    }
    Ok(Some(serde_json::from_value(value).map_err(damaged)?))
}

/// Returns when a run of any format was first started, if that can be used in a file name; `None` if it is not
/// known.
pub(super) fn started(disk: &dyn Disk, root: &Path) -> Option<String> {
    let bytes = read(disk, &root.join("manifest.json")).ok()??;
    let manifest: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let started = manifest.get("started")?.as_str()?;
    let is_time = |byte: u8| byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (!started.is_empty() && started.bytes().all(is_time)).then(|| started.to_owned())
}

/// Refuses a run whose answers are in an unreadable format, before it is moved out of the way in order to reuse
/// them. If there is no manifest, its logs are checked later.
pub(super) fn refuse_unreadable_answers(disk: &dyn Disk, root: &Path) -> Result<(), OpenError> {
    match manifest(disk, root) {
        Err(OpenError::Format { found, path })
            if !(u64::from(OLDEST_REUSED)..=u64::from(FORMAT)).contains(&found) =>
        {
            Err(OpenError::Format { found, path })
        }
        _ => Ok(()),
    }
}

/// Returns the sum of the commits in the logs of all starts.
pub(super) fn commits(disk: &dyn Disk, root: &Path, manifest: &Manifest) -> Result<CommitState, OpenError> {
    let mut done = CommitState::default();
    for generation in manifest.first_generation..=manifest.generation {
        let path = commits_path(root, generation);
        // A start that was killed before it created its log has none.
        let Some(log) = read(disk, &path)? else { continue };
        done.add_log(&log).map_err(|source| OpenError::Log { path, source })?;
    }
    Ok(done)
}

/// Returns the answers of unfinished items, from the position named by the last commit on, and where each log that
/// was read ends.
pub(super) fn answers(
    directory: &RunDirectory,
    from: AnswerLogPosition,
    done: &RoaringTreemap,
) -> Result<(RecoveredAnswers, BTreeMap<u32, u64>), OpenError> {
    let mut recovered = RecoveredAnswers::default();
    let mut ends = BTreeMap::new();
    for generation in from.generation.max(1)..=directory.manifest().generation {
        let path = answers_path(directory.root(), generation);
        let offset = if generation == from.generation { from.offset } else { 0 };
        let Some((log, begin)) = read_from(&**directory.disk(), &path, offset)? else { continue };
        let end = recovered
            .add(&log, offset == 0, |item| done.contains(item))
            .map_err(|source| OpenError::Log { path, source: source.shifted(offset) })?;
        ends.insert(generation, begin + end);
    }
    Ok((recovered, ends))
}

/// Returns what the next start counts as spent; from a damaged log, as much as can be read.
fn spent(
    disk: &dyn Disk,
    root: &Path,
    manifest: &Manifest,
    done: &CommitState,
) -> Result<Spent, StorageError> {
    let mut recovered = RecoveredAnswers::default();
    for generation in done.answers.generation.max(1)..=manifest.generation {
        let offset = if generation == done.answers.generation { done.answers.offset } else { 0 };
        let found = read_from(disk, &answers_path(root, generation), offset)?;
        let Some((log, _)) = found else { continue };
        let _ = recovered.add(&log, offset == 0, |_| true);
    }
    Ok(recovered.settle(done.spent))
}

/// Returns the answers of another run that this run may reuse, without those it has already used.
pub(super) fn reuse(directory: &RunDirectory) -> Result<Option<ReusableAnswers>, OpenError> {
    let Some(other) = &directory.manifest().reuse else { return Ok(None) };
    let disk = directory.disk();
    // Found by name: a run that has lost its manifest can still be reused.
    let folder = other.join("journal");
    let names = integrity::file_names(&**disk, &folder)?;
    let paths = names.iter().filter(|name| name.starts_with("answers-") && name.ends_with(".log"));
    warn_of_lost(&**disk, other)?;
    let mut index = ReuseIndex::default();
    let mut logs = Vec::new();
    for path in paths.map(|name| folder.join(name)) {
        let Some(log) = read(&**disk, &path)? else { continue };
        index.add(logs.len() as u32, &log).map_err(|source| OpenError::Log { path: path.clone(), source })?;
        logs.push(path);
    }
    if logs.is_empty() {
        return Err(OpenError::NoAnswers(other.clone()));
    }
    for generation in 1..=directory.manifest().generation {
        let path = answers_path(directory.root(), generation);
        let Some(log) = read(&**disk, &path)? else { continue };
        index.remove_used(&log).map_err(|source| OpenError::Log { path, source })?;
    }
    tracing::info!("{} answers of {} may be used again", index.unused(), other.display());
    Ok(Some(ReusableAnswers::new(Arc::clone(disk), logs, index)))
}

/// Warns of answers that the other run has lost, since they are going to be requested again.
fn warn_of_lost(disk: &dyn Disk, other: &Path) -> Result<(), OpenError> {
    let Ok(Some(manifest)) = manifest(disk, other) else { return Ok(()) };
    let checked = integrity::check(disk, other, &manifest, lock::high_water(disk, other)?)?;
    for what in checked.contradictions {
        tracing::warn!("in the run whose answers are used again: {what}");
    }
    Ok(())
}

pub(super) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    if disk.length(path).map_err(|source| StorageError::new("look at", path, source))?.is_none() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let mut file = disk.read(path).map_err(|source| StorageError::new("open", path, source))?;
    file.read_to_end(&mut bytes).map_err(|source| StorageError::new("read", path, source))?;
    Ok(Some(bytes))
}

/// Reads a log from byte `from` on, which is a frame boundary, or from its header if that is 0. Also returns the
/// offset at which the bytes begin: a log that was not synced before a loss of power may end earlier.
fn read_from(disk: &dyn Disk, path: &Path, from: u64) -> Result<Option<(Vec<u8>, u64)>, StorageError> {
    let length = disk.length(path).map_err(|source| StorageError::new("look at", path, source))?;
    let Some(length) = length else { return Ok(None) };
    let wanted = usize::try_from(length.saturating_sub(from)).unwrap_or(usize::MAX);
    let bytes = disk.read_at(path, from, wanted).map_err(|source| StorageError::new("read", path, source))?;
    Ok(Some((bytes, from.min(length))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::answers::{self, AnswerPacker, RequestKeys};
    use crate::journal::commits::{self, CommitGroup, ItemOutcome};
    use crate::journal::frames;
    use proptest::prelude::*;

    fn commit_log() -> Vec<u8> {
        let mut log = frames::header(commits::KIND, frames::TEST_HEADER);
        for item in 0..3 {
            CommitGroup { items: vec![(item, ItemOutcome::Ok)], ..CommitGroup::default() }.push(&mut log);
        }
        log
    }

    fn answers_log() -> Vec<u8> {
        let mut log = frames::header(answers::KIND, frames::TEST_HEADER);
        for item in 0_u8..3 {
            let names = RequestKeys { item: item.into(), key: [item; 16], question: [9; 16] };
            let answer = "yes ".repeat(200);
            let stored = AnswerPacker::new(item == 1).pack(answer.as_bytes(), true);
            answers::push(&mut log, names, &stored, Spent::default(), false);
        }
        log
    }

    fn notes_log() -> Vec<u8> {
        let mut log = frames::header(notes::KIND, frames::TEST_HEADER);
        [b"one", b"two", b"six"].iter().for_each(|note| notes::push(&mut log, *note));
        log
    }

    #[test]
    fn logs_are_read_back_as_written() {
        assert_eq!(count_items(&commit_log()), Ok(3));
        assert_eq!(count_answers(&answers_log()), Ok(3));
        assert_eq!(read_notes(&notes_log()).map(|notes| notes.len()), Ok(3));
    }

    #[test]
    fn each_answer_to_a_request_is_handed_out_once() {
        let mut reusable = ReuseIndex::default();
        reusable.add(0, &answers_log()).unwrap();
        // The same log again, as when a later start copies answers: they are not counted twice.
        reusable.add(1, &answers_log()).unwrap();
        assert_eq!(reusable.unused(), 3);
        assert!((0..3).all(|_| reusable.take(&[9; 16]).is_some()));
        assert_eq!(reusable.take(&[9; 16]), None);
    }

    proptest! {
        #[test]
        fn mutilated_logs_are_read_ignored_or_refused(
            at in any::<prop::sample::Index>(), bits: u8, cut in any::<prop::sample::Index>(), tail: Vec<u8>
        ) {
            for log in [commit_log(), answers_log(), notes_log()] {
                let mut log = log;
                let at = at.index(log.len());
                log[at] ^= bits;
                log.truncate(cut.index(log.len() + 1));
                log.extend(&tail);
                let notes = read_notes(&log).map(|notes| notes.len() as u64);
                for read in [count_items(&log), count_answers(&log), notes].into_iter().flatten() {
                    prop_assert!(read <= 3);
                }
            }
        }
    }
}
