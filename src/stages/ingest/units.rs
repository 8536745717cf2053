//! The processor of `ingest`: one file after the other, each document or row as a unit.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::convert::FileConverters;
use super::files::FileResult;
use super::rows::{Fields, Rows};
use super::selection::FileSelection;
use super::{Ingest, IngestFormat, document};
use crate::journal::KeptResults;
use crate::record::Record;
use crate::stage::{LeftOut, Source, SourceFailure, SourceUnit};

/// The processor: the files still to be read, and the rows of the open one.
pub(super) struct IngestSource {
    waiting: std::vec::IntoIter<FileResult>,
    config: Ingest,
    converters: FileConverters,
    open: Option<(String, Rows)>,
    units: Option<u64>,
    left_out: LeftOut,
}

impl IngestSource {
    pub(super) fn new(mut selection: FileSelection, config: Ingest, converters: FileConverters) -> Self {
        let left_out = selection.left_out();
        let found = selection.found;
        let is_rows = |found: &FileResult| {
            found.as_ref().is_ok_and(|path| {
                let format = config.format.of(path).filter(|_| !config.convert.convert(path));
                matches!(format, Some(IngestFormat::Jsonl | IngestFormat::Json | IngestFormat::Csv))
            })
        };
        let units = if found.iter().any(is_rows) { None } else { Some(found.len() as u64) };
        Self { waiting: found.into_iter(), config, converters, open: None, units, left_out }
    }

    /// The next row of the open file.
    fn row(&mut self) -> Option<Result<SourceUnit, SourceFailure>> {
        let (path, rows) = self.open.as_mut()?;
        let Some((number, row)) = rows.next() else {
            self.open = None;
            return None;
        };
        Some(row_unit(path, number, row))
    }

    /// Reads a document, or opens a file of rows and returns `None`.
    fn file(&mut self, path: String) -> Option<Result<SourceUnit, SourceFailure>> {
        if let Some(converted) = self.converters.read(&path, self.config.limit_bytes) {
            return Some(converted.map(|text| document_unit(path, text)));
        }
        let Some(format) = self.config.format.of(&path) else {
            return Some(Err(SourceFailure::new(path, "its ending does not say how to read it")));
        };
        let rows = match self.config.open_rows(format, &path) {
            Some(rows) => rows,
            None => {
                let text = document::read(&path, self.config.limit_bytes);
                return Some(match text {
                    Ok(text) => Ok(document_unit(path, text)),
                    Err(message) => Err(SourceFailure::new(path, message)),
                });
            }
        };
        match rows {
            Ok(rows) => {
                self.open = Some((path, rows));
                None
            }
            Err(message) => Some(Err(SourceFailure::new(path, message))),
        }
    }
}

impl Source for IngestSource {
    fn files(&self) -> Vec<String> {
        self.waiting.as_slice().iter().filter_map(|found| found.as_ref().ok().cloned()).collect()
    }

    fn next(&mut self) -> Option<Result<SourceUnit, SourceFailure>> {
        loop {
            if let Some(row) = self.row() {
                return Some(row);
            }
            let path = match self.waiting.next()? {
                Ok(path) => path,
                Err(failure) => return Some(Err(failure)),
            };
            if let Some(unit) = self.file(path) {
                return Some(unit);
            }
        }
    }

    fn units(&self) -> Option<u64> {
        self.units
    }

    fn left_out(&self) -> Option<LeftOut> {
        Some(self.left_out.clone())
    }

    fn keep_results(&mut self, results: KeptResults) {
        self.converters.keep_in(results);
    }

    fn skip_units(&mut self, units: u64) -> u64 {
        // Known only if every file is one document: a file of rows has as many units as rows.
        match self.units {
            Some(_) => (0..units).take_while(|_| self.waiting.next().is_some()).count() as u64,
            None => 0,
        }
    }
}

/// The record of one row, with its number in `source`.
pub(super) fn row_unit(
    path: &str,
    number: u64,
    row: Result<Fields, String>,
) -> Result<SourceUnit, SourceFailure> {
    let name = format!("{path}:{number}");
    let fields = match row {
        Ok(fields) => fields,
        Err(message) => return Err(SourceFailure::new(name, message)),
    };
    let mut record = Record::new(fields);
    if !record.fields.contains_key("source") {
        let mut source = source(path);
        source.insert("row".to_owned(), number.into());
        record.set("source", source);
    }
    if !record.fields.contains_key("group") {
        record.set("group", json!([name]));
    }
    Ok(SourceUnit { name, records: vec![record] })
}

fn document_unit(path: String, text: String) -> SourceUnit {
    let mut record = Record::default();
    record.set("source", source(&path));
    record.set("group", json!([path]));
    record.set("text", text);
    SourceUnit { name: path, records: vec![record] }
}

fn source(path: &str) -> Map<String, Value> {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let file = Path::new(path);
    Map::from_iter([
        ("path".to_owned(), path.into()),
        ("name".to_owned(), part(file.file_name()).into()),
        ("stem".to_owned(), part(file.file_stem()).into()),
    ])
}
