//! `exec`: runs a program of the user about each record, such as a checker, a converter or a scorer.
//!
//! `input.rs` makes what the program reads, `command.rs` finds the program and the files that its arguments name, and
//! `runner.rs` makes programs of records and fields of outcomes. The engine runs the programs and journals how they
//! ended; `sandbox` confines them.

pub(in crate::stages) mod check;
pub(in crate::stages) mod command;
mod input;
mod runner;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use self::input::ExecInput;
use super::{Role, StageDescription};
use crate::pipeline::{ByteSize, CheckContext, Concurrency, FieldType, ProducedField};
use crate::sandbox::SandboxMode;
use crate::stage::{BuildContext, BuildError, Processor, StageConfig};

/// Runs a program about each record.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Exec {
    /// The program and its arguments. A name without `/` is looked up in `/usr/local/bin`, `/usr/bin` and `/bin`. An
    /// argument that names a file of the project is passed as its absolute path, and its content becomes part of the
    /// run's identity. With `mode: process` the arguments are templates; no shell interprets them.
    command: Vec<String>,
    /// Whether each record gets a process of its own, or long-lived workers answer one record after the other.
    #[serde(default)]
    mode: ExecMode,
    /// What the program reads: a list of fields, or names with templates or `{expr: EXPRESSION}`. It is passed as a
    /// JSON object on one line of standard input. Without it the program reads nothing, a worker an empty object.
    #[serde(default)]
    input: Option<ExecInput>,
    /// With `mode: process`, a template for the text on standard input instead of `input`.
    #[serde(default)]
    stdin: Option<String>,
    /// With `mode: process`, files placed into the work folder, which is the program's current folder: relative paths and
    /// templates for their contents.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// The JSON schema of what the program writes to standard output: one JSON value, with `mode: worker` on one line.
    /// The properties that the schema declares become fields of the record; others are left out. A program that fails, or whose output does not match,
    /// rejects the record.
    #[serde(default)]
    output: Option<Value>,
    /// With `output`, the field in which the whole value is stored instead. Without `output`, the field in which the
    /// outcome is stored, however the program ended; `exec` by default.
    #[serde(default)]
    into: Option<String>,
    /// The most seconds that a program may take; for a worker, the most for one record. The first one may take half a
    /// minute longer, in which a worker loads what it needs.
    #[serde(default = "timeout")]
    timeout: f64,
    /// With `mode: process`, the most seconds of processor time, of all processes of the program together.
    #[serde(default)]
    cpu_seconds: Option<u64>,
    /// The most memory, of all processes of the program together, such as `512MB` or `2GiB`.
    #[serde(default = "memory")]
    memory: ByteSize,
    /// The most processes and threads at a time.
    #[serde(default = "processes")]
    processes: u32,
    /// The most bytes that a program may write to standard output and standard error, for a worker in one answer, and
    /// to each file.
    #[serde(default = "output_bytes")]
    output_bytes: ByteSize,
    /// Whether the program may use the network.
    #[serde(default)]
    network: bool,
    /// Files and folders of the project that the program may read, besides those that its arguments name. The content of
    /// files, but not of folders, is part of the run's identity.
    #[serde(default)]
    read: Vec<String>,
    /// Environment variables of the program. It inherits none of ours, so that no key reaches it.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// The most programs or workers that run at a time; `auto` is one worker per processor, or three
    /// programs for two processors.
    #[serde(default = "workers")]
    workers: Concurrency,
    /// Whether the program must run in a sandbox. `off` is for programs that you trust: they can read and write what
    /// you can.
    #[serde(default)]
    sandbox: SandboxMode,
}

/// How programs are started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExecMode {
    /// A process per record, in a fresh work folder.
    #[default]
    Process,
    /// Workers that read a JSON object per line and write a JSON value per line, in the same order. They are started
    /// when needed, and replaced if they die or hang. Which worker answers which record is left open, so an answer must
    /// not depend on the records before.
    Worker,
}

pub(in crate::stages) fn timeout() -> f64 {
    10.0
}

pub(in crate::stages) fn memory() -> ByteSize {
    ByteSize(512_000_000)
}

pub(in crate::stages) fn processes() -> u32 {
    32
}

pub(in crate::stages) fn output_bytes() -> ByteSize {
    ByteSize(1_000_000)
}

pub(in crate::stages) fn workers() -> Concurrency {
    Concurrency::Auto
}

/// The field of an outcome, unless `into` names another.
const OUTCOME: &str = "exec";

const OUTCOME_FIELD: ProducedField = ProducedField::named_by(
    "into",
    "FIELD",
    runner::outcome_type,
    "Without `output`: the outcome, in `exec` by default, with `status` (`finished`, `failed`, `crashed`, `timeout`, `cpu_time`, \
     `out_of_memory`, `too_much_output`, `too_many_processes`, `network` or `denied`), `exit_code` and `signal` (or null), \
     `stdout`, `stderr`, `seconds` and `peak_memory` in bytes.",
);

impl StageDescription for Exec {
    const NAME: &'static str = "exec";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str = "Runs a program about each record in a sandbox, such as a checker, a converter or a scorer of your own, and \
         stores what it writes.";
    const MAKES: &'static [ProducedField] = &[
        ProducedField::new(
            "PROPERTY",
            FieldType::any,
            "With `output`: each property that the schema declares, unless `into` names a field for the whole value.",
        ),
        OUTCOME_FIELD,
    ];
    const EXAMPLE: &'static str = r#"name: exec-example
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - exec:
      command: [sed, -u, -e, "s/.*/{\"letters\": 0}/"]
      mode: worker
      input: {text: "{{ section.text }}"}
      output: {type: object, required: [letters], properties: {letters: {type: integer}}}
      sandbox: "off"
  - sink: {path: lengths.jsonl, format: raw, fields: [section.title, letters]}
"#;
}

impl StageConfig for Exec {
    fn sandbox(&self) -> Option<SandboxMode> {
        Some(self.sandbox)
    }

    fn check(&self, context: &mut CheckContext<'_>) {
        self.check_options(context);
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        Ok(Processor::Programs(Box::new(runner::Runner::new(self, context)?)))
    }
}
