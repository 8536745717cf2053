//! SIGHUP: the limits of a run in progress are read anew from its pipeline file.
//!
//! Only `limits` and `pools` are taken over; all else of the file counts at the next start, which compares
//! it. A file that is wrong changes nothing.

use tokio::signal::unix::{SignalKind, signal};

use super::run::{self, PipelineRun};
use crate::llm::Pools;

/// Reads the limits anew at each SIGHUP; never ends, unless signals cannot be listened for.
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
