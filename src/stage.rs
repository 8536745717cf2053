//! What a stage is: a declaration that is checked and built, and a running part that handles records.
//!
//! `stages/` implements these traits, one file a stage; `config` checks and builds through them; the engine
//! drives the parts. A stage knows nothing of its neighbours, spawns nothing, retries nothing, prints
//! nothing: it takes a record and says what becomes of it.

mod answer_parser;
mod block;
mod gate;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::answer_parser::{AnswerError, AnswerParser, OnError};
pub use self::block::{BlockConfig, Collect, ForEachBlock, OnFail, RepeatBlock};
pub use self::gate::{Gate, GateDecider, GateDecision};
use crate::draw::Draws;
use crate::journal::ArrayFile;
use crate::llm::{Completion, ModelRequest};
use crate::pipeline::CheckContext;
use crate::record::Record;
use crate::template::{Expression, Template, TemplateError};
use crate::text_file;

/// A stage as the user wrote it: the config struct of one stage type.
pub trait StageConfig: Send + Sync {
    /// Reports what is wrong with the values, and tells which fields the stage makes. Offline; may read
    /// the files it names.
    fn check(&self, context: &mut CheckContext<'_>);

    /// Makes the running part. Called after `check` found nothing.
    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError>;

    /// What the plan shows of the stage beyond its name, such as the shares it draws by. Nothing by default.
    fn explain(&self, _context: &BuildContext) -> Result<Option<Explanation>, BuildError> {
        Ok(None)
    }

    /// Whether it may make several records of one.
    fn fans_out(&self) -> bool {
        false
    }

    /// What a block says of the stages inside it; `None` for a stage that holds none.
    fn block(&self) -> Option<&dyn BlockConfig> {
        None
    }
}

/// What a stage tells of itself before a run.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// For people, line by line.
    pub lines: Vec<String>,
    /// The same for machines.
    pub data: Value,
}

/// What a part may need to be built.
#[derive(Debug, Clone)]
pub struct BuildContext {
    /// The pipeline's variables, overrides applied.
    pub vars: Map<String, Value>,
    /// The stage's own random draws.
    pub draws: Draws,
    /// When the run was first started, as `YYYY-MM-DD_HH-MM-SS` in local time; the same at every resume.
    pub started: String,
    /// How many items there are, where the source says so.
    pub items: Option<u64>,
    /// The fields that records are known to have as they come to the stage, in the order in which they are made.
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

    /// Reads a text file that the stage was given.
    pub fn read_file(&self, path: String) -> Result<String, BuildError> {
        text_file::read(&path).map_err(|source| BuildError::Read { path, source: source.into() })
    }

    /// Renders a text that may name `vars` and `started`, such as a path.
    pub fn render(&self, source: &str) -> Result<String, BuildError> {
        Ok(Template::new(source, &self.vars)?.render_started(&self.started)?)
    }
}

/// A part that cannot be built although its declaration was right: a file vanished, say.
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
    /// Anything else, told in words.
    #[error("{0}")]
    Other(String),
}

/// The running part of a stage, by role.
pub enum Processor {
    /// Where records come from; first in the pipeline.
    Source(Box<dyn Source>),
    /// A deterministic, cheap step of the source part that sees a whole unit.
    SourceTransform(Box<dyn SourceTransform>),
    /// One record in; one, many or none out.
    Transform(Box<dyn Transform>),
    /// Puts a question to a model.
    Ask(Box<dyn Ask>),
    /// Reads an answer; joined with the `Ask` before it.
    AnswerParser(Box<dyn AnswerParser>),
    /// Writes records to a file and passes them on.
    Sink(Box<dyn Sink>),
    /// Decides about items in their order.
    Gate(Box<dyn Gate>),
    /// A block whose stages run in passes over one record.
    Repeat(Box<dyn RepeatBlock>),
    /// A block whose stages run for each element of a list.
    ForEach(Box<dyn ForEachBlock>),
}

