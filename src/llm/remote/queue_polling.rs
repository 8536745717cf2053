//! Polls the queues of servers that report them, so that `endpoints` can adapt the concurrency.
//!
//! The background task of `remote` for a model with `concurrency: auto`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::Remote;
use crate::llm::endpoints::read_queue;
use crate::llm::http::{self, CONNECT_TIMEOUT};

/// The interval at which a server's queue is polled.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often a server that has not reported its queue yet is polled: it may still be starting.
const MAX_TRIES: usize = 30;

impl Remote {
    /// Polls the queue of each endpoint; one that does not report it is not polled again.
    pub(super) async fn watch_queues(self: Arc<Self>) {
        let mut urls: Vec<Option<Url>> = self.endpoints.queues().into_iter().map(Some).collect();
        let mut silent = 0;
        while urls.iter().any(Option::is_some) {
            for (index, slot) in urls.iter_mut().enumerate() {
                let Some(url) = slot else { continue };
                match self.fetch_queue(url).await {
                    Some((running, waiting)) => {
                        silent = 0;
                        self.endpoints.note_queue(index, running, waiting);
                    }
                    None if silent < MAX_TRIES * self.endpoints.len() => silent += 1,
                    None => {
                        *slot = None;
                        self.endpoints.forget_queue(index);
                    }
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn fetch_queue(&self, url: &Url) -> Option<(f64, f64)> {
        let request = self.http.get(url.clone()).timeout(CONNECT_TIMEOUT);
        let response = request.send().await.ok().filter(|response| response.status().is_success())?;
        let text = http::body(response, "").await.ok()?;
        read_queue(&String::from_utf8_lossy(&text))
    }
}
