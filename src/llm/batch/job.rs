//! One batch, from upload to results: its file goes up, the provider works on it, its results come down.
//!
//! Started by `scheduler` for each batch that was collected, and at a start for each that an earlier one left with the
//! provider. Each step is recorded before the next one, so a job can be interrupted anywhere and resumed by another
//! process. `scheduler` delivers the answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio::time::Instant;
use tracing::{info, warn};

use super::api::ApiError;
use super::buffer::spool;
use super::events::{BatchEvent, OpenBatch};
use super::files::BatchFiles;
use super::info::{BatchInfo, FileInfo, LineError};
use super::submit::SubmitError;
use super::{Batch, BatchFigures, NOT_PROCESSED};
use crate::journal::StorageError;
use crate::llm::classify::{self, Failure, Verdict, clean};

/// The longest wait for a provider whose queue is full of our questions.
const MAX_WAIT: Duration = Duration::from_mins(15);

/// How often a batch that finds no room is created again while the provider has no other batch of ours.
const MAX_ROOM_TRIES: u32 = 5;
/// How long a provider that was reachable may be unreachable.
const MAX_OUTAGE: Duration = Duration::from_hours(6);
/// How often incomplete results are fetched again.
const MAX_FETCHES: u32 = 10;

/// A batch that is being processed.
pub(super) struct BatchJob {
    pub(super) batch: OpenBatch,
    /// The size of its file in bytes; zero if an earlier start uploaded it.
    pub(super) bytes: u64,
    /// Whether an earlier start left it with the provider.
    pub(super) earlier: bool,
}

/// How a job ended.
pub(super) enum JobOutcome {
    /// The provider has finished it: the files of its results, and its final state. If the provider claims more results
    /// than it has, the failure of the missing ones.
    Results { files: Vec<String>, state: String, incomplete: Option<Failure> },
    /// Nothing of it was processed. The lines that are to blame (from 0) fail; the others are sent again.
    Refused { lines: HashMap<usize, Failure>, others: Failure },
}

impl BatchJob {
    pub(super) async fn run(
        &mut self,
        model: &Batch,
        files: &Arc<BatchFiles>,
    ) -> Result<JobOutcome, ApiError> {
        if self.batch.batch.is_none() {
            match self.earlier {
                true => {
                    if let Some(outcome) = self.find_batch(model, files).await? {
                        return Ok(outcome);
                    }
                }
                false => {
                    self.upload(model, files).await?;
                    self.submit(model, files).await?;
                }
            }
        }
        let (mut wait, mut tries) = (model.poll(), 0);
        loop {
            let info = self.wait(model).await?;
            let has_results = info.output_file.is_some() || info.error_file.is_some();
            match &*info.status {
                "failed" if info.has_no_room() && !has_results => {
                    tries += 1;
                    if tries >= MAX_ROOM_TRIES && !model.active.others_submitted(self.batch.number) {
                        return Err(too_large(&info).into());
                    }
                    warn!(model = model.name, "{}; waiting for room", info.failure_reason());
                    files.record(BatchEvent::Unmade { number: self.batch.number }).await?;
                    self.batch.batch = None;
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(MAX_WAIT);
                    self.submit(model, files).await?;
                }
                "failed" if !has_results => return self.refused(model, files, &info).await,
                _ => return self.fetch(model, files, info).await,
            }
        }
    }

    async fn upload(&mut self, model: &Batch, files: &Arc<BatchFiles>) -> Result<(), ApiError> {
        let number = self.batch.number;
        self.show(model, "uploading", None);
        let name = spool(number);
        let FileInfo { id, created_at } =
            model.api.upload(files, &name, self.bytes).await.map_err(no_batches)?;
        files.record(BatchEvent::Uploaded { number, file: id.clone(), at: created_at }).await?;
        self.batch.file = Some((id, created_at));
        Ok(files.remove(name).await?)
    }

    /// Creates the batch from the file, and records it; a drain waits for both.
    async fn submit(&mut self, model: &Batch, files: &Arc<BatchFiles>) -> Result<(), ApiError> {
        let _submission = model.submissions.begin();
        match model.api.create(&self.file()).await {
            Ok(made) => self.record_created(model, files, made).await,
            Err(SubmitError { failure, certain }) => {
                if certain {
                    files.record(BatchEvent::Void { number: self.batch.number }).await?;
                }
                Err(fatal(failure).into())
            }
        }
    }

