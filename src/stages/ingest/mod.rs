//! `ingest`: reads documents and rows, in the order of their paths, or the output of another run.
//!
//! The first stage. This file has the options, the list of files and the fields of the records; `files` expands
//! globs (`walk` searches folders, `selection` counts files that no path takes), `document` decodes one text
//! file, `convert` has programs make texts of other files, `rows` streams files of rows, `dialect` says how CSV is
//! written, `row_format` makes fields of the columns of a trainer's format, `run` reads the lines of another run, and
//! `units` reads the files one after the other. What cannot be read is a source failure that names the file or row, and
//! the run continues. Splitting is left to `section`.

mod convert;
mod dialect;
mod document;
mod fields;
mod files;
mod row_format;
pub(in crate::stages) mod rows;
pub(in crate::stages) mod run;
mod selection;
mod units;
mod walk;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::convert::{Converters, FileConverters};
use self::dialect::Dialect;
use self::fields::{declare_fields, declare_origin};
use self::rows::Rows;
use self::selection::FileSelection;
use self::units::IngestSource;
use super::{Role, StageDescription};
use crate::formats::Format;
use crate::journal::ItemLines;
use crate::pipeline::ProducedField;
use crate::pipeline::{CheckContext, FieldType};
use crate::sandbox::SandboxMode;
use crate::stage::{BuildContext, BuildError, Processor, StageConfig};

/// Reads Markdown and text files as documents, JSONL, JSON and CSV files as rows, or what another run wrote.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ingest {
    /// Files or globs (`**` is any depth of folders), relative to the working directory; may name `vars`. A file that
    /// is matched several times, for example through a symbolic link, is read once. Other files in the folders that a
    /// glob searches are counted and reported; hidden files and folders are ignored.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Instead of `paths`: the directory of a complete run. The lines of one of its sinks are read as records, in the
    /// order of the run's items, whatever their order in the file. This run depends on their content: if it changes,
    /// the run cannot be continued.
    #[serde(default)]
    pub run: Option<String>,
    /// With `run`: the id of the sink; optional if the run has only one.
    #[serde(default)]
    pub sink: Option<String>,
    /// Names of folders that `**` does not descend into, unless the path names them. Unless the list is empty,
    /// folders marked as a cache (`CACHEDIR.TAG`, as in Cargo's `target`) or as a Python environment (`pyvenv.cfg`)
    /// are skipped too. `.gitignore` has no effect: data is often listed in it.
    #[serde(default = "skip_folders")]
    pub skip_folders: Vec<String>,
    /// How the files are read. `auto` decides by the file name extension: `.md`, `.mdx`, `.markdown` and `.txt` are
    /// documents, `.jsonl` and `.ndjson` are JSON lines, `.json` is an array of objects, `.csv` and `.tsv` are rows of
    /// texts. Files of rows may be compressed, as `.gz` or `.zst`.
    #[serde(default)]
    pub format: IngestFormat,
    /// Programs that make Markdown of other files, by globs, of which the first that matches counts: `{"*.rst": [pandoc, -f,
    /// rst, -t, gfm, "{path}"]}`. A glob with `/` is for paths, one without for file names. The program is run once a file,
    /// in a sandbox, where it can read the file and the files that its arguments name; `{path}` stands for the file's
    /// path. What it writes to standard output is read as a document, and kept in the run directory, so that the run goes
    /// on with the same text. `{command: [...], timeout: 60, sandbox: off}` is the form with options.
    #[serde(default)]
    convert: Converters,
    /// The format of the rows. Their columns are converted to the fields from which a sink writes that format; other
    /// columns are kept as they are. A row in another format is a source failure.
    #[serde(default)]
    pub rows: Format,
    /// The names of the format's columns in the files, such as `{prompt: question}` where the format's `prompt` is
    /// called `question`.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// How CSV files are written, if not with commas, double quotes and in UTF-8.
    #[serde(default)]
    pub dialect: Option<Dialect>,
    /// The maximum size of a document, in bytes; a larger one is a source failure. Files of rows may have any size.
    #[serde(default = "limit_bytes")]
    pub limit_bytes: u64,
    /// The locations of the lines of `run`, as the check found them: it reads the whole file for that.
    #[serde(skip)]
    lines: OnceLock<Arc<ItemLines>>,
}

