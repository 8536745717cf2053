//! The running part of `run_tests`: the programs for a record, and the field that their outcomes make.

use std::time::Duration;

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::RunTests;
use super::extraction;
use super::given_tests::{self, GivenTest};
use super::languages::{self, CodeLanguage, LANGUAGES};
use super::verdict::{TestStatus, TestVerdict};
use crate::draw::Draws;
use crate::nearest::one_of;
use crate::pipeline::Concurrency;
use crate::record::Record;
use crate::sandbox::{Program, ProgramLimits, ProgramOutcome};
use crate::stage::{BuildContext, BuildError, ProgramSettings, RunPrograms, StageError, TransformOutput};
use crate::template::Template;

/// Makes programs of tests, and a result of outcomes.
pub(super) struct TestPrograms {
    options: RunTests,
    language: Template,
    /// What all programs have in common.
    program: Program,
    draws: Draws,
}

/// What a record asks for.
struct TestedCode {
    language: &'static CodeLanguage,
    code: Option<String>,
    tests: Vec<GivenTest>,
}

impl TestPrograms {
    pub(super) fn new(options: &RunTests, context: &BuildContext) -> Result<Self, BuildError> {
        let mut program = Program {
            limits: ProgramLimits {
                timeout: Duration::try_from_secs_f64(options.timeout).unwrap_or(Duration::MAX),
                cpu_seconds: options.cpu_seconds,
                memory: options.memory.0,
                processes: options.processes,
                output_bytes: options.output_bytes.0,
            },
            ..Program::default()
        };
        // The order of sets of texts is the same in every run.
        program.env.insert("PYTHONHASHSEED".to_owned(), "0".to_owned());
        for path in &options.read {
            program.readable.extend(std::path::absolute(context.render(path)?));
        }
        Ok(Self {
            language: context.template(&options.language)?,
            options: options.clone(),
            program,
            draws: context.draws.clone(),
        })
    }

    fn read(&self, record: &Record) -> Result<TestedCode, StageError> {
        let name = self.language.render(record)?;
        let language = languages::find(&name).ok_or_else(|| {
            let known = one_of(LANGUAGES.iter().map(|language| language.name));
            StageError::new("language", format!("`{name}` is no language that is tested; expected {known}"))
        })?;
        let tests = given_tests::read(record.get(&self.options.tests), &self.options.tests, language)?;
        let code = match record.get(&self.options.code) {
            Some(Value::String(answer)) => extraction::code_in(answer, language),
            None | Some(Value::Null) => None,
            Some(_) => {
                return Err(StageError::new(
                    "fields",
                    format!("field `{}` is not a text", self.options.code),
                ));
            }
        };
        Ok(TestedCode { language, code, tests })
    }

    fn program(&self, language: &CodeLanguage, code: &str, test: &GivenTest, secret: String) -> Program {
        let program = self.program.clone();
        let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        match test {
            GivenTest::Output { input, .. } => Program {
                command: command(language.command),
                stdin: input.clone().into_bytes(),
                files: language.program_files(code),
                ..program
            },
            GivenTest::Code { text, only } => {
                let mut command = command(language.test_command);
                command.extend(only.clone());
                Program {
                    command,
                    stdin: secret.into_bytes(),
                    files: language.test_files(code, text),
                    ..program
                }
            }
        }
    }

    /// What the report of a test begins with: the same at every resume, and unknown to whoever wrote the code.
    fn secret(&self, record: &Record, index: usize) -> String {
        let mut rng = self.draws.rng("secret", format!("{}/{index}", record.id));
        format!("{:016x}{:016x}", rng.random::<u64>(), rng.random::<u64>())
    }
}

impl RunPrograms for TestPrograms {
    fn settings(&self) -> ProgramSettings {
        ProgramSettings {
            workers: match self.options.workers {
                Concurrency::Fixed(workers) => Some(workers),
                Concurrency::Auto => None,
            },
            sandbox: self.options.sandbox,
            worker: None,
            key: String::new(),
        }
    }

    fn programs(&self, record: &Record) -> Result<Vec<Program>, StageError> {
        let TestedCode { language, code, tests } = self.read(record)?;
        let Some(code) = code else { return Ok(Vec::new()) };
        let program = |(index, test)| self.program(language, &code, test, self.secret(record, index));
        Ok(tests.iter().enumerate().map(program).collect())
    }

    fn accept(
        &self,
        record: &mut Record,
        outcomes: Vec<ProgramOutcome>,
    ) -> Result<TransformOutput, StageError> {
        let TestedCode { language, code, tests } = self.read(record)?;
        let verdict = |(index, test): (usize, &GivenTest)| match (outcomes.get(index), test) {
            (None, _) => TestVerdict::new(
                TestStatus::Error,
                format!("there is no {} code in the answer", language.name),
            ),
            (Some(outcome), GivenTest::Code { .. }) => {
                TestVerdict::of_report(outcome, &self.secret(record, index))
            }
            (Some(outcome), GivenTest::Output { output, .. }) => TestVerdict::of_output(outcome, output),
        };
        let verdicts: Vec<TestVerdict> = tests.iter().enumerate().map(verdict).collect();
        let result = result(verdicts, &outcomes, code);
        record.set(&self.options.into, result);
        Ok(TransformOutput::Pass)
    }
}

fn result(
    verdicts: Vec<TestVerdict>,
    outcomes: &[ProgramOutcome],
    code: Option<String>,
) -> Map<String, Value> {
    let passed = verdicts.iter().filter(|verdict| verdict.status == TestStatus::Passed).count();
    let total = verdicts.len();
    let seconds: f64 = outcomes.iter().map(|outcome| outcome.seconds).sum();
    let (per_test, messages): (Vec<&str>, Vec<String>) =
        verdicts.into_iter().map(|verdict| (verdict.status.name(), verdict.message)).unzip();
    let result = json!({
        "per_test": per_test,
        "messages": messages,
        "passed": passed,
        "total": total,
        "pass_rate": passed as f64 / total.max(1) as f64,
        "seconds": (seconds * 1e6).round() / 1e6,
        "peak_memory": outcomes.iter().map(|outcome| outcome.peak_memory).max().unwrap_or_default(),
        "code": code,
    });
    match result {
        Value::Object(result) => result,
        _ => Map::new(),
    }
}
