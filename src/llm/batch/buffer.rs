//! Collects the questions of the next batch as lines of a file, within the provider's limits.
//!
//! `scheduler` adds questions and submits the buffer when it is full or no more arrive. Lines are written to the file a
//! megabyte at a time, so a batch of 200 MB needs memory only for its keys.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::files::BatchFiles;
use crate::journal::{RequestKey, StorageError, encode_hex};
use crate::pipeline::BatchConfig;

/// The number of bytes that are written at a time.
const CHUNK: usize = 1 << 20;
/// The longest time that questions of a slow stage are collected; small batches cost no more.
const MAX_COLLECTING: Duration = Duration::from_mins(15);

/// A batch that is being collected.
pub(super) struct BatchBuffer {
    pub(super) number: u32,
    /// Item and key of each line.
    pub(super) questions: Vec<(u64, RequestKey)>,
    /// Bytes of the file so far, those in `unflushed` too.
    pub(super) bytes: u64,
    begun: Instant,
    /// When the last question was added.
    last: Instant,
    unflushed: Vec<u8>,
}

impl BatchBuffer {
    pub(super) fn new(number: u32) -> Self {
        let now = Instant::now();
        Self { number, questions: Vec::new(), bytes: 0, begun: now, last: now, unflushed: Vec::new() }
    }

    /// Returns when it is sent although not full: soon after the last question, and not much later than the first,
    /// however slowly others follow.
    pub(super) fn send_at(&self, linger: Duration) -> Instant {
        (self.last + linger).min(self.begun + linger.max(MAX_COLLECTING))
    }

    /// Whether one more line of this length would exceed a limit. A single line always fits: a provider that does not
    /// accept it yields a better error.
    pub(super) fn is_full(&self, line: usize, limits: &BatchConfig) -> bool {
        let count = self.questions.len() as u64;
        count >= u64::from(limits.requests) || (count > 0 && self.bytes + line as u64 > limits.bytes)
    }

    pub(super) async fn push(
        &mut self,
        item: u64,
        key: RequestKey,
        line: &[u8],
        files: &BatchFiles,
    ) -> Result<(), StorageError> {
        self.questions.push((item, key));
        self.bytes += line.len() as u64;
        self.last = Instant::now();
        self.unflushed.extend_from_slice(line);
        if self.unflushed.len() < CHUNK {
            return Ok(());
        }
        self.flush(files).await
    }

    pub(super) async fn flush(&mut self, files: &BatchFiles) -> Result<(), StorageError> {
        files.append(spool(self.number), std::mem::take(&mut self.unflushed)).await
    }
}

/// The name of the file that holds a batch's questions until they are uploaded.
pub(super) fn spool(number: u32) -> String {
    format!("{number:06}.questions.jsonl")
}

/// Encodes the line of one question.
pub(super) fn line(key: &RequestKey, endpoint: &str, body: &[u8]) -> Vec<u8> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let line = json!({"custom_id": encode_hex(key), "method": "POST", "url": endpoint, "body": body});
    let mut line = line.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_buffer_waits_for_more_questions_but_not_for_ever() {
        let check = |begun: u64, last: u64, linger: u64, sent: u64| {
            let zero = Instant::now();
            let at = |seconds| zero + Duration::from_secs(seconds);
            let buffer = BatchBuffer { begun: at(begun), last: at(last), ..BatchBuffer::new(1) };
            assert_eq!(buffer.send_at(Duration::from_secs(linger)), at(sent));
        };
        check(0, 0, 10, 10);
        check(0, 50, 10, 60);
        check(0, 895, 10, 900);
        check(0, 0, 3600, 3600);
    }

    #[tokio::test]
    async fn a_buffer_is_full_at_either_limit() {
        let check = |lines: &[usize], next: usize, full: bool| {
            let limits = BatchConfig { requests: 3, bytes: 100, ..BatchConfig::default() };
            let questions = lines.iter().map(|_| (0, [0; 16])).collect();
            let buffer =
                BatchBuffer { questions, bytes: lines.iter().sum::<usize>() as u64, ..BatchBuffer::new(1) };
            assert_eq!(buffer.is_full(next, &limits), full, "{lines:?} and {next}");
        };
        check(&[], 10, false);
        check(&[], 1000, false);
        check(&[40, 40], 20, false);
        check(&[40, 40], 21, true);
        check(&[1, 1, 1], 1, true);
    }

    #[test]
    fn a_line_names_its_question() {
        let line = line(&[0xab; 16], "/v1/chat/completions", br#"{"model": "m"}"#);
        let value: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["custom_id"], "ab".repeat(16));
        assert_eq!(value["body"], json!({"model": "m"}));
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    }
}
