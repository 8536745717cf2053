//! `test`: runs the tests of pipelines, those in the file's `tests` and those in the folder beside it.

mod differences;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use self::differences::differences;
use super::exit::{Exit, UsageError};
use super::{OverrideArgs, print, print_data, run};
use crate::config::{self, Plan};
use crate::engine::{self, BuiltPipeline};
use crate::nearest::did_you_mean;
use crate::pipeline::PipelineTest;
use crate::stages::Role;

/// The arguments of `test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The pipelines' YAML files.
    #[arg(required = true, value_name = "PIPELINE")]
    pipelines: Vec<PathBuf>,
    #[command(flatten)]
    changes: OverrideArgs,
    /// Runs only the tests whose name contains TEXT.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// The result of one test.
struct TestResult {
    name: String,
    differences: Vec<String>,
}

pub(super) fn run(args: &TestArgs, json: bool) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let (mut passed, mut failed) = (0, 0);
    let mut report = Vec::new();
    for file in &args.pipelines {
        let mut overrides = args.changes.overrides();
        // A test asks no server, whatever the pipeline declares.
        overrides.mock = true;
        overrides.no_llm = false;
        let mut plan = run::load(file, &overrides)?;
        let tests = tests_of(&plan, file)?;
        let declared = plan.models.clone();
        for test in &tests {
            check_names(&plan, test)?;
            if args.only.as_ref().is_some_and(|text| !test.name.contains(text)) {
                continue;
            }
            plan.models = test.models(&declared);
            let result = runtime.block_on(run_test(&plan, test))?;
            match result.differences.is_empty() {
                true => passed += 1,
                false => failed += 1,
            }
            match json {
                true => report.push(as_json(file, &result)),
                false => print(&text(&result)),
            }
        }
    }
    if passed + failed == 0 {
        return Err(UsageError("no test has such a name".to_owned()).into());
    }
    match json {
        true => print_data(&format!("{}\n", json!({"tests": report, "passed": passed, "failed": failed}))),
        false => print(&format!("{passed} passed, {failed} failed\n")),
    }
    Ok(if failed == 0 { Exit::Complete } else { Exit::TestFailed })
}

/// The tests of a pipeline: those in the file, then those in the folder beside it.
fn tests_of(plan: &Plan, file: &Path) -> anyhow::Result<Vec<PipelineTest>> {
    let mut tests = plan.tests.clone();
    let folder = file.with_extension("tests");
    if folder.is_dir() {
        tests.extend(config::read_tests(&folder, &plan.vars)?);
    }
    if tests.is_empty() {
        let (file, folder) = (file.display(), folder.display());
        return Err(UsageError(format!(
            "`{file}` has no tests\nhint: write them under `tests` in the file, or into files of the folder `{folder}`"
        ))
        .into());
    }
    Ok(tests)
}

fn sinks(plan: &Plan) -> Vec<&str> {
    plan.stages.iter().filter(|stage| stage.kind.role == Role::Sink).map(|stage| &*stage.id).collect()
}

/// Refuses the names of sinks and models that the pipeline does not have.
fn check_names(plan: &Plan, test: &PipelineTest) -> Result<(), UsageError> {
    let sinks = sinks(plan);
    let models: Vec<&str> = plan.models.keys().map(String::as_str).collect();
    let named = test.expect.keys().chain(test.check.keys()).map(|name| ("sink", name, &sinks));
    for (kind, name, known) in named.chain(test.mock.keys().map(|name| ("model", name, &models))) {
        if !known.contains(&name.as_str()) {
            let near = did_you_mean(name, known.iter().copied()).map(|near| format!("\nhint: {near}"));
            return Err(UsageError(format!(
                "test `{}`: there is no {kind} `{name}`; there are `{}`{}",
                test.name,
                known.join("`, `"),
                near.unwrap_or_default()
            )));
        }
    }
    Ok(())
}

async fn run_test(plan: &Plan, test: &PipelineTest) -> anyhow::Result<TestResult> {
    let pipeline = BuiltPipeline::build(plan, &run::connect_direct(plan)?, "now")?;
    let differences = match engine::run_case(&pipeline, test.input.clone()).await {
        Ok(outcome) => differences(test, &outcome, &sinks(plan), &plan.vars),
        Err(error) => vec![format!("stage `{}` would stop the run: {error}", error.stage)],
    };
    Ok(TestResult { name: test.name.clone(), differences })
}

fn text(result: &TestResult) -> String {
    let mut text = match result.differences.is_empty() {
        true => format!("ok      {}\n", result.name),
        false => format!("FAILED  {}\n", result.name),
    };
    for difference in &result.differences {
        text.push_str(&format!("  {difference}\n"));
    }
    text
}

fn as_json(file: &Path, result: &TestResult) -> Value {
    let passed = result.differences.is_empty();
    json!({"file": file, "name": result.name, "passed": passed, "differences": result.differences})
}
