//! Everything that the project ships runs unchanged: every pipeline, the example of every stage, a new project.

use std::path::Path;

use serde_json::Value;
use synthmill::stages::STAGES;

use crate::harness::{outputs, program, project, stderr, stdout, synthmill};

/// Runs a pipeline without a model and checks that every item is accounted for and written where it says.
#[track_caller]
fn check(dir: &Path, pipeline: &str) -> Value {
    let output = synthmill(dir, &["run", pipeline, "--no-llm", "--out", "out", "--json"], 0);
    let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let count = |key: &str| summary[key].as_u64().unwrap_or_else(|| panic!("{pipeline}: no {key}"));
    assert!(count("admitted") > 0, "{pipeline}");
    assert_eq!(count("admitted"), count("ok") + count("dropped") + count("rejected"), "{pipeline}");
    assert_eq!((count("in_flight"), count("rejected"), count("source_failures")), (0, 0, 0), "{pipeline}");
    let lines = outputs(&dir.join("out"));
    for (sink, told) in summary["records"].as_object().unwrap() {
        assert_eq!(told.as_u64().unwrap(), lines[sink].len() as u64, "{pipeline}: {sink}");
        assert!(!lines[sink].is_empty(), "{pipeline}: {sink} is empty");
        for line in &lines[sink] {
            assert!(serde_json::from_str::<Value>(line).unwrap().is_object(), "{pipeline}: {sink}: {line}");
        }
    }
    for (array, told) in summary["arrays"].as_object().unwrap() {
        let text = std::fs::read_to_string(dir.join("out").join(array)).unwrap();
        let elements: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(told.as_u64().unwrap(), elements.len() as u64, "{pipeline}: {array}");
    }
    summary
}

#[test]
fn every_shipped_pipeline_runs_without_a_model() {
    let mut pipelines = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "yaml") {
            continue;
        }
        let dir = project();
        let name = format!("pipelines/{}", path.file_name().unwrap().to_string_lossy());
        check(dir.path(), &name);
        pipelines += 1;
    }
    assert!(pipelines > 0);
}

#[test]
fn every_example_of_a_stage_runs_and_uses_the_stage() {
    for stage in STAGES {
        let dir = project();
        assert!(stage.example.contains(&format!("- {}:", stage.name)), "{}", stage.name);
        std::fs::write(dir.path().join("example.yaml"), stage.example).unwrap();
        check(dir.path(), "example.yaml");
    }
}

#[test]
fn the_shipped_pipelines_reference_the_schema_in_docs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(root.join("pipelines")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let first = text.lines().next().unwrap();
            let schema = first.strip_prefix("# yaml-language-server: $schema=").expect(first);
            assert!(path.parent().unwrap().join(schema).is_file(), "{}: {schema}", path.display());
        }
    }
}

#[test]
fn the_schema_accepts_the_shipped_pipelines_and_examples_and_refuses_wrong_ones() {
    let dir = project();
    let schema: Value = serde_json::from_str(&stdout(&synthmill(dir.path(), &["schema"], 0))).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    // As pipelines and editors read YAML, where `off` is a text.
    let read = |text: &str| {
        let options = serde_saphyr::options! { strict_booleans: true };
        serde_saphyr::from_str_with_options::<Value>(text, options).unwrap()
    };
    let judge = |text: &str| validator.is_valid(&read(text));
    for entry in std::fs::read_dir(dir.path().join("pipelines")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "yaml") {
            let value: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&value)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        }
    }
    for stage in STAGES {
        assert!(judge(stage.example), "the example of `{}`", stage.name);
        // A slip in the name of a stage or of an option is seen by an editor too.
        assert!(!judge(&stage.example.replace(&format!("- {}:", stage.name), "- stgae:")), "{}", stage.name);
    }
    assert!(!judge("name: a\nstages:\n  - ingest: {path: [a]}\n"));
    assert!(!judge("nmae: a\nstages: []\n"));
}

#[test]
fn a_new_project_runs_at_once() {
    let parent = tempfile::TempDir::new().unwrap();
    let made = stdout(&synthmill(parent.path(), &["init", "demo"], 0));
    let demo = parent.path().join("demo");
    // The words that `init` prints are the ones that work.
    let command = made.lines().find_map(|line| line.trim().strip_prefix("synthmill ")).expect(&made);
    let arguments: Vec<&str> = command.split(' ').collect();
    let output = synthmill(&demo, &arguments, 0);
    assert!(stderr(&output).contains("complete"));
    let lines = outputs(&demo.join("output/docs-to-qa"));
    assert!(lines["train.jsonl"].len() > 100 && !lines["validation.jsonl"].is_empty());
    assert!(lines["rejected.jsonl"].is_empty());
    synthmill(&demo, &["validate", "pipelines/docs-to-qa.yaml"], 0);
    synthmill(
        &demo,
        &["validate", "pipelines/docs-to-qa.yaml", "--var", "cues=config/reasoning_cues.yaml"],
        0,
    );
    synthmill(&demo, &["run", "pipelines/user-inputs.yaml", "--var", "rows=40"], 0);
    assert_eq!(outputs(&demo.join("output/user-inputs"))["user-inputs.jsonl"].len(), 40);

    // What the first lines of its pipelines point to is there.
    let schema = demo.join("pipelines").join("../docs/pipeline.schema.json");
    assert!(serde_json::from_str::<Value>(&std::fs::read_to_string(schema).unwrap()).is_ok());
    let patterns = std::fs::read(demo.join("config/source_mentions.yaml")).unwrap();
    assert_eq!(patterns, include_bytes!("../../../config/source_mentions.yaml"));
    let readme = std::fs::read_to_string(demo.join("README.md")).unwrap();
    assert!(readme.contains("synthmill run pipelines/user-inputs.yaml\n"), "{readme}");

    synthmill(parent.path(), &["init", "inputs", "--template", "user-inputs"], 0);
    let inputs = parent.path().join("inputs");
    assert!(!inputs.join("markdown_docs").exists() && !inputs.join("pipelines/docs-to-qa.yaml").exists());
    synthmill(&inputs, &["run", "pipelines/user-inputs.yaml", "--var", "rows=4"], 0);
    let unknown = stderr(&synthmill(parent.path(), &["init", "other", "--template", "nothing"], 2));
    assert!(unknown.contains("docs-to-qa, user-inputs"), "{unknown}");

    let refused = stderr(&synthmill(parent.path(), &["init", "demo"], 2));
    assert!(refused.contains("`demo` is not empty"), "{refused}");
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_ne!(program(parent.path(), &["init", "file"]).output().unwrap().status.code(), Some(0));
}
