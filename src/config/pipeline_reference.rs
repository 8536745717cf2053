//! The reference of a pipeline file above its stages, in Markdown: `synthmill schema --markdown`, `docs/pipeline.md`.
//!
//! Made from the schema that the loader checks with, like that of the stages in `reference`.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::head::pipeline_schema;
use super::reference::rows;

const BEGINNING: &str = "# The pipeline file

A pipeline is one YAML file: the settings below, then the list of its [stages](stages.md). Unknown fields are errors.
`${NAME}` and `${NAME:-default}` take values from the environment, `{{ vars.NAME }}` takes variables. `synthmill validate`
checks a file without asking anyone, and `docs/pipeline.schema.json` lets an editor complete it.
";
/// Settings with a part of their own, each with an example.
const PARTS: [(&str, &str); 5] = [
    (
        "models",
        "models:
  teacher:
    base_urls: [http://127.0.0.1:8000/v1, http://127.0.0.1:8001/v1]   # replicas of one model
    model: Qwen/Qwen2.5-7B-Instruct
    concurrency: auto
    params: {temperature: 0.7, max_tokens: 2048}
  judge:
    provider: anthropic
    base_urls: [https://api.anthropic.com/v1]
    model: claude-sonnet-4-5
    api_key_env: ANTHROPIC_API_KEY
    pool: account
    prices: {input: 3, output: 15}
    params: {max_tokens: 1024}",
    ),
    (
        "pools",
        "pools:
  account: {requests_per_minute: 600, tokens_per_minute: 200000}   # models with `pool: account` share it",
    ),
    (
        "budget",
        "budget: {max_cost: 20, max_tokens_total: 50000000}   # the run stops before it would spend more",
    ),
    ("error_budget", "error_budget: {share: 0.05, after: 200, in_a_row: 50}"),
    ("durability", "durability: process   # on a machine that loses no power"),
];

/// The reference of everything but the stages.
#[must_use]
pub fn pipeline_reference() -> String {
    let schema = pipeline_schema();
    let mut text = BEGINNING.to_owned();
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let own_part = |name: &str| PARTS.iter().any(|(part, _)| *part == name);
    let plain = properties.iter().filter(|(name, _)| !own_part(name) && *name != "stages");
    table(&mut text, plain, &schema);
    for (name, example) in PARTS {
        let description =
            properties.get(name).and_then(|field| field.get("description")).and_then(Value::as_str);
        let _ =
            write!(text, "\n## {name}\n\n{}\n\n```yaml\n{example}\n```\n", description.unwrap_or_default());
        table(&mut text, properties.iter().filter(|(other, _)| *other == name), &schema);
    }
    text
}

fn table<'a>(text: &mut String, fields: impl Iterator<Item = (&'a String, &'a Value)>, schema: &Value) {
    let fields: Map<String, Value> = fields.map(|(name, field)| (name.clone(), field.clone())).collect();
    text.push_str("\n| setting | type | default | what it says |\n|---|---|---|---|\n");
    text.push_str(&rows(&json!({"properties": fields, "required": schema.get("required")}), ""));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, Plan};

    #[test]
    fn every_setting_is_there_and_every_example_loads() {
        let page = pipeline_reference();
        for name in [
            "name",
            "accept",
            "models.NAME.base_urls",
            "models.NAME.limits",
            "budget.max_cost",
            "error_budget.share",
        ] {
            assert!(page.contains(&format!("| `{name}")), "{name}");
        }
        let stages = "stages:\n  - generate: {count: 1}\n  - sink: {path: a.jsonl, format: raw}\n";
        let examples: String = PARTS.iter().map(|(_, example)| format!("{example}\n")).collect();
        let ask =
            "  - prompt: {user: hi}\n  - llm: {id: a, model: teacher}\n  - llm: {id: b, model: judge}\n";
        let stages = stages.replace("  - sink", &format!("{ask}  - sink"));
        let file = format!("name: a\n{examples}{stages}");
        if let Err(problems) = Plan::load_text("a.yaml", &file, &Overrides::default()) {
            panic!("{problems}");
        }
    }
}
