//! How a run was configured: the settings of the pipeline in the run directory, and the files that it read.
//!
//! `report::gather` compares two runs by these settings.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::journal::Manifest;
use crate::report::findings::Configuration;

/// Bytes of a pipeline that are read; the run itself wrote it.
const LONGEST: usize = 1 << 20;
/// Characters of a setting's value that are shown.
const LONGEST_VALUE: usize = 400;

/// A model as the pipeline declares it.
#[derive(Debug, Default, Clone)]
pub(in crate::report) struct DeclaredModel {
    pub(in crate::report) provider: Option<String>,
    /// The name that is sent to the server.
    pub(in crate::report) model: Option<String>,
}

/// Returns the models that the run started with, by name.
pub(super) fn models(manifest: &Manifest) -> BTreeMap<String, DeclaredModel> {
    let mut models = BTreeMap::new();
    for (part, value) in &manifest.fingerprint {
        let Some(name) = part.strip_prefix("models.") else { continue };
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        models.insert(name.to_owned(), DeclaredModel { provider: text("provider"), model: text("model") });
    }
    models
}

/// Reads the configuration; `None` if the run directory holds no pipeline.
pub(super) fn read(root: &Path, manifest: &Manifest) -> Option<Configuration> {
    let pipeline = std::fs::read_to_string(root.join("pipeline.yaml")).ok()?;
    let mut settings = BTreeMap::new();
    if pipeline.len() <= LONGEST
        && let Ok(value) = serde_saphyr::from_str::<Value>(&pipeline)
    {
        flatten("", &value, &mut settings);
    }
    for (part, hash) in &manifest.fingerprint {
        if let Some(path) = part.strip_prefix("files.") {
            let hash: String = hash.as_str().unwrap_or_default().chars().take(8).collect();
            settings.insert(format!("file {path}"), format!("content {hash}"));
        }
    }
    if let Some(limit) = manifest.limit {
        settings.insert("--limit".to_owned(), limit.to_string());
    }
    settings.insert("synthmill".to_owned(), manifest.synthmill.clone());
    let mut pipeline = pipeline;
    pipeline.truncate(pipeline.floor_char_boundary(LONGEST));
    Some(Configuration { pipeline, settings })
}

/// Inserts each setting under its path; a stage is named by its id, or by its type and its number among those of that type.
fn flatten(path: &str, value: &Value, settings: &mut BTreeMap<String, String>) {
    let inside = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, value)| flatten(&inside(name), value, settings));
        }
        Value::Array(stages) if path == "stages" => {
            let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
            for (kind, options) in stages.iter().filter_map(Value::as_object).flatten() {
                let count = seen.entry(kind).or_default();
                *count += 1;
                let name = match (options.get("id").and_then(Value::as_str), *count) {
                    (Some(id), _) => id.to_owned(),
                    (None, 1) => kind.clone(),
                    (None, count) => format!("{kind}-{count}"),
                };
                flatten(&inside(&name), options, settings);
            }
        }
        other => {
            let text = match other {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let shown = match text.char_indices().nth(LONGEST_VALUE) {
                // The hash keeps values apart that differ after the cut.
                Some((end, _)) => {
                    format!("{} … ({})", &text[..end], &blake3::hash(text.as_bytes()).to_hex()[..8])
                }
                None => text,
            };
            settings.insert(path.to_owned(), shown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_named_by_their_paths() {
        let pipeline = json!({
            "seed": 42,
            "models": {"m": {"params": {"temperature": 0.7}, "base_urls": ["a", "b"]}},
            "stages": [{"prompt": {"user": "Q"}}, {"sink": {"id": "train", "path": "a"}}, {"sink": {"path": "b"}}, {"split": {}}],
        });
        let mut settings = BTreeMap::new();
        flatten("", &pipeline, &mut settings);
        let shown: Vec<String> = settings.iter().map(|(path, value)| format!("{path} = {value}")).collect();
        assert_eq!(
            shown,
            [
                "models.m.base_urls = [\"a\",\"b\"]",
                "models.m.params.temperature = 0.7",
                "seed = 42",
                "stages.prompt.user = Q",
                "stages.sink-2.path = b",
                "stages.split = {}",
                "stages.train.id = train",
                "stages.train.path = a",
            ]
        );
    }
}
