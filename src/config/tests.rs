//! Tests of the loader as a whole: wrong files with every problem at its place, and that nothing panics.
//!
//! The stages here are small ones of the tests' own, so that the loader is tested apart from the stages.

mod bad_files;
mod blocks;
mod good_files;
mod mock_rules;
mod nested;
mod stages;
mod tables;
mod types;

use self::stages::TABLE;
use super::load::Overrides;
use super::load::load;
use super::plan::Plan;
use crate::pipeline::problem::{ProblemLocation, Problems};

fn environment(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("8000".to_owned()),
        "PASSWORD" => Some("hush".to_owned()),
        _ => None,
    }
}

fn load_with(text: &str, overrides: &Overrides) -> Result<Plan, Problems> {
    load("p.yaml", text, overrides, &environment, TABLE)
}

fn problems_of(text: &str, overrides: &Overrides) -> Problems {
    match load_with(text, overrides) {
        Ok(_) => panic!("no problem found in:\n{text}"),
        Err(problems) => problems,
    }
}

/// Each problem as `line:column message`, or with the option in front.
fn short(problems: &Problems) -> Vec<String> {
    let mut lines = Vec::new();
    for problem in &problems.list {
        lines.push(match &problem.location {
            Some(ProblemLocation::File { line, column, .. }) => {
                format!("{line}:{column} {}", problem.message)
            }
            Some(ProblemLocation::Option(option)) => format!("{option}: {}", problem.message),
            None => format!("nowhere: {}", problem.message),
        });
    }
    lines
}

/// A pipeline in which nothing is wrong.
const GOOD: &str = "\
name: test
vars: {topic: rivers, share: 0.9}
models:
  teacher:
    base_urls: [\"http://127.0.0.1:${PORT}/v1\"]
    model: m
    concurrency: \"{{ 8 * 8 }}\"
    params: {temperature: \"${TEMPERATURE:-0.7}\"}
stages:
  - rows: {path: \"{{ vars.topic }}.jsonl\"}
  - cut:
  - write: {template: \"{{ section.title }} {{ vars.topic }}\"}
  - ask: {model: teacher}
  - answer: {on_error: [{retry: 2}, reject]}
  - part: {ratios: {train: \"{{ vars.share }}\", test: 0.1}}
  - out: {id: train, when: part == 'train', path: train.jsonl}
  - out: {path: test.jsonl, format: lines}
";
