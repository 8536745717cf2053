//! `status` reports the progress of a run from its directory alone: live, killed, interrupted, finished.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::child::{Running, answer, answering, rows_folder};
use crate::harness::model_server::ModelServer;
use crate::harness::{stderr, stdout, synthmill};

fn status(dir: &Path) -> Value {
    let status: Value =
        serde_json::from_str(&stdout(&synthmill(dir, &["status", "out", "--json"], 0))).unwrap();
    let count = |key: &str| status[key].as_u64().unwrap_or_else(|| panic!("no `{key}` in {status}"));
    assert_eq!(count("admitted"), count("ok") + count("dropped") + count("rejected") + count("in_flight"));
    count("requests");
    assert!(status["tokens"]["prompt"].is_u64() && status["tokens"]["completion"].is_u64(), "{status}");
    assert!(status["records"].is_object() && status["state"].is_string(), "{status}");
    // The text is for people; it must say the same state.
    let text = stdout(&synthmill(dir, &["status", "out"], 0));
    assert!(text.contains(&format!("{} ok", count("ok"))) || status["state"] == "running", "{text}");
    status
}

#[test]
fn a_run_is_seen_live_then_killed_then_finished() {
    let server = ModelServer::start(|question| {
        let quick = question.prompt.len() < "Tell me of topic 10.".len();
        answer(question).after(Duration::from_secs(if quick { 0 } else { 3600 }))
    });
    let dir = rows_folder(30, 16, &server.url);
    let mut run = Running::start(dir.path(), &["run", "p.yaml", "--out", "out"]);
    let manifest = dir.path().join("out/manifest.json");
    assert!(run.runs_until("the run begins", || manifest.exists()));
    assert!(run.runs_until("ten items are committed", || status(dir.path())["ok"] == 10));
    let live = status(dir.path());
    assert_eq!(live["state"], "running");
    assert!(run.runs_until("the figures are written", || status(dir.path())["in_flight"] == 20));

    run.kill();
    let killed = status(dir.path());
    assert_eq!(
        (&killed["state"], killed["ok"].as_u64(), killed["in_flight"].as_u64()),
        (&"killed".into(), Some(10), Some(0))
    );

    let healthy = answering(Duration::ZERO);
    synthmill(dir.path(), &["run", "p.yaml", "--out", "out", "--base-url", &healthy.url], 0);
    let finished = status(dir.path());
    assert_eq!((&finished["state"], finished["ok"].as_u64()), (&"finished".into(), Some(30)));
    assert_eq!((finished["total"].as_u64(), finished["starts"].as_u64()), (Some(30), Some(2)));
    let records = finished["records"].as_object().unwrap();
    assert_eq!(records.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 30);
    assert_eq!(finished["requests"].as_u64(), Some(20), "those of the latest start");
    assert_eq!(
        (&finished["endpoints"][0]["state"], &finished["endpoints"][0]["in_flight"]),
        (&"up".into(), &0.into())
    );
    assert_eq!(finished["pools"][0]["pool"], "teacher");
    assert_eq!(finished["tokens"]["prompt"].as_u64(), Some(140));
}

#[test]
fn an_interrupted_run_is_shown_as_interrupted() {
    let server = answering(Duration::from_millis(20));
    let dir = rows_folder(200, 4, &server.url);
    let mut run = Running::start(dir.path(), &["run", "p.yaml", "--out", "out"]);
    assert!(run.runs_until("20 questions came", || server.questions().len() >= 20));
    run.signal("INT");
    assert_eq!(run.wait().code, Some(75));
    assert_eq!(status(dir.path())["state"], "interrupted");
}

#[test]
fn status_does_not_disturb_a_run() {
    let server = answering(Duration::ZERO);
    let dir = rows_folder(3, 4, &server.url);
    let path = dir.path();
    synthmill(path, &["run", "p.yaml", "--out", "out", "--limit", "1"], 0);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            for _ in 0..40 {
                synthmill(path, &["status", "out"], 0);
            }
        });
        while !looking.is_finished() {
            synthmill(path, &["run", "p.yaml", "--out", "out", "--limit", "1"], 0);
        }
    });
}

#[test]
fn a_folder_that_holds_no_run_is_refused_by_name() {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("photos")).unwrap();
    std::fs::write(dir.path().join("photos/a.jpg"), "").unwrap();
    for folder in ["photos", "nowhere"] {
        let text = stderr(&synthmill(dir.path(), &["status", folder], 2));
        assert!(text.contains(&format!("`{folder}`")), "{text}");
    }
    // Nor does a run take such a folder.
    let server = answering(Duration::ZERO);
    let rows = rows_folder(1, 1, &server.url);
    let photos = dir.path().join("photos");
    let text = stderr(&synthmill(rows.path(), &["run", "p.yaml", "--out", &photos.to_string_lossy()], 2));
    assert!(text.contains("holds no run"), "{text}");
    assert_eq!(std::fs::read_dir(&photos).unwrap().count(), 1, "the folder is as it was");
}

#[test]
fn failures_are_reported_only_for_the_start_that_failed() {
    let server = answering(Duration::ZERO);
    let dir = rows_folder(30, 4, &server.url);
    synthmill(dir.path(), &["run", "p.yaml", "--out", "out", "--limit", "10"], 0);
    // The size stays; the checksum tells.
    let output = dir.path().join("out/train.jsonl");
    let changed = std::fs::read_to_string(&output).unwrap().replace("topic", "TOPIC");
    std::fs::write(&output, changed).unwrap();
    let slow = answering(Duration::from_secs(3600));
    synthmill(dir.path(), &["run", "p.yaml", "--out", "out", "--base-url", &slow.url], 3);
    let failed = status(dir.path());
    assert_eq!((&failed["state"], failed["ok"].as_u64()), (&"failed".into(), Some(10)));
    assert!(failed["failure"].as_str().unwrap().contains("train.jsonl"), "{failed}");
    let text = stdout(&synthmill(dir.path(), &["status", "out"], 0));
    assert!(text.starts_with("rows: failed, ") && text.contains("train.jsonl"), "{text}");

    let told = dir.path().join("out/status.json");
    let earlier = std::fs::read_to_string(&told).unwrap().replace("\"start\": 2", "\"start\": 1");
    std::fs::write(&told, earlier).unwrap();
    let killed = status(dir.path());
    assert_eq!((&killed["state"], killed.get("failure")), (&"killed".into(), None));
}
