//! Failures between a run in batches and its provider: lost responses, refusals, results that lag or are missing, a damaged
//! log. Nothing is paid for twice, and no run gets stuck.

use serde_json::json;

use crate::batches::runs::{RUN, each_once, folder, rejected};
use crate::harness::batch_script::{End, Fault, Line, Script};
use crate::harness::batch_server::BatchServer;
use crate::harness::child::{Running, answering, ids};
use crate::harness::model_server::{ModelServer, Reply};
use crate::harness::{program, stderr, stdout, synthmill};

#[test]
fn failed_calls_are_retried_but_no_batch_is_created_twice() {
    let faults: &[(&str, usize, Fault)] = &[
        ("POST /files", 0, Fault::Status(500)),
        ("POST /files", 0, Fault::Status(429)),
        ("POST /files", 0, Fault::DoneThenCut),
        ("POST /batches", 0, Fault::Status(500)),
        ("POST /batches", 0, Fault::Status(503)),
        ("POST /batches", 0, Fault::DoneThen(500)),
        ("POST /batches", 0, Fault::DoneThen(504)),
        ("POST /batches", 0, Fault::DoneThenCut),
        ("POST /batches", 2, Fault::DoneThenCut),
        ("GET /batches/ID", 0, Fault::Status(502)),
        ("GET /batches/ID", 1, Fault::DoneThenCut),
        ("GET /files/ID/content", 0, Fault::Status(500)),
        ("GET /files/ID/content", 0, Fault::Half),
    ];
    for (call, at, fault) in faults.iter().copied() {
        let call_fault = move |name: &str, before: usize| (name == call && before == at).then_some(fault);
        let server = BatchServer::start(Script { call_fault: Box::new(call_fault), ..Script::default() });
        let dir = folder(7, "requests: 2", &server.url);
        synthmill(dir.path(), RUN, 0);
        assert!(server.calls(call) > at + 1, "{call} {fault:?} was not met");
        assert_eq!(server.paid(), each_once(7), "{call} {fault:?}");
        assert_eq!(server.batches().len(), 4, "{call} {fault:?}");
        assert_eq!(ids(&dir.path().join("out")), 7);
    }
}

#[test]
fn a_batch_created_as_the_run_was_killed_is_found_by_the_next_start() {
    // The provider creates the batch but the response is lost, so the program cannot know.
    let call_fault = |name: &str, _: usize| (name == "POST /batches").then_some(Fault::DoneThen(500));
    let quiet = |name: &str, _: usize| (name == "GET /batches").then_some(Fault::Status(500));
    let both = move |name: &str, before: usize| call_fault(name, before).or_else(|| quiet(name, before));
    let server = BatchServer::start(Script { call_fault: Box::new(both), ..Script::default() });
    let dir = folder(6, "requests: 2", &server.url);
    let mut run = Running::start(dir.path(), RUN);
    assert!(run.runs_until("batches are made", || server.batches().len() == 3));
    run.kill();
    server.now(Script::default());
    synthmill(dir.path(), RUN, 0);
    assert_eq!((server.batches().len(), server.paid()), (3, each_once(6)));
}

#[test]
fn a_batch_refused_as_a_whole_fails_only_the_lines_at_fault() {
    let errors = json!([{"code": "invalid_request", "message": "no good", "line": 2}]);
    let end = move |index: usize| if index == 0 { End::Failed(errors.clone()) } else { End::Done };
    let server = BatchServer::start(Script { end: Box::new(end), ..Script::default() });
    let dir = folder(5, "requests: 50", &server.url);
    synthmill(dir.path(), RUN, 0);
    assert_eq!(server.batches().iter().map(Vec::len).collect::<Vec<_>>(), [5, 4]);
    let rejected = rejected(&dir);
    assert_eq!((rejected.len(), &rejected[0]["class"]), (1, &json!("batch_line")));
}

