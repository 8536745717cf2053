//! The shares that a run's pipeline asks for, by attribute and value, so that drawn ones can be told from them.
//!
//! The manifest keeps what the stages told of themselves when the run was begun. Where it has nothing, the
//! pipeline's copy in the run directory is loaded again and its stages are asked; the files that they read may have
//! changed since, or be gone: then there are no shares, and a note says why.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::row::drawn_text;
use crate::config::{Overrides, Plan};
use crate::journal::Manifest;
use crate::text_file;

/// Shares by attribute and value.
pub(super) type Shares = BTreeMap<String, BTreeMap<String, f64>>;

/// The shares, and what a reader must know of them.
pub(super) fn shares(root: &Path, manifest: &Manifest) -> (Shares, Option<String>) {
    if !manifest.explained.is_empty() {
        let mut shares = Shares::new();
        manifest.explained.iter().for_each(|data| read(data, &mut shares));
        return (shares, None);
    }
    let path = root.join("pipeline.yaml");
    if !path.exists() {
        return (Shares::new(), None);
    }
    let plan = match Plan::load(&path, &Overrides::default()) {
        Ok(plan) => plan,
        // The whole message would be a page of the pipeline's source. A run that draws nothing misses nothing.
        Err(_) => {
            let text = text_file::read(&path).unwrap_or_default();
            let note = text.contains(SAMPLER).then(|| LEFT_OUT.to_owned());
            return (Shares::new(), note);
        }
    };
    let mut shares = Shares::new();
    for stage in &plan.stages {
        if let Ok(Some(explanation)) = plan.explain(stage) {
            read(&explanation.data, &mut shares);
        }
    }
    if shares.is_empty() {
        return (shares, None);
    }
    let changed: Vec<&str> = plan
        .inputs
        .iter()
        .filter(|(path, input)| {
            manifest.fingerprint.get(&format!("files.{path}")).is_some_and(|then| *then != input.hash)
        })
        .map(|(path, _)| path.as_str())
        .collect();
    if changed.is_empty() {
        return (shares, None);
    }
    (
        Shares::new(),
        Some(format!("`{}` changed since the run, so no configured shares are shown", changed.join("`, `"))),
    )
}

/// The stage whose shares are configured.
const SAMPLER: &str = "sample_injections";

const LEFT_OUT: &str = "the run's pipeline.yaml cannot be loaded here (`synthmill validate` on it says why; its paths are \
relative to the folder of the run's start), so no configured shares are shown";

/// Reads `{"attributes": {name: {"values": [{"value": ..., "share": ...}]}}}`.
fn read(data: &Value, shares: &mut Shares) {
    for (name, attribute) in data.get("attributes").and_then(Value::as_object).into_iter().flatten() {
        for value in attribute.get("values").and_then(Value::as_array).into_iter().flatten() {
            let text = text_of(value.get("value").unwrap_or(&Value::Null));
            if let Some(share) = value.get("share").and_then(Value::as_f64) {
                *shares.entry(name.clone()).or_default().entry(text).or_default() += share;
            }
        }
    }
}

/// A value as records are counted by it.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => drawn_text(text.clone()),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_are_read_of_what_a_stage_tells() {
        let data = json!({"attributes": {
            "tone": {"values": [{"value": "angry", "share": 0.25}, {"value": "", "share": 0.75}]},
            "age": {"law": "uniform"},
        }});
        let mut shares = Shares::new();
        read(&data, &mut shares);
        assert_eq!(shares.len(), 1);
        assert_eq!(shares["tone"]["angry"], 0.25);
        read(&Value::Null, &mut shares);
        assert_eq!(shares.len(), 1);
    }
}
