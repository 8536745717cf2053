//! `stages` and `schema`: documentation of the stages, generated from the structs that parse their options.

use std::fmt::Write;

use clap::Args;
use serde_json::json;

use super::exit::{Exit, UsageError};
use super::{print, print_data, reference_text, terminal};
use crate::config;
use crate::stages::{STAGES, find};

/// The arguments of `stages`.
#[derive(Debug, Args)]
pub(super) struct StagesArgs {
    /// One stage, to be explained with its options and an example.
    #[arg(value_name = "TYPE")]
    stage: Option<String>,
    /// Prints the reference of every stage as Markdown.
    #[arg(long, conflicts_with = "stage")]
    markdown: bool,
}

pub(super) fn run(args: &StagesArgs, json: bool) -> anyhow::Result<Exit> {
    if args.markdown {
        print_data(&config::reference());
        return Ok(Exit::Complete);
    }
    if let Some(name) = &args.stage {
        let Some(stage) = find(name) else {
            return Err(unknown_stage(name).into());
        };
        if json {
            let schema = stage.schema();
            let all = json!({"name": stage.name, "purpose": stage.purpose, "schema": schema, "example": stage.example});
            print_data(&format!("{}\n", serde_json::to_string_pretty(&all)?));
        } else {
            let page = config::stage_reference(stage);
            match terminal::width_of_stdout() {
                Some(width) => print(&reference_text::render(&page, width)),
                None => print_data(&page),
            }
        }
        return Ok(Exit::Complete);
    }
    if json {
        let all: Vec<_> =
            STAGES.iter().map(|stage| json!({"name": stage.name, "purpose": stage.purpose})).collect();
        print_data(&format!("{}\n", serde_json::to_string_pretty(&all)?));
        return Ok(Exit::Complete);
    }
    let mut text = String::new();
    let width = STAGES.iter().map(|stage| stage.name.len()).max().unwrap_or_default();
    for stage in STAGES {
        let _ = writeln!(text, "{:width$}  {}", stage.name, stage.purpose);
    }
    text.push_str("\n`synthmill stages TYPE` explains one, with its options and an example.\n");
    print(&text);
    Ok(Exit::Complete)
}

fn unknown_stage(name: &str) -> UsageError {
    let names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
    let near = crate::nearest::nearest(name, names.iter().copied());
    let hint = near.map(|near| format!("\nhint: did you mean `{near}`?")).unwrap_or_default();
    UsageError(format!("no stage is called `{name}`; there are `{}`{hint}", names.join("`, `")))
}

/// The arguments of `schema`.
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Prints the settings above the stages as Markdown instead.
    #[arg(long)]
    markdown: bool,
}

pub(super) fn schema(args: &SchemaArgs) -> anyhow::Result<Exit> {
    if args.markdown {
        print_data(&config::pipeline_reference());
        return Ok(Exit::Complete);
    }
    print_data(&format!("{}\n", serde_json::to_string_pretty(&config::json_schema())?));
    Ok(Exit::Complete)
}