#[test]
fn a_provider_without_capacity_is_waited_for() {
    let errors = json!([{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]);
    let end = move |index: usize| if index < 2 { End::Failed(errors.clone()) } else { End::Done };
    let server = BatchServer::start(Script { end: Box::new(end), ..Script::default() });
    let dir = folder(5, "requests: 50", &server.url);
    synthmill(dir.path(), RUN, 0);
    assert_eq!((server.calls("POST /files"), server.batches().len()), (1, 3));
    assert_eq!(server.paid(), each_once(5));
}

#[test]
fn a_fault_that_no_line_caused_stops_the_run() {
    let check = |script: Script, words: &str| {
        let server = BatchServer::start(script);
        let dir = folder(5, "requests: 3", &server.url);
        let output = synthmill(dir.path(), RUN, 4);
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
        server.now(Script::default());
        synthmill(dir.path(), RUN, 0);
        assert_eq!(server.answered(), each_once(5), "{words}");
        assert_eq!(ids(&dir.path().join("out")), 5);
    };
    let failed = json!([{"code": "model_not_found", "message": "no such model"}]);
    check(
        Script { end: Box::new(move |_| End::Failed(failed.clone())), ..Script::default() },
        "no such model",
    );
    check(
        Script { end: Box::new(|_| End::Cancelled(1)), ..Script::default() },
        "was cancelled at the provider",
    );
    for call in ["POST /files", "POST /batches", "GET /batches/ID", "GET /files/ID/content"] {
        let call_fault = move |name: &str, _: usize| (name == call).then_some(Fault::Status(401));
        check(Script { call_fault: Box::new(call_fault), ..Script::default() }, "status 401");
    }
}

#[test]
fn results_that_lag_behind_are_waited_for() {
    let server = BatchServer::start(Script { lag: 4, ..Script::default() });
    let dir = folder(5, "requests: 3", &server.url);
    synthmill(dir.path(), RUN, 0);
    assert_eq!((server.paid(), ids(&dir.path().join("out"))), (each_once(5), 5));
}

#[test]
fn results_that_never_come_stop_the_run_until_they_are_abandoned() {
    let gone = |name: &str, _: usize| (name == "GET /files/ID/content").then_some(Fault::Status(404));
    let server = BatchServer::start(Script { call_fault: Box::new(gone), ..Script::default() });
    let dir = folder(5, "requests: 5", &server.url);
    for _ in 0..2 {
        let output = synthmill(dir.path(), RUN, 4);
        assert!(stderr(&output).contains("batch.give_up=[1]"), "{}", stderr(&output));
    }
    assert_eq!(server.paid(), each_once(5));
    server.now(Script::default());
    synthmill(dir.path(), &[RUN, &["--set", "models.teacher.batch.give_up=[1]"]].concat(), 0);
    assert_eq!((server.batches().len(), ids(&dir.path().join("out"))), (2, 5));
}

#[test]
fn results_of_a_batch_are_kept_though_more_are_announced() {
    let work = |prompt: &str, _: usize| match prompt.ends_with("topic 1.") {
        true => Line::Nothing,
        false => Line::Answer(json!({"answer": "good"}).to_string()),
    };
    let server = BatchServer::start(Script { work: Box::new(work), boast: 1, ..Script::default() });
    let dir = folder(5, "requests: 50", &server.url);
    for _ in 0..2 {
        let output = synthmill(dir.path(), RUN, 4);
        assert!(stderr(&output).contains("says that it has 5 answers, but gives 4"), "{}", stderr(&output));
        assert!(stderr(&output).contains("4 ok"), "{}", stderr(&output));
    }
    server.now(Script::default());
    synthmill(dir.path(), &[RUN, &["--set", "models.teacher.batch.give_up=[1]"]].concat(), 0);
    assert_eq!(server.batches().iter().map(Vec::len).collect::<Vec<_>>(), [5, 1]);
}

#[test]
fn results_without_a_question_cost_nothing_twice() {
    let work = |_: &str, _: usize| Line::Garbage;
    let server = BatchServer::start(Script { work: Box::new(work), ..Script::default() });
    let dir = folder(3, "requests: 50", &server.url);
    let output = synthmill(dir.path(), RUN, 4);
    assert!(stderr(&output).contains("name none of its questions"), "{}", stderr(&output));
    assert_eq!(server.batches().len(), 1);
}

#[test]
fn an_address_that_is_not_a_model_server_is_reported_soon() {
    let check = |reply: Reply, words: &str| {
        let server = ModelServer::start(move |_| reply.clone());
        let dir = folder(3, "requests: 50", &server.url);
        let output = synthmill(dir.path(), RUN, 4);
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
        assert!(server.questions().len() < 10, "{} calls", server.questions().len());
    };
    check(Reply::raw(200, "text/html", "<html>Welcome</html>"), "does the base URL end in /v1?");
    check(Reply::json(200, &json!({"object": "file"})), "answered without an id");
    check(Reply::error(404, "", "no such page"), "is asked with `mode: direct`");
}

#[test]
fn a_missing_file_of_failures_costs_no_answer() {
    let work = |prompt: &str, _: usize| match prompt.ends_with("topic 1.") {
        true => Line::Status(400, "no".into()),
        false => Line::Answer(json!({"answer": "good"}).to_string()),
    };
    // Files are fetched in order: answers, then failures.
    let call_fault = |name: &str, before: usize| {
        (name == "GET /files/ID/content" && before == 1).then_some(Fault::Status(404))
    };
    let script = Script { work: Box::new(work), call_fault: Box::new(call_fault), ..Script::default() };
    let server = BatchServer::start(script);
    let dir = folder(4, "requests: 50", &server.url);
    synthmill(dir.path(), RUN, 0);
    let again: Vec<usize> = server.batches().iter().map(Vec::len).collect();
    assert_eq!((again, rejected(&dir).len()), (vec![4, 1], 1));
}

#[test]
fn a_batch_in_doubt_is_not_created_again() {
    // The response is lost, and the list does not help either.
    let call_fault = |name: &str, _: usize| match name {
        "POST /batches" => Some(Fault::DoneThenCut),
        "GET /batches" => Some(Fault::Status(401)),
        _ => None,
    };
    let server = BatchServer::start(Script { call_fault: Box::new(call_fault), ..Script::default() });
    let dir = folder(4, "requests: 50", &server.url);
    for _ in 0..2 {
        let output = synthmill(dir.path(), RUN, 4);
        assert!(
            stderr(&output).contains("cannot tell whether the last batch was made"),
            "{}",
            stderr(&output)
        );
    }
    server.now(Script::default());
    synthmill(dir.path(), RUN, 0);
    assert_eq!((server.batches().len(), server.paid()), (1, each_once(4)));
}

#[test]
fn a_run_killed_while_the_provider_has_no_capacity_creates_one_batch() {
    let errors = json!([{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]);
    for point in ["synced batches 4", "half batches 4", "synced batches 5", "half batches 5"] {
        let errors = errors.clone();
        let end = move |index: usize| if index == 0 { End::Failed(errors.clone()) } else { End::Done };
        let server = BatchServer::start(Script { end: Box::new(end), ..Script::default() });
        let dir = folder(5, "requests: 50", &server.url);
        let status = program(dir.path(), RUN).env("SYNTHMILL_ABORT", point).output().unwrap().status;
        assert_eq!(status.code(), None, "{point} was not met");
        synthmill(dir.path(), RUN, 0);
        assert_eq!(server.paid(), each_once(5), "{point}");
    }
}

#[test]
fn a_batch_too_large_for_its_queue_is_reported() {
    let errors = json!([{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]);
    let end = move |_: usize| End::Failed(errors.clone());
    let server = BatchServer::start(Script { end: Box::new(end), ..Script::default() });
    let dir = folder(5, "requests: 50", &server.url);
    let output = synthmill(dir.path(), RUN, 4);
    assert!(stderr(&output).contains("lower `batch.requests`"), "{}", stderr(&output));
    server.now(Script::default());
    synthmill(dir.path(), &[RUN, &["--set", "models.teacher.batch.requests=2"]].concat(), 0);
    assert_eq!(server.paid(), each_once(5));
}

#[test]
fn a_damaged_log_of_batches_is_refused_and_repaired() {
    let server = BatchServer::start(Script { end: Box::new(|_| End::Never), ..Script::default() });
    let dir = folder(6, "requests: 3", &server.url);
    let mut run = Running::start(dir.path(), RUN);
    assert!(run.runs_until("two batches are made", || server.calls("GET /batches/ID") > 3));
    run.kill();
    let log = dir.path().join("out/journal/batches-0001.log");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let output = synthmill(dir.path(), RUN, 3);
    assert!(stderr(&output).contains("batches-0001.log"), "{}", stderr(&output));
    let output = synthmill(dir.path(), &["repair", "out"], 0);
    assert!(format!("{}{}", stdout(&output), stderr(&output)).contains("batches-0001.log"));
    server.now(Script::default());
    synthmill(dir.path(), RUN, 0);
    assert_eq!(ids(&dir.path().join("out")), 6);
}

#[test]
fn batches_at_another_address_are_not_silently_asked_twice() {
    let server = BatchServer::start(Script { end: Box::new(|_| End::Never), ..Script::default() });
    let dir = folder(3, "requests: 3", &server.url);
    let mut run = Running::start(dir.path(), RUN);
    assert!(run.runs_until("a batch is made", || server.calls("GET /batches/ID") > 1));
    run.kill();
    let other = answering(std::time::Duration::ZERO);
    let elsewhere = [RUN, &["--base-url", &other.url]].concat();
    let output = synthmill(dir.path(), &elsewhere, 4);
    assert!(stderr(&output).contains("was sent to"), "{}", stderr(&output));
    let output =
        synthmill(dir.path(), &[&elsewhere[..], &["--set", "models.teacher.mode=direct"]].concat(), 0);
    assert!(stderr(&output).contains("3 questions are with a provider"), "{}", stderr(&output));
    assert_eq!(other.questions().len(), 3);
}
