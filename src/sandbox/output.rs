//! What a program writes, read as it comes and only up to a limit.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes read at a time.
const CHUNK: usize = 16 << 10;

/// The output of a program as far as it was read.
#[derive(Debug, Default)]
pub(super) struct ProgramOutput {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

impl ProgramOutput {
    /// Reads both streams to their ends, or until they have more than `limit` bytes together, and returns whether they
    /// do. What was read is kept if the future is dropped.
    pub(super) async fn read(
        &mut self,
        mut stdout: impl AsyncRead + Unpin,
        mut stderr: impl AsyncRead + Unpin,
        limit: u64,
    ) -> std::io::Result<bool> {
        let (mut first, mut second) = (vec![0; CHUNK], vec![0; CHUNK]);
        let (mut first_open, mut second_open) = (true, true);
        while first_open || second_open {
            let room = limit.saturating_sub((self.stdout.len() + self.stderr.len()) as u64);
            let (stream, bytes) = tokio::select! {
                read = stdout.read(&mut first), if first_open => {
                    let read = read?;
                    first_open = read > 0;
                    (&mut self.stdout, &first[..read])
                }
                read = stderr.read(&mut second), if second_open => {
                    let read = read?;
                    second_open = read > 0;
                    (&mut self.stderr, &second[..read])
                }
            };
            if bytes.len() as u64 > room {
                stream.extend_from_slice(&bytes[..room as usize]);
                return Ok(true);
            }
            stream.extend_from_slice(bytes);
        }
        Ok(false)
    }
}

#[cfg(target_os = "linux")]
impl ProgramOutput {
    /// Shortens what was read to this many bytes.
    pub(super) fn cut(&mut self, limit: u64) {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.stdout.truncate(limit);
        self.stderr.truncate(limit - self.stdout.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_streams_share_the_limit() {
        for (limit, too_much, kept) in [(10, false, 10), (9, true, 9), (0, true, 0)] {
            let mut output = ProgramOutput::default();
            let more = output.read(&b"12345"[..], &b"67890"[..], limit).await.unwrap();
            assert_eq!((more, output.stdout.len() + output.stderr.len()), (too_much, kept));
        }
    }
}
