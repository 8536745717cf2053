//! The generated documents are up to date.

use std::path::Path;

use crate::harness::{stdout, synthmill};

#[track_caller]
fn check(file: &str, arguments: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = stdout(&synthmill(root, arguments, 0));
    let kept = std::fs::read_to_string(root.join(file)).unwrap_or_default();
    if made == kept {
        return;
    }
    let differs = made.lines().zip(kept.lines()).position(|(made, kept)| made != kept);
    let line = differs.unwrap_or_else(|| made.lines().count().min(kept.lines().count())) + 1;
    panic!("{file} is stale from line {line} on: run `scripts/generate-docs`");
}

#[test]
fn the_reference_of_stages_is_fresh() {
    check("docs/stages.md", &["stages", "--markdown"]);
}

#[test]
fn the_schema_of_pipelines_is_fresh() {
    check("docs/pipeline.schema.json", &["schema"]);
}

#[test]
fn the_reference_of_pipeline_files_is_fresh() {
    check("docs/pipeline.md", &["schema", "--markdown"]);
}
