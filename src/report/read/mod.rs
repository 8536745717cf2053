//! Reads the input of a report, item by item: a run directory, or files of records from anywhere.
//!
//! `formats::json_splitter` splits files into JSON values and `csv_reader` reads rows; `parsed_record` and `texts` turn a
//! value into a record. `run` and `run_file` join the files of a run directory by record id, `files` reads bare
//! files, and `configured_shares` reads the shares from the run's pipeline, `field_pairs` reads two fields to
//! compare. `read_ahead` reads on its own thread, for `report::gather`, which measures the records.

mod configuration;
mod configured_shares;
mod csv_reader;
mod field_pairs;
mod files;
mod parsed_record;
mod read_ahead;
mod run;
mod run_file;
mod texts;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(super) use configuration::DeclaredModel;
pub(super) use configured_shares::{ConfiguredShares, JointShares};
pub use field_pairs::{FieldGap, FieldPair};
pub(super) use field_pairs::{PairOfValues, files as field_pair_files, for_each_joined_pair, for_each_pair};
pub(super) use parsed_record::{RecordAttribute, Truncation};
pub(super) use read_ahead::for_each_item;

use super::findings::{Configuration, FileCount, InputSource, Turn};
use crate::formats::json_splitter::{ArrayDamage, JsonSplitter, RawJson};
use crate::stages::{Classification, Judgement};
use csv_reader::CsvReader;

/// Why an input could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder is not a run directory.
    #[error("`{0}` holds no run (it has no manifest.json); name a run directory or a file of records")]
    NoRun(PathBuf),
    /// The manifest of the run directory is invalid.
    #[error("`{path}` is damaged: {message}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// None of the files holds a record.
    #[error("`{path}` holds no record{hint}")]
    Nothing {
        /// What was read.
        path: PathBuf,
        /// What was found instead; the end of the sentence.
        hint: String,
    },
}

/// The records of one item.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ItemRecords {
    /// The key by which the sample is drawn: the item, or the file and line.
    pub(super) key: String,
    pub(super) records: Vec<DataRecord>,
}

/// A record of the data, joined from all files that mention it.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct DataRecord {
    pub(super) id: String,
    /// Empty if only attributes are known.
    pub(super) turns: Vec<Turn>,
    pub(super) attributes: Vec<RecordAttribute>,
    pub(super) target_words: Option<u64>,
    /// Why it was rejected; `None` if it was not.
    pub(super) rejected: Option<RejectedRecord>,
    /// Whether a filter dropped it; it then has draws and calls, but no text.
    pub(super) dropped: bool,
    /// Model calls, as recorded in provenance.
    pub(super) calls: Vec<Value>,
    /// Its judgements, as recorded in provenance.
    pub(super) judgements: Vec<Judgement>,
    /// Its classifications, as recorded in provenance.
    pub(super) classifications: Vec<Classification>,
    /// Indexes, among the input's files, of the sinks that hold it.
    pub(super) sinks: Vec<usize>,
    /// What was left out because it is too large.
    pub(super) truncation: Truncation,
}

impl DataRecord {
    /// Returns whether it was neither rejected nor dropped.
    pub(super) fn is_kept(&self) -> bool {
        self.rejected.is_none() && !self.dropped
    }

    /// Returns whether the heuristic answered it, according to its calls or its field `answered_by`.
    pub(super) fn is_by_heuristic(&self) -> bool {
        let of_call = |call: &Value| call.get("provider").and_then(Value::as_str) == Some(HEURISTIC);
        let of_field = |field: &RecordAttribute| field.name == "answered_by" && field.value == HEURISTIC;
        self.calls.iter().any(of_call) || self.attributes.iter().any(of_field)
    }
}

/// The provider that answers without a model.
const HEURISTIC: &str = "heuristic";

/// A line of `rejected.jsonl`, without the record.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct RejectedRecord {
    pub(super) class: String,
    pub(super) stage: String,
    pub(super) message: String,
}

/// What is known about an input besides its records; complete once all items have been read.
#[derive(Debug, Default)]
pub(super) struct InputMetadata {
    pub(super) name: String,
    pub(super) source: InputSource,
    pub(super) files: Vec<FileCount>,
    pub(super) notes: Vec<String>,
    /// `status.json`, for a run.
    pub(super) status: Value,
    /// Shares that the pipeline configures.
    pub(super) configured: ConfiguredShares,
    pub(super) configuration: Option<Configuration>,
    /// The models that the pipeline declares.
    pub(super) models: BTreeMap<String, DeclaredModel>,
}

/// An input that is read item by item.
pub(super) enum Input {
    Run(Box<run::RunReader>),
    File(Box<files::FileReader>),
}