/// How a file is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum IngestFormat {
    /// By the file name extension.
    #[default]
    Auto,
    /// One record per file, with its text in the field `text`.
    Document,
    /// One record per line, which is a JSON object.
    Jsonl,
    /// One record per element of a JSON array, which is an object.
    Json,
    /// One record per row; the first row names the fields. Columns without a name are ignored.
    Csv,
}

fn skip_folders() -> Vec<String> {
    ["node_modules", "bower_components", "__pycache__"].map(str::to_owned).to_vec()
}

fn limit_bytes() -> u64 {
    16 * 1024 * 1024
}

impl IngestFormat {
    /// The format of one file; `None` if its extension is unknown.
    fn of(self, path: &str) -> Option<Self> {
        if self != Self::Auto {
            return Some(self);
        }
        let plain = rows::without_compression(path);
        let ending = Path::new(plain).extension()?.to_str()?.to_lowercase();
        match ending.as_str() {
            "md" | "mdx" | "markdown" | "txt" if plain == path => Some(Self::Document),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            // Other `.json` files in a folder are settings, of no use as rows.
            "json" => rows::is_json_array(path).then_some(Self::Json),
            "csv" | "tsv" => Some(Self::Csv),
            _ => None,
        }
    }
}

impl StageDescription for Ingest {
    const NAME: &'static str = "ingest";
    const ROLE: Role = Role::Source;
    const PURPOSE: &'static str = "Reads Markdown and text files as documents and JSONL, JSON and CSV files as rows, in the order of \
         their paths, or the output of another run.";
    const MAKES: &'static [ProducedField] = &[
        ProducedField::new("text", FieldType::text, "The text of a document."),
        ProducedField::new(
            "COLUMN",
            FieldType::any,
            "Each key of a JSON object or of a run's line, or each column of a CSV file; the latter's values \
             are always texts.",
        ),
        ProducedField::new(
            "source.path",
            FieldType::text,
            "The path of the file, as it was found. Rows that have a field `source` keep it.",
        ),
        ProducedField::new("source.name", FieldType::text, "The file's name."),
        ProducedField::new("source.stem", FieldType::text, "The file's name without its extension."),
        ProducedField::new(
            "source.row",
            FieldType::integer,
            "The number of a row in its file, or of a run's line in the order of its items.",
        ),
        ProducedField::new(
            "group",
            FieldType::texts,
            "The record's origin: the file, and for a row its number.",
        ),
    ];
    const EXAMPLE: &'static str = "\
name: ingest-example
vars: {docs: markdown_docs}
stages:
  - ingest: {paths: [\"{{ vars.docs }}/*.md\"]}
  - section: {}
  - sink: {path: sections.jsonl, format: raw}
";
}

impl StageConfig for Ingest {
    fn check(&self, context: &mut CheckContext<'_>) {
        self.check_row_format(context);
        if let Some(given) = &self.run {
            return run::check(self, context, given);
        }
        if self.sink.is_some() {
            context
                .problem("/sink", "`sink` is of a run, and there is no `run`")
                .on_key()
                .expected("`run`, the directory of a complete run, beside it");
        }
        if self.paths.is_empty() {
            context
                .problem("", "`ingest` has nothing to read")
                .expected("`paths`, at least one file or glob; or `run`, the directory of a complete run");
        }
        if self.limit_bytes == 0 {
            context.problem("/limit_bytes", "`limit_bytes` is 0").expected("at least 1");
        }
        if let Some(dialect) = &self.dialect {
            dialect.check(context);
        }
        self.convert.check(context);
        let mut selection = FileSelection::default();
        for (index, path) in self.paths.iter().enumerate() {
            let at = format!("/paths/{index}");
            if let Some(pattern) = context.render(&at, path) {
                self.check_path(context, &at, &pattern, &mut selection);
            }
        }
        self.report_selection(context, selection);
    }

    fn sandbox(&self) -> Option<SandboxMode> {
        self.convert.sandbox()
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        if let Some(given) = &self.run {
            return run::build(self, context, given);
        }
        let mut selection = FileSelection::default();
        for path in &self.paths {
            let pattern = context.render(path)?;
            let matched = files::matching(&pattern, &self.skip_folders).map_err(BuildError::Other)?;
            selection.add(self, &pattern, matched);
        }
        let converters = FileConverters::new(&self.convert, context)?;
        Ok(Processor::Source(Box::new(IngestSource::new(selection, self.clone(), converters))))
    }
}

impl Ingest {
    /// Whether a file is converted or has an ending that says how to read it.
    fn can_read(&self, path: &str) -> bool {
        self.convert.convert(path) || self.format.of(path).is_some()
    }

    /// Opens a file of rows in this format; `None` if the format is not one of rows.
    fn open_rows(&self, format: IngestFormat, path: &str) -> Option<Result<Rows, String>> {
        let rows = match format {
            IngestFormat::Jsonl => rows::jsonl(path),
            IngestFormat::Json => rows::json_array(path),
            IngestFormat::Csv => rows::delimited(path, self.dialect.clone().unwrap_or_default().of(path)),
            IngestFormat::Auto | IngestFormat::Document => return None,
        };
        Some(rows.map(|rows| self.in_row_format(rows)))
    }

    /// Reports what is wrong with one rendered path, and declares the fields of its records.
    fn check_path(
        &self,
        context: &mut CheckContext<'_>,
        at: &str,
        pattern: &str,
        selection: &mut FileSelection,
    ) {
        let matched = match files::matching(pattern, &self.skip_folders) {
            Ok(matched) => matched,
            Err(message) => {
                context.problem(at, message);
                return;
            }
        };
        let skipped = matched.skipped.iter().next().cloned();
        let found = selection.add(self, pattern, matched);
        if found.is_empty() {
            let skipped = skipped.map(|folder| format!("`{folder}` was not looked into, by `skip_folders`"));
            let hint = skipped.or_else(|| context.found_elsewhere(pattern)).or_else(|| files::hint(pattern));
            let hint = hint.or_else(|| context.missing_hint(pattern));
            context.problem(at, format!("`{pattern}` matches no file")).hint = hint;
            return;
        }
        let mut unreadable = Vec::new();
        for found in &found {
            let file = match found {
                Ok(file) => file,
                Err(failure) => {
                    unreadable.push((failure.unit.clone(), failure.message.clone()));
                    continue;
                }
            };
            context.depends_on(file);
            if !self.can_read(file) {
                context
                    .problem(at, format!("the ending of `{file}` does not say how to read it"))
                    .expected(".md, .mdx, .markdown, .txt, .jsonl, .ndjson, .json with an array, .csv, .tsv; or `format` or `convert`");
                return;
            }
            if let Err(message) = self.probe(context, file) {
                // Its fields are unknown; the run reports it as a source failure.
                context.may_have_other_fields();
                unreadable.push((file.clone(), message));
            }
        }
        if unreadable.len() == found.len() {
            let (file, message) = unreadable.swap_remove(0);
            let message = match found.len() {
                1 => format!("`{file}` cannot be read: {message}"),
                all => format!("none of the {all} files can be read; `{file}`: {message}"),
            };
            context.problem(at, message);
        }
        selection.unreadable.extend(unreadable);
    }

    /// Inspects the beginning of a file, and declares the fields of its records.
    fn probe(&self, context: &mut CheckContext<'_>, file: &str) -> Result<(), String> {
        if self.convert.convert(file) {
            std::fs::File::open(file).map_err(|error| error.to_string())?;
            declare_document(context);
            return Ok(());
        }
        let format = self.format.of(file);
        let Some(rows) = format.and_then(|format| self.open_rows(format, file)) else {
            document::probe(file, self.limit_bytes)?;
            declare_document(context);
            return Ok(());
        };
        let rows = rows?;
        if let Some((row, message)) = declare_fields(context, rows, format == Some(IngestFormat::Csv)) {
            context.warning("/paths", format!("`{file}:{row}` cannot be read: {message}"));
        }
        Ok(())
    }

    /// Reports which files are left out, and which cannot be read.
    fn report_selection(&self, context: &mut CheckContext<'_>, mut selection: FileSelection) {
        const SHOWN: usize = 3;
        let left_out = selection.left_out();
        let files: Vec<&str> = selection.found.iter().flatten().map(String::as_str).collect();
        self.convert.check_use(context, &files);
        if !left_out.kinds.is_empty() || !left_out.folders.is_empty() {
            context.warning("/paths", left_out.to_string());
        }
        let unreadable = &selection.unreadable;
        for (file, message) in unreadable.iter().take(SHOWN) {
            context.warning("/paths", format!("`{file}` cannot be read: {message}"));
        }
        if unreadable.len() > SHOWN {
            let more = unreadable.len() - SHOWN;
            context.warning("/paths", format!("{more} more files cannot be read"));
        }
    }
}

/// Declares the fields of a document.
fn declare_document(context: &mut CheckContext<'_>) {
    context.makes_for_some("text", FieldType::text());
    declare_origin(context, false);
}

#[cfg(test)]
mod tests;
