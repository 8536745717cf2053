//! Text files as users have them: with byte order marks, in other encodings, named from another folder.

use serde_json::{Value, json};

use crate::harness::{outputs, project, stderr, stdout, synthmill};

/// Every text file that a pipeline can name, once as it is and once as Windows' editors write it.
#[test]
fn byte_order_marks_and_line_ends_reach_no_model() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        ("rows.jsonl", "{\"q\": \"Hi\"}\n"),
        ("system.txt", "You are kind.\nVery.\n"),
        ("user.txt", "{{ context }}\n{{ injection_list }} {{ target_words }}\n"),
        ("context.txt", "A library.\nA large one.\n"),
        ("schema.json", "{\"type\": \"object\",\n \"properties\": {\"answer\": {\"type\": \"string\"}}}\n"),
        ("injections/tone.json", "[{\"tone\": \"dry\", \"frequency score\": 1}]\n"),
        ("injections/mood.csv", "mood,frequency score\ncalm,1\n"),
        ("injections/role.yaml", "- {role: nurse, frequency score: 1}\n"),
        ("length.json", "{\"mean\": 3, \"sigma\": 0.1,\n \"shift\": 5}\n"),
        (
            "p.yaml",
            "name: t
models: {m: {provider: mock}}
stages:
  - ingest: {paths: [rows.jsonl]}
  - sample_injections: {folder: injections, length: length.json}
  - prompt: {system_file: system.txt, user_file: user.txt, texts: {context: context.txt}}
  - llm: {model: m}
  - parse: {schema_file: schema.json, on_error: reject}
  - sink: {path: out.jsonl, format: raw, fields: [prompt, answer]}
",
        ),
    ];
    let mut made = Vec::new();
    for (folder, of_windows) in [("unix", false), ("windows", true)] {
        let folder = dir.path().join(folder);
        std::fs::create_dir_all(folder.join("injections")).unwrap();
        for (name, text) in files {
            let text = match of_windows {
                true => format!("\u{feff}{}", text.replace('\n', "\r\n")),
                false => text.to_owned(),
            };
            std::fs::write(folder.join(name), text).unwrap();
        }
        synthmill(&folder, &["run", "p.yaml"], 0);
        made.push(outputs(&folder.join("output/t")));
    }
    let line: Value = serde_json::from_str(&made[0]["out.jsonl"][0]).unwrap();
    assert_eq!(line["prompt"][0]["content"], "You are kind.\nVery.", "{line}");
    assert_eq!(made[0], made[1]);
}

#[test]
fn a_file_in_another_encoding_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let utf16: Vec<u8> = "\u{feff}Be kind.".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(dir.path().join("system.txt"), &utf16).unwrap();
    std::fs::write(dir.path().join("latin.txt"), b"caf\xe9").unwrap();
    std::fs::write(dir.path().join("rows.jsonl"), "{\"q\": \"Hi\"}\n").unwrap();
    let yaml = "name: t
stages:
  - ingest: {paths: [rows.jsonl]}
  - prompt: {system_file: system.txt, user_file: latin.txt}
  - sink: {path: out.jsonl, format: raw, fields: [prompt]}
";
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    let said = stderr(&synthmill(dir.path(), &["validate", "p.yaml"], 2));
    for part in [
        "cannot read `system.txt`: the file is UTF-16, expected UTF-8",
        "hint: save it as UTF-8, for example with `iconv -f UTF-16 -t UTF-8`",
        "cannot read `latin.txt`: not text: no UTF-8 at byte 3",
    ] {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
    std::fs::write(dir.path().join("wide.yaml"), &utf16).unwrap();
    let said = stderr(&synthmill(dir.path(), &["validate", "wide.yaml"], 2));
    assert!(said.contains("the file is UTF-16") && said.contains("iconv"), "{said}");
}

#[test]
fn a_pipeline_run_from_another_folder_reports_where_its_files_are() {
    let dir = project();
    let elsewhere = dir.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let said = stderr(&synthmill(&elsewhere, &["validate", "../pipelines/docs-to-qa.yaml"], 2));
    for file in ["markdown_docs/**/*.md", "config/question_types.json", "pipelines/prompts/qa-user.j2"] {
        let hint = format!("`../{file}` is there, so run it in `..`");
        assert!(said.contains(&hint), "`{hint}` is not in\n{said}");
    }
}

#[test]
fn a_variable_that_an_override_leaves_unused_is_reported_and_not_an_error() {
    let dir = project();
    let changed = "stages.0.paths=[\"markdown_docs/tides.md\"]";
    let pipeline = "pipelines/docs-to-qa.yaml";
    let output = synthmill(dir.path(), &["validate", pipeline, "--set", changed, "--var", "docs=x"], 0);
    assert!(stderr(&output).contains("nothing reads the variable `docs`"), "{}", stderr(&output));
    let told = stdout(&synthmill(dir.path(), &["validate", pipeline, "--set", changed, "--json"], 0));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["diagnostics"][0]["severity"], "warning", "{told}");
    assert_eq!(told["diagnostics"][0]["path"], "/vars/docs", "{told}");
}

#[test]
fn problems_are_objects_for_machines() {
    let dir = tempfile::tempdir().unwrap();
    let yaml =
        "name: t\nstages:\n  - generate: {count: 3, cuont: 1}\n  - sink: {path: a.jsonl, format: raw}\n";
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    let output = synthmill(dir.path(), &["validate", "p.yaml", "--json", "--set", "seed=x"], 2);
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        told["diagnostics"][0],
        json!({"file": "p.yaml", "line": 3, "column": 26, "end": {"line": 3, "column": 31}, "severity": "error",
               "message": "unknown field `cuont`", "expected": "one of `count`, `id`, `when`",
               "hint": "did you mean `count`?", "path": "/stages/0/generate/cuont", "option": null})
    );
    assert_eq!(told["diagnostics"][1]["option"], "--set seed", "{told}");
    assert_eq!(told["diagnostics"][1]["line"], Value::Null);
    let missing = stdout(&synthmill(dir.path(), &["validate", "none.yaml", "--json"], 2));
    let missing: Value = serde_json::from_str(&missing).unwrap();
    assert!(missing["diagnostics"][0]["message"].as_str().unwrap().starts_with("cannot read `none.yaml`"));
}

#[test]
fn anchors_are_allowed_under_keys_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "name: t
x-sink: &sink {format: raw, fields: [id]}
stages:
  - generate: {count: 1}
  - sink: {<<: *sink, path: a.jsonl}
  - sink: {<<: *sink, id: b, path: b.jsonl}
";
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    let told = stdout(&synthmill(dir.path(), &["validate", "p.yaml", "--json"], 0));
    assert!(!told.contains("x-sink"), "{told}");
    let wrong = yaml.replace("x-sink", "y-sink");
    std::fs::write(dir.path().join("p.yaml"), wrong).unwrap();
    assert!(stderr(&synthmill(dir.path(), &["validate", "p.yaml"], 2)).contains("unknown field `y-sink`"));
}

#[test]
fn an_oversized_pipeline_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let comment = format!("name: t\n#{}", "x".repeat(5 << 20));
    std::fs::write(dir.path().join("p.yaml"), comment).unwrap();
    let said = stderr(&synthmill(dir.path(), &["validate", "p.yaml"], 2));
    assert!(said.contains("cannot read `p.yaml`: larger than 4 MiB"), "{said}");
}
