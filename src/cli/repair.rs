//! `repair` and `retry-rejected`: remove items from a run so that they are made again.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::exit::Exit;
use super::{print, print_data};
use crate::journal::{self, RetryReport, disk::RealDisk};
use crate::llm::carry_batches;

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
    let repaired = journal::repair(Arc::new(RealDisk), &args.run_dir, carry_batches)?;
    if json {
        let all = json!({
            "found": repaired.found,
            "items": repaired.items,
            "dependents": repaired.dependents,
            "kept": repaired.kept,
        });
        print_data(&format!("{}\n", serde_json::to_string_pretty(&all)?));
        return Ok(Exit::Complete);
    }
    let mut text = String::new();
    for line in &repaired.found {
        text.push_str(&format!("{line}\n"));
    }
    text.push_str(&match (repaired.found.is_empty(), repaired.items.len()) {
        (true, _) => "every committed byte is as it was written; nothing to do\n".to_owned(),
        (false, 0) => "undone; the next `run` makes what is not committed any more again\n".to_owned(),
        (false, _) => {
            format!("undone: {}; the next `run` makes them again\n", item_list(&repaired.items))
        }
    });
    if !repaired.dependents.is_empty() {
        let dependents = item_list(&repaired.dependents);
        text.push_str(&format!("undone with them: {dependents}, dropped in favour of what is made again\n"));
    }
    for path in &repaired.kept {
        text.push_str(&format!("what was taken out is kept in `{}`\n", path.display()));
    }
    print(&text);
    Ok(Exit::Complete)
}

/// Formats the number of items with the first item numbers.
fn item_list(items: &[u64]) -> String {
    let shown: Vec<String> = items.iter().take(20).map(u64::to_string).collect();
    let more = if items.len() > 20 { ", ..." } else { "" };
    format!("{} items ({}{more})", items.len(), shown.join(", "))
}

/// Logs why rejected items are not retried in a run that has as many ok items as `accept` wants.
pub(super) fn log_no_room(args: &RetryArgs, ok: u64) {
    tracing::info!(
        "nothing is changed in {}: {ok} items are ok, as many as `accept` wants; a rejected item that comes late \
         would be surplus, and dropped",
        args.run_dir.display()
    );
}

/// Removes the rejected items; returns whether any are to be made again, from this call or an earlier one.
pub(super) fn remove_rejected(args: &RetryArgs) -> anyhow::Result<bool> {
    let retried = journal::retry_rejected(Arc::new(RealDisk), &args.run_dir, &args.classes, carry_batches)?;
    match retried {
        RetryReport { items: 0, is_pending: false } => {
            tracing::info!("no rejected item of such a class in {}", args.run_dir.display());
        }
        RetryReport { items: 0, is_pending: true } => {
            tracing::info!("going on with the rejected items that were begun to be made again");
        }
        RetryReport { items, .. } => tracing::info!("{items} rejected items are made again"),
    }
    Ok(retried.items > 0 || retried.is_pending)
}
