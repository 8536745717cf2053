//! `doctor`: looks whether this machine can run pipelines, and with a pipeline, whether its models can be reached.
//!
//! `machine` looks at the machine, `servers` asks the models' servers for their lists. Nothing is changed, and no model
//! is asked anything.

mod machine;
mod servers;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::exit::Exit;
use super::{OverrideArgs, default_run_dir, print, print_data};
use crate::config::Plan;
use crate::sandbox::SandboxMode;

/// The arguments of `doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The YAML file of a pipeline whose models and programs are looked at too.
    pipeline: Option<PathBuf>,
    #[command(flatten)]
    changes: OverrideArgs,
    /// The run directory that is meant; `output/NAME` by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What was found about one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    level: FindingLevel,
    /// A word or two, such as `sandbox` or `model teacher`.
    subject: String,
    message: String,
    hint: Option<String>,
}

/// How a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FindingLevel {
    /// As it should be.
    Fine,
    /// It may get in the way.
    Doubtful,
    /// It will get in the way; `doctor` ends with this exit code.
    Failing(Exit),
}

impl FindingLevel {
    fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Doubtful => "warn",
            Self::Failing(_) => "fail",
        }
    }
}

impl Finding {
    fn new(level: FindingLevel, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { level, subject: subject.into(), message: message.into(), hint: None }
    }

    fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

pub(super) fn run(args: &DoctorArgs, json: bool) -> anyhow::Result<Exit> {
    let plan = args.pipeline.as_deref().map(|file| Plan::load(file, &args.changes.overrides()));
    let ready = plan.as_ref().and_then(|plan| plan.as_ref().ok());
    let output = args.out.clone().unwrap_or_else(|| match ready {
        Some(plan) => default_run_dir(&plan.name),
        None => PathBuf::from("output"),
    });
    let mut findings = machine::findings(ready, &output);
    match (&args.pipeline, &plan) {
        (Some(file), Some(Err(error))) => {
            let first = error.to_string();
            let message = first.lines().next().unwrap_or_default();
            let hint = format!("synthmill validate {}", file.display());
            let level = FindingLevel::Failing(Exit::Usage);
            findings.push(Finding::new(level, "pipeline", message).with_hint(hint));
        }
        (Some(file), Some(Ok(plan))) => findings.extend(of_pipeline(file, plan)?),
        _ => {}
    }
    match json {
        true => print_data(&format!("{:#}\n", as_json(&findings))),
        false => print(&text(&findings)),
    }
    let failing = findings.iter().find_map(|finding| match finding.level {
        FindingLevel::Failing(exit) => Some(exit),
        _ => None,
    });
    Ok(failing.unwrap_or(Exit::Complete))
}

/// What is found about a valid pipeline.
fn of_pipeline(file: &Path, plan: &Plan) -> anyhow::Result<Vec<Finding>> {
    let mut findings =
        vec![Finding::new(FindingLevel::Fine, "pipeline", format!("{} is right", file.display()))];
    let warnings = plan.warnings.list.iter();
    findings
        .extend(warnings.map(|warning| Finding::new(FindingLevel::Doubtful, "pipeline", &*warning.message)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the async runtime")?;
    for (name, model) in &plan.models {
        findings.extend(runtime.block_on(servers::findings(name, model)));
    }
    Ok(findings)
}

/// Whether a stage of the pipeline runs programs that must be confined.
fn needs_sandbox(plan: &Plan) -> bool {
    plan.all_stages().any(|stage| stage.declared.sandbox() == Some(SandboxMode::Required))
}

fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.subject.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for finding in findings {
        let Finding { level, subject, message, hint } = finding;
        let _ = writeln!(text, "{:<4}  {subject:<width$}  {message}", level.name());
        if let Some(hint) = hint {
            let _ = writeln!(text, "{:<4}  {:<width$}  hint: {hint}", "", "");
        }
    }
    text
}

fn as_json(findings: &[Finding]) -> Value {
    let findings = findings.iter().map(|finding| {
        let Finding { level, subject, message, hint } = finding;
        json!({"level": level.name(), "subject": subject, "message": message, "hint": hint})
    });
    json!({"version": env!("CARGO_PKG_VERSION"), "findings": findings.collect::<Vec<_>>()})
}
