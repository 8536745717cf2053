//! Reads a run directory: joins the files of its sinks, `rejected.jsonl` and provenance by record id.
//!
//! A run writes all lines of an item at once, so its files hold the items in the same order and are joined in one pass,
//! with one item in memory. Lines that do not fit that order are still counted, without their provenance.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::configured_shares::{self, ConfiguredShares, JointShares};
use super::files::{item, next_record};
use super::run_file::{ReadRecord, RunFile, next_rejected, provenance_record};
use super::{DataRecord, InputMetadata, ItemRecords, ReadError, ValueFile, configuration};
use crate::journal::{self, Manifest, PROVENANCE, REJECTED, RunState, SINKS};
use crate::report::findings::InputSource;

/// Reads a run item by item.
pub(in crate::report) struct RunReader {
    root: PathBuf,
    manifest: Manifest,
    provenance: ValueFile,
    /// The first line of the next item.
    next_line: Option<(String, Value)>,
    rejected: RunFile,
    sinks: Vec<RunFile>,
    /// Whether the sinks write ids, so that their lines can be joined.
    joined: bool,
    /// Attributes found in provenance, for when lines cannot be joined with it.
    drawn: BTreeSet<String>,
    unmatched: u64,
    configured: ConfiguredShares,
    notes: Vec<String>,
}

