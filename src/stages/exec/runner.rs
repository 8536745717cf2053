//! The running part of `exec`: the program for a record, and the fields that its outcome sets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::command::{self, Argument};
use super::input::BuiltInput;
use super::{Exec, ExecMode, OUTCOME};
use crate::llm::answer_schema::AnswerSchema;
use crate::pipeline::{Concurrency, FieldType, InputFile};
use crate::record::Record;
use crate::sandbox::{Program, ProgramLimits, ProgramOutcome, ProgramStatus, SandboxMode};
use crate::stage::{BuildContext, BuildError, ProgramSettings, RunPrograms, StageError, TransformOutput};
use crate::template::Template;

/// The most characters of standard error in a message.
const SHOWN: usize = 600;
/// The longest argument that Linux passes to a program.
const LONGEST_ARGUMENT: usize = 128 * 1024 - 1;

/// The type of an outcome that is stored as a field.
pub(super) fn outcome_type() -> FieldType {
    let field = |name: &str, kind| (name.to_owned(), kind);
    FieldType::object_of(
        vec![
            field("status", FieldType::text()),
            field("exit_code", FieldType::integer().or_null()),
            field("signal", FieldType::integer().or_null()),
            field("stdout", FieldType::text()),
            field("stderr", FieldType::text()),
            field("seconds", FieldType::number()),
            field("peak_memory", FieldType::integer()),
        ],
        false,
    )
}

/// Makes programs of records, and fields of outcomes.
pub(super) struct Runner {
    /// What all programs have in common.
    program: Program,
    /// The arguments of a program per record; empty for workers.
    arguments: Vec<ArgumentPart>,
    input: Option<BuiltInput>,
    stdin: Option<Template>,
    files: Vec<(String, Template)>,
    schema: Option<AnswerSchema>,
    /// The properties that the schema declares.
    declared: Vec<String>,
    into: Option<String>,
    workers: Concurrency,
    sandbox: SandboxMode,
    is_worker: bool,
    key: String,
}

/// An argument: fixed, or rendered for each record.
enum ArgumentPart {
    Fixed(String),
    Rendered(Template),
}

impl Runner {
    pub(super) fn new(options: &Exec, context: &BuildContext) -> Result<Self, BuildError> {
        let is_worker = options.mode == ExecMode::Worker;
        let named = NamedFiles::of(options, context)?;
        let mut program = Program {
            command: vec![named.program],
            readable: named.readable,
            network: options.network,
            limits: limits(options),
            ..Program::default()
        };
        for (name, value) in &options.env {
            program.env.insert(name.clone(), context.render(value)?);
        }
        let mut arguments = named.arguments;
        if is_worker {
            let fixed = arguments.drain(..).map(|part| match part {
                ArgumentPart::Fixed(text) => Ok(text),
                ArgumentPart::Rendered(template) => template.render_vars(),
            });
            program.command.extend(fixed.collect::<Result<Vec<_>, _>>()?);
        }
        let schema = options.output.as_ref().map(AnswerSchema::new).transpose().map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            BuildError::Other(texts.join("; "))
        })?;
        let mut files = Vec::new();
        for (path, content) in &options.files {
            files.push((path.clone(), context.template(content)?));
        }
        Ok(Self {
            program,
            arguments,
            input: options.input.as_ref().map(|input| input.build(context)).transpose()?,
            stdin: options.stdin.as_ref().map(|stdin| context.template(stdin)).transpose()?,
            files,
            declared: schema.iter().flat_map(declared_by).collect(),
            schema,
            into: options.into.clone(),
            workers: options.workers,
            sandbox: options.sandbox,
            is_worker,
            key: named.key,
        })
    }

    /// What the program reads from standard input, for a worker a line.
    fn stdin(&self, record: &Record) -> Result<Vec<u8>, StageError> {
        if let Some(template) = &self.stdin {
            return Ok(template.render(record)?.into_bytes());
        }
        let object = match &self.input {
            Some(input) => input.object(record)?,
            None if self.is_worker => Map::new(),
            None => return Ok(Vec::new()),
        };
        let mut line = Value::Object(object).to_string().into_bytes();
        if !self.is_worker {
            line.push(b'\n');
        }
        Ok(line)
    }

    /// Stores what the program wrote.
    fn store(&self, record: &mut Record, schema: &AnswerSchema, stdout: &str) -> Result<(), StageError> {
        let invalid = |message: String| StageError::new("output", message);
        let value: Value = serde_json::from_str(stdout.trim()).map_err(|error| {
            invalid(format!(
                "the output of the program is not JSON: {error}; it begins with `{}`",
                begin(stdout)
            ))
        })?;
        schema.check(&value).map_err(|message| invalid(format!("the output of the program: {message}")))?;
        match (&self.into, value) {
            (Some(into), value) => record.set(into, value),
            (None, Value::Object(properties)) => {
                let declared =
                    |name: &str| self.declared.is_empty() || self.declared.iter().any(|one| one == name);
                record.fields.extend(properties.into_iter().filter(|(name, _)| declared(name)));
            }
            (None, _) => return Err(invalid("the output of the program is no JSON object".to_owned())),
        }
        Ok(())
    }
}

