//! The commit log: which items are done, and how far each output file is stable.
//!
//! One frame a group of items, written after the outputs it names are synced. A frame carries its length
//! and checksum. A bad tail is a torn write and ignored; a bad frame with good ones behind it is damage and
//! refused. `writer` appends, `directory` reads.
//!
//! ```text
//! file  = "SMCOMMIT" version:u32 generation:u32 frame*
//! frame = length:u32 crc32:u32 payload            length and checksum of the payload
//! payload = items:u32 (item:u64 outcome:u8 lines:u32)* files:u32 (offset:u64 lines:u64 crc32:u32)*
//! ```
//! All numbers are little-endian. A file's checksum is over all its bytes up to the offset.

use roaring::RoaringTreemap;

/// The version this program writes and reads.
pub(super) const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"SMCOMMIT";
const HEADER: usize = 16;
/// A frame holds at most 512 items and a few files; anything longer is no frame.
const LONGEST: usize = 1 << 20;

/// How an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// At least one of its records was written.
    Ok,
    /// Every record was dropped by a filter.
    Dropped,
    /// No record was written and one at least could not be made.
    Rejected,
}

/// How far one output file is stable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stable {
    /// Bytes that belong to committed items.
    pub(super) offset: u64,
    /// Lines among them.
    pub(super) lines: u64,
    /// CRC-32 of those bytes.
    pub(super) crc: u32,
}

/// What a log says, added up.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) items: RoaringTreemap,
    pub(super) ok: u64,
    pub(super) dropped: u64,
    pub(super) rejected: u64,
    pub(super) files: Vec<Stable>,
}

/// A commit log that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitLogError {
    /// The file is no commit log, or its first bytes are damaged.
    #[error("not a commit log (its first 8 bytes are wrong)")]
    Foreign,
    /// Written by another version of the program.
    #[error("commit log of format {found}, this program reads format {VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
    /// A frame is damaged although good ones follow it.
    #[error("damaged at byte {offset}: the checksum does not match, and good records follow")]
    Damaged {
        /// Where the bad frame starts.
        offset: usize,
    },
}

/// The first bytes of a log.
pub(super) fn header(generation: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes
}

/// One frame.
pub(super) fn frame(items: &[(u64, Outcome, u32)], files: &[Stable]) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    bytes.extend_from_slice(&(items.len() as u32).to_le_bytes());
    for (item, outcome, lines) in items {
        bytes.extend_from_slice(&item.to_le_bytes());
        bytes.push(*outcome as u8);
        bytes.extend_from_slice(&lines.to_le_bytes());
    }
    bytes.extend_from_slice(&(files.len() as u32).to_le_bytes());
    for file in files {
        bytes.extend_from_slice(&file.offset.to_le_bytes());
        bytes.extend_from_slice(&file.lines.to_le_bytes());
        bytes.extend_from_slice(&file.crc.to_le_bytes());
    }
    let length = (bytes.len() - 8) as u32;
    let crc = crc32fast::hash(&bytes[8..]);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

impl Done {
    /// Adds what a log's bytes say. A torn tail is ignored.
    pub(super) fn add(&mut self, log: &[u8]) -> Result<(), CommitLogError> {
        if log.len() < HEADER {
            // The start that made this file was killed while it wrote the header: no commit followed.
            return if MAGIC.starts_with(&log[..log.len().min(8)]) || log.starts_with(MAGIC) {
                Ok(())
            } else {
                Err(CommitLogError::Foreign)
            };
        }
        if !log.starts_with(MAGIC) {
            return Err(CommitLogError::Foreign);
        }
        let found = read_u32(log, 8).unwrap_or_default();
        if found != VERSION {
            return Err(CommitLogError::Version { found });
        }
        let mut at = HEADER;
        while at < log.len() {
            let Some(payload) = payload_at(log, at) else {
                if good_frame_after(log, at + 1) {
                    return Err(CommitLogError::Damaged { offset: at });
                }
                return Ok(());
            };
            self.apply(payload).ok_or(CommitLogError::Damaged { offset: at })?;
            at += 8 + payload.len();
        }
        Ok(())
    }

