//! Sampled user inputs, from the injection files to the outputs: the job of `pipelines/user-inputs.yaml`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use synthmill::engine::RunEnd;
use synthmill::llm::scripted::{Reply, Scripted};
use tempfile::TempDir;

use crate::harness::{Run, check_invariants, outputs, project, provenance_lines, stderr, stdout, synthmill};

const PIPELINE: &str = "pipelines/user-inputs.yaml";
const NO_LLM: [&str; 3] = ["run", PIPELINE, "--no-llm"];

fn run(dir: &Path, arguments: &[&str], code: i32) -> String {
    stderr(&synthmill(dir, &[&NO_LLM[..], arguments].concat(), code))
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The shipped pipeline with this source, as text.
fn shipped(source: &str) -> String {
    let yaml = std::fs::read_to_string(PIPELINE).unwrap();
    let with = yaml.replace("- generate: {count: \"{{ vars.rows }}\"}", &format!("- generate: {source}"));
    assert_ne!(yaml, with);
    with.lines().filter(|line| !line.starts_with("  rows: ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_job_runs_without_a_model_and_writes_texts_and_attributes() {
    let dir = project();
    run(dir.path(), &["--var", "rows=300"], 0);
    let out = dir.path().join("output/user-inputs");
    let records = lines(&out.join("user-inputs.jsonl"));
    let texts: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(out.join("user-inputs.json")).unwrap()).unwrap();
    assert_eq!(records.len(), 300);
    let written: Vec<&Value> = records.iter().map(|record| &record["text"]).collect();
    assert_eq!(texts.iter().collect::<Vec<_>>(), written, "the array holds the texts and nothing else");
    let mut provenance = BTreeMap::new();
    for line in provenance_lines(&out).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        provenance.insert(line["id"].as_str().unwrap().to_owned(), line);
    }
    for record in &records {
        assert!(!record["text"].as_str().unwrap().trim().is_empty(), "{record}");
        let injections = record["injections"].as_object().unwrap();
        let names: Vec<&str> = injections.keys().map(String::as_str).collect();
        assert_eq!(names, ["additional_instruction", "language", "tone", "topic"]);
        assert!(record["target_words"].as_u64().unwrap() >= 2);
        let made = &record["provenance"];
        assert_eq!(made["params"], json!({"temperature": 0.9, "max_tokens": 128, "frequency_penalty": 0.5}));
        assert!(made["prompt_hash"].is_string() && made["model"] == "writer");
        // What was drawn is kept twice: with the text, and in the run's provenance.
        let drawn = &provenance[record["id"].as_str().unwrap()]["draws"]["sample_injections"];
        assert_eq!(drawn, &json!({"injections": injections, "target_words": record["target_words"]}));
    }
    let words = |record: &Value| record["text"].as_str().unwrap().split_whitespace().count() as f64;
    let asked: f64 = records.iter().map(|record| record["target_words"].as_f64().unwrap()).sum();
    let actual: f64 = records.iter().map(words).sum();
    assert!((actual / asked - 1.0).abs() < 0.15, "{actual} words instead of {asked}");
}

/// A model that checks that each drawn value is in its prompt, and no label of an empty one.
#[tokio::test(start_paused = true)]
async fn every_drawn_value_reaches_the_model() {
    let dir = TempDir::new().unwrap();
    let context = std::fs::read_to_string("config/context.txt").unwrap();
    let model = Scripted::new(move |question| {
        let prompt = question.prompt;
        let injections = question.record.get("injections").unwrap().as_object().unwrap();
        for (name, value) in injections {
            let (label, value) = (format!("- {}:", name.replace('_', " ")), value.as_str().unwrap());
            assert_eq!(prompt.contains(&label), !value.is_empty(), "{prompt}");
            assert!(prompt.contains(value), "{value} is not in {prompt}");
        }
        let words = question.record.get("target_words").unwrap();
        assert!(prompt.contains(&format!("- approximate length: {words} words")), "{prompt}");
        assert!(prompt.contains(context.trim()), "{prompt}");
        assert!(question.request.messages[0].content.contains("exactly one question"));
        Reply::text(prompt.to_owned())
    });
    let run = Run::new(&shipped("{count: 300}"), &dir.path().join("out"), model);
    let report = run.run().await;
    assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
    check_invariants(&run.root, &report);
    assert_eq!(report.snapshot.ok, 300, "{:?}", outputs(&run.root).get("rejected.jsonl"));
}

#[tokio::test(start_paused = true)]
async fn the_same_at_any_concurrency_and_over_several_starts() {
    let dir = TempDir::new().unwrap();
    let model = || Scripted::new(|question| Reply::text(question.prompt.to_owned()));
    let mut all = Vec::new();
    for concurrency in [1, 64] {
        let yaml = shipped("{count: 600}").replace("concurrency: 64", &format!("concurrency: {concurrency}"));
        let run = Run::new(&yaml, &dir.path().join(concurrency.to_string()), model());
        assert!(matches!(run.run().await.end, RunEnd::Complete));
        all.push(outputs(&run.root));
    }
    // An endless source covers what the limit says, and goes on by number where it stopped.
    let root = dir.path().join("endless");
    for (limit, asked) in [(1, 1), (257, 256), (257, 0), (600, 343)] {
        let mut run = Run::new(&shipped("{}"), &root, model());
        run.limit = Some(limit);
        let report = run.run().await;
        assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
        assert_eq!((report.snapshot.admitted, run.model.questions()), (limit, asked));
    }
    all.push(outputs(&root));
    assert!(all[0] == all[1], "concurrency changes what is made");
    assert!(all[0] == all[2], "starts change what is made");
}

#[test]
fn an_endless_source_needs_a_limit() {
    let dir = project();
    let source = ["--var", "rows=null"];
    let said = run(dir.path(), &source, 2);
    assert!(said.contains("`generate` never ends by itself") && said.contains("--limit N"), "{said}");
    assert!(!dir.path().join("output/user-inputs").exists(), "refused before anything is written");
    run(dir.path(), &[&source[..], &["--limit", "20"]].concat(), 0);
    assert_eq!(lines(&dir.path().join("output/user-inputs/user-inputs.jsonl")).len(), 20);
}

#[test]
fn a_new_file_in_the_folder_is_a_new_attribute_and_another_file_is_named() {
    let dir = project();
    run(dir.path(), &["--var", "rows=20", "--out", "before"], 0);
    let folder = dir.path().join("config/injections");
    std::fs::write(folder.join("mood.csv"), "mood,frequency score\nhungry,1\n").unwrap();
    std::fs::write(folder.join("notes.txt"), "no injection file").unwrap();
    // A run that was begun without it is another run.
    let said = run(dir.path(), &["--var", "rows=20", "--out", "before"], 2);
    assert!(said.contains("files.config/injections/mood.csv"), "{said}");
    let said = run(dir.path(), &["--var", "rows=20", "--out", "after"], 0);
    assert!(said.contains("left out") && said.contains("config/injections/notes.txt"), "{said}");
    let by_id = |out: &str| -> BTreeMap<String, Value> {
        let records = lines(&dir.path().join(out).join("user-inputs.jsonl"));
        records.into_iter().map(|record| (record["id"].to_string(), record)).collect()
    };
    let (before, after) = (by_id("before"), by_id("after"));
    for (id, mut record) in after {
        assert_ne!(record["provenance"]["prompt_hash"], before[&id]["provenance"]["prompt_hash"]);
        let injections = record["injections"].as_object_mut().unwrap();
        assert_eq!(injections.remove("mood"), Some(json!("hungry")));
        assert_eq!(
            injections,
            before[&id]["injections"].as_object().unwrap(),
            "the others stay as they were"
        );
        assert_eq!(record["target_words"], before[&id]["target_words"]);
    }
    let prompts = synthmill(dir.path(), &["preview", PIPELINE, "--prompts-only", "-n", "1"], 0);
    assert!(stdout(&prompts).contains("- mood: hungry"), "{}", stdout(&prompts));
}

#[test]
fn wrong_injection_files_are_refused_by_name_entry_and_key() {
    let dir = project();
    let folder = dir.path().join("config/injections");
    std::fs::write(folder.join("mood.json"), r#"[{"mod": "sad", "frequency score": "1"}]"#).unwrap();
    std::fs::write(folder.join("tones.json"), r#"[{"tone": "", "frequency score": 1}]"#).unwrap();
    let said = run(dir.path(), &[], 2);
    for part in [
        "`config/injections/mood.json:1`: entry 1 has no key `mood`",
        "did you mean it by `mod`?; and it has the text `1` as the weight `frequency score`, expected a number",
        "`config/injections/tone.json` and `config/injections/tones.json` are two files of one name, `tone`",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!dir.path().join("output/user-inputs").exists());
}

#[test]
fn the_settings_of_the_original_are_variables() {
    let dir = project();
    let mine = dir.path().join("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("topics.json"), r#"[{"topic": "dragons", "frequency score": 7}]"#).unwrap();
    std::fs::write(dir.path().join("about.txt"), "A shop for dragons.").unwrap();
    std::fs::write(dir.path().join("short.json"), r#"{"mean": 0, "sigma": 0, "shift": 4}"#).unwrap();
    let variables = [
        "--var",
        "injections=mine",
        "--var",
        "context=about.txt",
        "--var",
        "length=short.json",
        "--var",
        "rows=3",
    ];
    run(dir.path(), &variables, 0);
    let records = lines(&dir.path().join("output/user-inputs/user-inputs.jsonl"));
    assert_eq!(records.len(), 3);
    for record in &records {
        assert_eq!(
            (&record["injections"], &record["target_words"]),
            (&json!({"topic": "dragons"}), &json!(5))
        );
        assert!(record["text"].as_str().unwrap().to_lowercase().contains("dragons"), "{record}");
    }
    let preview = [&["preview", PIPELINE, "--prompts-only", "-n", "1"][..], &variables].concat();
    assert!(stdout(&synthmill(dir.path(), &preview, 0)).contains("A shop for dragons."));
    // No context at all.
    let none = [&preview[..], &["--var", "context="]].concat();
    assert!(!stdout(&synthmill(dir.path(), &none, 0)).contains("<context>"));
}

#[test]
fn existing_files_are_never_silently_replaced() {
    let dir = project();
    let out = dir.path().join("output/user-inputs");
    std::fs::create_dir_all(&out).unwrap();
    // A file of another origin, in the run's place.
    std::fs::write(out.join("user-inputs.json"), "precious").unwrap();
    run(dir.path(), &[], 2);
    assert_eq!(std::fs::read_to_string(out.join("user-inputs.json")).unwrap(), "precious");
    // A finished run whose file was damaged.
    std::fs::remove_dir_all(&out).unwrap();
    run(dir.path(), &[], 0);
    std::fs::write(out.join("user-inputs.jsonl"), "damaged").unwrap();
    run(dir.path(), &[], 3);
    assert_eq!(std::fs::read_to_string(out.join("user-inputs.jsonl")).unwrap(), "damaged");
}

#[test]
fn every_example_in_the_stage_reference_runs() {
    let dir = project();
    for stage in ["generate", "sample_injections"] {
        let told = stdout(&synthmill(dir.path(), &["stages", stage, "--json"], 0));
        let told: Value = serde_json::from_str(&told).unwrap();
        let file = format!("{stage}.yaml");
        std::fs::write(dir.path().join(&file), told["example"].as_str().unwrap()).unwrap();
        synthmill(dir.path(), &["run", &file], 0);
    }
    let records = lines(&dir.path().join("output/sample-injections-example/prompts.jsonl"));
    assert_eq!(records.len(), 50);
    let german = records.iter().filter(|record| record["injections"]["language"] == "German").count();
    assert_eq!(german, 30, "60 % of 50, exactly");
    for record in records {
        let injections = &record["injections"];
        assert_eq!(injections["interests"].as_array().unwrap().len(), 2);
        assert!((12..=95).contains(&injections["age"].as_i64().unwrap()));
        assert!(injections["visited_on"].as_str().unwrap().starts_with("2025-"));
        let prompt = record["prompt"][0]["content"].as_str().unwrap();
        assert!(prompt.contains(&format!("- age: {}\n", injections["age"])), "{prompt}");
    }
}

#[test]
fn validate_shows_what_will_be_drawn() {
    let dir = project();
    let shown = stdout(&synthmill(dir.path(), &["validate", PIPELINE, "--var", "rows=1000"], 0));
    for part in [
        "tone",
        " 50.0000 %       500.0  (empty)",
        "12.5000 %       125.0  formal and very polite",
        "1000 items",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(shown.contains("target_words: median 14, mean 17.64, at least 2; percentiles 1: 4,"), "{shown}");
    let told = stdout(&synthmill(dir.path(), &["validate", PIPELINE, "--json"], 0));
    let told: Value = serde_json::from_str(&told).unwrap();
    let explained = &told["stages"][1]["explanation"];
    assert_eq!(explained["of"], 100);
    let tones = explained["attributes"]["tone"]["values"].as_array().unwrap();
    assert_eq!(tones[0], json!({"value": "", "share": 0.5, "expected": 50.0}));
    assert_eq!(explained["target_words"]["median"], 14);
}