impl Input {
    /// Opens a run directory or a file.
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        if path.is_dir() {
            Ok(Self::Run(Box::new(run::RunReader::open(path)?)))
        } else {
            Ok(Self::File(Box::new(files::FileReader::open(path)?)))
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<ItemRecords>, ReadError> {
        match self {
            Self::Run(run) => run.next(),
            Self::File(file) => file.next(),
        }
    }

    /// Returns the pairs of attributes that the pipeline makes dependent; known before any item is read.
    pub(super) fn joints(&self) -> Vec<JointShares> {
        match self {
            Self::Run(run) => run.joints().to_vec(),
            Self::File(_) => Vec::new(),
        }
    }

    /// Returns the metadata of the input; to be called after the last item.
    pub(super) fn into_metadata(self) -> Result<InputMetadata, ReadError> {
        match self {
            Self::Run(run) => run.into_metadata(),
            Self::File(file) => file.into_metadata(),
        }
    }
}

/// A reader for the format of a file.
enum ValueReader {
    Json(JsonSplitter<Box<dyn io::BufRead + Send>>),
    Csv(Box<CsvReader>),
}

/// A file of values, with counts of those that were read and those that could not be parsed.
pub(super) struct ValueFile {
    path: PathBuf,
    stream: Option<ValueReader>,
    /// Values returned so far.
    read: u64,
    malformed: u64,
    /// Describes the first malformed line, for a note.
    example: Option<String>,
    /// Whether the last line is incomplete and not a record.
    torn: bool,
    /// Whether an incomplete last line is expected, as in a run that is still going.
    torn_end: bool,
}

impl ValueFile {
    fn open(path: &Path, torn_end: bool) -> Result<Self, ReadError> {
        let stream = if CsvReader::is_named(path) {
            CsvReader::open(path).map(|csv_reader| ValueReader::Csv(Box::new(csv_reader)))
        } else {
            JsonSplitter::open(path, torn_end).map(ValueReader::Json)
        };
        let stream = stream.map_err(|source| ReadError::File { path: path.to_owned(), source })?;
        Ok(Self { stream: Some(stream), ..Self::absent(path, torn_end) })
    }

    /// Stands for a file that does not exist.
    fn absent(path: &Path, torn_end: bool) -> Self {
        Self {
            path: path.to_owned(),
            stream: None,
            read: 0,
            malformed: 0,
            example: None,
            torn: false,
            torn_end,
        }
    }

    /// Returns the next value that parses, with its line or element number.
    fn next(&mut self) -> Result<Option<(u64, Value)>, ReadError> {
        loop {
            let Some(stream) = &mut self.stream else { return Ok(None) };
            let failed = |source| ReadError::File { path: self.path.clone(), source };
            let (number, value, torn) = match stream {
                ValueReader::Json(json_splitter) => {
                    let Some(piece) = json_splitter.next().map_err(failed)? else { return Ok(None) };
                    let RawJson { number, bytes, torn, too_large } = piece;
                    let value = match too_large {
                        true => Err("it is longer than 16 MiB".to_owned()),
                        false => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
                    };
                    (number, value, torn)
                }
                ValueReader::Csv(csv_reader) => {
                    let Some((number, parsed_record)) = csv_reader.next().map_err(failed)? else {
                        return Ok(None);
                    };
                    (number, parsed_record, false)
                }
            };
            match value {
                Ok(value) => {
                    self.read += 1;
                    return Ok(Some((number, value)));
                }
                Err(_) if torn && self.torn_end => {}
                Err(why) => {
                    self.torn |= torn;
                    self.count_malformed(number, &why);
                }
            }
        }
    }

    fn count_malformed(&mut self, number: u64, why: &str) {
        self.malformed += 1;
        self.example.get_or_insert_with(|| format!("number {number}: {why}"));
    }

    /// Counts a value that was read as malformed after all, because it is not a record.
    fn take_back(&mut self, number: u64) {
        self.read -= 1;
        self.count_malformed(number, "neither a text, nor an object, nor a conversation");
    }

    /// Describes what is wrong with the file as a whole; the end of a sentence about it.
    fn damage(&self) -> Option<&'static str> {
        match &self.stream {
            Some(ValueReader::Csv(csv_reader)) => csv_reader.damage(),
            Some(ValueReader::Json(json_splitter)) => match json_splitter.damage() {
                Some(ArrayDamage::Unclosed) => {
                    Some("it ends before its array does, so records may be missing")
                }
                Some(ArrayDamage::Trailing) => {
                    Some("something stands behind the end of its array and was not read")
                }
                None if self.torn => Some("its last line is not whole, so records may be missing"),
                None => None,
            },
            None => None,
        }
    }

    fn file_count(&self, path: String, measured: bool) -> FileCount {
        let damage = self.damage().map(str::to_owned);
        FileCount { path, records: self.read, malformed: self.malformed, damage, by_heuristic: 0, measured }
    }

    /// Describes the values that were left out. Whether the file is truncated is in its `FileCount`.
    fn left_out(&self) -> Option<String> {
        let example = self.example.as_ref()?;
        let path = self.path.display();
        let lines = if self.malformed == 1 { "1 line or element is" } else { "some lines or elements are" };
        let count = if self.malformed == 1 { String::new() } else { format!(" ({} in all)", self.malformed) };
        Some(format!("in `{path}` {lines} no record and left out{count}; {example}"))
    }
}

#[cfg(test)]
mod tests;
