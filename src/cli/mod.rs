//! The command line: arguments and dispatch.
//!
//! Each command is a file; this one declares the arguments. Results go to stdout, logs and progress to stderr;
//! `exit` maps every error to a documented code.

mod doctor;
mod exit;
mod file_descriptors;
mod graph;
mod init;
mod inspect;
mod logging;
mod plan;
mod preview;
mod reference_text;
mod reload;
mod repair;
mod report;
mod run;
mod several;
mod stages;
mod status;
mod terminal;
mod test;
mod validate;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Overrides;
pub use exit::Exit;
use terminal::{print, print_data};

/// Makes training and evaluation data with language models, from a pipeline declared in YAML.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Prints results as JSON on stdout, and logs as JSON lines on stderr.
    #[arg(long, global = true)]
    json: bool,
    /// Says more: once for details, twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Says only what goes wrong.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a pipeline, or several in order, or goes on where it stopped.
    Run(run::RunArgs),
    /// Checks pipelines and lists all problems; prints the plan of each that is right. Offline.
    Validate(validate::ValidateArgs),
    /// Shows a few records, stage by stage; writes nothing.
    Preview(preview::PreviewArgs),
    /// Looks whether this machine can run pipelines, or one of them: sandbox, limits, space, and the models' servers.
    Doctor(doctor::DoctorArgs),
    /// Runs the tests of pipelines, which compare the output for given records and mocked answers with expectations.
    Test(test::TestArgs),
    /// Foresees requests, tokens, cost and time of a run from a sample of its prompts. Asks no model.
    Plan(plan::PlanArgs),
    /// Draws the stages and blocks of a pipeline as a Mermaid flowchart. Offline.
    Graph(graph::GraphArgs),
    /// Tells how far a run is: live, killed or finished. Writes nothing.
    Status(status::StatusArgs),
    /// Makes one HTML page about the data of a run, or of files of records; several are compared.
    Report(report::ReportArgs),
    /// Makes the rejected items of a run again; those that now succeed take their places in the outputs.
    RetryRejected(repair::RetryArgs),
    /// Checks every committed byte of a run, and undoes what does not hold so that it is made again.
    Repair(repair::RepairArgs),
    /// Lists the stages, or explains one.
    Stages(stages::StagesArgs),
    /// Prints the JSON Schema of pipeline files, for editors.
    Schema(stages::SchemaArgs),
    /// Makes a new project folder with a pipeline, its configuration and documents; it runs as it is.
    Init(init::InitArgs),
}

/// A pipeline file, and what is changed of it on the command line.
#[derive(Debug, Args)]
struct PipelineArgs {
    /// The pipeline's YAML file.
    pipeline: PathBuf,
    #[command(flatten)]
    changes: OverrideArgs,
}

/// What the command line changes of a pipeline file.
#[derive(Debug, Default, Args)]
struct OverrideArgs {
    /// Sets any value of the file: `models.teacher.concurrency=64`, `stages.split.by=source.path`.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
    /// Sets a variable of the file's `vars`.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    vars: Vec<String>,
    /// Answers without any model server, from the documents' own words.
    #[arg(long)]
    no_llm: bool,
    /// Replaces every model's server by a mock, with the answers, errors and delays of its `mock` settings.
    #[arg(long, conflicts_with = "no_llm")]
    mock: bool,
    /// The model's name at the server.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Where the model is served, such as `http://127.0.0.1:8000/v1`.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Tokens an answer may have.
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// The sampling temperature.
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// The seed of all random draws.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl OverrideArgs {
    fn overrides(&self) -> Overrides {
        Overrides {
            sets: self.sets.clone(),
            vars: self.vars.clone(),
            seed: self.seed,
            model: self.model.clone(),
            base_url: self.base_url.clone(),
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            no_llm: self.no_llm,
            mock: self.mock,
        }
    }
}

/// Returns the default run directory of the pipeline with this name.
fn default_run_dir(name: &str) -> PathBuf {
    Path::new("output").join(name)
}

/// Parses the arguments, runs the command and returns the process's exit code.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = crate::sandbox::run_inside() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Complete.into() };
        }
    };
    let bar = logging::start(cli.verbose, cli.quiet, cli.json);
    let result = match &cli.command {
        Command::Run(args) => run::run(args, cli.json, cli.quiet, bar),
        Command::Validate(args) => validate::run(args, cli.json),
        Command::Doctor(args) => doctor::run(args, cli.json),
        Command::Preview(args) => preview::run(args, cli.json, cli.verbose > 0),
        Command::Test(args) => test::run(args, cli.json),
        Command::Plan(args) => plan::run(args, cli.json),
        Command::Graph(args) => graph::run(args, cli.json),
        Command::Status(args) => status::run(args, cli.json),
        Command::Report(args) => report::run(args, cli.json, cli.quiet),
        Command::RetryRejected(args) => run::retry_rejected(args, cli.json, cli.quiet, bar),
        Command::Repair(args) => repair::repair(args, cli.json),
        Command::Stages(args) => stages::run(args, cli.json),
        Command::Schema(args) => stages::schema(args),
        Command::Init(args) => init::run(args),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error, cli.json).into(),
    }
}
