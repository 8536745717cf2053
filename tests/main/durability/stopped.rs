//! A run that is stopped by a signal or by `kill -9` resumes with the same command and ends with the outputs of a run that
//! was never stopped.

use std::time::Duration;

use rand::{RngExt, SeedableRng};

use crate::harness::child::{Running, answer, answering, ids, rows_folder};
use crate::harness::model_server::ModelServer;
use crate::harness::{assert_same_outputs, synthmill};

const RUN: &[&str] = &["run", "p.yaml", "--out", "out"];

#[test]
fn an_interrupted_run_drains_and_resumes_with_the_same_command() {
    let server = answering(Duration::from_millis(10));
    let dir = rows_folder(300, 4, &server.url);
    let mut run = Running::start(dir.path(), RUN);
    assert!(run.runs_until("40 questions came", || server.questions().len() >= 40));
    run.signal("INT");
    let ended = run.wait();
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    assert!(ended.stderr.contains("+ 0 in flight"), "the drain leaves nothing behind\n{}", ended.stderr);
    let asked = server.questions().len();
    let written = ids(&dir.path().join("out"));
    assert_eq!(written, asked, "every answer that was paid for is written");
    assert!(written < 300, "the signal came too late to show anything");

    let output = synthmill(dir.path(), RUN, 0);
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("{written} items are done")));
    assert_eq!(ids(&dir.path().join("out")), 300);
    assert_eq!(server.questions().len(), 300, "nothing was asked twice");
}

#[test]
fn a_second_signal_does_not_wait_for_answers() {
    let server = ModelServer::start(|question| {
        let quick = question.prompt.len() < "Tell me of topic 10.".len();
        answer(question).after(Duration::from_secs(if quick { 0 } else { 3600 }))
    });
    let dir = rows_folder(40, 8, &server.url);
    let mut run = Running::start(dir.path(), RUN);
    assert!(run.runs_until("18 questions came", || server.questions().len() >= 18));
    run.signal("TERM");
    run.says("waiting for what is in flight");
    run.signal("TERM");
    let ended = run.wait();
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    assert_eq!(ids(&dir.path().join("out")), 10, "what had its answer is kept");

    let healthy = answering(Duration::ZERO);
    synthmill(dir.path(), &[RUN, &["--base-url", &healthy.url]].concat(), 0);
    assert_eq!(ids(&dir.path().join("out")), 40);
}

#[test]
fn a_run_killed_at_any_moment_ends_like_one_never_killed() {
    let server = answering(Duration::from_millis(5));
    let undisturbed = rows_folder(400, 8, &server.url);
    synthmill(undisturbed.path(), RUN, 0);
    let before = server.questions().len();

    let dir = rows_folder(400, 8, &server.url);
    let seed = rand::random::<u64>();
    let mut random = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
    let mut killed = 0;
    for _ in 0..10 {
        let mut run = Running::start(dir.path(), RUN);
        // From the beginning of a start, before the first question, to well into it.
        let asked = server.questions().len() + random.random_range(0..80);
        let running = run.runs_until("some questions came", || server.questions().len() >= asked);
        let ended = run.kill();
        killed += u32::from(ended.code.is_none());
        assert!(running || ended.code == Some(0), "seed {seed}: {}", ended.stderr);
    }
    assert!(killed >= 3, "seed {seed}: only {killed} starts were killed");
    synthmill(dir.path(), RUN, 0);
    let out = dir.path().join("out");
    assert_eq!(ids(&out), 400, "seed {seed}");
    assert_same_outputs(&out, &undisturbed.path().join("out"));

    let asked = server.questions().len();
    synthmill(dir.path(), RUN, 0);
    assert_eq!(server.questions().len(), asked, "a finished run asks nothing");
    assert!(asked > before);
}
