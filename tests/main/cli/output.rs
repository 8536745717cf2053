//! The output of the commands: results on stdout, everything else on stderr.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use synthmill::stages::STAGES;

use crate::harness::child::{answering, rows_folder};
use crate::harness::{outputs, project, stderr, stdout, synthmill};

const DOCS: &str = "pipelines/docs-to-qa.yaml";

fn text(dir: &Path, arguments: &[&str]) -> String {
    stdout(&synthmill(dir, arguments, 0))
}

fn json_of(dir: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&text(dir, arguments)).unwrap()
}

#[test]
fn stages_lists_each_and_explains_one() {
    let dir = project();
    let all = text(dir.path(), &["stages"]);
    let listed = json_of(dir.path(), &["stages", "--json"]);
    for (index, stage) in STAGES.iter().enumerate() {
        assert!(all.contains(stage.purpose), "{}", stage.name);
        assert_eq!(listed[index]["name"], stage.name);
        let one = text(dir.path(), &["stages", stage.name]);
        assert!(one.contains(stage.purpose) && one.contains(stage.example.trim_end()), "{one}");
        for option in json_of(dir.path(), &["stages", stage.name, "--json"])["schema"]["properties"]
            .as_object()
            .unwrap()
            .keys()
        {
            assert!(one.contains(&format!("| `{option}`")), "`{option}` is not in\n{one}");
        }
    }
    let unknown = stderr(&synthmill(dir.path(), &["stages", "sectoin"], 2));
    assert!(unknown.contains("did you mean `section`?"), "{unknown}");
}

#[test]
fn validate_prints_the_plan_or_the_problems() {
    let dir = project();
    std::fs::write(dir.path().join("bad.yaml"), "name: bad\nstages:\n  - sectoin: {}\n").unwrap();
    let plan = text(dir.path(), &["validate", DOCS]);
    for part in ["docs-to-qa is right", "1. ingest", "8. cot_expand", "9. train (sink) when split == 'train'"]
    {
        assert!(plan.contains(part), "`{part}` is not in\n{plan}");
    }
    assert_eq!(json_of(dir.path(), &["validate", DOCS, "--json"])["stages"][0]["type"], "ingest");

    let both = synthmill(dir.path(), &["validate", "bad.yaml", DOCS], 2);
    assert!(stdout(&both).contains("docs-to-qa is right"));
    assert!(stderr(&both).contains("bad.yaml:3:5: unknown stage type `sectoin`"), "{}", stderr(&both));
    assert!(!dir.path().join("output").exists(), "validate writes nothing");
}

