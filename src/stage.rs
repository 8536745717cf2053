//! What a stage is: a configuration that is checked and built, and a processor that handles records.
//!
//! `stages/` implements these traits, one file per stage; `config` checks and builds stages through them; the
//! engine drives the processors. A stage knows nothing of its neighbours, spawns nothing, retries nothing and
//! prints nothing: it takes a record and returns what becomes of it.

mod answer_parser;
mod block;
mod gate;
mod programs;
mod question_set;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::answer_parser::{AnswerError, AnswerParser, OnError};
pub use self::block::{BlockConfig, Collect, ForEachBlock, OnFail, RepeatBlock};
pub use self::gate::{Gate, GateDecider, GateDecision};
pub use self::programs::{ProgramSettings, RunPrograms};
pub use self::question_set::QuestionSet;
use crate::draw::Draws;
use crate::journal::{ArrayFile, KeptResults, StorageError};
use crate::llm::{Completion, ModelRequest};
use crate::pipeline::CheckContext;
use crate::record::Record;
use crate::sandbox::{SandboxError, SandboxMode};
use crate::template::{Expression, Patterns, Template, TemplateError};
use crate::text_file;

/// A stage as the user wrote it: the options of one stage type.
pub trait StageConfig: Send + Sync {
    /// Reports what is wrong with the values, and declares which fields the stage makes. Runs offline; may read
    /// the files that the options name.
    fn check(&self, context: &mut CheckContext<'_>);

    /// Builds the processor. Called only if `check` reported nothing.
    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError>;

    /// What the plan shows of the stage besides its name, such as the shares it draws by. Nothing by default.
    fn explain(&self, _context: &BuildContext) -> Result<Option<Explanation>, BuildError> {
        Ok(None)
    }

    /// Whether it may turn one record into several.
    fn fans_out(&self) -> bool {
        false
    }

    /// How the programs that it runs are confined; `None` for a stage that runs none.
    fn sandbox(&self) -> Option<SandboxMode> {
        None
    }

    /// The stage as a block; `None` for a stage that does not contain stages.
    fn block(&self) -> Option<&dyn BlockConfig> {
        None
    }
}

/// What a stage explains about itself before a run.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// For people, line by line.
    pub lines: Vec<String>,
    /// The same for machines.
    pub data: Value,
}

/// What a processor may need to be built.
#[derive(Debug, Clone)]
pub struct BuildContext {
    /// The pipeline's variables, overrides applied.
    pub vars: Map<String, Value>,
    /// The stage's own random draws.
    pub draws: Draws,
    /// When the run was first started, as `YYYY-MM-DD_HH-MM-SS` in local time; the same at every resume.
    pub started: String,
    /// The number of items, if the source knows it.
    pub items: Option<u64>,
    /// The known fields of records as they reach the stage, in the order in which they are made.
    pub fields: Vec<String>,
}

impl BuildContext {
    /// Compiles a template with the pipeline's variables.
    pub fn template(&self, source: &str) -> Result<Template, BuildError> {
        Ok(Template::new(source, &self.vars)?)
    }

    /// Compiles an expression with the pipeline's variables.
    pub fn expression(&self, source: &str) -> Result<Expression, BuildError> {
        Ok(Expression::new(source, &self.vars)?)
    }

    /// Reads a text file named by the stage's options.
    pub fn read_file(&self, path: String) -> Result<String, BuildError> {
        text_file::read(&path).map_err(|source| BuildError::Read { path, source: source.into() })
    }

    /// Reads the file of patterns that an option names.
    pub fn read_patterns(&self, path: &str) -> Result<Patterns, BuildError> {
        let path = self.render(path)?;
        let text = self.read_file(path.clone())?;
        let error = |problems: Vec<String>| BuildError::Other(format!("`{path}`: {}", problems.join("; ")));
        Patterns::parse(&text).map_err(error)
    }

