//! A `repeat`: the block's stages run in passes over one record.

use std::sync::Arc;

use serde_json::json;

use super::{ShadowedFields, rename_draws};
use crate::engine::event::{Halt, InFlightRecord};
use crate::engine::execute::{BuiltStage, ChildRecord, Executor, StageOutcome};
use crate::engine::record_end::{RecordEnd, Rejection};
use crate::record::{Provenance, Record, RecordId};
use crate::stage::{OnFail, RepeatBlock, StageError};

/// The field that holds the number of the pass.
const REPEAT: &str = "repeat";
/// The field that holds the record's fields as they were before the pass.
const PREVIOUS: &str = "previous";

/// One record in a `repeat`.
pub(super) struct RepeatRun<'a> {
    pub(super) stage: &'a BuiltStage,
    pub(super) stages: &'a [BuiltStage],
    pub(super) repeat: &'a dyn RepeatBlock,
    pub(super) executor: &'a Executor,
}

/// How one pass ended.
enum PassOutcome {
    Completed,
    Failed(RecordEnd),
    Halted(Halt),
}

impl RepeatRun<'_> {
    pub(super) async fn run(&self, record: &mut InFlightRecord) -> StageOutcome {
        let name = self.stage.name();
        let outer_id = record.record.id.clone();
        // The number of passes may depend on the record's place in an outer block.
        let times = match self.repeat.times(&record.record) {
            Ok(times) => times,
            Err(error) => return self.stage.reject(error),
        };
        let outer = ShadowedFields::take(&mut record.record, &[REPEAT, PREVIOUS]);
        let mut versions = Vec::new();
        if self.repeat.keeps_all() {
            versions.push(version(record, outer_id.pass(&name, 0), 0, None));
        }
        for pass in 1..=times {
            match self.repeat.should_continue(&record.record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return self.stage.reject(error),
            }
            // Cloned only where a failed pass has to be undone.
            let before = (self.repeat.on_fail() != OnFail::End).then(|| record.record.fields.clone());
            match self.pass(record, outer_id.pass(&name, pass), pass).await {
                PassOutcome::Completed => {
                    if self.repeat.keeps_all() {
                        let parent =
                            versions.last().map(|parent: &ChildRecord| parent.record.record.id.to_string());
                        versions.push(version(record, outer_id.pass(&name, pass), pass, parent));
                    }
                }
                PassOutcome::Halted(halt) => return StageOutcome::Halted(halt),
                PassOutcome::Failed(end) => match self.repeat.on_fail() {
                    OnFail::End => return StageOutcome::Ended(end),
                    skip_or_stop => {
                        self.stage.metrics.count_skipped();
                        let skipped = end.skipped(&record.record.id);
                        record.record.provenance.skipped.push(skipped);
                        record.record.fields = before.unwrap_or_default();
                        if skip_or_stop == OnFail::Stop {
                            break;
                        }
                    }
                },
            }
        }
        if self.repeat.keeps_all() {
            // No version was made after the last passes that failed: the one that they began with tells of them.
            if let Some(last) = versions.last_mut() {
                last.record.record.provenance.skipped.clone_from(&record.record.provenance.skipped);
            }
            versions.iter_mut().for_each(|version| outer.restore(&mut version.record.record));
            versions[0].record.lines = std::mem::take(&mut record.lines);
            return StageOutcome::Split(versions);
        }
        record.record.id = outer_id;
        outer.restore(&mut record.record);
        StageOutcome::Passed
    }

    /// Runs one pass over the record, which has the pass's id afterwards. Removes the fields that exist inside only.
    async fn pass(&self, record: &mut InFlightRecord, id: RecordId, pass: u32) -> PassOutcome {
        record.record.id = id;
        let previous = record.record.fields.clone();
        record.record.set(PREVIOUS, previous);
        record.record.set(REPEAT, json!({ "pass": pass }));
        self.keep_draws(&mut record.record.provenance, pass);
        // If anything panics meanwhile, the placeholder still has the record's id.
        let placeholder = InFlightRecord {
            record: Record { id: record.record.id.clone(), ..Record::default() },
            ..InFlightRecord::default()
        };
        let inner = std::mem::replace(record, placeholder);
        let mut children = match self.executor.execute_all(self.stages, inner).await {
            Ok(children) => children,
            Err(halt) => return PassOutcome::Halted(halt),
        };
        // Stages that split a record are refused in a `repeat` when the pipeline is loaded.
        let (Some(only), true) = (children.pop(), children.is_empty()) else {
            let error = StageError::new("repeat", "a pass made more than one record");
            let rejection = Rejection::new(Arc::clone(&self.stage.path), error);
            return PassOutcome::Failed(RecordEnd::Rejected(rejection));
        };
        *record = only.record;
        record.record.fields.shift_remove(PREVIOUS);
        record.record.fields.shift_remove(REPEAT);
        match only.end {
            None => PassOutcome::Completed,
            Some(end) => PassOutcome::Failed(end),
        }
    }

    /// Renames the draws of the pass before, so that this pass does not replace them. Draws of the last pass keep the
    /// paths of their stages.
    fn keep_draws(&self, provenance: &mut Provenance, pass: u32) {
        let last = pass - 1;
        rename_draws(provenance, &self.stage.path, &format!("{}-{last}", self.stage.path));
    }
}

/// One of the records that `keep: all` emits.
fn version(record: &InFlightRecord, id: RecordId, pass: u32, parent: Option<String>) -> ChildRecord {
    let mut version = record.record.clone();
    version.id = id;
    version.set("pass", pass);
    version.set("parent", parent);
    ChildRecord { record: record.sibling(version), end: None }
}
