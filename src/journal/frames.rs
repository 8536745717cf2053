//! The header and the framing shared by all logs: the header identifies run and start; a frame is length, checksum
//! and payload.
//!
//! A bad frame at the end of a log is a torn write and is ignored; a bad frame followed by good ones is damage, and
//! refused with its offset. A log does not show whether good frames are missing after its end: `integrity` compares
//! it with the manifest and the lock file.
//!
//! ```text
//! log    = header frame*
//! header = magic:8 version:u32 generation:u32 first:u32 run:16 crc32:u32    crc of the bytes before it
//! frame  = length:u32 crc32:u32 payload            both of the payload; little-endian
//! ```

use super::manifest::RunId;

/// The version of the logs that this program reads and writes.
pub(super) const VERSION: u32 = 3;
/// Bytes before the first frame.
pub(super) const HEADER: usize = 40;
/// Bytes before a frame's payload.
const FRAME: usize = 8;
/// The longest payload; bounds what a damaged length can make a reader allocate.
const LONGEST: usize = 64 << 20;

/// A log that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The file is no such log, or its first bytes are damaged.
    #[error("its first bytes are not those of a {0}")]
    Foreign(&'static str),
    /// It was written by another version of the program.
    #[error("format {found}, this program reads format {VERSION}")]
    Version {
        /// The version found in the header.
        found: u32,
    },
    /// A frame is damaged although good ones follow it.
    #[error(
        "damaged at byte {offset}: the checksum does not match, and good records follow\n\
         hint: `synthmill repair` lists which items are affected and sets them to be made again"
    )]
    Damaged {
        /// Offset of the bad frame.
        offset: u64,
    },
}

impl LogError {
    /// Shifts the offset, for a log whose first `bytes` were not read.
    pub(super) fn shifted(self, bytes: u64) -> Self {
        match self {
            Self::Damaged { offset } => Self::Damaged { offset: offset + bytes },
            other => other,
        }
    }
}

/// The kind of a log: its magic bytes, and its name in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogKind {
    pub(super) magic: &'static [u8; 8],
    pub(super) name: &'static str,
}

/// The header of a log: which run and start it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogHeader {
    /// The run it belongs to.
    pub(super) run: RunId,
    /// The start that wrote it, counted from 1.
    pub(super) generation: u32,
    /// The first start whose commit log counted when it was written.
    pub(super) first: u32,
}

/// The header of logs made by tests.
#[cfg(test)]
pub(super) const TEST_HEADER: LogHeader = LogHeader { run: RunId::of_test(), generation: 7, first: 3 };

/// Returns the encoded header.
pub(super) fn header(kind: LogKind, header: LogHeader) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend_from_slice(kind.magic);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&header.generation.to_le_bytes());
    bytes.extend_from_slice(&header.first.to_le_bytes());
    bytes.extend_from_slice(header.run.bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Appends a frame to `bytes`; `write` appends its payload, which must have 1 to `LONGEST` bytes to be read again.
pub(super) fn push(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; FRAME]);
    write(bytes);
    let payload = start + FRAME;
    let length = (bytes.len() - payload) as u32;
    let crc = crc32fast::hash(&bytes[payload..]);
    bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    bytes[start + 4..payload].copy_from_slice(&crc.to_le_bytes());
}

/// Checks a log's header; `None` if the log ends within it, as one cut off while it was made.
pub(super) fn check_header(log: &[u8], kind: LogKind) -> Result<Option<LogHeader>, LogError> {
    match check_version(log, kind, VERSION)? {
        Some(_) => read_header(log, kind).map(Some),
        None => Ok(None),
    }
}

/// As `check_header`, for a log in any format from `oldest` on; returns its format.
pub(super) fn check_header_since(log: &[u8], kind: LogKind, oldest: u32) -> Result<Option<u32>, LogError> {
    let Some(version) = check_version(log, kind, oldest)? else { return Ok(None) };
    read_header(log, kind).map(|_| Some(version))
}

/// Checks the magic bytes and the version; returns the version if the header is complete.
fn check_version(log: &[u8], kind: LogKind, oldest: u32) -> Result<Option<u32>, LogError> {
    let magic = &log[..log.len().min(8)];
    if !kind.magic.starts_with(magic) {
        return Err(LogError::Foreign(kind.name));
    }
    match read_u32(log, 8) {
        Some(found) if !(oldest..=VERSION).contains(&found) => Err(LogError::Version { found }),
        found => Ok(found.filter(|_| log.len() >= HEADER)),
    }
}

/// Reads a header whose version is known; fails if its checksum is wrong.
fn read_header(log: &[u8], kind: LogKind) -> Result<LogHeader, LogError> {
    let first_bytes = log.get(..HEADER).unwrap_or_default();
    let (fields, crc) = first_bytes.split_at(first_bytes.len().saturating_sub(4));
    let run = fields.last_chunk().map(|bytes| RunId::from(*bytes));
    match (read_u32(fields, 12), read_u32(fields, 16), run, read_u32(crc, 0)) {
        (Some(generation), Some(first), Some(run), Some(crc)) if crc == crc32fast::hash(fields) => {
            Ok(LogHeader { run, generation, first })
        }
        _ => Err(LogError::Foreign(kind.name)),
    }
}