    /// Renders a text that may refer to `vars` and `started`, such as a path.
    pub fn render(&self, source: &str) -> Result<String, BuildError> {
        Ok(Template::new(source, &self.vars)?.render_started(&self.started)?)
    }
}

/// Why a processor cannot be built although its configuration passed the check: a file vanished, for example.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file that the stage needs cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A template does not compile or render.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Any other reason.
    #[error("{0}")]
    Other(String),
}

/// The running part of a stage, by role. `StageConfig::build` makes it.
pub enum Processor {
    /// Produces records; first in the pipeline.
    Source(Box<dyn Source>),
    /// A deterministic, cheap step of the source part that sees one unit at a time.
    SourceTransform(Box<dyn SourceTransform>),
    /// Takes one record and returns one, several or none.
    Transform(Box<dyn Transform>),
    /// Asks a model.
    Ask(Box<dyn Ask>),
    /// Parses an answer; joined with the `Ask` before it.
    AnswerParser(Box<dyn AnswerParser>),
    /// Writes records to a file and passes them on.
    Sink(Box<dyn LineSink>),
    /// Decides about items in the order of their numbers.
    Gate(Box<dyn Gate>),
    /// A block whose stages run in passes over one record.
    Repeat(Box<dyn RepeatBlock>),
    /// A block whose stages run for each element of a list.
    ForEach(Box<dyn ForEachBlock>),
    /// Asks a model several questions about each record and folds the answers.
    Questions(Box<QuestionSet>),
    /// Runs programs about each record.
    Programs(Box<dyn RunPrograms>),
}

/// The records of one document or one row: the unit that the source part handles at a time.
#[derive(Debug, Default)]
pub struct SourceUnit {
    /// The unit's name for messages: a path, or a path and row.
    pub name: String,
    /// Its records.
    pub records: Vec<Record>,
}

/// A document or row that could not be read; the run goes on without it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{unit}`: {message}")]
pub struct SourceFailure {
    /// The path, or path and row.
    pub unit: String,
    /// Why it cannot be read.
    pub message: String,
    /// Set if the cause is not in the document, so that a later start may read it: the run ends here.
    pub halt: Option<SourceHalt>,
}

/// Why a source cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceHalt {
    /// The sandbox of a program that reads a document failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// What was read cannot be kept.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl SourceFailure {
    /// A failure of one document or row.
    pub fn new(unit: impl Into<String>, message: impl Into<String>) -> Self {
        Self { unit: unit.into(), message: message.into(), halt: None }
    }
}

/// The files that a source reads where it looks, and those that it leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeftOut {
    /// Files that are read.
    pub read: u64,
    /// Files that are not read, by kind: `.pdf`, ...
    pub kinds: BTreeMap<String, u64>,
    /// Folders that were not searched.
    pub folders: Vec<String>,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 6;
        let files = if self.read == 1 { "file" } else { "files" };
        write!(f, "read {} {files}, left out ", self.read)?;
        let mut kinds: Vec<(&String, &u64)> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        match kinds.iter().map(|(_, count)| **count).sum::<u64>() {
            0 => write!(f, "none")?,
            all => write!(f, "{all}: ")?,
        }
        let mut parts: Vec<String> =
            kinds.iter().take(SHOWN).map(|(kind, count)| format!("{count} {kind}")).collect();
        let others: u64 = kinds.iter().skip(SHOWN).map(|(_, count)| **count).sum();
        if others > 0 {
            parts.push(format!("{others} of other kinds"));
        }
        write!(f, "{}", parts.join(", "))?;
        if !self.folders.is_empty() {
            let shown: Vec<&str> = self.folders.iter().take(SHOWN).map(String::as_str).collect();
            let more = self.folders.len() - shown.len();
            write!(f, "; not looked into: {}", shown.join(", "))?;
            if more > 0 {
                write!(f, " and {more} more")?;
            }
        }
        Ok(())
    }
}