impl RunPrograms for Runner {
    fn settings(&self) -> ProgramSettings {
        ProgramSettings {
            workers: match self.workers {
                Concurrency::Fixed(workers) => Some(workers),
                Concurrency::Auto => None,
            },
            sandbox: self.sandbox,
            worker: self.is_worker.then(|| self.program.clone()),
            key: self.key.clone(),
        }
    }

    fn programs(&self, record: &Record) -> Result<Vec<Program>, StageError> {
        let stdin = self.stdin(record)?;
        if self.is_worker {
            return Ok(vec![Program { stdin, ..Program::default() }]);
        }
        let mut command = self.program.command.clone();
        for argument in &self.arguments {
            command.push(match argument {
                ArgumentPart::Fixed(text) => text.clone(),
                ArgumentPart::Rendered(template) => template.render(record)?,
            });
        }
        check_arguments(&command)?;
        let mut files = BTreeMap::new();
        for (path, content) in &self.files {
            files.insert(path.clone(), content.render(record)?.into_bytes());
        }
        Ok(vec![Program { command, stdin, files, ..self.program.clone() }])
    }

    fn is_answer(&self, line: &str) -> bool {
        let Some(schema) = &self.schema else { return true };
        serde_json::from_str(line.trim()).is_ok_and(|value| schema.is_met_by(&value))
    }

    fn accept(
        &self,
        record: &mut Record,
        mut outcomes: Vec<ProgramOutcome>,
    ) -> Result<TransformOutput, StageError> {
        let Some(outcome) = outcomes.pop() else {
            return Err(StageError::new("exec", "the program has no outcome"));
        };
        match &self.schema {
            None => record.set(self.into.as_deref().unwrap_or(OUTCOME), to_json(outcome)),
            Some(_) if !outcome.is_finished() => return Err(failure(&outcome, self.is_worker)),
            Some(schema) => {
                let replaced = outcome.stdout.contains(char::REPLACEMENT_CHARACTER);
                // Bytes that are no text arrive as this character, which a program may also have been given.
                if replaced
                    && !String::from_utf8_lossy(&self.stdin(record)?).contains(char::REPLACEMENT_CHARACTER)
                {
                    return Err(StageError::new("output", "the output of the program is not UTF-8"));
                }
                self.store(record, schema, &outcome.stdout)?;
            }
        }
        Ok(TransformOutput::Pass)
    }
}

fn declared_by(schema: &AnswerSchema) -> Vec<String> {
    schema.kind().fields().map(|(name, _)| name.to_owned()).collect()
}

/// Reports arguments that no program can be given, which would say nothing about the program.
fn check_arguments(command: &[String]) -> Result<(), StageError> {
    let wrong = |message: String| Err(StageError::new("command", message));
    let hint = "pass the text by `input`, `stdin` or `files`";
    for argument in command {
        if argument.contains('\0') {
            return wrong(format!("an argument contains a NUL character; hint: {hint}"));
        }
        if argument.len() > LONGEST_ARGUMENT {
            let length = argument.len();
            return wrong(format!(
                "an argument has {length} bytes, of which {LONGEST_ARGUMENT} can be passed; hint: {hint}"
            ));
        }
    }
    let all: usize = command.iter().map(String::len).sum();
    match all > 8 * LONGEST_ARGUMENT {
        true => wrong(format!("the arguments have {all} bytes together; hint: {hint}")),
        false => Ok(()),
    }
}

