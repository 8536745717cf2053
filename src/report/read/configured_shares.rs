//! The shares that the pipeline of a run configures, by attribute and value, to compare the drawn ones with.
//!
//! The manifest holds what the stages reported at the start of the run. Without it, the copy of the pipeline in the run
//! directory is loaded and its stages are asked. If the files that they read have changed or are gone, there are no
//! shares, and a note says why.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::parsed_record::truncated_value;
use crate::config::{Overrides, Plan};
use crate::journal::Manifest;
use crate::text_file;

/// Shares by attribute and value.
pub(in crate::report) type Shares = BTreeMap<String, BTreeMap<String, f64>>;

/// What the pipeline configures.
#[derive(Debug, Default)]
pub(in crate::report) struct ConfiguredShares {
    pub(in crate::report) shares: Shares,
    pub(in crate::report) joint: Vec<JointShares>,
}

/// The shares of an attribute's values given the values of another attribute that it depends on.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::report) struct JointShares {
    pub(in crate::report) attribute: String,
    pub(in crate::report) on: String,
    /// The attribute's values.
    pub(in crate::report) values: Vec<String>,
    /// The values of the other attribute, each with the joint share of records for each of `values`.
    pub(in crate::report) rows: Vec<(String, Vec<f64>)>,
}

/// Returns the configured shares, and a note for the reader if they are missing.
pub(super) fn read(root: &Path, manifest: &Manifest) -> (ConfiguredShares, Option<String>) {
    let mut configured = ConfiguredShares::default();
    if !manifest.explained.is_empty() {
        manifest.explained.iter().for_each(|data| configured.add(data));
        return (configured, None);
    }
    let path = root.join("pipeline.yaml");
    if !path.exists() {
        return (configured, None);
    }
    let plan = match Plan::load(&path, &Overrides::default()) {
        Ok(plan) => plan,
        // The whole message would quote a page of the pipeline. A run that draws nothing needs no note.
        Err(_) => {
            let text = text_file::read(&path).unwrap_or_default();
            let note = text.contains(SAMPLER).then(|| LEFT_OUT.to_owned());
            return (configured, note);
        }
    };
    for stage in plan.all_stages() {
        if let Ok(Some(explanation)) = plan.explain(stage) {
            configured.add(&explanation.data);
        }
    }
    if configured.shares.is_empty() {
        return (configured, None);
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
        return (configured, None);
    }
    (
        ConfiguredShares::default(),
        Some(format!("`{}` changed since the run, so no configured shares are shown", changed.join("`, `"))),
    )
}

/// The stage whose shares are configured.
const SAMPLER: &str = "sample_injections";

const LEFT_OUT: &str = "the run's pipeline.yaml cannot be loaded here (`synthmill validate` on it says why; its paths are \
relative to the folder of the run's start), so no configured shares are shown";

impl ConfiguredShares {
    /// Reads `{"attributes": {name: {"values": [{"value": ..., "share": ...}], "given": {"on": ..., "rows": [...]}}}}`.
    fn add(&mut self, data: &Value) {
        for (name, attribute) in data.get("attributes").and_then(Value::as_object).into_iter().flatten() {
            let mut values = Vec::new();
            for value in attribute.get("values").and_then(Value::as_array).into_iter().flatten() {
                let text = text_of(value.get("value").unwrap_or(&Value::Null));
                if let Some(share) = value.get("share").and_then(Value::as_f64) {
                    *self.shares.entry(name.clone()).or_default().entry(text.clone()).or_default() += share;
                }
                values.push(text);
            }
            if let Some(joint) = attribute.get("given").and_then(|given| joint(name, values, given)) {
                self.joint.push(joint);
            }
        }
    }
}

/// Returns `None` if the rows do not match the values.
fn joint(name: &str, values: Vec<String>, given: &Value) -> Option<JointShares> {
    let on = given.get("on")?.as_str()?.to_owned();
    let mut rows = Vec::new();
    for row in given.get("rows")?.as_array()? {
        let shares = row.get("shares")?.as_array()?.iter();
        let shares = shares.map(Value::as_f64).collect::<Option<Vec<f64>>>()?;
        if shares.len() != values.len() {
            return None;
        }
        rows.push((text_of(row.get("value")?), shares));
    }
    Some(JointShares { attribute: name.to_owned(), on, values, rows })
}

/// Returns a value as it is counted in records.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => truncated_value(text.clone()),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_are_read_from_the_report_of_a_stage() {
        let data = json!({"attributes": {
            "tone": {"values": [{"value": "angry", "share": 0.25}, {"value": "", "share": 0.75}]},
            "age": {"law": "uniform"},
        }});
        let mut configured = ConfiguredShares::default();
        configured.add(&data);
        assert_eq!(configured.shares.len(), 1);
        assert_eq!(configured.shares["tone"]["angry"], 0.25);
        configured.add(&Value::Null);
        assert_eq!((configured.shares.len(), configured.joint.len()), (1, 0));
    }

    #[test]
    fn dependent_attributes_are_read_with_joint_shares() {
        let data = json!({"attributes": {"tone": {
            "values": [{"value": "angry", "share": 0.25}, {"value": null, "share": 0.75}],
            "given": {"on": "topic", "rows": [{"value": "fees", "shares": [0.2, 0.1]}, {"value": 7, "shares": [0.05, 0.65]}]},
        }}});
        let mut configured = ConfiguredShares::default();
        configured.add(&data);
        let expected = JointShares {
            attribute: "tone".into(),
            on: "topic".into(),
            values: vec!["angry".into(), String::new()],
            rows: vec![("fees".into(), vec![0.2, 0.1]), ("7".into(), vec![0.05, 0.65])],
        };
        assert_eq!(configured.joint, [expected]);
    }
}
