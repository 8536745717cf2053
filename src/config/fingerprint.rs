//! What a run depends on, as hashes by part: two starts of one run must agree on all of them.
//!
//! Limits, endpoints, concurrency, durability and the like may change between starts and are left out;
//! prompts, models, parameters, stages and the content of the files they read may not.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::plan::Plan;

/// Settings of the whole file that do not change what is made.
const OPERATIONAL: &[&str] = &[
    "description",
    "error_budget",
    "durability",
    "pack_answers",
    "drain_timeout",
    "max_in_flight",
    "models",
    "stages",
];
/// Settings of a model that do not change what it answers.
const OPERATIONAL_MODEL: &[&str] =
    &["base_urls", "api_key_env", "concurrency", "timeout", "max_attempts", "limits"];

impl Plan {
    /// The hashes of what the run depends on: `seed`, `vars`, `models.NAME`, `stages.ID`, `files.PATH`, ...
    #[must_use]
    pub fn fingerprint(&self) -> BTreeMap<String, String> {
        let mut parts = BTreeMap::new();
        let empty = Map::new();
        let whole = self.resolved.as_object().unwrap_or(&empty);
        for (key, value) in whole.iter().filter(|(key, _)| !OPERATIONAL.contains(&key.as_str())) {
            parts.insert(key.clone(), hash(value));
        }
        for (name, model) in whole.get("models").and_then(Value::as_object).unwrap_or(&empty) {
            let mut model = model.clone();
            if let Some(model) = model.as_object_mut() {
                model.retain(|key, _| !OPERATIONAL_MODEL.contains(&key.as_str()));
            }
            parts.insert(format!("models.{name}"), hash(&model));
        }
        let bodies = whole.get("stages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let order: Vec<Value> = self.stages.iter().map(|stage| stage.id.to_string().into()).collect();
        parts.insert("stages".into(), hash(&Value::Array(order)));
        for (stage, body) in self.stages.iter().zip(bodies) {
            parts.insert(format!("stages.{}", stage.id), hash(body));
        }
        for (path, content) in &self.inputs {
            parts.insert(format!("files.{path}"), content.clone());
        }
        parts
    }

    /// The resolved pipeline as YAML, for the run directory.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(&self.resolved).unwrap_or_default()
    }
}

/// A hash that does not depend on the order of keys.
fn hash(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            text.push('{');
            for key in keys {
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                canonical(&map[key], text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for item in list {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}
