//! `kill -9` within blocks: the same lines as an undisturbed run, and only questions in flight are asked again.
//!
//! Three pipelines, against a server that is never killed and counts each question; killed after each answer in turn, and
//! at random many times in one run.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::child::Running;
use crate::harness::model_server::{ModelServer, Reply};
use crate::harness::output_check;
use crate::harness::{outputs, program, synthmill};

const RUN: &[&str] = &["run", "p.yaml", "--out", "out"];
const PLACES: usize = 4;

/// A nested pipeline, and its number of questions per item.
struct Shape {
    stages: &'static str,
    questions: usize,
}

const LOOP_OF_TWO_QUESTIONS: Shape = Shape {
    stages: r#"
  - set: {text: "item {{ row }}"}
  - repeat:
      id: evolve
      times: 3
      keep: all
      stages:
        - prompt: {user: "evolve {{ text }}"}
        - llm: {model: teacher, output: text}
        - prompt: {user: "judge {{ repeat.pass }} {{ text }}"}
        - llm: {id: judge, model: teacher, output: verdict}
"#,
    questions: 6,
};

/// The questions of samples differ only in the seed of each record.
const EIGHT_SAMPLES_AND_A_JOIN: Shape = Shape {
    stages: r#"
  - for_each:
      id: candidates
      in: 8
      as: candidate
      collect: {into: candidates, fields: [answer]}
      stages:
        - prompt: {user: "item {{ row }}"}
        - llm: {model: teacher, output: answer, params: {seed: per_record}}
  - prompt: {user: "choose {{ candidates | map(attribute='answer') | join(' ') }}"}
  - llm: {id: choose, model: teacher, output: text}
"#,
    questions: 9,
};

const LOOP_IN_A_FOR_EACH: Shape = Shape {
    stages: r#"
  - set: {text: "item {{ row }}"}
  - for_each:
      id: each
      in: 3
      as: part
      stages:
        - repeat:
            id: refine
            times: part + 1
            stages:
              - prompt: {user: "refine {{ part }} {{ repeat.pass }} {{ text }}"}
              - llm: {model: teacher}
              - parse: {schema: {type: object, required: [text], properties: {text: {type: string}}}}
"#,
    questions: 6,
};

/// Starts a server whose answers depend only on the question.
fn server() -> ModelServer {
    ModelServer::start(|question| {
        let asked = blake3::hash(format!("{} {}", question.prompt, question.body["seed"]).as_bytes());
        Reply::answer(&json!({"text": &asked.to_hex()[..8]}).to_string()).after(Duration::from_millis(3))
    })
}

fn folder(shape: &Shape, items: usize, url: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    let yaml = format!(
        "name: nested\nseed: 7\nmodels:\n  teacher: {{base_urls: [\"{url}\"], model: scripted, concurrency: \
         {PLACES}}}\nstages:\n  - generate: {{count: {items}}}{}  - sink: {{path: out.jsonl, format: raw, fields: \
         [id, row, text]}}\n",
        shape.stages
    );
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    dir
}

/// Kills a new run after each of its answers in turn, and resumes it.
fn killed_after_each_answer(shape: &Shape) {
    const ITEMS: usize = 3;
    let whole = ITEMS * shape.questions;
    let undisturbed = server();
    let golden = folder(shape, ITEMS, &undisturbed.url);
    synthmill(golden.path(), RUN, 0);
    assert_eq!(undisturbed.questions().len(), whole);
    let golden = outputs(&golden.path().join("out"));
    let mut killed = 0;
    for answer in 1..=whole {
        let server = server();
        let dir = folder(shape, ITEMS, &server.url);
        let point = format!("{} answers {answer}", ["written", "half"][answer % 2]);
        let status = program(dir.path(), RUN).env("SYNTHMILL_ABORT", &point).output().unwrap().status;
        // Answers that arrive together are written together, so there may be fewer points than answers.
        killed += usize::from(status.code().is_none());
        synthmill(dir.path(), RUN, 0);
        assert_eq!(
            output_check::violations(&dir.path().join("out"), &golden),
            Vec::<String>::new(),
            "{point}"
        );
        let again = server.questions().len() - whole;
        assert!(again <= PLACES, "{point}: {again} questions were asked again");
    }
    assert!(killed >= whole * 3 / 4, "only {killed} of {whole} starts met their point");
}

/// Kills one run at random until it is complete; returns how often, and how many questions were asked again.
fn killed_at_random(shape: &Shape) -> (usize, usize) {
    const ITEMS: usize = 40;
    let kills: usize = std::env::var("SYNTHMILL_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let whole = ITEMS * shape.questions;
    let undisturbed = server();
    let golden = folder(shape, ITEMS, &undisturbed.url);
    synthmill(golden.path(), RUN, 0);
    let server = server();
    let dir = folder(shape, ITEMS, &server.url);
    let seed = rand::random::<u64>();
    let mut random = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
    let mut killed = 0;
    while killed < kills {
        let mut run = Running::start(dir.path(), RUN);
        let asked = server.questions().len() + random.random_range(0..(2 * whole / kills).max(4));
        let running = run.runs_until("some questions came", || server.questions().len() >= asked);
        let ended = run.kill();
        if ended.code == Some(0) {
            break;
        }
        assert!(running, "seed {seed}: {}", ended.stderr);
        killed += 1;
    }
    assert!(killed >= kills / 4, "seed {seed}: only {killed} kills before the end");
    synthmill(dir.path(), RUN, 0);
    let golden = outputs(&golden.path().join("out"));
    let violations = output_check::violations(&dir.path().join("out"), &golden);
    assert_eq!(violations, Vec::<String>::new(), "seed {seed}");
    let again = server.questions().len() - whole;
    assert!(again <= killed * PLACES, "seed {seed}: {again} questions were asked again in {killed} kills");
    (killed, again)
}

#[test]
fn a_loop_of_two_questions_per_pass_killed_after_each_answer_loses_nothing() {
    killed_after_each_answer(&LOOP_OF_TWO_QUESTIONS);
}

#[test]
fn eight_samples_and_a_join_killed_after_each_answer_lose_nothing() {
    killed_after_each_answer(&EIGHT_SAMPLES_AND_A_JOIN);
}

#[test]
fn a_loop_in_a_for_each_killed_after_each_answer_loses_nothing() {
    killed_after_each_answer(&LOOP_IN_A_FOR_EACH);
}

#[test]
fn three_shapes_killed_at_random_lose_nothing() {
    for shape in [LOOP_OF_TWO_QUESTIONS, EIGHT_SAMPLES_AND_A_JOIN, LOOP_IN_A_FOR_EACH] {
        let (killed, again) = killed_at_random(&shape);
        eprintln!("kills: {killed}, questions asked again: {again} of at most {} in flight", killed * PLACES);
    }
}
