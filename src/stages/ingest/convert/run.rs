//! Runs converters: once a file, with the outcome kept in the run directory.
//!
//! An outcome is kept also if the converter failed, so that a later start finds the same documents, whatever has become of
//! the program meanwhile. That the sandbox itself failed is not kept and ends the run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Converter, Converters, PATH};
use crate::journal::KeptResults;
use crate::pipeline::InputFile;
use crate::sandbox::{
    Program, ProgramLimits, ProgramOutcome, ProgramStatus, Sandbox, SandboxError, SandboxMode,
};
use crate::stage::{BuildContext, BuildError, SourceFailure, SourceHalt};
use crate::stages::exec::command::{self, Argument};
use crate::stages::ingest::document;

/// The limits of a converter, besides its time.
const MEMORY: u64 = 1_000_000_000;
const PROCESSES: u32 = 64;
const OUTPUT_BYTES: u64 = 64_000_000;
/// Part of each key, to be raised if the same outcome gets another meaning.
const VERSION: &str = "1";

/// The converters of a source, ready to run.
pub(in crate::stages::ingest) struct FileConverters {
    declared: Converters,
    programs: Vec<ConverterProgram>,
    runner: FileProgramRunner,
}

/// A converter whose program was found.
struct ConverterProgram {
    /// The program as it is run, but for the file's path.
    program: Program,
    /// The program's name, for messages.
    name: String,
    sandbox: SandboxMode,
    /// What the outcome depends on besides the file: the command as it was written, and the content of its files.
    key: String,
}

/// Runs programs about files, each once: an outcome that is kept is not made again.
struct FileProgramRunner {
    /// For programs that must be confined; `None` if none must.
    sandbox: Option<Sandbox>,
    /// `None` where nothing is kept, as in a preview.
    kept: Option<KeptResults>,
}

impl FileConverters {
    pub(in crate::stages::ingest) fn new(
        declared: &Converters,
        context: &BuildContext,
    ) -> Result<Self, BuildError> {
        let mut programs = Vec::new();
        for (_, converter) in &declared.0 {
            programs.push(ConverterProgram::new(converter, context)?);
        }
        let sandbox = match declared.sandbox() {
            Some(SandboxMode::Required) => Some(detect()?),
            _ => None,
        };
        let runner = FileProgramRunner { sandbox, kept: None };
        Ok(Self { declared: declared.clone(), programs, runner })
    }

    /// Sets where outcomes are kept.
    pub(in crate::stages::ingest) fn keep_in(&mut self, results: KeptResults) {
        self.runner.kept = Some(results);
    }

    /// Returns the text of the file at `path` if a converter is for it. Blocks.
    pub(in crate::stages::ingest) fn read(
        &self,
        path: &str,
        limit: u64,
    ) -> Option<Result<String, SourceFailure>> {
        let converter = &self.programs[self.declared.of(path)?];
        Some(self.convert(converter, path, limit))
    }

    fn convert(&self, converter: &ConverterProgram, path: &str, limit: u64) -> Result<String, SourceFailure> {
        let failed = |message: String| SourceFailure::new(path, message);
        File::open(path).map_err(|error| failed(error.to_string()))?;
        let content = InputFile::read(path).hash;
        let key = hash(&[VERSION, &converter.key, path, &content]);
        let outcome = self.runner.outcome(&converter.about(path), converter.sandbox, &key);
        let outcome = outcome.map_err(|halt| SourceFailure {
            halt: Some(halt.clone()),
            ..failed(format!("the converter `{}` cannot be run: {halt}", converter.name))
        })?;
        let text = text(&converter.name, path, outcome).map_err(failed)?;
        document::of_text(text, limit)
            .map_err(|message| failed(format!("what the converter `{}` wrote: {message}", converter.name)))
    }
}

fn detect() -> Result<Sandbox, BuildError> {
    Sandbox::detect().map_err(|error| BuildError::Other(error.message))
}

