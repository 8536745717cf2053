//! `repair` and `retry-rejected`: take items out of a run so that they are made again.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::exit::Exit;
use super::{print, print_data};
use crate::journal::{self, Retried, disk::RealDisk};

/// The arguments of `repair`.
#[derive(Debug, Args)]
pub(super) struct RepairArgs {
    /// The run directory, such as `output/docs-to-qa`.
    run_dir: PathBuf,
}

/// The arguments of `retry-rejected`.
#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// The run directory, such as `output/docs-to-qa`.
    pub(super) run_dir: PathBuf,
    /// Only items with a reject of this class; may be given several times.
    #[arg(long = "class", value_name = "CLASS")]
    pub(super) classes: Vec<String>,
}

pub(super) fn repair(args: &RepairArgs, json: bool) -> anyhow::Result<Exit> {
    let repaired = journal::repair(Arc::new(RealDisk), &args.run_dir)?;
    if json {
        let all = json!({"found": repaired.found, "items": repaired.items, "kept": repaired.kept});
        print_data(&format!(
            "{}
",
            serde_json::to_string_pretty(&all)?
        ));
        return Ok(Exit::Complete);
    }
    let mut text = String::new();
    for line in &repaired.found {
        text.push_str(&format!("{line}\n"));
    }
    text.push_str(&match (repaired.found.is_empty(), repaired.items.len()) {
        (true, _) => "every committed byte is as it was written; nothing to do\n".to_owned(),
        (false, 0) => "undone; the next `run` makes what is not committed any more again\n".to_owned(),
        (false, count) => {
            let shown: Vec<String> = repaired.items.iter().take(20).map(u64::to_string).collect();
            let more = if count > 20 { ", ..." } else { "" };
            format!("undone: {count} items ({}{more}); the next `run` makes them again\n", shown.join(", "))
        }
    });
    for path in &repaired.kept {
        text.push_str(&format!("what was taken out is kept in `{}`\n", path.display()));
    }
    print(&text);
    Ok(Exit::Complete)
}

/// Takes the rejected items out; whether any wait to be made again, from now or from before.
pub(super) fn take_rejected(args: &RetryArgs) -> anyhow::Result<bool> {
    let retried = journal::retry_rejected(Arc::new(RealDisk), &args.run_dir, &args.classes)?;
    match retried {
        Retried { items: 0, is_pending: false } => {
            tracing::info!("no rejected item of such a class in {}", args.run_dir.display());
        }
        Retried { items: 0, is_pending: true } => {
            tracing::info!("going on with the rejected items that were begun to be made again");
        }
        Retried { items, .. } => tracing::info!("{items} rejected items are made again"),
    }
    Ok(retried.items > 0 || retried.is_pending)
}