/// The first stage. Runs on a thread of its own, so it may block.
pub trait Source: Send {
    /// Returns the next unit, in an order that is the same in every run; `None` at the end.
    fn next(&mut self) -> Option<Result<SourceUnit, SourceFailure>>;

    /// The number of units, if known in advance; used to estimate the time left.
    fn units(&self) -> Option<u64> {
        None
    }

    /// The number of records, if known in advance.
    fn records(&self) -> Option<u64> {
        None
    }

    /// The files that it reads and leaves out; `None` for sources that do not search for files.
    fn left_out(&self) -> Option<LeftOut> {
        None
    }

    /// Whether it never ends on its own, so that a run needs a limit.
    fn is_endless(&self) -> bool {
        false
    }

    /// The paths of the files it reads, which must not change before a start has ended.
    fn files(&self) -> Vec<String> {
        Vec::new()
    }

    /// Gives a source that runs programs the place in the run directory where their outcomes are kept, before anything
    /// is read. Not called where there is no run directory, as in a preview.
    fn keep_results(&mut self, _results: KeptResults) {}

    /// Skips at most `records` records before the first `next` and returns how many it skipped. For sources that
    /// can do so without making the records.
    fn skip(&mut self, _records: u64) -> u64 {
        0
    }

    /// Skips at most `units` units before the first `next` and returns how many it skipped. For sources that can
    /// do so without reading them.
    fn skip_units(&mut self, _units: u64) -> u64 {
        0
    }
}

/// The records of a unit, produced lazily; an error ends them.
pub type UnitRecords<'a> = Box<dyn Iterator<Item = Result<Record, StageError>> + 'a>;

/// A step of the source part: takes the records of a unit and returns the records derived from them.
pub trait SourceTransform: Send {
    /// Returns the records for the next step, and passes errors on. A step that does not need all records of the unit
    /// takes them one by one, so that they need not all exist at once. Deterministic; asks no model.
    fn transform<'a>(&'a self, records: UnitRecords<'a>) -> UnitRecords<'a>;
}

/// A step after admission.
pub trait Transform: Send + Sync {
    /// Modifies the record and returns what becomes of it. After an error the engine keeps the record in its
    /// current state, for `rejected.jsonl`.
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError>;
}

/// What a transform does with a record.
#[derive(Debug)]
pub enum TransformOutput {
    /// Passes it on as it is now.
    Pass,
    /// Replaces it by several records; the engine assigns their ids.
    Many(Vec<Record>),
    /// Drops it; the reason is a short word such as `crosses_split`.
    Drop(Cow<'static, str>),
}

/// The question of an `llm` stage. The engine sends it, retries it and accounts for it.
pub trait Ask: Send + Sync {
    /// The name of the model in the pipeline's `models`.
    fn model(&self) -> &str;

    /// Builds the question for one record.
    fn request(&self, record: &Record) -> Result<ModelRequest, StageError>;

    /// Stores the answer in the record, and who answered: a name in `models`, or the provider that replaced the
    /// model.
    fn accept(&self, record: &mut Record, completion: &Completion, answered_by: &str);
}

/// A file of records.
pub trait LineSink: Send + Sync {
    /// The file's path, relative to the run directory.
    fn path(&self) -> &str;

    /// Formats the record as one line, without its line end.
    fn line(&self, record: &Record) -> Result<Vec<u8>, StageError>;

    /// A JSON array file to be made of the lines when the run is complete.
    fn array(&self) -> Option<&ArrayFile> {
        None
    }
}

/// Why a stage could not handle a record: the record is rejected, the run goes on.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StageError {
    /// A short word by which reports count errors, such as `template` or `schema`, or a name that the user chose.
    pub class: Cow<'static, str>,
    /// What went wrong, in one line or a few.
    pub message: String,
}

impl StageError {
    /// An error of `class` with a message.
    pub fn new(class: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { class: class.into(), message: message.into() }
    }
}

impl From<TemplateError> for StageError {
    fn from(error: TemplateError) -> Self {
        Self::new("template", error.to_string())
    }
}
