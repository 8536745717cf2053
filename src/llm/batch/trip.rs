//! The way of one batch: its file goes up, the provider works on it, its results come down.
//!
//! Begun by `desk` for each batch that was gathered, and at a start for each that an earlier one left with the
//! provider. What has happened is noted before the next step, so the trip can be cut off anywhere and be
//! taken up again by another process. Gives no answers out: that is `desk`'s.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::api::Trouble;
use super::info::{BatchInfo, FileInfo, LineError};
use super::tray::spool;
use super::{Batch, BatchFigures};
use crate::journal::{BatchEvent, BatchFiles, OpenBatch, StorageError};
use crate::llm::classify::{self, Failure, Verdict};

/// The longest wait for a provider that has too many questions of ours already.
const LONGEST_WAIT: Duration = Duration::from_mins(15);

/// One batch on its way.
pub(super) struct Trip {
    pub(super) batch: OpenBatch,
    /// Bytes of its file; zero when an earlier start sent it.
    pub(super) bytes: u64,
    /// Whether an earlier start left it with the provider.
    pub(super) earlier: bool,
}

/// How a trip ended.
pub(super) enum Outcome {
    /// The provider is done with it: the files of its results, and the state it ended in.
    Results { files: Vec<String>, state: String },
    /// Nothing of it was worked on. The lines that are to blame, from 0 on, fail; the others go again.
    Refused { lines: HashMap<usize, Failure>, others: Failure },
}

impl Trip {
    pub(super) async fn go(&mut self, model: &Batch, files: &Arc<BatchFiles>) -> Result<Outcome, Trouble> {
        let number = self.batch.number;
        if self.batch.file.is_none() {
            self.show(model, "uploading", None);
            let name = spool(number);
            let FileInfo { id, created_at } =
                model.api.upload(files, &name, self.bytes).await.map_err(no_batches)?;
            files.note(BatchEvent::Uploaded { number, file: id.clone(), at: created_at }).await?;
            self.batch.file = Some((id, created_at));
            files.remove(name).await?;
        }
        if self.batch.batch.is_none() {
            let in_doubt = self.earlier;
            self.submit(model, files, in_doubt).await?;
        }
        let mut wait = model.poll();
        loop {
            let info = self.wait(model).await?;
            match &*info.status {
                "failed" if info.has_no_room() => {
                    let message = info.said();
                    warn!(model = model.name, batch = number, "{message}; waiting for room");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                    self.submit(model, files, false).await?;
                }
                "failed" => return self.refused(files, &info).await,
                state => return self.fetch(model, files, &info, state).await,
            }
        }
    }

    /// Has a batch made of the file.
    async fn submit(
        &mut self,
        model: &Batch,
        files: &Arc<BatchFiles>,
        in_doubt: bool,
    ) -> Result<(), Trouble> {
        let number = self.batch.number;
        let (id, created_at) = self.batch.file.clone().unwrap_or_default();
        let made = model.api.create(&FileInfo { id, created_at }, in_doubt).await;
        if let Err(failure) = &made
            && matches!(failure.verdict, Verdict::Fatal | Verdict::Record)
            && !self.earlier
        {
            // There is none, so the next start need not ask.
            files.note(BatchEvent::Void { number }).await?;
        }
        let made = made.map_err(stops)?;
        files.note(BatchEvent::Submitted { number, batch: made.id.clone() }).await?;
        info!(
            model = model.name,
            "batch {number} with {} questions is with the provider as `{}`",
            self.batch.questions.len(),
            made.id
        );
        self.batch.batch = Some(made.id);
        Ok(())
    }

    /// Looks at the batch until the provider is done with it.
    async fn wait(&self, model: &Batch) -> Result<BatchInfo, Trouble> {
        let id = self.batch.batch.clone().unwrap_or_default();
        loop {
            let info = model.api.look(&id).await.map_err(stops)?;
            self.show(model, &info.status, Some(&info));
            if info.has_ended() {
                return Ok(info);
            }
            tokio::time::sleep(model.poll()).await;
        }
    }

