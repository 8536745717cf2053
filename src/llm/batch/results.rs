//! Gives out what a batch brought: reads its files line by line, and says what becomes of the questions that no
//! line is for.
//!
//! Part of `scheduler`, which owns who waits. An answer whose question has not come yet stays in its file.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::api::ApiError;
use super::events::OpenBatch;
use super::job::{BatchJob, JobOutcome, into_storage};
use super::result_line;
use super::scheduler::{Answer, BatchScheduler};
use crate::journal::StorageError;
use crate::llm::classify::{Failure, Verdict};

/// Bytes of a file of results that are read at a time.
const CHUNK: usize = 1 << 20;
/// A longer line is no answer.
const LONGEST_LINE: usize = 16 << 20;

/// Where an answer stands.
pub(super) struct StoredResult {
    file: Arc<str>,
    offset: u64,
    length: usize,
    earlier: bool,
}

impl BatchScheduler {
    /// Gives out what a batch brought.
    pub(super) async fn unpack(
        &mut self,
        job: BatchJob,
        outcome: Result<JobOutcome, ApiError>,
    ) -> Result<(), StorageError> {
        let number = job.batch.number;
        self.model.board.take_off(number);
        match outcome {
            Ok(JobOutcome::Results { files, state, lacking }) => {
                let begin = Instant::now();
                let (mut read, mut named, any) = (0, 0, !files.is_empty());
                for file in files {
                    let (of_ours, in_all) = self.unpack_file(file, &job).await?;
                    read += of_ours;
                    named += in_all;
                }
                let unreadable = any && named == 0;
                if let Some(failure) = lacking.or_else(|| unreadable.then(|| job.unreadable(&self.model))) {
                    warn!(model = self.model.name, "{}", failure.message);
                    let open = job.batch.questions.iter().flatten();
                    let open = open.filter(|key| self.asked.get(*key) == Some(&number));
                    self.stuck.extend(open.filter_map(|key| self.waiting.remove(key)));
                    self.lacking.insert(number, failure);
                    return Ok(());
                }
                info!(
                    model = self.model.name,
                    "batch {number} is `{state}`: {read} of its questions have a line, read in {:?}",
                    begin.elapsed()
                );
                let missing = result_line::missing(&state);
                self.give_up_rest(&job.batch, &HashMap::new(), &missing);
                if state == "cancelled" && !job.earlier {
                    let message = format!(
                        "the batch `{}` was cancelled at the provider; what it had answered is kept",
                        job.batch.batch.unwrap_or_default()
                    );
                    self.stop(Failure::new(Verdict::Fatal, "batch_cancelled", message));
                }
            }
            Ok(JobOutcome::Refused { lines, others }) => self.give_up_rest(&job.batch, &lines, &others),
            Err(trouble) => {
                let failure = into_storage(trouble)?;
                self.stop(failure);
            }
        }
        Ok(())
    }

    /// Reads one file of results; gives the number of lines that are for a question still open, and of those
    /// that name a question at all.
    async fn unpack_file(&mut self, name: String, job: &BatchJob) -> Result<(u64, u64), StorageError> {
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
                    result_line::read(line, self.model.asked.dialect, &self.model.api.shown)
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
                    Some(waiting) => drop(waiting.send(self.judged(&place, answer))),
                    None => {
                        left += 1;
                        self.found.insert(key, place);
                    }
                }
            }
            if start == 0 && rest.len() > LONGEST_LINE {
                // No answer; what follows it is found again at the next line's end.
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

    /// The questions of a batch that it brought nothing for.
    fn give_up_rest(&mut self, batch: &OpenBatch, lines: &HashMap<usize, Failure>, others: &Failure) {
        for (line, key) in batch.questions.iter().enumerate() {
            let Some(key) = key else { continue };
            if self.asked.get(key) != Some(&batch.number) {
                continue;
            }
            self.asked.remove(key);
            if let Some(waiting) = self.waiting.remove(key) {
                let failure = lines.get(&line).unwrap_or(others).clone();
                let _ = waiting.send(Err(self.model.api.told(failure)));
            }
        }
    }

    /// Gives out an answer that had come before its question.
    pub(super) async fn hand_out(
        &mut self,
        found: StoredResult,
        answer: oneshot::Sender<Answer>,
    ) -> Result<(), StorageError> {
        let bytes = self.files.read(found.file.to_string(), found.offset, found.length).await?;
        let read = result_line::read(&bytes, self.model.asked.dialect, &self.model.api.shown);
        let read = read.map_or_else(|| Err(result_line::missing("unreadable")), |(_, read)| read);
        let _ = answer.send(self.judged(&found, read));
        if let Some(left) = self.left.get_mut(&found.file) {
            *left -= 1;
            if *left == 0 {
                self.left.remove(&found.file);
                self.files.remove(found.file.to_string()).await?;
            }
        }
        Ok(())
    }

    /// The answer as it is given out. What stopped an earlier start has been mended, or is found again by
    /// asking again.
    fn judged(&self, place: &StoredResult, answer: Answer) -> Answer {
        let failure = match answer {
            Ok(completion) => return Ok(completion),
            Err(failure) => self.model.api.told(failure),
        };
        let failure = Failure { earlier: place.earlier, ..failure };
        let mended = place.earlier && failure.verdict == Verdict::Fatal;
        Err(if mended { Failure { verdict: Verdict::Retry, ..failure } } else { failure })
    }
}

/// The length of the first line with its end; at the end of a file the last line needs none.
fn line_length(bytes: &[u8], is_last: bool) -> Option<usize> {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => Some(end + 1),
        None => (is_last && !bytes.is_empty()).then_some(bytes.len()),
    }
}
