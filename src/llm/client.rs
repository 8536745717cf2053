//! A model with its concurrency limit, shared by all stages that ask it.
//!
//! The engine acquires a permit and holds it while a request is in flight. Every stage that asks a model, nested or
//! not, shares its permits, so the server never sees more than `concurrency` requests at once.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Model;

/// A connected model and its concurrency limit.
pub struct Client {
    model: Arc<dyn Model>,
    permits: Arc<Semaphore>,
    concurrency: u32,
}

/// Permission for one request to a model; released on drop.
#[derive(Debug)]
pub struct ModelPermit(#[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>);

impl Client {
    /// Creates a client with this concurrency, at least 1.
    #[must_use]
    pub fn new(model: Arc<dyn Model>, concurrency: u32) -> Self {
        let concurrency = concurrency.max(1);
        Self { model, permits: Arc::new(Semaphore::new(concurrency as usize)), concurrency }
    }

    /// Returns the most requests that the model gets at a time.
    #[must_use]
    pub fn concurrency(&self) -> u32 {
        self.concurrency
    }

    /// Waits for a permit, in FIFO order.
    pub async fn acquire(&self) -> ModelPermit {
        // The semaphore is never closed.
        ModelPermit(Arc::clone(&self.permits).acquire_owned().await.ok())
    }

    /// Returns the model itself.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn Model> {
        &self.model
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("concurrency", &self.concurrency).finish_non_exhaustive()
    }
}

impl Deref for Client {
    type Target = dyn Model;

    fn deref(&self) -> &Self::Target {
        &*self.model
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::heuristic::Heuristic;

    #[test]
    fn permits_are_limited_and_released_on_drop() {
        let client = Client::new(Arc::new(Heuristic::default()), 2);
        let first = client.acquire().now_or_never().unwrap();
        let second = client.acquire().now_or_never().unwrap();
        assert!(client.acquire().now_or_never().is_none());
        drop(first);
        assert!(client.acquire().now_or_never().is_some());
        drop(second);
        assert_eq!(Client::new(Arc::new(Heuristic::default()), 0).concurrency(), 1);
    }
}
