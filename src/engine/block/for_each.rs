//! A `for_each`: the block's stages run for each element of a list, several elements at a time.

use futures::StreamExt;
use futures::stream;
use serde_json::{Map, Value, json};

use super::rename_draws;
use crate::engine::event::{Halt, InFlightRecord};
use crate::engine::execute::{BuiltStage, ChildRecord, Executor, StageOutcome};
use crate::engine::record_end::RecordEnd;
use crate::record::{Provenance, Record};
use crate::stage::{Collect, ForEachBlock, StageError};

/// The field that holds the index of the element and their number.
const FOR_EACH: &str = "for_each";

/// One record in a `for_each`.
pub(super) struct ForEachRun<'a> {
    pub(super) stage: &'a BuiltStage,
    pub(super) stages: &'a [BuiltStage],
    pub(super) for_each: &'a dyn ForEachBlock,
    pub(super) executor: &'a Executor,
}

impl ForEachRun<'_> {
    pub(super) async fn run(&self, record: &mut InFlightRecord) -> StageOutcome {
        let elements = match self.for_each.elements(&record.record) {
            Ok(elements) => elements,
            Err(error) => return self.stage.reject(error),
        };
        self.run_from(record, elements, 0).await
    }

    /// Passes the record through the block for these elements, of which the first has the index `from`.
    pub(super) async fn run_from(
        &self,
        record: &mut InFlightRecord,
        elements: Vec<Value>,
        from: u32,
    ) -> StageOutcome {
        let by_element = match self.run_elements(record, elements, from).await {
            Ok(by_element) => by_element,
            Err(halt) => return StageOutcome::Halted(halt),
        };
        match self.for_each.collect() {
            Some(collect) => self.collect(record, by_element, collect, from),
            None => self.emit_elements(record, by_element),
        }
    }

    /// Passes each element through the stages. Returns the resulting records of each, in the order of the elements.
    async fn run_elements(
        &self,
        record: &InFlightRecord,
        elements: Vec<Value>,
        from: u32,
    ) -> Result<Vec<Vec<ChildRecord>>, Halt> {
        let (name, count) = (self.stage.name(), elements.len());
        let outer = &record.record;
        let collect = self.for_each.collect();
        let runs = stream::iter((from..).zip(elements).map(|(index, element)| {
            let mut own = Record {
                id: outer.id.child(&name, index),
                fields: outer.fields.clone(),
                provenance: match collect {
                    // The joined record keeps its provenance from before the block.
                    Some(_) => Provenance::default(),
                    None => outer.provenance.clone(),
                },
            };
            own.set(self.for_each.element_field(), element);
            own.set(FOR_EACH, json!({ "index": index, "count": count }));
            let children = self.executor.execute_all(self.stages, record.sibling(own));
            async move { (index, children.await) }
        }));
        // Unordered, so that a slow element does not keep later ones from starting.
        let mut runs = runs.buffer_unordered(self.executor.concurrent_elements);
        let mut done = Vec::with_capacity(count);
        let mut halted = None;
        while let Some((index, children)) = runs.next().await {
            match children {
                Ok(mut children) => {
                    if let Some(collect) = collect {
                        children.iter_mut().for_each(|child| child.retain_fields(&collect.fields));
                    }
                    done.push((index, children));
                }
                // These end the whole run and are reported at once.
                Err(halt @ (Halt::Fatal(_) | Halt::Storage(_))) => return Err(halt),
                // With the others the remaining elements are awaited: their questions are paid for.
                Err(Halt::Aborted) => drop(halted.get_or_insert(Halt::Aborted)),
                Err(Halt::OutOfBudget) => halted = Some(Halt::OutOfBudget),
            }
        }
        if let Some(halt) = halted {
            return Err(halt);
        }
        done.sort_unstable_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, children)| children).collect())
    }

    /// Joins the elements into one field of the record, which otherwise stays as it was.
    fn collect(
        &self,
        record: &mut InFlightRecord,
        by_element: Vec<Vec<ChildRecord>>,
        collect: &Collect,
        from: u32,
    ) -> StageOutcome {
        let mut entries = Vec::with_capacity(by_element.len());
        let all = by_element.len();
        for (index, children) in (from..).zip(by_element) {
            for child in children {
                let (own, provenance) = (child.record.record, &mut record.record.provenance);
                self.add_provenance(provenance, own.provenance, index);
                if let Some(end) = child.end {
                    self.stage.metrics.count_skipped();
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
            return self.stage.reject(StageError::new("too_few", message));
        }
        record.record.set(&collect.into, entries);
        StageOutcome::Passed
    }

    /// Adds an element's provenance to that of the joined record, under the element's name.
    fn add_provenance(&self, provenance: &mut Provenance, mut element: Provenance, index: u32) {
        let label = format!("{}-{index}", self.stage.path);
        rename_draws(&mut element, &self.stage.path, &label);
        provenance.calls.append(&mut element.calls);
        provenance.skipped.append(&mut element.skipped);
        provenance.draws.extend(element.draws);
        let fields = element.fields.into_iter();
        provenance.fields.extend(fields.map(|(name, value)| (format!("{label}/{name}"), value)));
    }

    /// Emits each element as a record of its own.
    fn emit_elements(&self, record: &mut InFlightRecord, by_element: Vec<Vec<ChildRecord>>) -> StageOutcome {
        let outer = record.record.fields.get(FOR_EACH);
        let mut children: Vec<ChildRecord> = by_element.into_iter().flatten().collect();
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
    /// Removes all other fields: a record may have thousands of elements, each of which starts with all of its fields.
    fn retain_fields(&mut self, fields: &[String]) {
        self.record.record.fields.retain(|name, _| fields.contains(name));
    }
}
