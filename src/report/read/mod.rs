//! Reads what a report is about: a run directory, or files of records from anywhere. Streams, item by item.
//!
//! `pieces` cuts files into JSON values, `table` reads CSV, `row` and `texts` make a record of one, `run` and `side` join the files of a run directory
//! by record id, `files` reads bare files, `configured` asks the run's pipeline for its shares. What is measured of records is `report::gather`'s.

mod configuration;
mod configured;
mod files;
mod pieces;
mod row;
mod run;
mod side;
mod table;
mod texts;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(super) use configuration::DeclaredModel;
pub(super) use configured::{Configured, Joint};
pub(super) use row::{Cut, Drawn};

use super::findings::{Configuration, FileCount, Source, Turn};
use pieces::{Damage, Piece, Pieces};
use table::Table;

/// Why nothing could be read.
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
    /// A folder that is no run directory.
    #[error("`{0}` holds no run (it has no manifest.json); name a run directory or a file of records")]
    NoRun(PathBuf),
    /// The manifest of a run directory makes no sense.
    #[error("`{path}` is damaged: {message}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// No record in any of the files.
    #[error("`{path}` holds no record{hint}")]
    Nothing {
        /// What was read.
        path: PathBuf,
        /// What was found instead, as the end of the sentence.
        hint: String,
    },
}

/// The records made of one item.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Unit {
    /// What the sample is drawn by: the item, or file and line.
    pub(super) key: String,
    pub(super) records: Vec<Found>,
}

/// A record of the data, joined from all that is known of it.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) id: String,
    /// Empty where only attributes are known.
    pub(super) turns: Vec<Turn>,
    pub(super) attributes: Vec<Drawn>,
    pub(super) target_words: Option<u64>,
    /// Why it was rejected.
    pub(super) rejected: Option<RejectedRecord>,
    /// Whether a filter took it out; it then has draws and calls, and no text.
    pub(super) dropped: bool,
    /// Model calls as provenance has them.
    pub(super) calls: Vec<Value>,
    /// The sinks whose files hold it, by their place among the input's files.
    pub(super) sinks: Vec<usize>,
    /// What was too much to be looked at.
    pub(super) cut: Cut,
}

impl Found {
    /// Whether it was neither rejected nor dropped.
    pub(super) fn is_kept(&self) -> bool {
        self.rejected.is_none() && !self.dropped
    }

    /// Whether the heuristic answered for it, as its calls or its field `answered_by` say.
    pub(super) fn is_by_heuristic(&self) -> bool {
        let of_call = |call: &Value| call.get("provider").and_then(Value::as_str) == Some(HEURISTIC);
        let of_field = |field: &Drawn| field.name == "answered_by" && field.value == HEURISTIC;
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

/// What is known of an input beside its records; complete once all units were read.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) files: Vec<FileCount>,
    pub(super) notes: Vec<String>,
    /// `status.json`, for a run.
    pub(super) status: Value,
    /// Shares that the pipeline asks for.
    pub(super) configured: Configured,
    pub(super) configuration: Option<Configuration>,
    /// The models that the pipeline declares.
    pub(super) models: BTreeMap<String, DeclaredModel>,
}

/// An input that is read unit by unit.
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

    pub(super) fn next(&mut self) -> Result<Option<Unit>, ReadError> {
        match self {
            Self::Run(run) => run.next(),
            Self::File(file) => file.next(),
        }
    }

    /// The pairs of attributes that the pipeline ties, known before any unit is read.
    pub(super) fn joints(&self) -> Vec<Joint> {
        match self {
            Self::Run(run) => run.joints().to_vec(),
            Self::File(_) => Vec::new(),
        }
    }

    /// To be called at the end.
    pub(super) fn about(self) -> Result<About, ReadError> {
        match self {
            Self::Run(run) => run.about(),
            Self::File(file) => file.about(),
        }
    }
}

/// What a file's values are cut out of.
enum Stream {
    Json(Pieces<io::BufReader<std::fs::File>>),
    Csv(Box<Table>),
}

/// A file of values that counts what it gives and what it could not parse.
pub(super) struct Values {
    path: PathBuf,
    stream: Option<Stream>,
    /// Values given.
    read: u64,
    malformed: u64,
    /// A first malformed line, for a note.
    example: Option<String>,
    /// Whether the last line is not whole, and what there is of it no record.
    torn: bool,
    /// Whether a half-written end is expected, as of a run that is still going.
    torn_end: bool,
}

impl Values {
    fn open(path: &Path, torn_end: bool) -> Result<Self, ReadError> {
        let stream = if Table::is_named(path) {
            Table::open(path).map(|table| Stream::Csv(Box::new(table)))
        } else {
            Pieces::open(path).map(Stream::Json)
        };
        let stream = stream.map_err(|source| ReadError::File { path: path.to_owned(), source })?;
        Ok(Self { stream: Some(stream), ..Self::absent(path, torn_end) })
    }

    /// A file that need not be there.
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

    /// The next value that parses, with its number.
    fn next(&mut self) -> Result<Option<(u64, Value)>, ReadError> {
        loop {
            let Some(stream) = &mut self.stream else { return Ok(None) };
            let failed = |source| ReadError::File { path: self.path.clone(), source };
            let (number, value, torn) = match stream {
                Stream::Json(pieces) => {
                    let Some(piece) = pieces.next().map_err(failed)? else { return Ok(None) };
                    let Piece { number, bytes, torn, too_large } = piece;
                    let value = match too_large {
                        true => Err("it is longer than 16 MiB".to_owned()),
                        false => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
                    };
                    (number, value, torn)
                }
                Stream::Csv(table) => {
                    let Some((number, row)) = table.next().map_err(failed)? else { return Ok(None) };
                    (number, row, false)
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

    /// A value turned out to be no record.
    fn take_back(&mut self, number: u64) {
        self.read -= 1;
        self.count_malformed(number, "neither a text, nor an object, nor a conversation");
    }

    /// What is wrong with the file as a whole, as the end of a sentence about it.
    fn damage(&self) -> Option<&'static str> {
        match &self.stream {
            Some(Stream::Csv(table)) => table.damage(),
            Some(Stream::Json(pieces)) => match pieces.damage() {
                Some(Damage::Unclosed) => Some("it ends before its array does, so records may be missing"),
                Some(Damage::Trailing) => {
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

    /// What was left out of the file. That it breaks off stands in its `FileCount`.
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