impl RunReader {
    pub(super) fn open(root: &Path) -> Result<Self, ReadError> {
        let path = root.join("manifest.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ReadError::NoRun(root.to_owned()));
            }
            Err(source) => return Err(ReadError::File { path, source }),
        };
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| ReadError::Manifest { path, message: error.to_string() })?;
        let open = |name: &str| {
            let path = root.join(name);
            if path.exists() { ValueFile::open(&path, true) } else { Ok(ValueFile::absent(&path, true)) }
        };
        let name =
            |index: usize, usual: &str| manifest.files.get(index).map_or(usual, |name| name).to_owned();
        let provenance = open(&name(PROVENANCE, "provenance/records-0001.jsonl.zst"))?;
        let rejected = RunFile::open(
            open(&name(REJECTED, "rejected.jsonl"))?,
            "rejected.jsonl",
            usize::MAX,
            next_rejected,
        )?;
        let mut sinks = Vec::new();
        for (place, file) in manifest.files.iter().skip(SINKS).enumerate() {
            sinks.push(RunFile::open(open(file)?, file, place, next_record)?);
        }
        // Lines without ids may be second copies of records that another file holds with ids.
        let joined = sinks.iter().any(|sink| sink.has_ids);
        for sink in &mut sinks {
            sink.measured = sink.has_ids || !joined || sink.is_empty();
        }
        let (configured, note) = configured_shares::read(root, &manifest);
        Ok(Self {
            configured,
            notes: note.into_iter().collect(),
            root: root.to_owned(),
            manifest,
            provenance,
            next_line: None,
            rejected,
            sinks,
            joined,
            drawn: BTreeSet::new(),
            unmatched: 0,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<ItemRecords>, ReadError> {
        if let Some((key, mut records)) = self.next_item()? {
            if self.joined {
                let several = self.sinks.iter().filter(|sink| sink.measured).count() > 1;
                for sink in self.sinks.iter_mut().filter(|sink| sink.measured) {
                    let split = several.then(|| sink.split());
                    sink.join(&key, &mut records, next_record, split.as_ref())?;
                }
            }
            self.rejected.join(&key, &mut records, next_rejected, None)?;
            let drawn = records.iter().flat_map(|record| &record.attributes);
            let new = drawn.filter(|attribute| attribute.by_sampler && !self.drawn.contains(&attribute.name));
            let new: Vec<String> = new.map(|attribute| attribute.name.clone()).collect();
            self.drawn.extend(new);
            return Ok(Some(ItemRecords { key, records }));
        }
        let rejected = std::iter::once(&mut self.rejected);
        for (index, file) in rejected.chain(&mut self.sinks).enumerate() {
            let read: ReadRecord = if index == 0 { next_rejected } else { next_record };
            let Some((key, mut first)) = file.take(read)? else { continue };
            if !file.measured {
                // Read to the end for the count only.
                while file.take(read)?.is_some() {}
                continue;
            }
            self.unmatched += u64::from(self.joined);
            if !self.joined {
                first.attributes.retain(|attribute| !self.drawn.contains(&attribute.name));
            }
            let mut records = vec![first];
            if file.has_ids {
                file.join(&key, &mut records, read, None)?;
            }
            return Ok(Some(ItemRecords { key, records }));
        }
        Ok(None)
    }

    /// Returns all provenance lines of the next item.
    fn next_item(&mut self) -> Result<Option<(String, Vec<DataRecord>)>, ReadError> {
        let Some((key, line)) = self.take_line()? else { return Ok(None) };
        let mut records = vec![provenance_record(line)];
        while let Some((next, line)) = self.take_line()? {
            if next != key {
                self.next_line = Some((next, line));
                break;
            }
            records.push(provenance_record(line));
        }
        Ok(Some((key, records)))
    }

    fn take_line(&mut self) -> Result<Option<(String, Value)>, ReadError> {
        if let Some(line) = self.next_line.take() {
            return Ok(Some(line));
        }
        while let Some((number, line)) = self.provenance.next()? {
            match line.get("id").and_then(Value::as_str).and_then(item) {
                Some(key) => return Ok(Some((key.to_owned(), line))),
                None => self.provenance.take_back(number),
            }
        }
        Ok(None)
    }

    pub(super) fn joints(&self) -> &[JointShares] {
        &self.configured.joint
    }

    pub(super) fn into_metadata(self) -> Result<InputMetadata, ReadError> {
        let mut notes = Vec::new();
        let mut files = Vec::new();
        for file in self.sinks.iter().chain([&self.rejected]) {
            notes.extend(file.values.left_out());
            if !file.measured && file.values.read > 0 {
                notes.push(format!(
                    "`{}` has no record ids and is taken for a second copy: it is counted, not measured",
                    file.name
                ));
            }
            files.push(file.values.file_count(file.name.clone(), file.measured || file.values.read == 0));
        }
        notes.extend(self.provenance.left_out());
        if !self.joined && self.sinks.iter().any(|sink| sink.values.read > 0) {
            notes.push(
                "no sink writes record ids, so texts cannot be told apart by what was drawn for them; add \
                `id` to the sink's `fields`"
                    .to_owned(),
            );
        }
        if self.unmatched > 0 && self.provenance.read > 0 {
            notes.push(format!("{} records could not be joined with their provenance", self.unmatched));
        }
        let status = status(&self.root);
        notes.extend(self.notes);
        let state = match self.manifest.state {
            RunState::Running => "not finished",
            RunState::Interrupted => "interrupted",
            RunState::Finished => "finished",
        };
        Ok(InputMetadata {
            name: self.manifest.pipeline.clone(),
            source: InputSource {
                run: true,
                path: self.root.display().to_string(),
                pipeline: Some(self.manifest.pipeline.clone()),
                started: Some(self.manifest.started.clone()),
                state: Some(state.to_owned()),
            },
            files,
            notes,
            status,
            configured: self.configured,
            models: configuration::models(&self.manifest),
            configuration: configuration::read(&self.root, &self.manifest),
        })
    }
}

/// Returns the last counters of the run, corrected by its commit logs, which alone hold the last second of a killed run.
fn status(root: &Path) -> Value {
    let bytes = std::fs::read(root.join("status.json")).unwrap_or_default();
    let mut status: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let Some(status_fields) = status.as_object_mut() else { return status };
    if let Ok(Some(found)) = journal::inspect(root) {
        let done = found.done.ok + found.done.dropped + found.done.rejected;
        let admitted = status_fields.get("admitted").and_then(Value::as_u64).unwrap_or_default();
        let admitted = if found.running { admitted.max(done) } else { done };
        let counts = [
            ("admitted", admitted),
            ("ok", found.done.ok),
            ("dropped", found.done.dropped),
            ("rejected", found.done.rejected),
            ("in_flight", admitted - done),
        ];
        if done > 0 {
            counts
                .into_iter()
                .for_each(|(name, count)| _ = status_fields.insert(name.to_owned(), count.into()));
        }
    }
    status
}
