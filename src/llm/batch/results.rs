//! Delivers the results of a batch: reads its files line by line, and decides about questions without a line.
//!
//! Part of `scheduler`, which knows who waits. An answer whose question has not been asked yet stays in its file.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::api::ApiError;
use super::events::OpenBatch;
use super::job::{BatchJob, JobOutcome, into_storage};
use super::result_line;
use super::scheduler::{BatchAnswer, BatchScheduler};
use crate::journal::StorageError;
use crate::llm::classify::{Failure, Verdict};

/// The number of bytes of a results file that are read at a time.
const CHUNK: usize = 1 << 20;
/// The longest line that is taken for an answer.
const LONGEST_LINE: usize = 16 << 20;

/// The location of an answer that no question has claimed yet.
pub(super) struct StoredResult {
    file: Arc<str>,
    offset: u64,
    length: usize,
    earlier: bool,
}

impl BatchScheduler {
    /// Delivers the results of a batch.
    pub(super) async fn distribute(
        &mut self,
        job: BatchJob,
        outcome: Result<JobOutcome, ApiError>,
    ) -> Result<(), StorageError> {
        let number = job.batch.number;
        self.model.active.remove(number);
        match outcome {
            Ok(JobOutcome::Results { files, state, incomplete }) => {
                let begin = Instant::now();
                let (mut read, mut named, any) = (0, 0, !files.is_empty());
                for file in files {
                    let (of_ours, in_all) = self.distribute_file(file, &job).await?;
                    read += of_ours;
                    named += in_all;
                }
                let unreadable = any && named == 0;
                if let Some(failure) = incomplete.or_else(|| unreadable.then(|| job.unreadable(&self.model)))
                {
                    warn!(model = self.model.name, "{}", failure.message);
                    let open = job.batch.questions.iter().flatten();
                    let open = open.filter(|key| self.asked.get(*key) == Some(&number));
                    self.stuck.extend(open.filter_map(|key| self.waiting.remove(key)));
                    self.incomplete.insert(number, failure);
                    return Ok(());
                }
                info!(
                    model = self.model.name,
                    "batch {number} is `{state}`: {read} of its questions have a line, read in {:?}",
                    begin.elapsed()
                );
                let missing = result_line::missing(&state);
                self.fail_missing(&job.batch, &HashMap::new(), &missing);
                if state == "cancelled" && !job.earlier {
                    let message = format!(
                        "the batch `{}` was cancelled at the provider; what it had answered is kept",
                        job.batch.batch.unwrap_or_default()
                    );
                    self.stop(Failure::new(Verdict::Fatal, "batch_cancelled", message));
                }
            }
            Ok(JobOutcome::Refused { lines, others }) => self.fail_missing(&job.batch, &lines, &others),
            Err(trouble) => {
                let failure = into_storage(trouble)?;
                self.stop(failure);
            }
        }
        Ok(())
    }

    /// Reads one file of results. Returns the number of lines for open questions, and of those that name any question.
    async fn distribute_file(&mut self, name: String, job: &BatchJob) -> Result<(u64, u64), StorageError> {
        let file: Arc<str> = name.into();
        let (mut offset, mut rest, mut read, mut named) = (0, Vec::new(), 0, 0);
        let mut left = 0;
        loop {
            let at = offset + rest.len() as u64;
            let chunk = self.files.read(file.to_string(), at, CHUNK).await?;
            let is_last = chunk.is_empty();
            rest.extend_from_slice(&chunk);
            let mut start = 0;
            while let Some(length) = line_length(&rest[start..], is_last) {
                let line = &rest[start..start + length];
                let place = StoredResult {
                    file: Arc::clone(&file),
                    offset: offset + start as u64,
                    length,
                    earlier: job.earlier,
                };
                start += length;
                let Some((key, answer)) =
                    result_line::read(line, self.model.encoder.dialect, &self.model.api.shown)
                else {
                    continue;
                };
                named += 1;
                if self.asked.get(&key) != Some(&job.batch.number) {
                    continue;
                }
                read += 1;
                self.asked.remove(&key);
                match self.waiting.remove(&key) {
                    Some(waiting) => drop(waiting.send(self.finalize(&place, answer))),
                    None => {
                        left += 1;
                        self.unclaimed.insert(key, place);
                    }
                }
            }
            if start == 0 && rest.len() > LONGEST_LINE {
                // Not an answer; reading resumes after the next line end.
                start = rest.len();
            }
            rest.drain(..start);
            offset += start as u64;
            if is_last {
                break;
            }
        }
        match left {
            0 => self.files.remove(file.to_string()).await?,
            left => drop(self.left.insert(file, left)),
        }
        Ok((read, named))
    }

    /// Fails the questions of a batch that have no result.
    fn fail_missing(&mut self, batch: &OpenBatch, lines: &HashMap<usize, Failure>, others: &Failure) {
        for (line, key) in batch.questions.iter().enumerate() {
            let Some(key) = key else { continue };
            if self.asked.get(key) != Some(&batch.number) {
                continue;
            }
            self.asked.remove(key);
            if let Some(waiting) = self.waiting.remove(key) {
                let failure = lines.get(&line).unwrap_or(others).clone();
                let _ = waiting.send(Err(self.model.api.redact(failure)));
            }
        }
    }

    /// Delivers an answer that arrived before its question.
    pub(super) async fn deliver(
        &mut self,
        found: StoredResult,
        answer: oneshot::Sender<BatchAnswer>,
    ) -> Result<(), StorageError> {
        let bytes = self.files.read(found.file.to_string(), found.offset, found.length).await?;
        let read = result_line::read(&bytes, self.model.encoder.dialect, &self.model.api.shown);
        let read = read.map_or_else(|| Err(result_line::missing("unreadable")), |(_, read)| read);
        let _ = answer.send(self.finalize(&found, read));
        if let Some(left) = self.left.get_mut(&found.file) {
            *left -= 1;
            if *left == 0 {
                self.left.remove(&found.file);
                self.files.remove(found.file.to_string()).await?;
            }
        }
        Ok(())
    }

    /// Prepares an answer for delivery. What stopped an earlier start is either repaired, or found again by asking
    /// again.
    fn finalize(&self, place: &StoredResult, answer: BatchAnswer) -> BatchAnswer {
        let failure = match answer {
            Ok(completion) => return Ok(completion),
            Err(failure) => self.model.api.redact(failure),
        };
        let failure = Failure { earlier: place.earlier, ..failure };
        let mended = place.earlier && failure.verdict == Verdict::Fatal;
        Err(if mended { Failure { verdict: Verdict::Retry, ..failure } } else { failure })
    }
}

/// Returns the length of the first line including its line end, which the last line of a file does not need.
fn line_length(bytes: &[u8], is_last: bool) -> Option<usize> {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => Some(end + 1),
        None => (is_last && !bytes.is_empty()).then_some(bytes.len()),
    }
}
