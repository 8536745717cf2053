//! How a record goes through the stages of a block: in passes (`repeat`), or an element each (`for_each`).
//!
//! A block runs as one future a record, inside its stage. What it decides stands in `stages/repeat.rs` and
//! `stages/for_each.rs`; ids, fields that are there inside, what a failure means and the joining are here.

use futures::StreamExt;
use futures::stream;
use serde_json::{Map, Value, json};

use super::event::{Halt, InFlightRecord};
use super::execute::{BuiltStage, ChildRecord, Executor, RecordEnd, StageOutcome};
use crate::record::{Provenance, Record, RecordId};
use crate::stage::{Collect, ForEachBlock, OnFail, RepeatBlock, StageError};

/// The field that tells the pass, inside a `repeat`.
const REPEAT: &str = "repeat";
/// The fields as a pass began, inside a `repeat`.
const PREVIOUS: &str = "previous";
/// The field that tells which element it is, inside a `for_each`.
const FOR_EACH: &str = "for_each";

/// The stages of a block, and how a record goes through them.
pub(crate) struct Block {
    pub(crate) stages: Vec<BuiltStage>,
    pub(crate) kind: BlockKind,
}

pub(crate) enum BlockKind {
    Repeat(Box<dyn RepeatBlock>),
    ForEach(Box<dyn ForEachBlock>),
}

impl Block {
    /// Brings a record through; `stage` is the block's own.
    pub(crate) async fn execute(
        &self,
        stage: &BuiltStage,
        record: &mut InFlightRecord,
        executor: &Executor,
    ) -> StageOutcome {
        match &self.kind {
            BlockKind::Repeat(repeat) => {
                let passes = RepeatRun { stage, stages: &self.stages, repeat: &**repeat, executor };
                passes.run(record).await
            }
            BlockKind::ForEach(for_each) => {
                let elements = ForEachRun { stage, stages: &self.stages, for_each: &**for_each, executor };
                elements.run(record).await
            }
        }
    }
}

/// A `repeat` at work.
struct RepeatRun<'a> {
    stage: &'a BuiltStage,
    stages: &'a [BuiltStage],
    repeat: &'a dyn RepeatBlock,
    executor: &'a Executor,
}

/// What became of one pass.
enum PassOutcome {
    Completed,
    Failed(RecordEnd),
    Halted(Halt),
}