    fn apply(&mut self, payload: &[u8]) -> Option<()> {
        let count = read_u32(payload, 0)? as usize;
        let mut at = 4;
        for _ in 0..count {
            let item = read_u64(payload, at)?;
            let outcome = *payload.get(at + 8)?;
            at += 13;
            if !self.items.insert(item) {
                continue;
            }
            match outcome {
                0 => self.ok += 1,
                1 => self.dropped += 1,
                _ => self.rejected += 1,
            }
        }
        let files = read_u32(payload, at)? as usize;
        at += 4;
        self.files.resize(files, Stable::default());
        for file in &mut self.files {
            *file = Stable {
                offset: read_u64(payload, at)?,
                lines: read_u64(payload, at + 8)?,
                crc: read_u32(payload, at + 16)?,
            };
            at += 20;
        }
        (at == payload.len()).then_some(())
    }
}

fn payload_at(log: &[u8], at: usize) -> Option<&[u8]> {
    let length = read_u32(log, at)? as usize;
    if !(8..=LONGEST).contains(&length) {
        return None;
    }
    let crc = read_u32(log, at + 4)?;
    let payload = log.get(at + 8..at + 8 + length)?;
    (crc32fast::hash(payload) == crc).then_some(payload)
}

/// Whether a good frame starts anywhere behind a bad one: then the bad one is no torn tail.
fn good_frame_after(log: &[u8], from: usize) -> bool {
    (from..log.len().saturating_sub(8)).any(|at| payload_at(log, at).is_some())
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<u8> {
        let mut log = header(1);
        log.extend(frame(
            &[(0, Outcome::Ok, 4), (2, Outcome::Rejected, 1)],
            &[Stable { offset: 90, lines: 5, crc: 7 }],
        ));
        log.extend(frame(&[(1, Outcome::Dropped, 0)], &[Stable { offset: 120, lines: 5, crc: 8 }]));
        log
    }

    fn read(log: &[u8]) -> Result<(Vec<u64>, u64), CommitLogError> {
        let mut done = Done::default();
        done.add(log)?;
        Ok((done.items.iter().collect(), done.files.first().map_or(0, |file| file.offset)))
    }

    #[test]
    fn reads_back_what_was_written() {
        let mut done = Done::default();
        done.add(&log()).unwrap();
        assert_eq!(done.items.iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((done.ok, done.dropped, done.rejected), (1, 1, 1));
        assert_eq!(done.files, [Stable { offset: 120, lines: 5, crc: 8 }]);
    }

    #[test]
    fn a_torn_tail_is_ignored_at_every_byte() {
        let whole = log();
        let first = header(1).len()
            + frame(&[(0, Outcome::Ok, 4), (2, Outcome::Rejected, 1)], &[Stable::default()]).len();
        for cut in 0..whole.len() {
            let expected = if cut < first { (vec![], 0) } else { (vec![0, 2], 90) };
            assert_eq!(read(&whole[..cut]), Ok(expected), "cut at {cut}");
        }
        let mut zeros = whole.clone();
        zeros.extend([0; 4096]);
        assert_eq!(read(&zeros).unwrap().0, [0, 1, 2]);
    }

    #[test]
    fn a_flipped_bit_before_good_frames_is_damage() {
        let whole = log();
        for at in 16..60 {
            let mut bad = whole.clone();
            bad[at] ^= 4;
            assert!(matches!(read(&bad), Err(CommitLogError::Damaged { offset: 16 })), "flip at {at}");
        }
    }

    #[test]
    fn foreign_and_newer_logs_are_refused() {
        assert_eq!(read(b"hello, this is no log"), Err(CommitLogError::Foreign));
        let mut newer = log();
        newer[8] = 9;
        assert_eq!(read(&newer), Err(CommitLogError::Version { found: 9 }));
    }
}