/// The records of one document or of one row: what the source part handles at a time.
#[derive(Debug, Default)]
pub struct SourceUnit {
    /// What the unit is, for messages: a path, or a path and row.
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
}

/// What a source reads of the places where it looks, and what it leaves out there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Files that are read.
    pub read: u64,
    /// Files that are not, by kind: `.pdf`, ...
    pub kinds: BTreeMap<String, u64>,
    /// Folders that were not looked into.
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
        let mut told: Vec<String> =
            kinds.iter().take(SHOWN).map(|(kind, count)| format!("{count} {kind}")).collect();
        let others: u64 = kinds.iter().skip(SHOWN).map(|(_, count)| **count).sum();
        if others > 0 {
            told.push(format!("{others} of other kinds"));
        }
        write!(f, "{}", told.join(", "))?;
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
    /// The next unit, in an order that is the same at every run; `None` at the end.
    fn next(&mut self) -> Option<Result<SourceUnit, SourceFailure>>;

    /// How many units there are, if known beforehand, for the time left.
    fn units(&self) -> Option<u64> {
        None
    }

    /// How many records there are, if known beforehand.
    fn records(&self) -> Option<u64> {
        None
    }

    /// What it leaves out where it looks; none for sources that look nowhere.
    fn left_out(&self) -> Option<LeftOut> {
        None
    }

    /// Whether it never ends by itself, so that a run needs a limit.
    fn is_endless(&self) -> bool {
        false
    }

    /// The paths of the files it reads, which must stay as they are until a start has ended.
    fn files(&self) -> Vec<String> {
        Vec::new()
    }

    /// Passes over at most `records` records before the first `next` and says how many it passed over, for
    /// sources that can do so without making them.
    fn skip(&mut self, _records: u64) -> u64 {
        0
    }

    /// Passes over at most `units` units before the first `next` and says how many it passed over, for
    /// sources that can do so without reading them.
    fn skip_units(&mut self, _units: u64) -> u64 {
        0
    }
}

/// A step of the source part: all records of a unit in, all that come of them out.
pub trait SourceTransform: Send {
    /// Makes the next step's records. Deterministic, asks no model.
    fn transform(&self, records: Vec<Record>) -> Result<Vec<Record>, StageError>;
}

/// A step after admission.
pub trait Transform: Send + Sync {
    /// Changes the record and says what becomes of it. After an error the engine keeps the record as it
    /// then is, for `rejected.jsonl`.
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError>;
}

/// What becomes of a record in a transform.
#[derive(Debug)]
pub enum TransformOutput {
    /// It goes on as it now is.
    Pass,
    /// It becomes several, which take its place; the engine gives each its id.
    Many(Vec<Record>),
    /// A filter said no; the reason is a short word such as `crosses_split`.
    Drop(Cow<'static, str>),
}

/// The question of an `llm` stage. The engine sends it, repeats it and accounts for it.
pub trait Ask: Send + Sync {
    /// The name of the model in the pipeline's `models`.
    fn model(&self) -> &str;

    /// The question for one record.
    fn request(&self, record: &Record) -> Result<ModelRequest, StageError>;

    /// Puts the answer into the record, and who gave it: a name in `models`, or the provider that stood in.
    fn accept(&self, record: &mut Record, completion: &Completion, answered_by: &str);
}

/// A file of records.
pub trait Sink: Send + Sync {
    /// The file's path, relative to the run directory.
    fn path(&self) -> &str;

    /// The record as one line without its line end.
    fn line(&self, record: &Record) -> Result<Vec<u8>, StageError>;

    /// A file to be made of the lines when the run is complete.
    fn array(&self) -> Option<&ArrayFile> {
        None
    }
}

/// Why a stage could not handle a record: the record is rejected, the run goes on.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StageError {
    /// A short word that reports count by, such as `template` or `schema`, or the name that a user gave.
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