    /// Finds the batch that an earlier start may have created. If there is none, its questions are collected again:
    /// some may be answered by now, and the file may be gone.
    async fn find_batch(
        &mut self,
        model: &Batch,
        files: &Arc<BatchFiles>,
    ) -> Result<Option<JobOutcome>, ApiError> {
        let found = model.api.find_batch(&self.file()).await;
        if let Some(found) = found.map_err(|failure| self.stuck(fatal(failure), model))? {
            self.record_created(model, files, found).await?;
            return Ok(None);
        }
        files.record(BatchEvent::Void { number: self.batch.number }).await?;
        let others = Failure::new(Verdict::Retry, NOT_PROCESSED, "the batch was never made");
        Ok(Some(JobOutcome::Refused { lines: HashMap::new(), others }))
    }

    async fn record_created(
        &mut self,
        model: &Batch,
        files: &Arc<BatchFiles>,
        made: BatchInfo,
    ) -> Result<(), ApiError> {
        let number = self.batch.number;
        files.record(BatchEvent::Submitted { number, batch: made.id.clone() }).await?;
        let questions = self.batch.questions.len();
        info!(
            model = model.name,
            "batch {number} of {questions} questions is with the provider: `{}`", made.id
        );
        self.batch.batch = Some(made.id);
        Ok(())
    }

    fn file(&self) -> FileInfo {
        let (id, created_at) = self.batch.file.clone().unwrap_or_default();
        FileInfo { id, created_at }
    }

    /// Polls the batch until the provider has finished it. A provider may be unreachable for hours.
    async fn wait(&self, model: &Batch) -> Result<BatchInfo, ApiError> {
        let id = self.batch.batch.clone().unwrap_or_default();
        let mut seen: Option<Instant> = None;
        let mut warned = false;
        loop {
            match model.api.retrieve(&id).await {
                Ok(info) => {
                    seen = Some(Instant::now());
                    if !warned && !info.is_known() {
                        warned = true;
                        let state = clean(&info.status);
                        warn!(
                            model = model.name,
                            "batch `{id}` is `{state}`, which may mean anything; waiting on"
                        );
                    }
                    self.show(model, &info.status, Some(&info));
                    if info.has_ended() {
                        return Ok(info);
                    }
                }
                Err(failure)
                    if failure.blames_endpoint() && seen.is_some_and(|seen| seen.elapsed() < MAX_OUTAGE) =>
                {
                    warn!(model = model.name, "batch `{id}` cannot be looked at: {}", failure.message);
                }
                Err(failure) => return Err(self.stuck(fatal(failure), model).into()),
            }
            tokio::time::sleep(model.poll()).await;
        }
    }

    /// Fetches the answers and the failures, which may lag behind the batch's status.
    async fn fetch(
        &self,
        model: &Batch,
        files: &Arc<BatchFiles>,
        mut info: BatchInfo,
    ) -> Result<JobOutcome, ApiError> {
        let mut looks = 0;
        loop {
            let answers = self.file_of(model, files, &info.output_file, "answers").await?;
            let failures = self.file_of(model, files, &info.error_file, "failures").await?;
            let count = |file: &Option<(String, u64)>| file.as_ref().map_or(0, |(_, lines)| *lines);
            let nothing = info.status == "completed" && count(&answers) + count(&failures) == 0;
            let lacks = nothing || info.lacks(count(&answers));
            looks += 1;
            if lacks && looks < MAX_FETCHES {
                tokio::time::sleep(model.poll()).await;
                info = self.wait(model).await?;
                continue;
            }
            let incomplete = lacks.then(|| self.incomplete(&info, count(&answers), model));
            let files = [answers, failures].into_iter().flatten().map(|(name, _)| name).collect();
            return Ok(JobOutcome::Results { files, state: info.status, incomplete });
        }
    }

    fn incomplete(&self, info: &BatchInfo, answers: u64, model: &Batch) -> Failure {
        let message = format!(
            "the batch `{}` says that it has {} answers, but gives {answers}; what it gave is kept",
            info.id, info.completed
        );
        self.stuck(Failure::new(Verdict::Fatal, "batch_incomplete", message), model)
    }

    /// The failure of results in which no line names a question.
    pub(super) fn unreadable(&self, model: &Batch) -> Failure {
        let id = self.batch.batch.clone().unwrap_or_default();
        let message = format!("the results of the batch `{id}` name none of its questions");
        self.stuck(Failure::new(Verdict::Fatal, "batch_incomplete", message), model)
    }

