//! `repair` and `retry-rejected`: chooses the items that a run must make again, and removes them.
//!
//! A repair trusts only what checksums confirm. A commit whose record is damaged or missing, or whose lines are not
//! what was committed, is undone as a whole; its items are made again with the answers still in the journal, and so
//! are items that gates dropped in their favour. Bytes removed from an output are kept aside. Rejected items that
//! are retried are decided late and lose to what was kept, so nothing is undone with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::answers::{self, RecoveredAnswers};
use super::commits::{CommitGroup, ItemOutcome, StablePrefix};
use super::content::sum_of;
use super::dependents::{self, RemovedItems};
use super::disk::Disk;
use super::frames::{self, LogHeader};
use super::notes::{CompactNotes, EarlierNotes};
use super::open_error::OpenError;
use super::recover;
use super::removed;
use super::rewrite::{ExistingRun, RebuiltLogs, RetainedLogs};
use super::writer::{REJECTED, StorageError};

/// The findings of a repair, and what it did.
#[derive(Debug, Default)]
pub struct RepairReport {
    /// The contradictions found, one per entry.
    pub found: Vec<String>,
    /// Items whose commit was undone, as far as their numbers are known. Those of a commit whose record is damaged
    /// or missing are not listed, but are made again all the same.
    pub items: Vec<u64>,
    /// Items that were dropped in favour of those, and are made again with them.
    pub dependents: Vec<u64>,
    /// The files that keep the bytes removed from the outputs.
    pub kept: Vec<PathBuf>,
}

/// The result of `retry-rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryReport {
    /// Rejected items that were removed by this call.
    pub items: u64,
    /// Whether items removed by an earlier call are still to be made.
    pub is_pending: bool,
}

/// Verifies every committed byte in `root`, and undoes the commits that are not intact. `carry` interprets the
/// run's notes.
pub fn repair(disk: Arc<dyn Disk>, root: &Path, carry: CompactNotes) -> Result<RepairReport, OpenError> {
    let mut run = ExistingRun::open_salvaged(disk, root)?;
    let mut repaired =
        RepairReport { found: std::mem::take(&mut run.contradictions), ..RepairReport::default() };
    let gone = drop_invalid_commits(&mut run, &mut repaired)?;
    repaired.items = gone.items.iter().collect();
    let dependents = dependents::find(&run.groups, gone);
    repaired.dependents = dependents.iter().collect();
    let done: RoaringTreemap = run.items().filter(|item| !dependents.contains(*item)).collect();
    let (answers, mended) = salvage_answers(&run, &done, &mut repaired)?;
    let starts = run.manifest().first_generation..=run.manifest().generation;
    EarlierNotes::salvage(&*run.disk, &run.root, starts, &mut repaired.found)?;
    let changed = changed_arrays(&run, &mut repaired)?;
    if repaired.found.is_empty() {
        return Ok(repaired);
    }
    for name in &changed {
        let number = run.manifest().generation;
        repaired.kept.push(removed::copy_excess(
            &*run.disk,
            &run.root,
            number,
            name,
            StablePrefix::default(),
        )?);
        let path = run.root.join(name);
        run.disk.remove(&path).map_err(|source| StorageError::new("remove", &path, source))?;
    }
    // Answers that have not arrived yet are still awaited, also for undone items.
    let notes = run.notes(carry, &RoaringTreemap::new())?;
    repaired.kept.extend(run.rewrite_without(
        &dependents,
        RetainedLogs { answers: &answers, notes, mended },
        true,
    )?);
    Ok(repaired)
}

