//! Pipelines with `provider: mock`: without a script, with one, stopped and resumed, on a budget.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{assert_same_outputs, outputs, project, provenance_lines, stderr, stdout, synthmill};

/// Makes a pipeline of 60 rows whose mock has these rules.
fn rows(dir: &Path, rules: &str) {
    let lines: String = (0..60).map(|row| format!("{{\"topic\": \"topic {row}\"}}\n")).collect();
    std::fs::write(dir.join("rows.jsonl"), lines).unwrap();
    let pipeline = format!(
        r#"
name: rows
seed: 3
error_budget: {{share: 1, in_a_row: 100}}
models:
  teacher:
    provider: mock
    concurrency: 1
    prices: {{input: 1000, output: 1000}}
    mock: {{rules: {rules}}}
stages:
  - ingest: {{paths: [rows.jsonl]}}
  - prompt: {{user: "Tell me of {{{{ topic }}}}."}}
  - llm: {{model: teacher}}
  - parse:
      schema: {{type: object, required: [answer], properties: {{answer: {{type: string, minLength: 1}}}}}}
      on_error: [{{retry: 1}}, reject]
  - sink: {{path: answers.jsonl, format: raw, fields: [id, topic, answer]}}
"#
    );
    std::fs::write(dir.join("rows.yaml"), pipeline).unwrap();
}

/// Runs `rows.yaml`, asserts the exit code and returns the summary.
#[track_caller]
fn run(dir: &Path, out: &str, more: &[&str], code: i32) -> Value {
    let arguments = [&["run", "rows.yaml", "--json", "--out", out], more].concat();
    let output = synthmill(dir, &arguments, code);
    serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)))
}

#[test]
fn a_shipped_pipeline_runs_on_a_mock_without_a_script() {
    let dir = project();
    for (pipeline, mock) in
        [("docs-to-qa", &["--mock"][..]), ("user-inputs", &["--set", "models.writer.provider=mock"])]
    {
        let file = format!("pipelines/{pipeline}.yaml");
        let run = ["run", &file, "--limit", "80", "--out", "out", "--fresh", "--json"];
        let output = synthmill(dir.path(), &[&run[..], mock].concat(), 0);
        let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!((&summary["admitted"], &summary["rejected"]), (&80.into(), &0.into()), "{pipeline}");
        assert!(summary["tokens"]["completion"].as_u64().unwrap() > 0, "{summary}");
    }
    let provenance = provenance_lines(&dir.path().join("out"));
    let first: Value = serde_json::from_str(provenance.lines().next().unwrap()).unwrap();
    let call = &first["calls"][0];
    assert_eq!((&call["provider"], call.get("served_as")), (&"mock".into(), None), "{call}");
}

/// Returns the code blocks of `docs/mock.md` in a language that contain a text.
fn page_blocks(language: &str, text: &str) -> Vec<String> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mock.md")).unwrap();
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.filter(|block| block.contains(text)).map(str::to_owned).collect()
}

#[test]
fn mock_scripts_in_the_docs_run() {
    let scripts = page_blocks("yaml", "provider: mock");
    assert_eq!(scripts.len(), 2);
    for script in scripts {
        let dir = project();
        let pipeline = std::fs::read_to_string(dir.path().join("pipelines/docs-to-qa.yaml")).unwrap();
        let (head, rest) = pipeline.split_once("models:\n").unwrap();
        let after = rest.split_inclusive('\n').skip_while(|line| line.starts_with([' ', '#', '\n']));
        let whole = format!("{head}{script}{}", after.collect::<String>());
        std::fs::write(dir.path().join("page.yaml"), whole).unwrap();
        synthmill(dir.path(), &["validate", "page.yaml"], 0);
        let set = ["--set", "models.teacher.mock.delay=0"];
        let run = [&["run", "page.yaml", "--limit", "60", "--json"], &set[..]].concat();
        let summary: Value = serde_json::from_str(&stdout(&synthmill(dir.path(), &run, 0))).unwrap();
        assert!(summary["ok"].as_u64().unwrap() > 40, "{summary}");
        match script.contains("mock.answer[") {
            true => assert!(summary["re_asks"].as_u64().unwrap() > 0, "{summary}"),
            false => {
                assert!(summary["retries"].as_u64().unwrap() > 0, "{summary}");
                assert_eq!(summary["rejected"], 0, "transient faults cost no item: {summary}");
            }
        }
    }
}

