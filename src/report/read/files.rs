//! Reads a file of records outside a run directory: JSONL, one JSON array, or CSV.
//!
//! Adjacent lines whose ids belong to one item are read together; every other line is an item of its own.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{DataRecord, InputMetadata, ItemRecords, ReadError, ValueFile, parsed_record};
use crate::report::findings::InputSource;

pub(in crate::report) struct FileReader {
    path: PathBuf,
    values: ValueFile,
    /// The first record of the next item.
    waiting: Option<(String, DataRecord)>,
}

impl FileReader {
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        Ok(Self { path: path.to_owned(), values: ValueFile::open(path, false)?, waiting: None })
    }

    pub(super) fn next(&mut self) -> Result<Option<ItemRecords>, ReadError> {
        let first = match self.waiting.take() {
            Some(first) => Some(first),
            None => next_record(&mut self.values)?,
        };
        let Some((key, first)) = first else { return Ok(None) };
        let mut ids = HashSet::from([first.id.clone()]);
        let mut unit = ItemRecords { key, records: vec![first] };
        while let Some((key, next)) = next_record(&mut self.values)? {
            // A file may have an id twice; those of a run never do.
            if key != unit.key || !ids.insert(next.id.clone()) {
                self.waiting = Some((key, next));
                break;
            }
            unit.records.push(next);
        }
        Ok(Some(unit))
    }

    pub(super) fn into_metadata(self) -> Result<InputMetadata, ReadError> {
        if self.values.read == 0 {
            let hint = match &self.values.example {
                Some(example) => format!("; {} lines or elements are none: {example}", self.values.malformed),
                None => {
                    self.values.damage().map_or(": it is empty".to_owned(), |damage| format!(": {damage}"))
                }
            };
            return Err(ReadError::Nothing { path: self.path, hint });
        }
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let path = self.path.display().to_string();
        Ok(InputMetadata {
            name,
            source: InputSource {
                run: false,
                path: path.clone(),
                pipeline: None,
                started: None,
                state: None,
            },
            files: vec![self.values.file_count(path, true)],
            notes: self.values.left_out().into_iter().collect(),
            ..InputMetadata::default()
        })
    }
}

/// Returns the next record of a file with the key of its item.
pub(super) fn next_record(values: &mut ValueFile) -> Result<Option<(String, DataRecord)>, ReadError> {
    loop {
        let Some((number, value)) = values.next()? else { return Ok(None) };
        let Some(parsed) = parsed_record::parse(value) else {
            values.take_back(number);
            continue;
        };
        let place = || {
            let name = values.path.file_name().unwrap_or_default().to_string_lossy();
            format!("{name}:{number}")
        };
        let key = parsed.id.as_deref().and_then(item).map_or_else(place, str::to_owned);
        let found = DataRecord {
            id: parsed.id.unwrap_or_else(place),
            turns: parsed.turns,
            attributes: parsed.attributes,
            target_words: parsed.target_words,
            truncation: parsed.truncation,
            sinks: vec![0],
            ..DataRecord::default()
        };
        return Ok(Some((key, found)));
    }
}

/// Returns the item of a record id such as `000042.cot_expand-2`; `None` for any other id.
pub(super) fn item(id: &str) -> Option<&str> {
    let item = id.split('.').next()?;
    (item.len() >= 6 && item.bytes().all(|byte| byte.is_ascii_digit())).then_some(item)
}