/// Undoes the rejected items that have a reject of one of `classes`, or of any class if there are none. Their
/// answers are discarded and outstanding ones no longer awaited, so the model is asked anew.
pub fn retry_rejected(
    disk: Arc<dyn Disk>,
    root: &Path,
    classes: &[String],
    carry: CompactNotes,
) -> Result<RetryReport, OpenError> {
    let mut run = ExistingRun::open_intact(disk, root)?;
    let redo = run.select(|item| {
        item.outcome == ItemOutcome::Rejected
            && item.lines.get(REJECTED).is_some_and(|lines| has_class(lines, classes))
    })?;
    let is_pending = run.manifest().retrying;
    if redo.is_empty() {
        return Ok(RetryReport { items: 0, is_pending });
    }
    // Answers of items that were in flight at the last stop are retained, those of the undone items are not.
    let kept: RoaringTreemap = run.items().collect();
    let mut recovered = RecoveredAnswers::default();
    for generation in 1..=run.manifest().generation {
        let path = recover::answers_path(root, generation);
        let Some(log) = recover::read(&*run.disk, &path)? else { continue };
        recovered
            .add(&log, true, |item| kept.contains(item))
            .map_err(|source| OpenError::Log { path, source })?;
    }
    run.manifest.retrying = true;
    let items = redo.len();
    let notes = run.notes(carry, &redo)?;
    run.rewrite_without(&redo, RetainedLogs { answers: &recovered, notes, mended: Vec::new() }, false)?;
    Ok(RetryReport { items, is_pending })
}

fn has_class(lines: &[u8], classes: &[String]) -> bool {
    lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).any(|line| {
        let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        classes.is_empty() || classes.iter().any(|class| value["class"] == class.as_str())
    })
}

/// Returns the arrays that differ from what was made of the outputs. They are made again; the changed files are
/// kept aside.
fn changed_arrays(run: &ExistingRun, repaired: &mut RepairReport) -> Result<Vec<String>, StorageError> {
    let mut changed = Vec::new();
    for (name, sum) in &run.manifest().arrays {
        let path = run.root.join(name);
        let failed = |source| StorageError::new("read", &path, source);
        let Some(length) = run.disk.length(&path).map_err(failed)? else { continue };
        if length == sum.length && sum_of(&*run.disk, &path, length).map_err(failed)? == *sum {
            continue;
        }
        if length == sum.length {
            repaired.found.push(format!("`{}` is not what was made of the outputs", path.display()));
        }
        changed.push(name.clone());
    }
    Ok(changed)
}

/// Progress through an output: the checksums of all bytes so far, as the file is now and as the last commit states.
#[derive(Clone, Copy, Default)]
struct OutputCursor {
    now: StablePrefix,
    committed: StablePrefix,
}

/// Drops the commits whose lines are not what was committed, or that name items of another commit. Returns the
/// items that no longer have a commit.
fn drop_invalid_commits(
    run: &mut ExistingRun,
    repaired: &mut RepairReport,
) -> Result<RemovedItems, OpenError> {
    let mut gone = RemovedItems::default();
    let mut done = RoaringTreemap::new();
    let mut cursors = vec![OutputCursor::default(); run.manifest().files.len()];
    let groups = std::mem::take(&mut run.groups);
    for group in groups {
        let items = group.items.iter().map(|(item, _)| *item);
        // Lines that no commit refers to belong to one whose record is missing. Lines behind the last commit are as
        // after a kill: they are made again, and decided as before.
        let mut files = group.files.iter().zip(&cursors);
        gone.has_unknown |= files.any(|((from, _), cursor)| *from > cursor.committed.offset);
        let wrong = match items.clone().any(|item| done.contains(item)) {
            true => Some("a commit names items that another one has".to_owned()),
            false => verify_commit(run, &mut cursors, &group)?,
        };
        match wrong {
            Some(wrong) => {
                repaired.found.push(wrong);
                gone.add(&group);
            }
            None => {
                done.extend(items);
                run.groups.push(group);
            }
        }
    }
    gone.items -= &done;
    gone.ok -= &done;
    Ok(gone)
}