#[test]
fn the_command_in_the_docs_simulates_a_rate_limit() {
    let commands = page_blocks("sh", "--mock");
    let [command] = &*commands else { panic!("{commands:?}") };
    let (options, set) = command.split_once("--set '").unwrap();
    let mut arguments: Vec<&str> = options.split_whitespace().skip(1).filter(|word| *word != "\\").collect();
    arguments.extend(["--set", set.trim_end().trim_end_matches('\''), "--json"]);
    let at = arguments.iter().position(|word| *word == "--limit").unwrap() + 1;
    arguments[at] = "30";
    let summary: Value = serde_json::from_str(&stdout(&synthmill(project().path(), &arguments, 0))).unwrap();
    assert_eq!((&summary["admitted"], &summary["rejected"]), (&30.into(), &0.into()), "{summary}");
    assert!(summary["retries"].as_u64().unwrap() > 0, "some were refused: {summary}");
}

#[test]
fn scripted_answers_are_the_same_at_any_concurrency() {
    let dir = TempDir::new().unwrap();
    rows(
        dir.path(),
        r#"[{share: 0.1, error: 400}, {share: 0.3, answer: "no JSON"}, {answer: {answer: "{{ mock.stage }} {{ mock.ask }}"}}]"#,
    );
    let one = run(dir.path(), "one", &[], 0);
    let many = run(dir.path(), "many", &["--set", "models.teacher.concurrency=64"], 0);
    assert_same_outputs(&dir.path().join("one"), &dir.path().join("many"));
    for count in ["ok", "rejected", "requests", "re_asks", "tokens"] {
        assert_eq!(one[count], many[count], "{count}");
    }
    let rejected = outputs(&dir.path().join("one"))["rejected.jsonl"].join("");
    assert!(rejected.contains("status_400") && rejected.contains("no JSON"), "{rejected}");
    let answers = outputs(&dir.path().join("one"))["answers.jsonl"].join("");
    assert!(answers.contains(r#""answer":"llm 2""#), "an invalid answer is asked for again");
}

#[test]
fn transient_faults_cost_time_and_no_item() {
    let dir = TempDir::new().unwrap();
    let answers =
        r#"{share: 0.4, answer: {answer: "of {{ topic }}"}}, {answer: {answer: "{{ mock.ask }} {{ id }}"}}"#;
    rows(dir.path(), &format!("[{answers}]"));
    let lines: String = (0..300).map(|row| format!("{{\"topic\": \"topic {row}\"}}\n")).collect();
    std::fs::write(dir.path().join("rows.jsonl"), lines).unwrap();
    let more = ["--set", "models.teacher.concurrency=32"];
    run(dir.path(), "clear", &more, 0);
    let faults = "{share: 0.04, error: 500}, {share: 0.01, error: 503, retry_after: 1}, \
        {share: 0.01, error: 429, retry_after: 1}, {share: 0.03, error: reset}, {share: 0.03, error: cut_body}, \
        {share: 0.02, error: not_json}, {share: 0.02, error: empty_choices}";
    let rules = format!("models.teacher.mock.rules=[{faults}, {answers}]");
    let mixed = run(dir.path(), "mixed", &[&more[..], &["--set", &rules]].concat(), 0);
    assert_eq!((&mixed["ok"], &mixed["rejected"]), (&300.into(), &0.into()), "{mixed}");
    assert!(mixed["retries"].as_u64().unwrap() > 20, "the faults occurred: {mixed}");
    assert_same_outputs(&dir.path().join("clear"), &dir.path().join("mixed"));

    let limit = "models.teacher.mock.limit={requests_per_minute: 6000, burst: 20, retry_after: 0.2}";
    let limited = run(dir.path(), "limited", &[&more[..], &["--set", limit]].concat(), 0);
    assert_eq!((&limited["ok"], &limited["rejected"]), (&300.into(), &0.into()), "{limited}");
    assert!(limited["retries"].as_u64().unwrap() > 0, "some were refused: {limited}");
    assert_same_outputs(&dir.path().join("clear"), &dir.path().join("limited"));

    // Faults may change within a run.
    let replicas = "models.teacher.base_urls=['http://a/v1', 'http://b/v1']";
    let replica = format!("models.teacher.mock.rules=[{{endpoint: 2, error: empty_choices}}, {answers}]");
    let changed = [&more[..], &["--set", replicas, "--set", &replica]].concat();
    let part = [&more[..], &["--limit", "100"]].concat();
    run(dir.path(), "changed", &part, 0);
    let changed = run(dir.path(), "changed", &changed, 0);
    assert_eq!((&changed["ok"], &changed["rejected"]), (&300.into(), &0.into()), "{changed}");
    assert_same_outputs(&dir.path().join("clear"), &dir.path().join("changed"));
}

#[test]
fn a_run_stopped_by_an_error_resumes_once_the_fault_is_gone() {
    let dir = TempDir::new().unwrap();
    let answers = r#"{answer: {answer: "of {{ topic }}"}}"#;
    let rules = format!("[{answers}]");
    rows(dir.path(), &rules);
    run(dir.path(), "never", &[], 0);
    rows(dir.path(), &format!("[{{contains: topic 40, error: quota}}, {answers}]"));
    let stopped = run(dir.path(), "stopped", &[], 4);
    assert!(stopped["ok"].as_u64().unwrap() >= 20, "{stopped}");
    rows(dir.path(), &rules);
    let on = run(dir.path(), "stopped", &[], 0);
    assert_same_outputs(&dir.path().join("never"), &dir.path().join("stopped"));
    // Only the question that stopped the run is asked again.
    assert_eq!(on["requests"].as_u64().unwrap(), 60 - stopped["ok"].as_u64().unwrap());
    let other = r#"models.teacher.mock.rules=[{answer: {answer: "more"}}]"#;
    let arguments = ["run", "rows.yaml", "--out", "stopped", "--set", other];
    let refused = stderr(&synthmill(dir.path(), &arguments, 2));
    assert!(refused.contains("models.teacher"), "other answers make another run: {refused}");
}

#[test]
fn answers_of_a_mock_are_not_reused_for_a_real_model() {
    let dir = TempDir::new().unwrap();
    rows(dir.path(), r#"[{answer: {answer: "one"}}]"#);
    run(dir.path(), "out", &[], 0);
    let again = run(dir.path(), "out", &["--fresh", "--reuse-answers"], 0);
    assert_eq!(again["requests"], 0);
    let other = r#"models.teacher.mock.rules=[{answer: {answer: "two"}}]"#;
    let changed = run(dir.path(), "out", &["--fresh", "--reuse-answers", "--set", other], 0);
    assert_eq!(changed["requests"], 60);
}

#[test]
fn a_budget_can_be_tried_without_spending() {
    let dir = TempDir::new().unwrap();
    rows(dir.path(), r#"[{answer: {answer: "so"}, usage: {prompt_tokens: 600, completion_tokens: 400}}]"#);
    let set = "models.teacher.params.max_tokens=400";
    let stopped = run(dir.path(), "out", &["--set", set, "--set", "budget.max_cost=20"], 7);
    let ok = stopped["ok"].as_u64().unwrap();
    assert!((10..=20).contains(&ok), "{stopped}");
    let done = run(dir.path(), "out", &["--set", set, "--set", "budget.max_cost=100"], 0);
    assert_eq!((&done["ok"], &done["spent"]["cost"]), (&60.into(), &60.0.into()), "{done}");
}

#[test]
fn no_llm_lets_the_heuristic_answer_in_place_of_a_script() {
    let dir = TempDir::new().unwrap();
    rows(dir.path(), r#"[{answer: {answer: "scripted"}}]"#);
    run(dir.path(), "out", &["--no-llm"], 0);
    let answers = outputs(&dir.path().join("out"))["answers.jsonl"].join("");
    assert!(!answers.contains("scripted"), "{answers}");
}