    /// Fetches a file of results. Returns its local name and number of lines, or none if the provider does not have it.
    async fn file_of(
        &self,
        model: &Batch,
        files: &Arc<BatchFiles>,
        id: &Option<String>,
        kind: &str,
    ) -> Result<Option<(String, u64)>, ApiError> {
        let Some(id) = id else { return Ok(None) };
        let name = format!("{:06}.{kind}.jsonl", self.batch.number);
        match model.api.download(id, files, &name).await {
            Ok(lines) => Ok(Some((name, lines))),
            Err(ApiError::Failure(failure)) if failure.class == "not_found" => {
                warn!(model = model.name, "the provider does not give the {kind}: {}", failure.message);
                Ok(None)
            }
            Err(ApiError::Failure(failure)) => Err(self.stuck(fatal(failure), model).into()),
            Err(storage) => Err(storage),
        }
    }

    /// Handles a batch that was refused as a whole.
    async fn refused(
        &self,
        model: &Batch,
        files: &Arc<BatchFiles>,
        info: &BatchInfo,
    ) -> Result<JobOutcome, ApiError> {
        files.record(BatchEvent::Void { number: self.batch.number }).await?;
        let mut lines = HashMap::new();
        for error in &info.errors {
            let failure = model.api.redact(line_failure(error));
            if failure.verdict == Verdict::Fatal && !self.earlier {
                // An unknown model, for example: the line that it is reported for is not to blame.
                return Err(Failure { message: info.failure_reason(), ..failure }.into());
            }
            let line = error.line.and_then(|line| usize::try_from(line).ok()?.checked_sub(1));
            if let (Some(line), Verdict::RejectRecord) = (line, failure.verdict) {
                lines.insert(line, failure);
            }
        }
        if lines.is_empty() && !self.earlier {
            return Err(Failure::new(Verdict::Fatal, "batch_failed", info.failure_reason()).into());
        }
        Ok(JobOutcome::Refused {
            lines,
            others: Failure::new(Verdict::Retry, NOT_PROCESSED, info.failure_reason()),
        })
    }

    /// Adds to a failure what to do if the next start would fail in the same way.
    fn stuck(&self, failure: Failure, model: &Batch) -> Failure {
        let Failure { message, .. } = failure;
        let message = format!(
            "{message}\nhint: its answers are taken once that is mended; `--set models.{}.batch.give_up=[{}]` asks \
             its questions anew, at their price",
            model.name, self.batch.number
        );
        Failure { message, ..failure }
    }

    fn show(&self, model: &Batch, state: &str, info: Option<&BatchInfo>) {
        let (answered, failed) = info.map(|info| (info.completed, info.failed)).unwrap_or_default();
        model.active.update(BatchFigures {
            number: self.batch.number,
            id: self.batch.batch.clone(),
            state: state.to_owned(),
            questions: self.batch.questions.len() as u64,
            answered,
            failed,
        });
    }
}

/// Makes a failure of the whole batch fatal: no record is to blame, and the run stops and can be resumed.
fn fatal(failure: Failure) -> Failure {
    Failure { verdict: Verdict::Fatal, ..failure }
}

/// Does the same for the first call, which a server without a batch API does not know.
fn no_batches(trouble: ApiError) -> ApiError {
    let ApiError::Failure(failure) = trouble else { return trouble };
    let message = match &*failure.class {
        "not_found" => {
            format!("{}; a server without a batch API is asked with `mode: direct`", failure.message)
        }
        _ => failure.message,
    };
    ApiError::Failure(Failure { verdict: Verdict::Fatal, message, ..failure })
}

/// The failure of a batch that has no room although the provider has no other batch of ours.
fn too_large(info: &BatchInfo) -> Failure {
    let message = format!(
        "{}\nhint: nothing else is waiting there, so the batch itself is too large: lower `batch.requests`",
        info.failure_reason()
    );
    Failure::new(Verdict::Fatal, "batch_too_large", message)
}

/// Classifies the provider's error for a line like the refusal of a single request.
fn line_failure(error: &LineError) -> Failure {
    let body = serde_json::json!({"error": {"code": error.code, "message": error.message}});
    let (status, headers) = (StatusCode::BAD_REQUEST, HeaderMap::new());
    let failure = classify::response(status, &headers, body.to_string().as_bytes(), "the provider");
    let class = if failure.class == "status_400" { "batch_line".to_owned() } else { failure.class };
    Failure { class, message: format!("the provider refuses the question: {}", error.message), ..failure }
}

/// Separates storage errors, which are returned as such.
pub(super) fn into_storage(trouble: ApiError) -> Result<Failure, StorageError> {
    match trouble {
        ApiError::Storage(error) => Err(error),
        ApiError::Failure(failure) => Ok(failure),
    }
}
