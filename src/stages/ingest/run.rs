//! Rows of another run: the lines of one of its sinks, in the order of its items.
//!
//! The journal knows the locations of the lines (`journal::CompleteRun`); here they are selected by the sink's id
//! and read one by one. This run's fingerprint contains the hash of all of them. `few_shot` reads demonstrations
//! of another run in the same way.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fields::{declare_fields, declare_origin};
use super::row_format::RowFormat;
use super::rows::{Fields, ROW_LIMIT, json_line};
use super::units::row_unit;
use super::{Ingest, IngestFormat};
use crate::journal::{CompleteRun, ItemLines, RunReadError};
use crate::nearest::nearest;
use crate::pipeline::CheckContext;
use crate::stage::{BuildContext, BuildError, Processor, Source, SourceFailure, SourceUnit};
use crate::stages::{Role, find};

/// The part of the manifest's fingerprint that names the stages, each `ID: TYPE`.
const ORDER: &str = "order of stages";

/// Why a sink's lines cannot be read, and the option to blame.
pub(in crate::stages) struct RunInputError {
    at: &'static str,
    message: String,
    expected: Option<String>,
    hint: Option<String>,
}

impl RunInputError {
    /// Reports it at the option to blame, `run` or `sink`.
    pub(in crate::stages) fn report(self, context: &mut CheckContext<'_>) {
        let problem = context.problem(self.at, self.message);
        (problem.expected, problem.hint) = (self.expected, self.hint);
    }
}

impl From<RunInputError> for BuildError {
    fn from(error: RunInputError) -> Self {
        Self::Other(error.message)
    }
}

impl From<RunReadError> for RunInputError {
    fn from(error: RunReadError) -> Self {
        Self { at: "/run", message: error.to_string(), expected: None, hint: error.hint() }
    }
}

/// Reports what is wrong with the run named by `given`, and declares the fields of its records.
pub(super) fn check(ingest: &Ingest, context: &mut CheckContext<'_>, given: &str) {
    for (option, is_given) in [
        ("paths", !ingest.paths.is_empty()),
        ("convert", !ingest.convert.is_empty()),
        ("format", ingest.format != IngestFormat::Auto),
        ("dialect", ingest.dialect.is_some()),
    ] {
        if is_given {
            let message = format!("`{option}` is for files, and `run` names a run");
            context.problem(&format!("/{option}"), message).on_key().expected("either `paths` or `run`");
        }
    }
    let Some(folder) = context.render("/run", given) else { return };
    if context.is_planned_run(Path::new(&folder)) {
        // An earlier pipeline of the same command makes it; the fields of its records are known when that has
        // run.
        context.may_have_other_fields();
        declare_origin(context, true);
        return;
    }
    match lines(Path::new(&folder), ingest.sink.as_deref()) {
        Ok(lines) => {
            let lines = Arc::new(lines);
            let path = lines.path.display().to_string();
            context.depends_on_as(&path, &lines.hash);
            match SinkLines::open(&path, &lines) {
                Ok(rows) => {
                    if let Some((row, message)) =
                        declare_fields(context, ingest.in_row_format(Box::new(rows)), false)
                    {
                        context.warning("/run", format!("`{path}:{row}` cannot be read: {message}"));
                    }
                }
                Err(error) => drop(context.problem("/run", format!("cannot read `{path}`: {error}"))),
            }
            // Setting it twice is harmless: the value is the same.
            let _ = ingest.lines.set(lines);
        }
        Err(wrong) => wrong.report(context),
    }
}

/// Builds the source of the run named by `given`.
pub(super) fn build(ingest: &Ingest, context: &BuildContext, given: &str) -> Result<Processor, BuildError> {
    let lines = match ingest.lines.get() {
        Some(lines) => Arc::clone(lines),
        None => {
            let folder = PathBuf::from(context.render(given)?);
            Arc::new(lines(&folder, ingest.sink.as_deref())?)
        }
    };
    let path = lines.path.display().to_string();
    let rows =
        SinkLines::open(&path, &lines).map_err(|source| BuildError::Read { path: path.clone(), source })?;
    Ok(Processor::Source(Box::new(RunRows { path, rows, format: ingest.row_format() })))
}

