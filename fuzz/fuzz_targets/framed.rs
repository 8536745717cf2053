//! A log of good frames with any payloads, as `src/journal/frames.rs` describes it. No target of its own.

/// The log of a kind.
pub fn log(magic: &[u8; 8], payloads: &[&[u8]]) -> Vec<u8> {
    let mut log = [&magic[..], &1_u32.to_le_bytes(), &1_u32.to_le_bytes()].concat();
    for payload in payloads {
        log.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        log.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
        log.extend_from_slice(payload);
    }
    log
}