    /// Fetches the answers and the failures.
    async fn fetch(
        &self,
        model: &Batch,
        files: &Arc<BatchFiles>,
        info: &BatchInfo,
        state: &str,
    ) -> Result<Outcome, Trouble> {
        let number = self.batch.number;
        let mut fetched = Vec::new();
        for (id, kind) in [(&info.output_file, "answers"), (&info.error_file, "failures")] {
            let Some(id) = id else { continue };
            let name = format!("{number:06}.{kind}.jsonl");
            match model.api.download(id, files, &name).await {
                Ok(()) => fetched.push(name),
                Err(Trouble::Failure(failure)) if failure.class == "not_found" => {
                    files.note(BatchEvent::Void { number }).await?;
                    return Err(gone(info, failure).into());
                }
                Err(Trouble::Failure(failure)) => return Err(stops(failure).into()),
                Err(storage) => return Err(storage),
            }
        }
        Ok(Outcome::Results { files: fetched, state: state.to_owned() })
    }

    /// A batch that was refused whole.
    async fn refused(&self, files: &Arc<BatchFiles>, info: &BatchInfo) -> Result<Outcome, Trouble> {
        files.note(BatchEvent::Void { number: self.batch.number }).await?;
        let message = info.said();
        let lines: HashMap<usize, Failure> = info.errors.iter().filter_map(line_failure).collect();
        if lines.is_empty() && !self.earlier {
            // It would be so again; the words may be those of a used up quota, or an unknown model.
            let judged = classify::error_in_200(&serde_json::json!({"message": message}));
            let class =
                if judged.verdict == Verdict::Fatal { judged.class } else { "batch_failed".to_owned() };
            return Err(Failure::new(Verdict::Fatal, class, message).into());
        }
        Ok(Outcome::Refused { lines, others: Failure::new(Verdict::Retry, "batch_failed", message) })
    }

    fn show(&self, model: &Batch, state: &str, info: Option<&BatchInfo>) {
        let (answered, failed) = info.map(|info| (info.completed, info.failed)).unwrap_or_default();
        model.board.show(BatchFigures {
            number: self.batch.number,
            id: self.batch.batch.clone(),
            state: state.to_owned(),
            questions: self.batch.questions.len() as u64,
            answered,
            failed,
        });
    }
}

/// A failure of the whole batch, which no record is to blame for: the run stops, and can go on.
fn stops(failure: Failure) -> Failure {
    Failure { verdict: Verdict::Fatal, ..failure }
}

/// The same for the first call, which a server without a batch API does not know.
fn no_batches(trouble: Trouble) -> Trouble {
    let Trouble::Failure(failure) = trouble else { return trouble };
    let message = match &*failure.class {
        "not_found" => {
            format!("{}; a server without a batch API is asked with `mode: direct`", failure.message)
        }
        _ => failure.message,
    };
    Trouble::Failure(Failure { verdict: Verdict::Fatal, message, ..failure })
}

/// Results that were waited for too long. Asking again costs money, so it is told first.
fn gone(info: &BatchInfo, failure: Failure) -> Failure {
    let message = format!(
        "the results of the batch `{}` are not with the provider any more; the same command asks again what \
         is missing",
        info.id
    );
    Failure { verdict: Verdict::Fatal, class: "batch_gone".to_owned(), message, ..failure }
}

fn line_failure(error: &LineError) -> Option<(usize, Failure)> {
    let line = usize::try_from(error.line?).ok()?.checked_sub(1)?;
    let message = format!("the provider refuses the question: {}", error.message);
    Some((line, Failure::new(Verdict::Record, "batch_line", message)))
}

/// Storage errors keep their way out.
pub(super) fn into_storage(trouble: Trouble) -> Result<Failure, StorageError> {
    match trouble {
        Trouble::Storage(error) => Err(error),
        Trouble::Failure(failure) => Ok(failure),
    }
}
