//! Format of the note log: what the client of a provider's batch API has to know again after a stop.
//!
//! The batch client writes it, hence the name of its file; the notes are opaque here. A start receives the notes of
//! all starts before it, in order. So that they do not accumulate, a new log begins with what `CompactNotes`
//! retains of them, and older logs are then no longer read. `note_log` appends; this file defines format and
//! reading.
//!
//! ```text
//! payload = kind:u8 note
//! kind    = 0 a note, 1 a note carried over: the first of them supersedes all earlier logs
//! ```

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::answers::RequestKey;
use super::disk::Disk;
use super::frames::{self, HEADER, LogError, LogKind};
use super::open_error::OpenError;
use super::recover;

pub(super) const KIND: LogKind = LogKind { magic: b"SMBATCHS", name: "log of batches" };
/// The kind of a note carried over from earlier logs.
const CARRIED: u8 = 1;

/// Returns the notes that a new log begins with: those that are still needed, in order. `is_awaited` returns whether
/// the answer to the request for an item, with this key, is still awaited.
pub type CompactNotes = fn(notes: &[Vec<u8>], is_awaited: &dyn Fn(u64, &RequestKey) -> bool) -> Vec<Vec<u8>>;

/// Appends the frame of one note to `bytes`.
pub(super) fn push(bytes: &mut Vec<u8>, note: &[u8]) {
    push_as(bytes, note, 0);
}

/// Appends the frames of the notes that a log begins with.
pub(super) fn push_carried(bytes: &mut Vec<u8>, notes: &[Vec<u8>]) {
    notes.iter().for_each(|note| push_as(bytes, note, CARRIED));
}

fn push_as(bytes: &mut Vec<u8>, note: &[u8], kind: u8) {
    frames::push(bytes, |bytes| {
        bytes.push(kind);
        bytes.extend_from_slice(note);
    });
}

/// Returns the path of the note log of a start.
pub(super) fn path(root: &Path, generation: u32) -> PathBuf {
    root.join("journal").join(format!("batches-{generation:04}.log"))
}

/// The content of one log.
#[derive(Debug, Default)]
pub(super) struct ParsedNoteLog {
    pub(super) notes: Vec<Vec<u8>>,
    /// Whether it begins with everything that is needed of earlier logs.
    pub(super) is_whole: bool,
    /// Where the last note ends.
    pub(super) end: u64,
}

impl ParsedNoteLog {
    /// Parses a log. A torn tail is ignored.
    pub(super) fn read(log: &[u8]) -> Result<Self, LogError> {
        let mut read = Self::default();
        read.end = match frames::check_header(log, KIND)? {
            None => log.len() as u64,
            Some(_) => frames::for_each(log, HEADER, |_, payload| read.take(payload))?,
        };
        Ok(read)
    }

    /// Parses whatever is good of a log that may be damaged; also returns the damaged byte ranges.
    fn salvage(log: &[u8]) -> (Self, Vec<(u64, u64)>) {
        let mut read = Self::default();
        let bad = frames::salvage(log, |payload| read.take(payload));
        (read, bad)
    }

    fn take(&mut self, payload: &[u8]) {
        let Some((kind, note)) = payload.split_first() else { return };
        self.is_whole |= self.notes.is_empty() && *kind == CARRIED;
        self.notes.push(note.to_vec());
    }
}

/// The notes of a run's earlier starts.
#[derive(Debug, Default)]
pub(super) struct EarlierNotes {
    /// All notes that count, oldest first.
    pub(super) notes: Vec<Vec<u8>>,
    /// Where each log that was read ends.
    pub(super) ends: BTreeMap<u32, u64>,
}

impl EarlierNotes {
    /// Reads the logs of these starts, last first, down to one that begins with everything that is needed.
    pub(super) fn read(
        disk: &dyn Disk,
        root: &Path,
        generations: RangeInclusive<u32>,
    ) -> Result<Self, OpenError> {
        let mut logs = Vec::new();
        let mut ends = BTreeMap::new();
        for generation in generations.rev() {
            let path = path(root, generation);
            let Some(log) = recover::read(disk, &path)? else { continue };
            let log = ParsedNoteLog::read(&log).map_err(|source| OpenError::Log { path, source })?;
            ends.insert(generation, log.end);
            logs.push(log.notes);
            if log.is_whole {
                break;
            }
        }
        Ok(Self { notes: logs.into_iter().rev().flatten().collect(), ends })
    }

    /// Reads all logs of these starts, which may be damaged; reports the damage in `found`.
    pub(super) fn salvage(
        disk: &dyn Disk,
        root: &Path,
        generations: RangeInclusive<u32>,
        found: &mut Vec<String>,
    ) -> Result<Vec<Vec<u8>>, OpenError> {
        let mut notes = Vec::new();
        for generation in generations {
            let path = path(root, generation);
            let Some(log) = recover::read(disk, &path)? else { continue };
            let (log, bad) = ParsedNoteLog::salvage(&log);
            for (from, to) in bad {
                found.push(format!("`{}`: bytes {from} to {to} are damaged", path.display()));
            }
            notes.extend(log.notes);
        }
        Ok(notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::RealDisk;
    use proptest::prelude::*;

    fn log(carried: &[Vec<u8>], notes: &[Vec<u8>]) -> Vec<u8> {
        let mut log = frames::header(KIND, frames::TEST_HEADER);
        push_carried(&mut log, carried);
        notes.iter().for_each(|note| push(&mut log, note));
        log
    }

    #[test]
    fn logs_before_one_that_supersedes_them_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        RealDisk.create_dir_all(&root.join("journal")).unwrap();
        let note = |note: &str| vec![note.as_bytes().to_vec()];
        let logs = [b"rubbish".to_vec(), log(&note("a"), &note("b")), log(&[], &note("c"))];
        for (generation, log) in (1..).zip(&logs) {
            RealDisk.append(&path(root, generation)).unwrap().write(log).unwrap();
        }
        let earlier = EarlierNotes::read(&RealDisk, root, 1..=4).unwrap();
        assert_eq!(earlier.notes, [note("a"), note("b"), note("c")].concat());
        let ends = [(2, logs[1].len() as u64), (3, logs[2].len() as u64)];
        assert_eq!(earlier.ends, BTreeMap::from(ends));
        RealDisk.remove(&path(root, 2)).unwrap();
        assert!(EarlierNotes::read(&RealDisk, root, 1..=4).is_err(), "the first counts now");
    }

    proptest! {
        #[test]
        fn notes_round_trip(carried: Vec<Vec<u8>>, notes: Vec<Vec<u8>>) {
            let log = log(&carried, &notes);
            let read = ParsedNoteLog::read(&log).unwrap();
            prop_assert_eq!((read.end, read.is_whole), (log.len() as u64, !carried.is_empty()));
            prop_assert_eq!(&read.notes, &[carried, notes].concat());
            let (salvaged, bad) = ParsedNoteLog::salvage(&log);
            prop_assert_eq!((salvaged.notes, bad), (read.notes, Vec::new()));
        }
    }
}