impl RepeatRun<'_> {
    async fn run(&self, record: &mut InFlightRecord) -> StageOutcome {
        let name = self.stage.name();
        let outer_id = record.record.id.clone();
        // The number of passes may depend on where the record is in a block around this one.
        let times = match self.repeat.times(&record.record) {
            Ok(times) => times,
            Err(error) => return self.stage.reject(&error),
        };
        let outer = ShadowedFields::take(&mut record.record, &[REPEAT, PREVIOUS]);
        let mut kept = Vec::new();
        if self.repeat.keeps_all() {
            kept.push(version(record, outer_id.pass(&name, 0), 0, None));
        }
        for pass in 1..=times {
            match self.repeat.goes_on(&record.record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return self.stage.reject(&error),
            }
            // Only where the record may have to be as it was.
            let before = (self.repeat.on_fail() != OnFail::End).then(|| record.record.fields.clone());
            match self.pass(record, outer_id.pass(&name, pass), pass).await {
                PassOutcome::Completed => {
                    if self.repeat.keeps_all() {
                        let parent =
                            kept.last().map(|parent: &ChildRecord| parent.record.record.id.to_string());
                        kept.push(version(record, outer_id.pass(&name, pass), pass, parent));
                    }
                }
                PassOutcome::Halted(halt) => return StageOutcome::Halted(halt),
                PassOutcome::Failed(end) => match self.repeat.on_fail() {
                    OnFail::End => return StageOutcome::Ended(end),
                    skip_or_stop => {
                        self.stage.metrics.skip_one();
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
            kept.iter_mut().for_each(|version| outer.put_back(&mut version.record.record));
            kept[0].record.lines = std::mem::take(&mut record.lines);
            return StageOutcome::Split(kept);
        }
        record.record.id = outer_id;
        outer.put_back(&mut record.record);
        StageOutcome::Passed
    }

    /// One pass over the record, which has the pass's id afterwards; what is there only inside is taken out again.
    async fn pass(&self, record: &mut InFlightRecord, id: RecordId, pass: u32) -> PassOutcome {
        record.record.id = id;
        let previous = record.record.fields.clone();
        record.record.set(PREVIOUS, previous);
        record.record.set(REPEAT, json!({ "pass": pass }));
        self.keep_draws(&mut record.record.provenance, pass);
        // Should anything panic on the way, what is left here still says whose record it was.
        let placeholder = InFlightRecord {
            record: Record { id: record.record.id.clone(), ..Record::default() },
            ..InFlightRecord::default()
        };
        let mut made =
            match self.executor.execute_all(self.stages, std::mem::replace(record, placeholder)).await {
                Ok(made) => made,
                Err(halt) => return PassOutcome::Halted(halt),
            };
        // Stages that split a record are refused here when the pipeline is loaded.
        let (Some(only), true) = (made.pop(), made.is_empty()) else {
            let error = StageError::new("repeat", "a pass made more than one record");
            return PassOutcome::Failed(RecordEnd::Rejected(self.stage.failure(&error)));
        };
        *record = only.record;
        record.record.fields.shift_remove(PREVIOUS);
        record.record.fields.shift_remove(REPEAT);
        match only.end {
            None => PassOutcome::Completed,
            Some(end) => PassOutcome::Failed(end),
        }
    }

    /// What the pass before drew keeps a name of its own; the last pass's draws stand under the stages' paths.
    fn keep_draws(&self, provenance: &mut Provenance, pass: u32) {
        let last = pass - 1;
        rename_draws(provenance, &self.stage.path, &format!("{}-{last}", self.stage.path));
    }
}

/// One of the records that `keep: all` lets go on.
fn version(record: &InFlightRecord, id: RecordId, pass: u32, parent: Option<String>) -> ChildRecord {
    let mut version = record.record.clone();
    version.id = id;
    version.set("pass", pass);
    version.set("parent", parent);
    ChildRecord { record: record.sibling(version), end: None }
}

/// A `for_each` at work.
struct ForEachRun<'a> {
    stage: &'a BuiltStage,
    stages: &'a [BuiltStage],
    for_each: &'a dyn ForEachBlock,
    executor: &'a Executor,
}

impl ForEachRun<'_> {
    async fn run(&self, record: &mut InFlightRecord) -> StageOutcome {
        let elements = match self.for_each.elements(&record.record) {
            Ok(elements) => elements,
            Err(error) => return self.stage.reject(&error),
        };
        let (name, count) = (self.stage.name(), elements.len());
        let outer = &record.record;
        let collects = self.for_each.collect();
        let brought = stream::iter((0..).zip(elements).map(|(index, element)| {
            let mut own = Record {
                id: outer.id.child(&name, index),
                fields: outer.fields.clone(),
                provenance: match collects {
                    // What the record was before is the joined record's.
                    Some(_) => Provenance::default(),
                    None => outer.provenance.clone(),
                },
            };
            own.set(self.for_each.element_field(), element);
            own.set(FOR_EACH, json!({ "index": index, "count": count }));
            let made = self.executor.execute_all(self.stages, record.sibling(own));
            async move { (index, made.await) }
        }));
        // A slow one keeps none behind it from beginning.
        let mut brought = brought.buffer_unordered(self.executor.concurrent_elements);
        let mut made = Vec::with_capacity(count);
        let mut halted = None;
        while let Some((index, children)) = brought.next().await {
            match children {
                Ok(mut children) => {
                    if let Some(collect) = collects {
                        children.iter_mut().for_each(|child| child.retain_fields(&collect.fields));
                    }
                    made.push((index, children));
                }
                // These give the whole run up, and have to be told at once.
                Err(halt @ (Halt::Fatal(_) | Halt::Storage(_))) => return StageOutcome::Halted(halt),
                // The others are awaited: what is out for them is paid for.
                Err(Halt::Aborted) => drop(halted.get_or_insert(Halt::Aborted)),
                Err(Halt::OutOfBudget) => halted = Some(Halt::OutOfBudget),
            }
        }
        drop(brought);
        if let Some(halt) = halted {
            return StageOutcome::Halted(halt);
        }
        made.sort_unstable_by_key(|(index, _)| *index);
        let made = made.into_iter().map(|(_, children)| children).collect();
        match collects {
            Some(collect) => self.join(record, made, collect),
            None => self.emit_elements(record, made),
        }
    }

    /// Joins the elements into one field of the record, which is otherwise as it was.
    fn join(
        &self,
        record: &mut InFlightRecord,
        made: Vec<Vec<ChildRecord>>,
        collect: &Collect,
    ) -> StageOutcome {
        let mut entries = Vec::with_capacity(made.len());
        let all = made.len();
        for (index, children) in (0_u32..).zip(made) {
            for child in children {
                let (own, provenance) = (child.record.record, &mut record.record.provenance);
                let label = format!("{}-{index}", self.stage.path);
                let mut of_element = own.provenance;
                rename_draws(&mut of_element, &self.stage.path, &label);
                provenance.calls.append(&mut of_element.calls);
                provenance.skipped.append(&mut of_element.skipped);
                provenance.draws.extend(of_element.draws);
                let fields = of_element.fields.into_iter();
                provenance.fields.extend(fields.map(|(name, value)| (format!("{label}/{name}"), value)));
                if let Some(end) = child.end {
                    self.stage.metrics.skip_one();
                    provenance.skipped.push(end.skipped(&own.id));
                    continue;
                }
                let mut entry = Map::with_capacity(collect.fields.len() + 1);
                entry.insert("index".to_owned(), index.into());
                for field in &collect.fields {
                    if let Some(value) = own.fields.get(field) {
                        entry.insert(field.clone(), value.clone());
                    }
                }
                entries.push(Value::Object(entry));
            }
        }
        if entries.len() < collect.at_least {
            let message = format!(
                "of {all} elements {} came through, and at least {} must",
                entries.len(),
                collect.at_least
            );
            return self.stage.reject(&StageError::new("too_few", message));
        }
        record.record.set(&collect.into, entries);
        StageOutcome::Passed
    }

    /// Lets each element go on as a record of its own.
    fn emit_elements(&self, record: &mut InFlightRecord, made: Vec<Vec<ChildRecord>>) -> StageOutcome {
        let outer = record.record.fields.get(FOR_EACH);
        let mut children: Vec<ChildRecord> = made.into_iter().flatten().collect();
        if children.is_empty() {
            return StageOutcome::Ended(RecordEnd::Dropped("empty".into()));
        }
        for child in &mut children {
            child.record.record.fields.shift_remove(FOR_EACH);
            if let Some(outer) = outer {
                child.record.record.set(FOR_EACH, outer.clone());
            }
        }
        children[0].record.lines = std::mem::take(&mut record.lines);
        StageOutcome::Split(children)
    }
}

