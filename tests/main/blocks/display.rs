//! Blocks in the output of commands: `plan` multiplies, `preview` indents, metrics and draws have paths.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{provenance_lines, stderr, stdout, synthmill};

/// A loop of two questions per pass, and samples of which some fail.
const PIPELINE: &str = r#"
name: shown
seed: 5
models:
  teacher: {provider: mock}
  judge: {provider: mock}
  other: {provider: heuristic}
stages:
  - ingest: {paths: [seeds.jsonl]}
  - repeat:
      id: evolve
      times: 4
      stages:
        - sample_injections: {folder: injections}
        - prompt: {user: "Harder, with {{ injections.kind }}: {{ instruction }}"}
        - llm: {model: teacher, output: instruction}
        - prompt: {output: judging, user: "Judge: {{ instruction }}"}
        - llm: {id: judge, model: judge, input: judging, output: verdict}
  - for_each:
      id: a_long_name_of_candidates
      in: 3
      as: candidate
      collect: {into: candidates, fields: [answer]}
      stages:
        - filter: {keep_if: candidate != 1}
        - sample_injections: {folder: injections}
        - prompt: {user: "Answer, with {{ injections.kind }}: {{ instruction }}"}
        - llm: {model: other, output: answer}
  - sink: {path: out.jsonl, format: raw, fields: [record_id, candidates]}
"#;

fn folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    file("p.yaml", PIPELINE);
    file(
        "seeds.jsonl",
        "{\"instruction\": \"Tell how rivers freeze.\"}\n{\"instruction\": \"Greet a guest.\"}\n",
    );
    std::fs::create_dir(dir.path().join("injections")).unwrap();
    file("injections/kind.json", r#"{"a limit": 0.5, "a rarer subject": 0.5}"#);
    dir
}

fn json_of(dir: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(&synthmill(dir, arguments, 0))).unwrap()
}

