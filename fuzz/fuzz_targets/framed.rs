//! Makes a log of valid frames with any payloads, in the format of `src/journal/frames.rs`, whose tests read one. Not a
//! target itself.

/// Returns a log of this kind.
pub(crate) fn log(magic: &[u8; 8], payloads: &[&[u8]]) -> Vec<u8> {
    const FORMAT: u32 = 3;
    let mut log = magic.to_vec();
    for number in [FORMAT, 1, 1] {
        log.extend_from_slice(&u32::to_le_bytes(number));
    }
    log.extend_from_slice(&[7; 16]);
    log.extend_from_slice(&crc32fast::hash(&log).to_le_bytes());
    for payload in payloads {
        log.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        log.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
        log.extend_from_slice(payload);
    }
    log
}
