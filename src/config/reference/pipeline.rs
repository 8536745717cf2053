//! The reference of a pipeline file's global settings in Markdown: `synthmill schema --markdown`,
//! `docs/pipeline.md`.
//!
//! Generated from the schema with which the loader checks files, as the stage reference is.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::stages::rows;
use crate::config::check::pipeline_schema;

const BEGINNING: &str = "# The pipeline file

Every setting of a pipeline file above its stages; [writing a pipeline](pipeline-file.md) explains how to write one. A pipeline
is one YAML file: the settings below, then the list of its [stages](stages.md). Unknown fields are errors.
`${NAME}` and `${NAME:-default}` take values from the environment, `{{ vars.NAME }}` takes variables. `synthmill validate`
checks a file without asking anyone, and `docs/pipeline.schema.json` lets an editor complete it.
";
/// Settings with a section of their own, each with an example.
const PARTS: [(&str, &str); 6] = [
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
    prompt_cache: true
    prices: {input: 3, output: 15, cached_input: 0.3, cache_write: 3.75}
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
    (
        "tests",
        "tests:
  - name: an answer that is too short is dropped
    input: [{question: Why?}]               # records as they leave the source part
    answer: So.                             # what every model answers
    expect: {train: []}                     # the lines of the sink `train`: none
    dropped: [short]
  - name: an answer is written
    input: [{question: Why?}]
    mock: {teacher: {rules: [{contains: Why, answer: \"Because {{ question | lower }}\"}]}}
    expect: {train: [{messages: [{role: user, content: Why?}, {role: assistant, content: Because why?}]}]}
    check: {train: [messages | length == 2]}",
    ),
];

/// The section about stages that contain stages.
const BLOCKS: &str = "
## Blocks

Two stages contain other stages, `repeat` and `for_each`; their options are in the [stages' reference](stages.md#repeat). A
record passes through the inner stages while it is in the block: several times, or once for each element of a list.

```yaml
";
const BLOCKS_EXAMPLE: &str = r#"stages:
  - ingest: {paths: [instructions.jsonl]}          # rows with `instruction`
  - repeat:
      id: evolve
      times: 3                                     # passes at most
      on_fail: stop                                # a pass that fails leaves the record as it was before it
      stages:
        - prompt: {user: "Make this harder, for the {{ repeat.pass }}. time: {{ previous.instruction }}"}
        - llm: {model: teacher, output: instruction}
  - prompt: {user: "{{ instruction }}"}
  - for_each:
      id: candidates
      in: 8                                        # the elements 0 to 7; or a list
      collect: {into: candidates, fields: [answer]}
      stages:
        - llm: {id: sample, model: teacher, output: answer}
  - sink: {path: made.jsonl, format: raw, fields: [instruction, candidates]}
"#;
const BLOCKS_RULES: &str = "```

* **Names.** A stage in a block is named by its path, such as `candidates/sample`, in the summary, in `provenance/` and in
  `--set stages.candidates.stages.sample.model=...` (or `--set stages.candidates/sample.model=...`). Its id must be unique
  in its block. A record's id shows where it is: `000012.evolve-2` in the second pass, `000012.candidates-0` in the first
  element. After the block it has its former id again, unless several records leave the block.
* **Fields.** In a `repeat`, stages can use `repeat.pass`, from 1, and `previous`, the fields before the pass; in a `for_each`,
  the element, `for_each.index` and `for_each.count`. These fields do not exist after the block. In the first pass only
  fields that were set before the block exist, and `while` can use no others.
* **After the block.** Fields that are set in a `repeat` exist after it only if every record is certain to have them: if
  `times` is a number and the block has no `while`, `on_fail: skip` or `stop`, or `keep: all`. Otherwise set a default
  before the block. After a `for_each` with `collect`, only the collected list exists; without it, each element becomes a
  record of its own that keeps all fields.
* **Failures.** A pass or an element fails if its record is dropped or rejected in it. For a `repeat`, `on_fail` says what
  happens to the record then; in a `for_each` with `collect`, the element is left out, and `at_least` is the number of
  elements that must remain.
* **Allowed stages.** All stages that are allowed after the source part, including other blocks, nested up to 8 deep, except
  `sink` and `split`. A `parse` must be in the same block as its `llm`. In a `repeat` and in a collected element, no stage may
  turn one record into several.
";

/// The reference of everything except the stages.
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
    text + BLOCKS + BLOCKS_EXAMPLE + BLOCKS_RULES
}

fn table<'a>(text: &mut String, fields: impl Iterator<Item = (&'a String, &'a Value)>, schema: &Value) {
    let fields: Map<String, Value> = fields.map(|(name, field)| (name.clone(), field.clone())).collect();
    text.push_str("\n| setting | type | default | meaning |\n|---|---|---|---|\n");
    text.push_str(&rows(&json!({"properties": fields, "required": schema.get("required")}), ""));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, Plan};

    #[test]
    fn the_example_of_blocks_loads() {
        let dir = tempfile::tempdir().unwrap();
        let rows = dir.path().join("instructions.jsonl");
        std::fs::write(&rows, "{\"instruction\": \"Add two numbers.\"}\n").unwrap();
        let stages = BLOCKS_EXAMPLE.replace("instructions.jsonl", &rows.display().to_string());
        let file = format!("name: a\nmodels: {{teacher: {{provider: heuristic}}}}\n{stages}");
        if let Err(problems) = Plan::load_text("a.yaml", &file, &Overrides::default()) {
            panic!("{problems}");
        }
    }

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