/// The lines of the sink with this id, or of the only one.
pub(in crate::stages) fn lines(folder: &Path, sink: Option<&str>) -> Result<ItemLines, RunInputError> {
    let run = CompleteRun::open(folder)?;
    let ids = sink_ids(&run);
    let index = match sink {
        Some(id) => ids.iter().position(|known| known == id),
        None => (ids.len() == 1).then_some(0),
    };
    let Some(index) = index.filter(|_| ids.len() == run.sinks().len()) else {
        return Err(no_sink(folder, sink, &ids));
    };
    Ok(run.lines(index)?)
}

fn no_sink(folder: &Path, sink: Option<&str>, ids: &[String]) -> RunInputError {
    let folder = folder.display();
    let known: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
    let hint = sink.and_then(|id| nearest(id, ids.iter().map(String::as_str)));
    RunInputError {
        at: if sink.is_some() { "/sink" } else { "/run" },
        message: match sink {
            Some(id) => format!("the run in `{folder}` has no sink `{id}`"),
            None => format!("the run in `{folder}` has several sinks, and `sink` does not say which"),
        },
        expected: Some(format!("one of {}", known.join(", "))),
        hint: match sink {
            Some(_) => hint.map(|near| format!("did you mean `{near}`?")),
            None => ids.first().map(|id| format!("write `sink: {id}`, for instance")),
        },
    }
}

/// The ids of a run's sinks, in the order of their files.
fn sink_ids(run: &CompleteRun) -> Vec<String> {
    let order = run.manifest().fingerprint.get(ORDER).and_then(serde_json::Value::as_array);
    let named = order.into_iter().flatten().filter_map(|stage| stage.as_str()?.rsplit_once(": "));
    let sinks = named.filter(|(_, kind)| find(kind).is_some_and(|kind| kind.role == Role::Sink));
    sinks.map(|(id, _)| id.to_owned()).collect()
}

/// The lines of a sink, each with its number in the order of items, from 1.
pub(in crate::stages) struct SinkLines {
    /// `None` if there are no lines, and so perhaps no file.
    file: Option<File>,
    lines: Arc<ItemLines>,
    next: usize,
}

impl SinkLines {
    pub(in crate::stages) fn open(path: &str, lines: &Arc<ItemLines>) -> std::io::Result<Self> {
        let file = if lines.places.is_empty() { None } else { Some(File::open(path)?) };
        Ok(Self { file, lines: Arc::clone(lines), next: 0 })
    }
}

impl Iterator for SinkLines {
    type Item = (u64, Result<Fields, String>);

    fn next(&mut self) -> Option<Self::Item> {
        let (file, place) = (self.file.as_ref()?, self.lines.places.get(self.next)?);
        self.next += 1;
        let number = self.next as u64;
        if u64::from(place.length) > ROW_LIMIT {
            return Some((number, Err(format!("the line is longer than {ROW_LIMIT} bytes"))));
        }
        let mut line = vec![0; place.length as usize];
        let read = file.read_exact_at(&mut line, place.offset).map_err(|error| error.to_string());
        Some((number, read.and_then(|()| json_line(&line))))
    }
}

/// The processor: one line after the other.
struct RunRows {
    path: String,
    rows: SinkLines,
    format: RowFormat,
}

impl Source for RunRows {
    fn next(&mut self) -> Option<Result<SourceUnit, SourceFailure>> {
        let (number, row) = self.rows.next()?;
        Some(row_unit(&self.path, number, row.and_then(|row| self.format.read(row))))
    }

    fn units(&self) -> Option<u64> {
        Some(self.rows.lines.places.len() as u64)
    }

    fn files(&self) -> Vec<String> {
        vec![self.path.clone()]
    }

    fn skip_units(&mut self, units: u64) -> u64 {
        let left = self.rows.lines.places.len() - self.rows.next;
        let skipped = usize::try_from(units).unwrap_or(usize::MAX).min(left);
        self.rows.next += skipped;
        skipped as u64
    }
}