#[test]
fn plan_multiplies_by_passes_and_elements() {
    let dir = folder();
    let planned = json_of(dir.path(), &["plan", "p.yaml", "--json"]);
    let requests: Vec<(&str, f64)> = planned["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| (stage["stage"].as_str().unwrap(), stage["requests"].as_f64().unwrap()))
        .collect();
    // Two items: four passes of two questions each, and three elements of which a filter leaves two.
    let expected = [("evolve/llm", 8.0), ("evolve/judge", 8.0), ("a_long_name_of_candidates/llm", 4.0)];
    assert_eq!(requests, expected);
    let told = stdout(&synthmill(dir.path(), &["plan", "p.yaml"], 0));
    let columns: Vec<usize> = told.lines().filter_map(|line| line.find(" requests to ")).collect();
    assert!(columns.len() == 3 && columns.iter().all(|column| *column == columns[0]), "{told}");
}

#[test]
fn plan_foresees_with_a_models_script_what_comes_after_its_answers() {
    let dir = TempDir::new().unwrap();
    let yaml = "
name: p
models:
  teacher:
    base_urls: [http://127.0.0.1:9/v1]
    model: m
    mock:
      delay: 3600
      limit: {requests_per_minute: 1}
      rules:
        - {share: 0.9, error: 500}
        - {endpoint: 1, error: hang}
        - {when: row % 2 == 0, answer: Red.}
        - {answer: Blue.}
stages:
  - generate: {count: 10}
  - prompt: {user: \"Name a colour.\"}
  - llm: {model: teacher, output: colour}
  - filter: {keep_if: colour == 'Red.'}
  - llm: {id: second, model: teacher}
  - sink: {path: a.jsonl, format: raw}
";
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    let planned = json_of(dir.path(), &["plan", "p.yaml", "--json"]);
    let requests = |stage: usize| planned["stages"][stage]["requests"].as_f64().unwrap();
    assert_eq!((requests(0), requests(1)), (10.0, 5.0), "{planned}");
}

#[test]
fn preview_indents_what_happens_inside_and_names_pass_and_element() {
    let dir = folder();
    let shown = stdout(&synthmill(dir.path(), &["preview", "p.yaml", "-n", "1"], 0));
    let heads: Vec<&str> = shown.lines().filter(|line| line.trim_start().starts_with("-- ")).collect();
    let inner = ["sample_injections", "prompt", "llm", "prompt-2", "judge"];
    let mut expected = Vec::new();
    for pass in 1..=4 {
        expected.extend(inner.map(|stage| format!("     -- evolve/{stage} -- 000000.evolve-{pass}")));
    }
    expected.push("-- evolve -- 000000".to_owned());
    for element in 0..3 {
        let stages = if element == 1 {
            &["filter"][..]
        } else {
            &["filter", "sample_injections", "prompt", "llm"][..]
        };
        expected.extend(stages.iter().map(|stage| {
            format!("     -- a_long_name_of_candidates/{stage} -- 000000.a_long_name_of_candidates-{element}")
        }));
    }
    expected.push("-- a_long_name_of_candidates -- 000000".to_owned());
    expected.push("-- sink -- 000000".to_owned());
    assert_eq!(heads, expected, "{shown}");
    assert!(shown.contains("     dropped: filtered") && shown.contains("repeat: {\"pass\":4}"), "{shown}");
    // A field that a pass or an element lacks is not shown as removed.
    assert!(!shown.contains("(removed)"), "{shown}");
    assert!(!dir.path().join("output").exists());
}

#[test]
fn metrics_draws_and_options_use_the_paths_of_stages_in_blocks() {
    let dir = folder();
    let set = "stages.evolve.stages.judge.model=other";
    let unused = "no stage asks the model `judge`";
    let refused = synthmill(dir.path(), &["run", "p.yaml", "--out", "out", "--set", set], 2);
    assert!(stderr(&refused).contains(unused), "{}", stderr(&refused));
    let yaml = PIPELINE.replace("  judge: {provider: mock}\n", "").replace("model: judge", "model: teacher");
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    let told = synthmill(dir.path(), &["run", "p.yaml", "--out", "out", "--set", set], 0);
    let (told, rows) = (stderr(&told), json_of(dir.path(), &["status", "out", "--json"]));
    let rows: Vec<(&str, u64, u64)> = rows["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let skipped = row["skipped"].as_u64().unwrap_or(0);
            (row["stage"].as_str().unwrap(), row["received"].as_u64().unwrap(), skipped)
        })
        .collect();
    let block = "a_long_name_of_candidates";
    let inside = ["filter", "sample_injections", "prompt", "llm"].map(|stage| format!("{block}/{stage}"));
    let expected = [
        ("evolve", 2, 0),
        ("evolve/sample_injections", 8, 0),
        ("evolve/prompt", 8, 0),
        ("evolve/llm", 8, 0),
        ("evolve/prompt-2", 8, 0),
        ("evolve/judge", 8, 0),
        (block, 2, 2),
        (&inside[0], 6, 0),
        (&inside[1], 4, 0),
        (&inside[2], 4, 0),
        (&inside[3], 4, 0),
        ("sink", 2, 0),
    ];
    assert_eq!(rows, expected);
    // All rows of the summary are aligned, and show what was skipped.
    let columns: Vec<(usize, usize)> = told
        .lines()
        .filter(|line| line.starts_with("  stage "))
        .map(|line| (line.find(" in ").unwrap(), line.find(" skipped").unwrap()))
        .collect();
    assert!(columns.len() == rows.len() && columns.iter().all(|row| *row == columns[0]), "{told}");

    let lines = provenance_lines(&dir.path().join("out"));
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let mut draws: Vec<&String> = line["draws"].as_object().unwrap().keys().collect();
    draws.sort();
    // Each pass and element has its own draws; those of the last pass are stored under the path of the stage.
    let expected = [
        format!("{block}-0/sample_injections"),
        format!("{block}-2/sample_injections"),
        "evolve-1/sample_injections".to_owned(),
        "evolve-2/sample_injections".to_owned(),
        "evolve-3/sample_injections".to_owned(),
        "evolve/sample_injections".to_owned(),
    ];
    assert_eq!(draws, expected.iter().collect::<Vec<_>>());
    let judges: Vec<(&Value, &Value)> = line["calls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|call| call["stage"] == "evolve/judge")
        .map(|call| (&call["model"], &call["provider"]))
        .collect();
    assert_eq!(judges, vec![(&json!("other"), &json!("heuristic")); 4]);
}
