//! `run_tests`: runs the tests of a record on the code of a record, each on its own.
//!
//! `extraction` finds the code in a model's answer, `given_tests` reads the tests. `languages` is the table of languages,
//! with the harness that runs a test and proves that it was run. The engine runs the programs, one for each test, and
//! `verdict` says what their outcomes mean. What programs may do is the business of `sandbox`.

mod code_blocks;
mod extraction;
mod given_tests;
mod languages;
mod python_tests;
mod test_programs;
#[cfg(test)]
mod tests;
mod verdict;

use schemars::JsonSchema;
use serde::Deserialize;

use self::languages::LANGUAGES;
use super::exec::{self, check::LimitOptions};
use super::{Role, StageDescription};
use crate::nearest::{did_you_mean, one_of};
use crate::pipeline::{ByteSize, CheckContext, Concurrency, FieldType, ProducedField};
use crate::sandbox::SandboxMode;
use crate::stage::{BuildContext, BuildError, Processor, StageConfig};

/// Runs the tests of each record on its code.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunTests {
    /// The field that holds the code: a model's answer with fenced code blocks, or the code alone.
    #[serde(default = "code")]
    code: String,
    /// The field that holds the tests: a list of texts such as `assert f(1) == 2`, of `{code: TEXT}`, or of `{input: TEXT,
    /// output: TEXT}` for a program that reads standard input and whose whole output is compared; or one text, of
    /// which in Python each check is a test. A record without tests is rejected as `tests`.
    #[serde(default = "tests")]
    tests: String,
    /// The language of code and tests: `python`, `bash`, `javascript` or `c`, or a template for its name. A record with an
    /// unknown language is rejected as `language`.
    #[serde(default = "language")]
    language: String,
    /// The field in which the result is stored.
    #[serde(default = "into")]
    into: String,
    /// The most seconds that a test may take.
    #[serde(default = "exec::timeout")]
    timeout: f64,
    /// The most seconds of processor time of a test, of all its processes together.
    #[serde(default)]
    cpu_seconds: Option<u64>,
    /// The most memory of a test, of all its processes together, such as `512MB` or `2GiB`.
    #[serde(default = "exec::memory")]
    memory: ByteSize,
    /// The most processes and threads at a time.
    #[serde(default = "exec::processes")]
    processes: u32,
    /// The most bytes that a test may write to standard output and standard error, and to each file.
    #[serde(default = "exec::output_bytes")]
    output_bytes: ByteSize,
    /// Files and folders of the project that the code may read.
    #[serde(default)]
    read: Vec<String>,
    /// The most tests that run at a time; `auto` is three for two processors.
    #[serde(default = "exec::workers")]
    workers: Concurrency,
    /// Whether tests must run in a sandbox. `off` is for code that you trust: it can read and write what you can.
    #[serde(default)]
    sandbox: SandboxMode,
}

fn code() -> String {
    "code".into()
}

fn tests() -> String {
    "tests".into()
}

fn language() -> String {
    "python".into()
}

fn into() -> String {
    "test_run".into()
}

fn result_type() -> FieldType {
    let field = |name: &str, kind| (name.to_owned(), kind);
    FieldType::object_of(
        vec![
            field("per_test", FieldType::texts()),
            field("messages", FieldType::texts()),
            field("passed", FieldType::integer()),
            field("total", FieldType::integer()),
            field("pass_rate", FieldType::number()),
            field("seconds", FieldType::number()),
            field("peak_memory", FieldType::integer()),
            field("code", code_type()),
        ],
        false,
    )
}

/// The fields in the one that `into` names.
const MAKES: &[ProducedField] = &[
    ProducedField::new(
        "test_run.per_test",
        FieldType::texts,
        "For each test: `passed`, `failed` (a check was false), `error` (an exception, code that does not parse, a program \
         that ended before its test had or was stopped, a test that checks nothing), `timeout` or `out_of_memory`.",
    ),
    ProducedField::new(
        "test_run.messages",
        FieldType::texts,
        "For each test in one line why it did not pass, or an empty text.",
    ),
    ProducedField::new("test_run.passed", FieldType::integer, "The number of tests that passed."),
    ProducedField::new("test_run.total", FieldType::integer, "The number of tests that were given."),
    ProducedField::new("test_run.pass_rate", FieldType::number, "The share of the given tests that passed."),
    ProducedField::new("test_run.seconds", FieldType::number, "The time of all tests together."),
    ProducedField::new("test_run.peak_memory", FieldType::integer, "The most bytes that one of them used."),
    ProducedField::new("test_run.code", code_type, "The code as it was found in the answer, or null."),
];

fn code_type() -> FieldType {
    FieldType::text().or_null()
}

impl StageDescription for RunTests {
    const NAME: &'static str = "run_tests";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str = "Runs the tests of a record on its code, each in a process and sandbox of its own, and stores which passed.";
    const MAKES: &'static [ProducedField] = MAKES;
    const EXAMPLE: &'static str = r#"name: run-tests-example
stages:
  - generate: {count: 2}
  - set:
      answer: "Add them:\n\n```python\ndef add(a, b):\n    return {{ 'a + b' if row == 0 else 'a - b' }}\n```\n"
      tests: {expr: "['assert add(1, 2) == 3', 'assert add(1, 0) == 1']"}
  - run_tests: {code: answer, sandbox: "off"}
  - sink: {path: tested.jsonl, format: raw, fields: [answer, test_run]}
"#;
}

impl StageConfig for RunTests {
    fn sandbox(&self) -> Option<SandboxMode> {
        Some(self.sandbox)
    }

    fn check(&self, context: &mut CheckContext<'_>) {
        context.needs_type("/code", &self.code, &FieldType::text().or_null());
        context.needs_type("/tests", &self.tests, &FieldType::text().or(FieldType::any_list()));
        self.check_language(context);
        let limits = LimitOptions {
            timeout: self.timeout,
            memory: self.memory,
            processes: self.processes,
            workers: self.workers,
        };
        exec::check::check_limits(context, &limits);
        exec::check::readable_paths(context, &self.read);
        context.makes_as(&self.into, result_type());
        context.keeps_items();
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        Ok(Processor::Programs(Box::new(test_programs::TestPrograms::new(self, context)?)))
    }
}

impl RunTests {
    /// Reports a language that is not in the table, or whose program is not installed.
    fn check_language(&self, context: &mut CheckContext<'_>) {
        let Some(template) = context.template("/language", &self.language) else { return };
        if !template.variables().is_empty() {
            return;
        }
        let Some(language) = languages::find(&self.language) else {
            let known = || LANGUAGES.iter().map(|language| language.name);
            let problem =
                context.problem("/language", format!("`{}` is no language that is tested", self.language));
            problem.expected(one_of(known()));
            problem.hint = did_you_mean(&self.language, known());
            return;
        };
        if let Err(error) = exec::command::find(language.needs) {
            context.problem("/language", error.to_string()).hint("install it");
        }
    }
}
