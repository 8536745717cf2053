//! Whole runs with a real model: `kill -9` midway, and a concurrency limit derived from the queue of the server.
//!
//! Needs a server, as `client` does, and runs with it. No assertion depends on the words of the model.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use serde_json::json;
use synthmill::journal::disk::RealDisk;
use synthmill::llm::{BackgroundContext, BatchFiles, Model};
use synthmill::record::Record;
use tokio_util::sync::CancellationToken;

use crate::harness::child::{Running, ids, rows_folder};
use crate::harness::forwarder::Forwarder;
use crate::harness::synthmill;
use crate::real_model::client::{base_url, question, remote};

const RUN: &[&str] = &["run", "p.yaml", "--out", "out"];
const ROWS: usize = 24;
const PLACES: u32 = 4;

/// `rows_folder` with a second question about each answer, so that an item can die between its answers.
fn two_stage_folder(url: &str) -> tempfile::TempDir {
    let dir = rows_folder(ROWS, PLACES, url);
    let path = dir.path().join("p.yaml");
    let yaml = std::fs::read_to_string(&path).unwrap();
    // Short enough that hardly an answer is cut.
    let params = "    params: {temperature: 0.9, max_tokens: 200, seed: per_record}\nstages:";
    let second = "  - prompt: {id: second, user: \"And {{ answer }}?\", output: again}\n  \
                  - llm: {id: llm-2, model: teacher, input: again, output: more, params: {max_tokens: 9}}\n  - split:";
    let yaml = yaml.replace("minLength: 1", "minLength: 1, maxLength: 30").replace("stages:", params);
    std::fs::write(path, yaml.replace("model: scripted", "model: smollm2").replace("  - split:", second))
        .unwrap();
    dir
}

#[test]
#[ignore = "needs a model server: scripts/local-model"]
fn real_model_killed_midway_is_asked_again_only_what_was_in_flight() {
    let server = Forwarder::start(&base_url());
    let dir = two_stage_folder(&server.url);
    let mut kills = 0;
    for answers in [8, 18, 32] {
        let mut run = Running::start(dir.path(), RUN);
        assert!(run.runs_until("some answers came", || server.answered() >= answers), "{}", run.stderr());
        run.kill();
        kills += 1;
    }
    synthmill(dir.path(), RUN, 0);

    assert_eq!(ids(&dir.path().join("out")), ROWS);
    let asked = server.asked();
    let seeds: BTreeSet<u64> = asked.iter().map(|(body, _)| body["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds.len(), asked.len(), "each question has a seed of its own");
    // An answer that is cut off is asked for again with what was wrong: a question of its own.
    let first = asked.iter().filter(|(body, _)| body["messages"].as_array().unwrap().len() == 1).count();
    assert_eq!(first, 2 * ROWS);
    let again: usize = asked.iter().map(|(_, times)| times - 1).sum();
    let most = kills * PLACES as usize;
    eprintln!(
        "{} questions of {ROWS} rows, {kills} kills, {again} asked again of at most {most} in flight",
        asked.len()
    );
    assert!(again <= most, "{again} questions were asked again, {most} could be in flight");
}

#[tokio::test]
#[ignore = "needs a model server: scripts/local-model"]
async fn the_queue_of_a_real_server_steers_the_limit() {
    let slots = std::env::var("LOCAL_MODEL_SLOTS").map_or(4, |slots| slots.parse().unwrap());
    // Both llama.cpp and vLLM know `ignore_eos`, by which the answers are long enough to queue.
    let changes =
        json!({"concurrency": "auto", "params": {"max_tokens": 90}, "extra_body": {"ignore_eos": true}});
    let model = Arc::new(remote(changes));
    let folder = tempfile::TempDir::new().unwrap();
    let (files, _thread) = BatchFiles::without_run(Arc::new(RealDisk), folder.path()).unwrap();
    let with = BackgroundContext { batches: Arc::new(files), draining: CancellationToken::new() };
    let tending = Arc::clone(&model).background_task(with).unwrap();
    let limit = || model.health().endpoints[0].limit.unwrap();
    assert!(limit() > slots + 2, "the server has room for all that is sent at first");

    let request = question("Tell me of rivers.");
    let record = Record::default();
    let ask = async || {
        model.complete(&request, &record).await.unwrap();
        limit()
    };
    let answers = join_all((0..4 * slots).map(|_| ask()));
    let limits = tokio::select! {
        limits = answers => limits,
        _ = tending => panic!("the server does not tell of its queue"),
    };
    let figures = &model.health().endpoints[0];
    assert_eq!((figures.answered, figures.failed), (u64::from(4 * slots), 0), "it never refused");
    let lowest = limits.iter().min().unwrap();
    assert!(*lowest <= slots + 2, "the limit came no nearer to the server's {slots} places: {limits:?}");
}
