//! How a run is stopped: drain (no new items, wait for what is in flight) and abort (stop waiting).
//!
//! The command line turns signals into these; the engine's tasks only look at the two tokens. Stages do not
//! know of either: they end when their input ends.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// The two ways to stop, shared by every task of a run.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    drain: CancellationToken,
    abort: CancellationToken,
}

impl Stop {
    /// Admits no new item; what is in flight goes on.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Gives up what is in flight; what has ended is still committed.
    pub fn abort(&self) {
        self.drain.cancel();
        self.abort.cancel();
    }

    /// Whether no new item is admitted.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Whether the run gives up what is in flight.
    #[must_use]
    pub fn is_aborting(&self) -> bool {
        self.abort.is_cancelled()
    }

    /// Waits for `drain`.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// What says that no new item is admitted, for those who know nothing of runs.
    pub(super) fn drain_token(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// Waits for `abort`.
    pub async fn aborting(&self) {
        self.abort.cancelled().await;
    }

    /// Turns a drain into an abort once `timeout` has passed.
    pub(super) async fn limit_drain(self, timeout: Duration) {
        self.drain.cancelled().await;
        tokio::time::sleep(timeout).await;
        self.abort();
    }
}