/// Verifies a commit's lines against its checksums and advances behind it; returns what is wrong, if anything.
fn verify_commit(
    run: &ExistingRun,
    cursors: &mut [OutputCursor],
    group: &CommitGroup,
) -> Result<Option<String>, StorageError> {
    let names = &run.manifest().files;
    let mismatch = |name: &str, (from, stable): &(u64, StablePrefix), what: &str| {
        format!("`{}`: bytes {from} to {} {what}", run.root.join(name).display(), stable.offset)
    };
    for ((name, cursor), range) in names.iter().zip(&*cursors).zip(&group.files) {
        if range.0 < cursor.committed.offset || range.1.offset < range.0 {
            return Ok(Some(mismatch(name, range, "are committed twice")));
        }
    }
    let mut wrong = None;
    for ((name, cursor), range) in names.iter().zip(&mut *cursors).zip(&group.files) {
        let (from, stable) = range;
        extend_checksums(run, name, *from, &mut [&mut cursor.now])?;
        // If the record of the commit before is missing, only the file itself provides the checksum to begin with.
        let mut committed = if cursor.committed.offset == *from { cursor.committed } else { cursor.now };
        extend_checksums(run, name, stable.offset, &mut [&mut cursor.now, &mut committed])?;
        let is_whole = cursor.now.offset == stable.offset;
        if !is_whole || ![cursor.now.crc, committed.crc].contains(&stable.crc) {
            wrong = wrong.or_else(|| Some(mismatch(name, range, "are not those that were committed")));
        }
        cursor.committed = *stable;
    }
    Ok(wrong)
}

/// Extends checksums that are at the same offset by the bytes of an output up to `to`; less if the file is shorter.
fn extend_checksums(
    run: &ExistingRun,
    name: &str,
    to: u64,
    sums: &mut [&mut StablePrefix],
) -> Result<(), StorageError> {
    const CHUNK: u64 = 1 << 20;
    while let Some(at) = sums.first().map(|sum| sum.offset).filter(|at| *at < to) {
        let bytes = run.range(name, at, to.min(at + CHUNK))?;
        if bytes.is_empty() {
            break;
        }
        for sum in &mut *sums {
            let mut crc = crc32fast::Hasher::new_with_initial_len(sum.crc, sum.offset);
            crc.update(&bytes);
            sum.crc = crc.finalize();
            sum.offset += bytes.len() as u64;
        }
    }
    Ok(())
}

/// Returns the answers of unfinished items, from whatever can be read of the logs; and the logs that must be
/// rewritten, each with its start.
fn salvage_answers(
    run: &ExistingRun,
    done: &RoaringTreemap,
    repaired: &mut RepairReport,
) -> Result<(RecoveredAnswers, RebuiltLogs), OpenError> {
    let mut recovered = RecoveredAnswers::default();
    let mut mended = Vec::new();
    for generation in 1..=run.manifest().generation {
        let path = recover::answers_path(&run.root, generation);
        let Some(log) = recover::read(&*run.disk, &path)? else { continue };
        let expected =
            LogHeader { run: run.manifest().run, generation, first: run.manifest().first_generation };
        let mut good = frames::header(answers::KIND, expected);
        let header = frames::check_header(&log, answers::KIND);
        if let Ok(Some(header)) = header
            && (header.run, header.generation) != (expected.run, generation)
        {
            // Answers of another run are kept, but not in this log.
            let name = Path::new("journal").join(path.file_name().unwrap_or_default());
            let number = run.manifest().generation;
            let name = name.to_string_lossy();
            repaired.kept.push(removed::copy_excess(
                &*run.disk,
                &run.root,
                number,
                &name,
                StablePrefix::default(),
            )?);
            mended.push((generation, good));
            continue;
        }
        let bad = frames::salvage(&log, |payload| {
            frames::push(&mut good, |bytes| bytes.extend_from_slice(payload));
        });
        for (from, to) in &bad {
            repaired.found.push(format!("`{}`: bytes {from} to {to} are damaged", path.display()));
        }
        recovered
            .add(&good, true, |item| done.contains(item))
            .map_err(|source| OpenError::Log { path, source })?;
        if header.is_err() || !bad.is_empty() {
            mended.push((generation, good));
        }
    }
    Ok((recovered, mended))
}

#[cfg(test)]
mod tests;