/// The program, its arguments and its files, as they are used in a run.
struct NamedFiles {
    program: String,
    arguments: Vec<ArgumentPart>,
    readable: Vec<PathBuf>,
    key: String,
}

impl NamedFiles {
    fn of(options: &Exec, context: &BuildContext) -> Result<Self, BuildError> {
        let Some((name, rest)) = options.command.split_first() else {
            return Err(BuildError::Other("the command is empty".to_owned()));
        };
        let name = context.render(name)?;
        let program = command::find(&name).map_err(|error| BuildError::Other(error.to_string()))?;
        let mut key = Vec::new();
        if name.contains('/') {
            key.push(InputFile::read(&name).hash);
        }
        let (mut arguments, mut readable) = (Vec::new(), Vec::new());
        for text in rest {
            let template = context.template(text)?;
            if !template.names_only_vars() {
                arguments.push(ArgumentPart::Rendered(template));
                continue;
            }
            match Argument::of(&context.render(text)?) {
                Argument::Path(path) => {
                    if path.is_file() {
                        key.push(InputFile::read(&path.to_string_lossy()).hash);
                    }
                    arguments.push(ArgumentPart::Fixed(path.to_string_lossy().into_owned()));
                    readable.push(path);
                }
                Argument::Text(text) => arguments.push(ArgumentPart::Fixed(text)),
            }
        }
        for path in &options.read {
            let path = context.render(path)?;
            if std::path::Path::new(&path).is_file() {
                key.push(InputFile::read(&path).hash);
            }
            readable.extend(std::path::absolute(path));
        }
        Ok(Self { program, arguments, readable, key: key.join(" ") })
    }
}

fn limits(options: &Exec) -> ProgramLimits {
    ProgramLimits {
        timeout: Duration::try_from_secs_f64(options.timeout).unwrap_or(Duration::MAX),
        cpu_seconds: options.cpu_seconds,
        memory: options.memory.0,
        processes: options.processes,
        output_bytes: options.output_bytes.0,
    }
}

/// The error of a record whose program did not finish. Its class is the status.
fn failure(outcome: &ProgramOutcome, is_worker: bool) -> StageError {
    let how = match (outcome.status, outcome.exit_code, outcome.signal) {
        (ProgramStatus::Failed, Some(code), _) => format!("the program ended with exit code {code}"),
        (ProgramStatus::Crashed, _, Some(signal)) => format!("the program was ended by signal {signal}"),
        (ProgramStatus::Timeout, ..) if is_worker => {
            format!("the worker did not answer in {:.1} s; does it flush each line?", outcome.seconds)
        }
        (ProgramStatus::Timeout, ..) => format!("the program took longer than {:.1} s", outcome.seconds),
        (ProgramStatus::Failed, ..) => "the program failed".to_owned(),
        (ProgramStatus::Crashed, ..) => "the program was ended by a signal".to_owned(),
        (ProgramStatus::Network | ProgramStatus::Denied, code, _) => {
            let code = code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
            format!(
                "the program ended{code}, as the sandbox refused it something ({})",
                outcome.status.name()
            )
        }
        (status, ..) => format!("the program was stopped: {}", status.name().replace('_', " ")),
    };
    let stderr = outcome.stderr.trim();
    let message = match stderr.is_empty() {
        true => how,
        // The end says what went wrong.
        false => format!("{how}: {}", end(stderr)),
    };
    StageError::new(outcome.status.name(), message)
}

fn to_json(outcome: ProgramOutcome) -> Value {
    let ProgramOutcome { status, exit_code, signal, stdout, stderr, seconds, peak_memory } = outcome;
    json!({
        "status": status,
        "exit_code": exit_code,
        "signal": signal,
        "stdout": stdout,
        "stderr": stderr,
        "seconds": seconds,
        "peak_memory": peak_memory,
    })
}

fn begin(text: &str) -> String {
    text.trim().chars().take(SHOWN / 4).collect()
}

fn end(text: &str) -> &str {
    let skipped = text.chars().count().saturating_sub(SHOWN);
    text.char_indices().nth(skipped).map_or(text, |(start, _)| &text[start..])
}