impl ChildRecord {
    /// Lets go of all fields but these: a record has thousands of elements, and each begins with all of its fields.
    fn retain_fields(&mut self, fields: &[String]) {
        self.record.record.fields.retain(|name, _| fields.contains(name));
    }
}

/// The draws of the stages of the block at `path` get the name of one pass or element.
fn rename_draws(provenance: &mut Provenance, path: &str, name: &str) {
    let is_inside = |key: &str| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    if !provenance.draws.keys().any(|key| is_inside(key)) {
        return;
    }
    let draws = std::mem::take(&mut provenance.draws);
    let named = draws.into_iter().map(|(key, value)| match is_inside(&key) {
        true => (format!("{name}{}", &key[path.len()..]), value),
        false => (key, value),
    });
    provenance.draws = named.collect();
}

/// Fields of an outer block that have the names of this one's, put aside while it runs.
struct ShadowedFields(Vec<(&'static str, Value)>);

impl ShadowedFields {
    fn take(record: &mut Record, names: &[&'static str]) -> Self {
        let mut shadowed = Vec::new();
        for name in names {
            if let Some(value) = record.fields.shift_remove(*name) {
                shadowed.push((*name, value));
            }
        }
        Self(shadowed)
    }

    fn put_back(&self, record: &mut Record) {
        for (name, value) in &self.0 {
            record.set(name, value.clone());
        }
    }
}
