//! How a run is stopped: drain (admit nothing, finish what is in flight) or abort (stop waiting).
//!
//! The command line turns signals into these; the engine's tasks only check the two tokens. Stages know neither: they
//! end when their input ends.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// The two ways to stop a run, shared by all its tasks.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    drain: CancellationToken,
    abort: CancellationToken,
}

impl Stop {
    /// Admits no further item; those in flight continue.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Drops what is in flight; items that have ended are still committed.
    pub fn abort(&self) {
        self.drain.cancel();
        self.abort.cancel();
    }

    /// Whether no further item is admitted.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Whether the run drops what is in flight.
    #[must_use]
    pub fn is_aborting(&self) -> bool {
        self.abort.is_cancelled()
    }

    /// Waits for `drain`.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// The token of the drain, for code that knows nothing of runs.
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