#[test]
fn validate_indents_the_stages_of_blocks() {
    let dir = project();
    let file = "\
name: nested
models: {m: {provider: heuristic}}
stages:
  - generate: {count: 2}
  - repeat:
      id: evolve
      times: 2
      stages:
        - prompt: {user: \"{{ row }}\"}
        - for_each:
            in: 3
            when: row > 1
            collect: {into: answers, fields: [completion]}
            stages:
              - llm: {id: judge, model: m}
  - sink: {path: a.jsonl, format: raw}
";
    std::fs::write(dir.path().join("nested.yaml"), file).unwrap();
    let plan = text(dir.path(), &["validate", "nested.yaml"]);
    let listed = "\
   1. generate
   2. evolve (repeat)
       1. prompt
       2. for_each when row > 1
           1. judge (llm)
   3. sink
";
    assert!(plan.contains(listed), "{plan}");
    let told = json_of(dir.path(), &["validate", "nested.yaml", "--json"]);
    let ids: Vec<&str> =
        told["stages"].as_array().unwrap().iter().map(|stage| stage["id"].as_str().unwrap()).collect();
    let expected =
        ["generate", "evolve", "evolve/prompt", "evolve/for_each", "evolve/for_each/judge", "sink"];
    assert_eq!(ids, expected);
}

#[test]
fn run_prints_nothing_on_stdout_and_with_q_nothing_at_all() {
    let dir = project();
    let run = ["run", DOCS, "--no-llm", "--limit", "20"];
    let plain = synthmill(dir.path(), &run, 0);
    assert_eq!(stdout(&plain), "");
    for part in ["complete", "20 admitted = ", "wrote", "output/docs-to-qa/train.jsonl"] {
        assert!(stderr(&plain).contains(part), "`{part}` is not in\n{}", stderr(&plain));
    }
    for arguments in [&[&run[..], &["-q"]].concat(), &[&run[..], &["-q", "--out", "other"]].concat()] {
        let quiet = synthmill(dir.path(), arguments, 0);
        assert_eq!((stdout(&quiet), stderr(&quiet)), (String::new(), String::new()), "{arguments:?}");
    }
    let bad = synthmill(dir.path(), &["run", "nowhere.yaml", "-q"], 2);
    assert!(!stderr(&bad).is_empty(), "what goes wrong is told even so");
}

#[test]
fn json_is_one_object_on_stdout_and_json_lines_on_stderr() {
    let dir = project();
    let run = ["run", DOCS, "--no-llm", "--limit", "20", "--json", "-vv"];
    for _ in ["the first time", "when it is finished"] {
        let output = synthmill(dir.path(), &run, 0);
        let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!((&summary["state"], &summary["admitted"]), (&json!("finished"), &json!(20)));
        assert!(summary["records"]["train.jsonl"].is_u64(), "{summary}");
        for line in stderr(&output).lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(event["level"].is_string() && event["timestamp"].is_string(), "{line}");
        }
    }
    let failed = synthmill(dir.path(), &["run", "nowhere.yaml", "--json"], 2);
    for line in stderr(&failed).lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn changes_on_the_command_line_reach_the_model_and_the_outputs() {
    let server = answering(Duration::ZERO);
    let dir = rows_folder(12, 2, &server.url);
    let changes =
        ["--model", "other", "--max-tokens", "77", "--temperature", "0.25", "--base-url", &server.url];
    let run = [
        &["run", "p.yaml", "--limit", "5", "--out", "out", "--set", "stages.prompt.user=Say {{ topic }}"][..],
        &changes[..],
    ];
    synthmill(dir.path(), &run.concat(), 0);
    let questions = server.questions();
    assert_eq!(questions.len(), 5);
    for question in questions {
        assert_eq!(question.body["model"], "other");
        assert_eq!(question.body["max_tokens"], 77);
        assert_eq!(question.body["temperature"], 0.25);
        assert!(question.prompt.starts_with("Say topic "), "{}", question.prompt);
    }
}

#[test]
fn a_limit_can_be_raised_and_then_removed() {
    let server = answering(Duration::ZERO);
    let dir = rows_folder(12, 2, &server.url);
    for (limit, asked) in [(Some("5"), 5), (Some("3"), 5), (Some("8"), 8), (None, 12), (Some("4"), 12)] {
        let mut run = vec!["run", "p.yaml", "--out", "out"];
        run.extend(limit.iter().flat_map(|limit| ["--limit", limit]));
        synthmill(dir.path(), &run, 0);
        assert_eq!(server.questions().len(), asked, "{limit:?}");
    }
    let lines = outputs(&dir.path().join("out"));
    assert_eq!(lines["train.jsonl"].len() + lines["test.jsonl"].len(), 12);
}

#[test]
fn a_variable_changes_the_documents_and_a_seed_the_draws() {
    let dir = project();
    std::fs::create_dir(dir.path().join("notes")).unwrap();
    std::fs::copy(dir.path().join("markdown_docs/tides.md"), dir.path().join("notes/tides.md")).unwrap();
    let run = ["run", DOCS, "--no-llm", "--limit", "60", "--var", "docs=notes", "--var", "train_ratio=0.5"];
    for (out, seed) in [("a", "1"), ("b", "1"), ("c", "2")] {
        synthmill(dir.path(), &[&run[..], &["--out", out, "--seed", seed]].concat(), 0);
    }
    let lines = |out: &str| outputs(&dir.path().join(out));
    assert!(lines("a")["train.jsonl"].iter().all(|line| !line.contains("compost")));
    assert!(lines("a") == lines("b"), "the same seed");
    assert!(lines("a") != lines("c"), "another seed");
}

#[test]
fn preview_shows_items_stage_by_stage_and_writes_nothing() {
    let server = answering(Duration::ZERO);
    let dir = rows_folder(12, 2, &server.url);
    let before = files(dir.path());
    let shown = text(dir.path(), &["preview", "p.yaml", "-n", "2"]);
    assert_eq!(shown.matches("== item ").count(), 2, "{shown}");
    let stages = ["topic 0", "-- prompt --", "-- llm --", "An answer to: Tell me of topic 0.", "-- split --"];
    let places: Vec<_> = stages.iter().map(|part| shown.find(part).expect(part)).collect();
    assert!(places.is_sorted(), "{shown}");
    assert_eq!(server.questions().len(), 2);

    let prompts = text(dir.path(), &["preview", "p.yaml", "--prompts-only"]);
    assert_eq!(prompts.matches("Tell me of topic").count(), 3, "{prompts}");
    assert_eq!(server.questions().len(), 2, "only the prompts");
    let down = ["preview", "p.yaml", "--base-url", "http://127.0.0.1:9/v1", "-n", "1"];
    assert!(!stderr(&synthmill(dir.path(), &down, 4)).is_empty());
    assert_eq!(files(dir.path()), before);

    let docs = project();
    let before = files(docs.path());
    assert!(text(docs.path(), &["preview", DOCS, "--no-llm", "-n", "1"]).contains("reasoning_steps"));
    assert_eq!(files(docs.path()), before);
}

/// The names in a folder.
fn files(dir: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_plan_estimates_requests_tokens_cost_and_hours() {
    let dir = tempfile::TempDir::new().unwrap();
    let yaml = crate::harness::rows_pipeline(dir.path(), 500, 8).replace(
        "concurrency: 8",
        "concurrency: 8\n    params: {max_tokens: 100}\n    prices: {input: 1, output: 2}\n    pool: account",
    );
    let yaml = yaml.replace("seed: 3", "seed: 3\npools: {account: {requests_per_minute: 10}}");
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    let output = synthmill(dir.path(), &["plan", "p.yaml", "--json", "--answer-tokens", "50"], 0);
    let plan: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let stage = &plan["stages"][0];
    assert_eq!((&plan["items"], &plan["sampled"]), (&serde_json::json!(500), &serde_json::json!(200)));
    assert_eq!((stage["requests"].as_f64(), stage["answer_tokens"].as_f64()), (Some(500.0), Some(25_000.0)));
    assert_eq!(stage["most_answer_tokens"].as_f64(), Some(50_000.0));
    let read = stage["prompt_tokens"].as_f64().unwrap();
    assert!((3000.0..10_000.0).contains(&read), "{read}");
    let cost = (read + 2.0 * 25_000.0) / 1e6;
    assert!((stage["cost"].as_f64().unwrap() - cost).abs() < 1e-6);
    assert!((plan["hours"]["account"].as_f64().unwrap() - 50.0 / 60.0).abs() < 1e-6);
    let text = stdout(&synthmill(dir.path(), &["plan", "p.yaml", "--limit", "10"], 0));
    assert!(text.contains("10 items, foreseen from 10") && text.contains("10 requests to teacher"), "{text}");
    let million = synthmill(dir.path(), &["plan", "p.yaml", "--json", "--items", "1000000"], 0);
    let million: serde_json::Value = serde_json::from_str(&stdout(&million)).unwrap();
    assert_eq!((million["items"].as_u64(), million["sampled"].as_u64()), (Some(1_000_000), Some(200)));
    let ratio = million["stages"][0]["prompt_tokens"].as_f64().unwrap() / read;
    assert!(million["stages"][0]["requests"] == 1e6 && (ratio - 2000.0).abs() < 0.5, "{million}");
    let text = stdout(&synthmill(dir.path(), &["validate", "p.yaml", "--estimate"], 0));
    assert!(text.contains("rows is right") && text.contains("500 requests to teacher"), "{text}");
    let told = stdout(&synthmill(dir.path(), &["validate", "p.yaml", "--estimate", "--json"], 0));
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["estimate"]["hours"], plan["hours"]);
    let told = stdout(&synthmill(dir.path(), &["validate", "p.yaml", "--json"], 0));
    assert!(!told.contains("estimate"), "{told}");
    assert!(!dir.path().join("output").exists());
}