/// Calls `take` with the offset and payload of each frame from byte `from` on, which must be a frame boundary.
/// Stops at a torn tail, fails at damage. Returns the end of the last good frame.
pub(super) fn for_each<'log>(
    log: &'log [u8],
    from: usize,
    mut take: impl FnMut(u64, &'log [u8]),
) -> Result<u64, LogError> {
    let mut at = from;
    while at < log.len() {
        let Some(payload) = payload_at(log, at) else {
            return match next_good(log, at + 1) {
                Some(_) => Err(LogError::Damaged { offset: at as u64 }),
                None => Ok(at as u64),
            };
        };
        take(at as u64, payload);
        at += FRAME + payload.len();
    }
    Ok(at as u64)
}

/// Calls `take` with every good payload, and returns the damaged byte ranges between them, for `repair`. A torn
/// tail is not one of them.
pub(super) fn salvage(log: &[u8], mut take: impl FnMut(&[u8])) -> Vec<(u64, u64)> {
    let mut bad = Vec::new();
    let mut at = HEADER.min(log.len());
    while at < log.len() {
        if let Some(payload) = payload_at(log, at) {
            take(payload);
            at += FRAME + payload.len();
            continue;
        }
        let Some(next) = next_good(log, at + 1) else { break };
        bad.push((at as u64, next as u64));
        at = next;
    }
    bad
}

/// The offset of the next good frame from byte `from` on. Tries every byte, which is slow but needed only after damage
/// or a torn write.
fn next_good(log: &[u8], from: usize) -> Option<usize> {
    (from..log.len().saturating_sub(FRAME)).find(|at| payload_at(log, *at).is_some())
}

/// The payload of the frame at `at`; `None` if there is no good frame.
fn payload_at(log: &[u8], at: usize) -> Option<&[u8]> {
    let length = read_u32(log, at)? as usize;
    // With empty payloads allowed, eight zero bytes would be a good frame.
    if !(1..=LONGEST).contains(&length) {
        return None;
    }
    let crc = read_u32(log, at + 4)?;
    let payload = log.get(at + FRAME..at + FRAME + length)?;
    (crc32fast::hash(payload) == crc).then_some(payload)
}

/// Reads a little-endian number; `None` if `bytes` ends before it does.
pub(super) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// As `read_u32`, for 64 bits.
pub(super) fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
#[path = "../../fuzz/fuzz_targets/framed.rs"]
mod framed;

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: LogKind = LogKind { magic: b"SMTESTED", name: "test log" };

    fn log(payloads: &[&[u8]]) -> Vec<u8> {
        let mut log = header(KIND, TEST_HEADER);
        for payload in payloads {
            push(&mut log, |bytes| bytes.extend_from_slice(payload));
        }
        log
    }

    fn read(log: &[u8]) -> Result<Vec<Vec<u8>>, LogError> {
        let mut found = Vec::new();
        if let Some(of) = check_header(log, KIND)? {
            assert_eq!(of, TEST_HEADER);
            for_each(log, HEADER, |_, payload| found.push(payload.to_vec()))?;
        }
        Ok(found)
    }

    #[test]
    fn a_torn_tail_is_ignored_at_every_byte() {
        let whole = log(&[b"one", b"three", b"seven"]);
        let borders = [HEADER + 11, HEADER + 11 + 13, whole.len()];
        for cut in 0..=whole.len() {
            let expected = borders.iter().filter(|border| **border <= cut).count();
            assert_eq!(read(&whole[..cut]).unwrap().len(), expected, "cut at {cut}");
            for tail in [vec![0; 4096], b"rubbish".to_vec()] {
                let mut torn = whole[..cut].to_vec();
                torn.extend(tail);
                if cut >= HEADER {
                    assert_eq!(read(&torn).unwrap().len(), expected, "tail after {cut}");
                }
            }
        }
    }

    #[test]
    fn a_flipped_bit_before_good_frames_is_damage_and_can_be_salvaged() {
        let whole = log(&[b"one", b"three", b"seven"]);
        for at in HEADER..HEADER + 11 + 13 {
            let mut bad = whole.clone();
            bad[at] ^= 4;
            let offset = if at < HEADER + 11 { HEADER } else { HEADER + 11 } as u64;
            assert_eq!(read(&bad), Err(LogError::Damaged { offset }), "flip at {at}");
            let mut found = Vec::new();
            let stretches = salvage(&bad, |payload| found.push(payload.to_vec()));
            assert_eq!(found.len(), 2);
            assert_eq!(stretches.len(), 1);
            assert_eq!(stretches[0].0, offset);
        }
    }

    #[test]
    fn the_logs_that_fuzz_targets_make_are_read() {
        let payloads: [&[u8]; 2] = [b"one", b"three"];
        let log = framed::log(KIND.magic, &payloads);
        assert!(check_header(&log, KIND).unwrap().is_some());
        let mut found = Vec::new();
        assert_eq!(for_each(&log, HEADER, |_, payload| found.push(payload)), Ok(log.len() as u64));
        assert_eq!(found, payloads);
    }

    #[test]
    fn a_flipped_bit_in_the_header_is_detected() {
        let whole = log(&[b"one"]);
        for at in 0..HEADER {
            let mut bad = whole.clone();
            bad[at] ^= 4;
            assert!(read(&bad).is_err(), "flip at {at}");
        }
    }

    #[test]
    fn foreign_and_newer_logs_are_refused() {
        assert_eq!(read(b"hello, this is no log"), Err(LogError::Foreign("test log")));
        let mut newer = log(&[b"one"]);
        newer[8] = 9;
        assert_eq!(read(&newer), Err(LogError::Version { found: 9 }));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, keep in 0_usize..40) {
            let mut mutilated = log(&[b"one", b"three"]);
            mutilated.truncate(keep);
            mutilated.extend(&bytes);
            let _ = read(&mutilated);
            let _ = read(&bytes);
            salvage(&mutilated, |_| {});
        }
    }
}