impl ConverterProgram {
    fn new(converter: &Converter, context: &BuildContext) -> Result<Self, BuildError> {
        let mut command = Vec::new();
        for argument in converter.command() {
            command.push(context.render(argument)?);
        }
        let Some((name, arguments)) = command.split_first() else {
            return Err(BuildError::Other("the command of a converter is empty".to_owned()));
        };
        let name = name.clone();
        let found = command::find(&name).map_err(|error| BuildError::Other(error.to_string()))?;
        let mut program = Program { command: vec![found.clone()], ..Program::default() };
        let mut parts: Vec<String> = command.clone();
        if name.contains('/') {
            parts.push(InputFile::read(&name).hash);
            program.readable.push(found.into());
        }
        for argument in arguments {
            match Argument::of(argument) {
                Argument::Path(file) => {
                    parts.push(InputFile::read(argument).hash);
                    program.command.push(file.to_string_lossy().into_owned());
                    program.readable.push(file);
                }
                Argument::Text(text) => program.command.push(text),
            }
        }
        program.limits = ProgramLimits {
            timeout: Duration::try_from_secs_f64(converter.timeout()).unwrap_or(Duration::MAX),
            cpu_seconds: None,
            memory: MEMORY,
            processes: PROCESSES,
            output_bytes: OUTPUT_BYTES,
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Ok(Self { program, name, sandbox: converter.sandbox(), key: hash(&parts) })
    }

    /// The program for one file.
    fn about(&self, path: &str) -> Program {
        let mut program = self.program.clone();
        let absolute = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        let named = absolute.to_string_lossy();
        for argument in program.command.iter_mut().skip(1) {
            *argument = argument.replace(PATH, &named);
        }
        // A link and the file that it leads to.
        program.readable.extend(Path::new(path).canonicalize().ok().filter(|real| *real != absolute));
        program.readable.push(absolute);
        program
    }
}

impl FileProgramRunner {
    /// Returns the outcome that is kept under `key`, or runs the program and keeps its outcome. Blocks.
    fn outcome(&self, program: &Program, mode: SandboxMode, key: &str) -> Result<ProgramOutcome, SourceHalt> {
        if let Some(kept) = &self.kept
            && let Some(bytes) = kept.find(key)?
            && let Ok(outcome) = serde_json::from_slice(&bytes)
        {
            return Ok(outcome);
        }
        let outcome = self.run(program, mode)?;
        if let Some(kept) = &self.kept {
            kept.keep(key, &serde_json::to_vec(&outcome).unwrap_or_default())?;
        }
        Ok(outcome)
    }

    fn run(&self, program: &Program, mode: SandboxMode) -> Result<ProgramOutcome, SandboxError> {
        let sandbox = match (mode, &self.sandbox) {
            (SandboxMode::Required, Some(sandbox)) => sandbox,
            (SandboxMode::Required, None) => {
                return Err(SandboxError { message: "there is no sandbox for it".to_owned() });
            }
            (SandboxMode::Off, _) => &Sandbox::Off,
        };
        // The source has a thread of its own, outside of the run's runtime, whose clock a test may stop.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| SandboxError { message: format!("cannot start a runtime: {error}") })?;
        runtime.block_on(sandbox.run(program))
    }
}

/// The text that a converter wrote, or why there is none.
fn text(name: &str, path: &str, outcome: ProgramOutcome) -> Result<String, String> {
    let how = match (outcome.status, outcome.exit_code, outcome.signal) {
        (ProgramStatus::Finished, ..) => return written(name, path, outcome.stdout),
        (ProgramStatus::Failed, Some(code), _) => format!("ended with exit code {code}"),
        (ProgramStatus::Crashed, _, Some(signal)) => format!("was ended by signal {signal}"),
        (ProgramStatus::Timeout, ..) => format!("took longer than {:.0} s", outcome.seconds),
        (status, ..) => format!("was stopped: {}", status.name().replace('_', " ")),
    };
    let last = outcome.stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
    let reason = last.map(|line| format!(": {}", begin(line))).unwrap_or_default();
    Err(format!("the converter `{name}` {how}{reason}"))
}

fn written(name: &str, path: &str, stdout: String) -> Result<String, String> {
    const REPLACED: &str = "\u{fffd}";
    if stdout.trim().is_empty() {
        return Err(format!("the converter `{name}` wrote nothing"));
    }
    // Bytes that are no text arrive as this character, which a document may also have on its own.
    if stdout.contains(REPLACED) && !contains(path, REPLACED.as_bytes()) {
        return Err(format!("what the converter `{name}` wrote is not UTF-8"));
    }
    Ok(stdout)
}

/// Whether a file contains these bytes.
fn contains(path: &str, bytes: &[u8]) -> bool {
    std::fs::read(path).is_ok_and(|content| memchr::memmem::find(&content, bytes).is_some())
}

fn begin(line: &str) -> String {
    const SHOWN: usize = 300;
    line.chars().take(SHOWN).collect()
}

/// A hash of parts, each with its length, so that they cannot be mistaken for others.
fn hash(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
