//! A file of a run that is joined with provenance by record id: the lines of a sink, or the rejected records.
//!
//! `run` iterates over the items; this module adds the lines of one file to an item.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use serde_json::Value;

use super::files::item;
use super::parsed_record::{self, ParsedRecord};
use super::{DataRecord, ReadError, RecordAttribute, RejectedRecord, ValueFile};
use crate::stages::{Classification, Judgement};

/// A function that reads the next record of a file with the key of its item.
pub(super) type ReadRecord = fn(&mut ValueFile) -> Result<Option<(String, DataRecord)>, ReadError>;

/// A file that is joined with provenance.
pub(super) struct RunFile {
    pub(super) name: String,
    /// Its index among the input's files.
    pub(super) place: usize,
    pub(super) values: ValueFile,
    next: Option<(String, DataRecord)>,
    /// Whether its lines are measured.
    pub(super) measured: bool,
    pub(super) has_ids: bool,
}

impl RunFile {
    pub(super) fn open(
        mut values: ValueFile,
        name: &str,
        place: usize,
        read: ReadRecord,
    ) -> Result<Self, ReadError> {
        let next = read(&mut values)?;
        let has_ids = next.as_ref().is_some_and(|(_, found)| item(&found.id).is_some());
        Ok(Self { name: name.to_owned(), place, values, next, measured: true, has_ids })
    }

    /// Returns whether the file holds no record; valid before the first call of `take`.
    pub(super) fn is_empty(&self) -> bool {
        self.next.is_none()
    }

    /// Returns the file that holds a record as an attribute: `split` if the name is that of a split, else `file`.
    pub(super) fn split(&self) -> RecordAttribute {
        let name = Path::new(&self.name);
        let stem = name.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let split = ["train", "valid", "test", "dev", "eval"].iter().any(|name| stem.contains(name));
        let attribute = if split { "split" } else { "file" };
        RecordAttribute { name: attribute.to_owned(), value: stem, by_sampler: false, number: false }
    }

    pub(super) fn take(&mut self, read: ReadRecord) -> Result<Option<(String, DataRecord)>, ReadError> {
        let mut next = self.next.take();
        if let Some((_, found)) = &mut next {
            found.sinks = vec![self.place];
            self.next = read(&mut self.values)?;
        }
        Ok(next)
    }

    /// Adds those next lines of this file that belong to the item to its records.
    pub(super) fn join(
        &mut self,
        key: &str,
        records: &mut Vec<DataRecord>,
        read: ReadRecord,
        split: Option<&RecordAttribute>,
    ) -> Result<(), ReadError> {
        if self.next.as_ref().is_none_or(|(next, _)| next != key) {
            return Ok(());
        }
        let mut places: HashMap<String, usize> =
            records.iter().enumerate().map(|(place, record)| (record.id.clone(), place)).collect();
        while self.next.as_ref().is_some_and(|(next, _)| next == key) {
            let Some((_, mut found)) = self.take(read)? else { return Ok(()) };
            found.attributes.extend(split.cloned());
            match places.entry(found.id.clone()) {
                Entry::Occupied(entry) => merge(&mut records[*entry.get()], found),
                Entry::Vacant(entry) => {
                    entry.insert(records.len());
                    records.push(found);
                }
            }
        }
        Ok(())
    }
}

/// Merges a line into a record; provenance takes precedence over the line.
fn merge(record: &mut DataRecord, line: DataRecord) {
    if record.turns.is_empty() {
        record.turns = line.turns;
    }
    record.target_words = record.target_words.or(line.target_words);
    record.sinks.extend(line.sinks);
    record.truncation.attributes += line.truncation.attributes;
    record.truncation.texts += line.truncation.texts;
    record.rejected = line.rejected.or(record.rejected.take());
    let known = record.attributes.len();
    for attribute in line.attributes {
        if !record.attributes[..known].iter().any(|earlier| earlier.name == attribute.name) {
            record.attributes.push(attribute);
        }
    }
}

/// Parses a line of provenance.
pub(super) fn provenance_record(mut line: Value) -> DataRecord {
    let calls = match line.get_mut("calls").map(Value::take) {
        Some(Value::Array(calls)) => calls,
        _ => Vec::new(),
    };
    let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut parsed = ParsedRecord::default();
    if let Some(draws) = line.get("draws") {
        parsed_record::read_draws(draws, &mut parsed);
    }
    parsed.attributes.extend(document(&line));
    let fields = line.get("fields").and_then(Value::as_object);
    let kept = || fields.into_iter().flat_map(|fields| fields.values());
    let (judgements, classifications) =
        (kept().filter_map(Judgement::read).collect(), kept().filter_map(Classification::read).collect());
    let outcome = text("outcome");
    let rejected = (outcome == "rejected").then(RejectedRecord::default);
    DataRecord {
        id: text("id"),
        attributes: parsed.attributes,
        target_words: parsed.target_words,
        rejected,
        dropped: !matches!(&*outcome, "" | "ok" | "rejected"),
        calls,
        judgements,
        classifications,
        truncation: parsed.truncation,
        ..DataRecord::default()
    }
}

/// Returns the document of a record made from a section, whose group is `PATH#NUMBER`.
fn document(line: &Value) -> Option<RecordAttribute> {
    let (path, number) = line.pointer("/group/0")?.as_str()?.rsplit_once('#')?;
    let is_section = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_section.then(|| RecordAttribute {
        name: "document".to_owned(),
        value: path.to_owned(),
        by_sampler: false,
        number: false,
    })
}

/// Returns the next record of `rejected.jsonl` with the key of its item.
pub(super) fn next_rejected(values: &mut ValueFile) -> Result<Option<(String, DataRecord)>, ReadError> {
    while let Some((number, mut line)) = values.next()? {
        let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (id, why) = (
            text("id"),
            RejectedRecord { class: text("class"), stage: text("stage"), message: text("message") },
        );
        let answer = text("answer");
        let mut fields = line.get_mut("record").map(Value::take).unwrap_or_default();
        if let Some(fields) = fields.as_object_mut().filter(|_| !answer.is_empty()) {
            fields.entry("completion").or_insert(answer.into());
        }
        let parsed = parsed_record::parse(fields).unwrap_or_default();
        let Some(key) = item(&id) else {
            values.take_back(number);
            continue;
        };
        let found = DataRecord {
            turns: parsed.turns,
            attributes: parsed.attributes,
            target_words: parsed.target_words,
            rejected: Some(why),
            truncation: parsed.truncation,
            id: id.clone(),
            ..DataRecord::default()
        };
        return Ok(Some((key.to_owned(), found)));
    }
    Ok(None)
}
