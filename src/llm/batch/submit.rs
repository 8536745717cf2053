//! Creating a batch: the one call that must not happen twice.
//!
//! `job` records it before and after. When a reply is lost, it is unknown whether the batch was created; the provider's
//! list is searched for a batch of the same file, twice and a while apart, before the call is made again. If it stays
//! unknown, that is reported, and the next start searches again.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::BatchApi;
use super::info::{BatchInfo, FileInfo, NO_ID};
use crate::llm::classify::{Failure, Verdict};

/// How often a batch is created whose outcome stays unknown.
const MAX_SUBMISSIONS: u32 = 3;
/// How long a provider may not know a file that was just uploaded.
const FILE_PROPAGATION: Duration = Duration::from_mins(10);
/// The number of batches on one page of the provider's list.
const PAGE_SIZE: usize = 100;
/// The most pages of the provider's list that are read.
const MAX_PAGES: usize = 100;
/// The seconds by which the times of a file and of its batch may disagree.
const CLOCK_SKEW: i64 = 60;

/// The failure to create a batch.
pub(super) struct SubmitError {
    pub(super) failure: Failure,
    /// Whether it is certain that none was created.
    pub(super) certain: bool,
}

impl BatchApi {
    /// Creates a batch from the file. When a reply is lost, the provider's list shows whether it was created.
    pub(super) async fn create(&self, file: &FileInfo) -> Result<BatchInfo, SubmitError> {
        let begun = Instant::now();
        let (in_doubt, submissions) = (AtomicBool::new(false), AtomicU32::new(0));
        let call = || {
            let (in_doubt, submissions) = (&in_doubt, &submissions);
            async move {
                if in_doubt.load(Relaxed) {
                    if let Some(found) = self.find_settled(file).await? {
                        return Ok(found);
                    }
                    if submissions.load(Relaxed) >= MAX_SUBMISSIONS {
                        let message = "nobody knows whether the batch was made: no reply came, and the \
                                       provider's list does not have it";
                        return Err(Failure::new(Verdict::Fatal, "batch_in_doubt", message));
                    }
                }
                in_doubt.store(true, Relaxed);
                submissions.fetch_add(1, Relaxed);
                let made = self.create_once(file).await;
                if let Err(failure) = &made
                    && was_refused(failure)
                {
                    in_doubt.store(false, Relaxed);
                }
                made.map_err(|failure| match begun.elapsed() < FILE_PROPAGATION {
                    true => file_may_come(failure),
                    false => failure,
                })
            }
            .boxed()
        };
        let made = self.with_retries(call).await;
        made.map_err(|failure| SubmitError { failure, certain: !in_doubt.load(Relaxed) })
    }

    async fn create_once(&self, file: &FileInfo) -> Result<BatchInfo, Failure> {
        let body = json!({
            "input_file_id": file.id,
            "endpoint": self.endpoint,
            "completion_window": self.window,
            // StoredResult again by it where a proxy renames files.
            "metadata": {"synthmill": file.id},
        });
        let request = self.http.post_json(self.batches.clone(), body.to_string().into_bytes());
        BatchInfo::read(&self.json(request, self.http.timeout()).await?)
    }

    /// Returns the batch that was created from a file, according to the provider's list. A batch created a moment ago
    /// may not be listed yet, so `None` takes two searches.
    pub(super) async fn find_batch(&self, file: &FileInfo) -> Result<Option<BatchInfo>, Failure> {
        self.with_retries(|| self.find_settled(file).boxed()).await
    }

    async fn find_settled(&self, file: &FileInfo) -> Result<Option<BatchInfo>, Failure> {
        if let Some(found) = self.find(file).await? {
            return Ok(Some(found));
        }
        tokio::time::sleep(self.settle).await;
        self.find(file).await
    }

    async fn find(&self, file: &FileInfo) -> Result<Option<BatchInfo>, Failure> {
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut url = self.batches.clone();
            url.query_pairs_mut().append_pair("limit", &PAGE_SIZE.to_string());
            if let Some(after) = &after {
                url.query_pairs_mut().append_pair("after", after);
            }
            let page = self.json(self.http.get(url), self.http.timeout()).await.map_err(no_list)?;
            let Some(batches) = page.get("data").and_then(Value::as_array) else {
                let message = format!("`{}` does not list its batches", self.shown);
                return Err(no_list(Failure::new(Verdict::Fatal, "not_json", message)));
            };
            let batches: Vec<BatchInfo> =
                batches.iter().filter_map(|batch| BatchInfo::read(batch).ok()).collect();
            let last = batches.last().map(|batch| (batch.id.clone(), batch.created_at));
            if let Some(found) = batches.into_iter().find(|batch| batch.is_of(file)) {
                return Ok(Some(found));
            }
            let has_more = page.get("has_more").and_then(Value::as_bool).unwrap_or_default();
            // The list begins with the newest; if it has times, batches older than the file are other ones.
            match last {
                Some((id, at))
                    if has_more
                        && after.as_ref() != Some(&id)
                        && (at == 0 || file.created_at == 0 || at + CLOCK_SKEW >= file.created_at) =>
                {
                    after = Some(id);
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// Whether it is certain that no batch was created.
fn was_refused(failure: &Failure) -> bool {
    // A reply without an id does not say what was created.
    (matches!(failure.verdict, Verdict::Fatal | Verdict::RejectRecord) && failure.class != NO_ID)
        || matches!(&*failure.class, "unreachable" | "rate_limited")
}

/// A file that was just uploaded may take a while to be known throughout the provider.
fn file_may_come(failure: Failure) -> Failure {
    let is_file = failure.verdict == Verdict::RejectRecord && failure.message.to_lowercase().contains("file");
    match is_file {
        true => Failure { verdict: Verdict::Throttled, ..failure },
        false => failure,
    }
}

/// With a provider that cannot list its batches, it is unknown whether one was created.
fn no_list(failure: Failure) -> Failure {
    if !matches!(failure.verdict, Verdict::Fatal | Verdict::RejectRecord) {
        return failure;
    }
    let message = format!("cannot tell whether the last batch was made: {}", failure.message);
    Failure { verdict: Verdict::Fatal, message, ..failure }
}
