//! `repair` and `retry-rejected`: which items a run must make again, and the run without them.
//!
//! A repair believes what its checksums hold: a commit whose record is damaged, or whose lines are not
//! those that were committed, is undone as a whole, and its items are made again with the answers that are
//! still in the journal.

use std::path::Path;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::answers::{self, Recovered};
use super::batches::Batches;
use super::commits::{Group, Outcome, Stable};
use super::disk::Disk;
use super::frames;
use super::open_error::OpenError;
use super::recover;
use super::rewrite::Existing;
use super::writer::REJECTED;

/// What a repair found, and did about it.
#[derive(Debug, Default)]
pub struct Repaired {
    /// What was wrong, a line each.
    pub found: Vec<String>,
    /// Items whose commit is undone and that are known by number; those of a damaged record are not, and
    /// are made again all the same.
    pub items: Vec<u64>,
}

/// Checks every byte that was committed in `root`, and undoes the commits that do not hold.
pub fn repair(disk: Arc<dyn Disk>, root: &Path) -> Result<Repaired, OpenError> {
    let mut repaired = Repaired::default();
    let run = Existing::open(disk, root, |path, log, groups| {
        let mut unread = 0;
        let bad = frames::salvage(log, |payload| match Group::read(payload) {
            Some(group) => groups.push(group),
            None => unread += 1,
        });
        for (from, to) in bad {
            repaired.found.push(format!("`{}`: bytes {from} to {to} are damaged", path.display()));
        }
        if unread > 0 {
            repaired.found.push(format!("`{}`: {unread} records cannot be read", path.display()));
        }
        Ok(())
    })?;
    let redo = broken_groups(&run, &mut repaired)?;
    let done = done_without(&run, &redo);
    let answers = salvage_answers(&run, &done, &mut repaired)?;
    let starts = run.manifest().first_generation..=run.manifest().generation;
    Batches::salvage(&*run.disk, &run.root, starts, &mut repaired.found)?;
    if repaired.found.is_empty() {
        return Ok(repaired);
    }
    repaired.items = redo.iter().collect();
    run.without(&redo, &answers)?;
    Ok(repaired)
}

/// Undoes the rejected items of which a reject has one of `classes`, of any class when there are none;
/// returns how many. Their answers are not kept, so the model is asked anew.
pub fn retry_rejected(disk: Arc<dyn Disk>, root: &Path, classes: &[String]) -> Result<u64, OpenError> {
    let run = Existing::whole(disk, root)?;
    let redo = run.choose(|item| {
        item.outcome == Outcome::Rejected
            && item.lines.get(REJECTED).is_some_and(|lines| has_class(lines, classes))
    })?;
    if redo.is_empty() {
        return Ok(0);
    }
    // The answers of items that were in flight at the last stop stay; those of the undone are left out.
    let mut kept = done_without(&run, &RoaringTreemap::new());
    kept |= &redo;
    let mut recovered = Recovered::default();
    for generation in 1..=run.manifest().generation {
        let path = recover::answers_path(root, generation);
        let Some(log) = recover::read(&*run.disk, &path)? else { continue };
        recovered
            .add(&log, true, |item| kept.contains(item))
            .map_err(|source| OpenError::Log { path, source })?;
    }
    let count = redo.len();
    run.without(&redo, &recovered)?;
    Ok(count)
}

fn has_class(lines: &[u8], classes: &[String]) -> bool {
    lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).any(|line| {
        let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        classes.is_empty() || classes.iter().any(|class| value["class"] == class.as_str())
    })
}

/// The items that are done once those of `redo` are not.
fn done_without(run: &Existing, redo: &RoaringTreemap) -> RoaringTreemap {
    let mut done: RoaringTreemap =
        run.groups.iter().flat_map(|group| group.items.iter().map(|(item, _)| *item)).collect();
    done -= redo;
    done
}

/// The items of groups whose lines are not those that were committed.
fn broken_groups(run: &Existing, repaired: &mut Repaired) -> Result<RoaringTreemap, OpenError> {
    let mut redo = RoaringTreemap::new();
    let names = run.manifest().files.clone();
    let mut before: Vec<Option<Stable>> = vec![Some(Stable::default()); names.len()];
    for group in &run.groups {
        let mut broken = false;
        for (index, (name, (from, stable))) in names.iter().zip(&group.files).enumerate() {
            let bytes = run.range(name, *from, stable.offset)?;
            let begin = before[index].filter(|before| before.offset == *from);
            let holds = match begin {
                Some(begin) => {
                    let mut crc = crc32fast::Hasher::new_with_initial_len(begin.crc, begin.offset);
                    crc.update(&bytes);
                    crc.finalize() == stable.crc
                }
                // Behind a damaged record nothing says what the checksum began with.
                None => bytes.len() as u64 == stable.offset.saturating_sub(*from),
            };
            if !holds {
                broken = true;
                repaired.found.push(format!(
                    "`{}`: bytes {from} to {} are not those that were committed",
                    run.root.join(name).display(),
                    stable.offset
                ));
            }
            before[index] = Some(*stable);
        }
        if broken {
            redo.extend(group.items.iter().map(|(item, _)| *item));
        }
    }
    Ok(redo)
}

/// The answers of items that are not done, from whatever of the logs can be read.
fn salvage_answers(
    run: &Existing,
    done: &RoaringTreemap,
    repaired: &mut Repaired,
) -> Result<Recovered, OpenError> {
    let mut recovered = Recovered::default();
    for generation in 1..=run.manifest().generation {
        let path = recover::answers_path(&run.root, generation);
        let Some(log) = recover::read(&*run.disk, &path)? else { continue };
        let mut good = frames::header(answers::KIND, generation);
        let bad = frames::salvage(&log, |payload| {
            frames::push(&mut good, |bytes| bytes.extend_from_slice(payload));
        });
        for (from, to) in bad {
            repaired.found.push(format!("`{}`: bytes {from} to {to} are damaged", path.display()));
        }
        recovered
            .add(&good, true, |item| done.contains(item))
            .map_err(|source| OpenError::Log { path, source })?;
    }
    Ok(recovered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_are_chosen_by_class() {
        let lines = b"{\"class\":\"json\"}\n{\"class\":\"timeout\"}\n";
        assert!(has_class(lines, &[]));
        assert!(has_class(lines, &["timeout".into()]));
        assert!(!has_class(lines, &["schema".into()]));
        assert!(!has_class(b"", &[]));
    }
}
