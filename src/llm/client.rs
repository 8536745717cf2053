//! A model with its room: how many questions are with it at a time, whoever asks them.
//!
//! The engine asks for a place and keeps it while a question is out. Every stage that asks a model, nested or not,
//! shares its places; so the server never sees more than `concurrency` at once.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Model;

/// A connected model and the places for questions to it.
pub struct Client {
    model: Arc<dyn Model>,
    places: Arc<Semaphore>,
    count: u32,
}

/// Room for one question at a model; given back when it is dropped.
#[derive(Debug)]
pub struct ModelPermit(#[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>);

impl Client {
    /// A client with so many places, one at least.
    #[must_use]
    pub fn new(model: Arc<dyn Model>, places: u32) -> Self {
        let count = places.max(1);
        Self { model, places: Arc::new(Semaphore::new(count as usize)), count }
    }

    /// How many questions are with the model at most.
    #[must_use]
    pub fn concurrency(&self) -> u32 {
        self.count
    }

    /// Waits for a place, in the order of the calls.
    pub async fn acquire(&self) -> ModelPermit {
        // The semaphore is never closed.
        ModelPermit(Arc::clone(&self.places).acquire_owned().await.ok())
    }

    /// The model itself.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn Model> {
        &self.model
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("count", &self.count).finish_non_exhaustive()
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
    fn places_are_as_many_as_told_and_come_back() {
        let client = Client::new(Arc::new(Heuristic), 2);
        let first = client.acquire().now_or_never().unwrap();
        let second = client.acquire().now_or_never().unwrap();
        assert!(client.acquire().now_or_never().is_none());
        drop(first);
        assert!(client.acquire().now_or_never().is_some());
        drop(second);
        assert_eq!(Client::new(Arc::new(Heuristic), 0).concurrency(), 1);
    }
}
