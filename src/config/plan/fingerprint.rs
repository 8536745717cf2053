//! The fingerprint: what a run depends on, by part. Two starts of one run must agree on all of it.
//!
//! Limits, endpoints, concurrency, durability and the like may change between starts and are left out;
//! prompts, models, parameters, stages and the content of the files they read may not.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Plan, PlannedStage};
use crate::llm::MOCK;
use crate::stages::Role;

/// Global settings that do not affect what is made.
const OPERATIONAL: &[&str] = &[
    "budget",
    "description",
    "error_budget",
    "durability",
    "pack_answers",
    "drain_timeout",
    "max_in_flight",
    "models",
    "pools",
    "stages",
];
/// Settings of a model that do not affect its answers.
const OPERATIONAL_MODEL: &[&str] = &[
    "base_urls",
    "api_key_env",
    "api_key_file",
    "headers",
    "mode",
    "batch",
    "concurrency",
    "stream",
    "timeout",
    "max_attempts",
    "prices",
    "prompt_cache",
    "limits",
    "pool",
];

impl Plan {
    /// The parts: `seed`, `vars`, `models.NAME`, `stages.ID`, `files.PATH` (by hash), ...
    #[must_use]
    pub fn fingerprint(&self) -> BTreeMap<String, Value> {
        let mut parts = BTreeMap::new();
        let empty = Map::new();
        let whole = self.resolved.as_object().unwrap_or(&empty);
        for (key, value) in whole.iter().filter(|(key, _)| !OPERATIONAL.contains(&key.as_str())) {
            parts.insert(key.clone(), value.clone());
        }
        for (name, model) in whole.get("models").and_then(Value::as_object).unwrap_or(&empty) {
            let mut model = model.clone();
            if let Some(model) = model.as_object_mut() {
                model.retain(|key, _| !OPERATIONAL_MODEL.contains(&key.as_str()));
                // Only a mock depends on its script: a server's model has one for dry runs.
                let is_mock = model.get("provider").is_some_and(|provider| provider == MOCK);
                let script = model.get("mock").filter(|_| is_mock).and_then(without_transient_faults);
                model.shift_remove("mock");
                model.extend(script.map(|script| ("mock".to_owned(), script)));
            }
            parts.insert(format!("models.{name}"), model);
        }
        let bodies = whole.get("stages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let named = |stage: &PlannedStage| format!("{}: {}", stage.id, stage.kind.name).into();
        let order: Vec<Value> = self.all_stages().map(named).collect();
        parts.insert("order of stages".into(), Value::Array(order));
        stage_parts(&self.stages, bodies, &mut parts);
        for (path, input) in &self.inputs {
            parts.insert(format!("files.{path}"), Value::String(input.hash.clone()));
        }
        parts
    }

    /// The resolved pipeline as YAML, for the run directory.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(&self.resolved).unwrap_or_default()
    }
}

/// Adds a part for each stage, whose bodies are in the same order; stages in blocks have parts of their own.
fn stage_parts(stages: &[PlannedStage], bodies: &[Value], parts: &mut BTreeMap<String, Value>) {
    for (stage, body) in stages.iter().zip(bodies) {
        // A stage is a map with one key, its type, which is part of the order of stages.
        let mut inside = body.as_object().and_then(|body| body.values().next()).unwrap_or(body).clone();
        if stage.kind.role == Role::Block {
            let inner = inside.as_object_mut().and_then(|inside| inside.shift_remove("stages"));
            let inner = inner.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            stage_parts(&stage.inner, inner, parts);
        }
        parts.insert(format!("stages.{}", stage.id), inside);
        if stage.kind.version > 1 {
            let name = stage.kind.name;
            parts.insert(
                format!("version of stage `{name}` (the same input gives other items)"),
                stage.kind.version.into(),
            );
        }
    }
}

/// The answers of a mock's script, if it has any, without transient faults: errors, delays and limits may change
/// between two starts as those of a server do.
pub(crate) fn without_transient_faults(mock: &Value) -> Option<Value> {
    let mut rules = mock.get("rules")?.as_array()?.clone();
    rules.retain(|rule| rule.get("error").is_none() && rule.get("endpoint").is_none());
    rules.iter_mut().filter_map(Value::as_object_mut).for_each(|rule| drop(rule.shift_remove("delay")));
    (!rules.is_empty()).then(|| serde_json::json!({ "rules": rules }))
}
