//! Reloads the limits of a running pipeline on SIGHUP.
//!
//! Only `limits` and `pools` are applied; everything else in the file takes effect at the next start, which
//! compares it. An invalid file changes nothing.

use tokio::signal::unix::{SignalKind, signal};

use super::run::{self, PipelineRun};
use crate::llm::Pools;

/// Reloads the limits at each SIGHUP. Returns only if signals cannot be received.
pub(super) async fn on_hangup(run: &PipelineRun, pools: &Pools) -> anyhow::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    while hangups.recv().await.is_some() {
        match run::load(&run.file, &run.overrides) {
            Ok(plan) => {
                pools.set_limits(&plan.pools, &plan.models);
                tracing::info!("took over the limits of {}", run.file.display());
            }
            Err(error) => tracing::error!("the limits stay as they are: {error}"),
        }
    }
    std::future::pending().await
}
