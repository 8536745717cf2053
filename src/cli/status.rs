//! `status`: how far a run is, from its directory alone.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::exit::Exit;
use super::{inspect, print, print_data};
use crate::stage::LeftOut;

/// The arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The run directory, such as `output/docs-to-qa`.
    run_dir: PathBuf,
}

pub(super) fn run(args: &StatusArgs, json: bool) -> anyhow::Result<Exit> {
    let status = inspect::inspect(&args.run_dir)?.status;
    if json {
        print_data(&format!("{}\n", serde_json::to_string_pretty(&status)?));
    } else {
        print(&text(&status));
    }
    Ok(Exit::Complete)
}

fn text(status: &Value) -> String {
    let number = |key: &str| status.get(key).and_then(Value::as_u64).unwrap_or_default();
    let word = |key: &str| status.get(key).and_then(Value::as_str).unwrap_or_default();
    let failure = status.get("failure").and_then(Value::as_str);
    let mut text = format!(
        "{}: {}{}\n  begun     {}, start {}\n  items     {} admitted = {} ok + {} dropped + {} rejected + {} in flight\n",
        word("pipeline"),
        word("state"),
        failure.map(|failure| format!(", {failure}")).unwrap_or_default(),
        word("started"),
        number("starts"),
        number("admitted"),
        number("ok"),
        number("dropped"),
        number("rejected"),
        number("in_flight"),
    );
    let contradictions = status.get("contradictions").and_then(Value::as_array);
    for what in contradictions.into_iter().flatten().filter_map(Value::as_str) {
        text.push_str(&format!("  harmed    {what}\n"));
    }
    if let Some(total) = status.get("total").and_then(Value::as_u64) {
        text.push_str(&format!("  of        {total} items\n"));
    }
    let files = status.get("source_files").and_then(|files| LeftOut::deserialize(files).ok());
    if let Some(files) = files {
        text.push_str(&format!("  files     {files}\n"));
    }
    if let Some(records) = status.get("records").and_then(Value::as_object) {
        for (path, count) in records {
            text.push_str(&format!("  records   {count} in {path}\n"));
        }
    }
    if number("requests") > 0 {
        let tokens = |key: &str| status.pointer(&format!("/tokens/{key}")).and_then(Value::as_u64);
        text.push_str(&format!(
            "  model     {} requests, {} tokens read, {} written (latest start)\n",
            number("requests"),
            tokens("prompt").unwrap_or_default(),
            tokens("completion").unwrap_or_default(),
        ));
        if let Some(cached) = tokens("cached").filter(|cached| *cached > 0) {
            let cached = crate::run::cached_tokens(cached, tokens("prompt").unwrap_or_default());
            text.push_str(&format!("  cached    {cached} (latest start)\n"));
        }
    }
    for (key, words) in [
        ("waiting_to_retry", "waiting   {} questions before they are sent again"),
        ("retries", "retried   {} times (latest start)"),
        ("cut_off", "cut off   {} answers at the limit of their tokens (latest start)"),
    ] {
        if number(key) > 0 {
            text.push_str(&format!("  {}\n", words.replace("{}", &number(key).to_string())));
        }
    }
    if number("without_usage") > 0 {
        text.push_str(&format!(
            "  no usage  {} (latest start)\n",
            crate::run::without_usage(number("without_usage"))
        ));
    }
    if let Some(cost) = status.pointer("/spent/cost").and_then(Value::as_f64).filter(|cost| *cost > 0.0) {
        let projected = status.get("projected_cost").and_then(Value::as_f64);
        let projected = projected.map(|cost| format!(", about {cost:.4} when complete")).unwrap_or_default();
        text.push_str(&format!("  cost      {cost:.4} over all starts{projected}\n"));
    }
    window(&mut text, status);
    batches(&mut text, status);
    endpoints(&mut text, status);
    text
}

/// What waits for items before it, while something does.
fn window(text: &mut String, status: &Value) {
    let number =
        |key: &str| status.pointer(&format!("/window/{key}")).and_then(Value::as_u64).unwrap_or_default();
    if number("records") > 0 {
        text.push_str(&format!(
            "  waiting   {} records for items before theirs, of {}; {} of {} MiB\n",
            number("records"),
            number("limit_records"),
            number("bytes") >> 20,
            number("limit_bytes") >> 20,
        ));
    }
}

/// A line for each batch that is not answered yet; a provider works on it whether the run lives or not.
fn batches(text: &mut String, status: &Value) {
    let batches = status.get("batches").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for batch in batches {
        let number = |key: &str| batch.get(key).and_then(Value::as_u64).unwrap_or_default();
        let word = |key: &str| batch.get(key).and_then(Value::as_str).unwrap_or_default();
        text.push_str(&format!(
            "  batch     {} {}: {} questions, {} answered, {} failed{}\n",
            number("number"),
            word("state"),
            number("questions"),
            number("answered"),
            number("failed"),
            batch.get("id").and_then(Value::as_str).map(|id| format!(" (`{id}`)")).unwrap_or_default(),
        ));
    }
}

/// A line for each endpoint of a live run, and for each quota that is paused.
fn endpoints(text: &mut String, status: &Value) {
    let state = status.get("state").and_then(Value::as_str).unwrap_or_default();
    if !matches!(state, "running" | "draining") {
        return;
    }
    let list = |key: &str| status.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for endpoint in list("endpoints") {
        let number = |key: &str| endpoint.get(key).and_then(Value::as_u64).unwrap_or_default();
        let word = |key: &str| endpoint.get(key).and_then(Value::as_str).unwrap_or_default();
        let limit = endpoint.get("limit").and_then(Value::as_u64);
        text.push_str(&format!(
            "  endpoint  {} {}: {} in flight{}, {} answered, {} failed\n",
            word("url"),
            word("state"),
            number("in_flight"),
            limit.map(|limit| format!(" of {limit}")).unwrap_or_default(),
            number("answered"),
            number("failed"),
        ));
    }
    for pool in list("pools") {
        let seconds = pool.get("paused_seconds").and_then(Value::as_f64).unwrap_or_default();
        if seconds > 0.0 {
            let name = pool.get("pool").and_then(Value::as_str).unwrap_or_default();
            text.push_str(&format!("  paused    {name}: for {seconds:.0} s more, the provider refuses\n"));
        }
    }
}
