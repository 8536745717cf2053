//! Snapshots of a run's figures, from the ledger's state and the stages' counters.

use super::Ledger;
use crate::engine::metrics::ModelFigures;
use crate::engine::status::{RunPhase, RunStatus};
use crate::journal::{CommittedTotals, SINKS};
use crate::llm::{PoolFigures, Tokens};

impl Ledger {
    /// The run's figures, of which `committed` are durable.
    pub(super) fn snapshot(&self, state: RunPhase, committed: &CommittedTotals) -> RunStatus {
        let before = &self.context.before;
        let done_now = committed.ok + committed.dropped + committed.rejected;
        let done_before = before.ok + before.dropped + before.rejected;
        let models = ModelFigures::of(&self.context.stages);
        let lines = |file: usize| committed.lines.get(file).copied().unwrap_or(0);
        let sinks = self.context.sinks.iter().enumerate();
        let total = match (self.context.total, self.context.limit) {
            (Some(total), Some(limit)) => Some(total.min(limit)),
            (total, limit) => total.or(limit),
        };
        // With `accept` the run probably ends before the source does.
        let total = match &self.accept {
            Some(accept) if !self.report.source_ended => {
                let likely = done_before + accept.may_admit();
                Some(total.map_or(likely, |total| total.min(likely)))
            }
            _ => total,
        };
        let estimate = self.context.units.as_ref().zip(self.context.unit_count).map(|(units, all)| {
            estimate(units.iter().map(|items| u64::from(*items)).sum(), units.len() as u64, all)
        });
        let spent = self.context.spending.charged();
        RunStatus {
            state,
            failure: None,
            pipeline: self.context.pipeline.clone(),
            admitted: done_before + self.admitted,
            ok: before.ok + committed.ok,
            dropped: before.dropped + committed.dropped,
            rejected: before.rejected + committed.rejected,
            in_flight: self.admitted - done_now,
            waiting_to_retry: self.context.backlog.waiting(),
            source_failures: self.source_failures,
            source_files: self.context.files.clone(),
            total,
            estimate,
            records: sinks.map(|(index, path)| (path.clone(), lines(SINKS + index))).collect(),
            drops: self.drops.iter().map(|(reason, count)| (reason.to_string(), *count)).collect(),
            rejections: self.rejections.iter().map(|(class, count)| (class.clone(), *count)).collect(),
            requests: models.requests,
            recovered: self.context.answers.counts().0,
            reused: self.context.answers.counts().1,
            re_asks: models.re_asks,
            retries: models.retries,
            cut_off: models.truncated,
            fallbacks: models.fallbacks,
            without_usage: models.without_usage,
            tokens: Tokens {
                prompt: models.prompt_tokens,
                completion: models.completion_tokens,
                cached: models.cached_tokens,
            },
            projected_cost: projected(spent.cost, done_before + done_now, total.or(estimate)),
            spent,
            window: (self.accept.is_some() || !self.gates.is_empty()).then(|| self.window.figures()),
            seconds: self.started.elapsed().as_secs_f64(),
            rate: self.rate(),
            stages: self.context.stages.iter().map(|stage| stage.figures()).collect(),
            endpoints: self.context.models.iter().flat_map(|model| model.health().endpoints).collect(),
            pools: self.pools(),
            batches: self.context.models.iter().flat_map(|model| model.health().batches).collect(),
            start: None,
        }
    }

    /// The quotas, each once even if several models share it.
    fn pools(&self) -> Vec<PoolFigures> {
        let mut pools: Vec<PoolFigures> =
            self.context.models.iter().filter_map(|model| model.health().pool).collect();
        pools.sort_by(|a, b| a.pool.cmp(&b.pool));
        pools.dedup_by(|a, b| a.pool == b.pool);
        pools
    }

    fn rate(&self) -> f64 {
        let (Some((from, less)), Some((to, more))) = (self.recent_ended.front(), self.recent_ended.back())
        else {
            return 0.0;
        };
        let seconds = to.duration_since(*from).as_secs_f64();
        if seconds > 0.0 { (more - less) as f64 / seconds } else { 0.0 }
    }
}

/// The cost of all items, projected from that of the ended ones.
fn projected(cost: f64, ended: u64, total: Option<u64>) -> Option<f64> {
    let total = total.filter(|total| cost > 0.0 && ended > 0 && *total > ended)?;
    Some(cost * total as f64 / ended as f64)
}

/// The estimated number of items in `all` units, if the first `read` of them have `items`.
fn estimate(items: u64, read: u64, all: u64) -> u64 {
    let items = u128::from(items) * u128::from(all.max(read)) / u128::from(read.max(1));
    u64::try_from(items).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{estimate, projected};

    #[test]
    fn the_cost_is_projected_until_all_items_have_ended() {
        let check = |cost: f64, ended: u64, total: Option<u64>, expected: Option<f64>| {
            assert_eq!(projected(cost, ended, total), expected);
        };
        check(2.0, 10, Some(50), Some(10.0));
        check(2.0, 50, Some(50), None);
        check(2.0, 0, Some(50), None);
        check(2.0, 10, None, None);
        check(0.0, 10, Some(50), None);
    }

    #[test]
    fn the_number_of_items_is_estimated_from_the_units_so_far() {
        for ((items, read, all), expected) in [((30, 1, 5), 150), ((100, 5, 5), 100), ((0, 0, 5), 0)] {
            assert_eq!(estimate(items, read, all), expected);
        }
        assert_eq!(estimate(u64::MAX, 1, 5), u64::MAX);
    }
}
