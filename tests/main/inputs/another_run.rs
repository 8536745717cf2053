//! `ingest: {run: ...}`: the output of another run is read in full and in item order, and is part of the fingerprint; a run
//! that is incomplete or has changed is refused.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use synthmill::config::{Overrides, Plan};
use synthmill::llm::scripted::{Reply, Scripted};

use crate::harness::child::{Running, answer, rows_folder};
use crate::harness::model_server::ModelServer;
use crate::harness::{Run, check_invariants, rows_pipeline, stderr, synthmill};

/// A pipeline that reads one sink of the run in `folder/upstream`.
fn reader(folder: &Path, sink: &str) -> String {
    format!(
        "name: reader\nstages:\n  - ingest: {{run: '{}/upstream'{sink}}}\n  \
         - sink: {{path: read.jsonl, format: raw, fields: [topic, answer, source, group]}}\n",
        folder.display()
    )
}

/// Runs the pipeline of so many rows, whose later rows are answered first, to `folder/upstream`.
async fn upstream(folder: &Path, rows: usize) -> Run {
    let yaml = rows_pipeline(folder, rows, 64);
    let model = Scripted::new(move |question| {
        let row: u64 = question.prompt.trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap();
        Reply::text(format!(r#"{{"answer": "of {row}"}}"#)).after(Duration::from_secs(1000 - row))
    });
    let run = Run::new(&yaml, &folder.join("upstream"), model);
    check_invariants(&run.root, &run.run().await);
    run
}

/// The lines of a file as they stand in it.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What is said of a pipeline: `right`, or its problems.
fn said(yaml: &str) -> String {
    match Plan::load_text("reader.yaml", yaml, &Overrides::default()) {
        Ok(_) => "right".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

#[tokio::test(start_paused = true)]
async fn lines_come_in_the_order_of_items() {
    let dir = tempfile::tempdir().unwrap();
    upstream(dir.path(), 40).await;
    let mut written = lines(&dir.path().join("upstream/train.jsonl"));
    let ids = |lines: &[Value]| lines.iter().map(|line| line["id"].clone()).collect::<Vec<_>>();
    let in_file = ids(&written);
    written.sort_by_key(|line| line["id"].as_str().unwrap().to_owned());
    assert_ne!(in_file, ids(&written), "the file has another order than the items");

    let run =
        Run::new(&reader(dir.path(), ", sink: sink"), &dir.path().join("read"), Scripted::rules(vec![]));
    let report = run.run().await;
    check_invariants(&run.root, &report);
    assert_eq!(report.snapshot.ok, written.len() as u64);
    // Nothing waits in this pipeline, so its lines stand in the order in which they were read.
    let read = lines(&dir.path().join("read/read.jsonl"));
    let path = format!("{}/upstream/train.jsonl", dir.path().display());
    for (index, (read, written)) in read.iter().zip(&written).enumerate() {
        assert_eq!((&read["topic"], &read["answer"]), (&written["topic"], &written["answer"]));
        assert_eq!(read["source"]["row"], json!(index + 1));
        assert_eq!(read["group"], json!([format!("{path}:{}", index + 1)]));
    }
    assert_eq!(read.len(), written.len());
}

#[tokio::test(start_paused = true)]
async fn a_sink_is_found_by_its_id_and_its_fields_are_known() {
    let dir = tempfile::tempdir().unwrap();
    upstream(dir.path(), 20).await;
    let with = |sink: &str| said(&reader(dir.path(), sink));
    assert_eq!(with(", sink: sink-2"), "right");
    let none = with("");
    assert!(none.contains("has several sinks") && none.contains("one of `sink`, `sink-2`"), "{none}");
    let wrong = with(", sink: sink-3");
    assert!(wrong.contains("no sink `sink-3`") && wrong.contains("did you mean `sink-"), "{wrong}");
    // Of the first lines the fields are presumed, as for rows of a file.
    let yaml = reader(dir.path(), ", sink: sink").replace("[topic,", "[topik,");
    assert!(said(&yaml).contains("no earlier stage makes `topik`"), "{}", said(&yaml));
    for (options, expected) in [
        (", sink: sink, paths: [a.md]", "`paths` is for files, and `run` names a run"),
        (", sink: sink, format: csv", "`format` is for files"),
    ] {
        assert!(with(options).contains(expected), "{}", with(options));
    }
    let neither = said("name: a\nstages:\n  - ingest: {sink: a}\n  - sink: {path: a.jsonl, format: raw}\n");
    assert!(neither.contains("`sink` is of a run, and there is no `run`"), "{neither}");
    assert!(neither.contains("`ingest` has nothing to read"), "{neither}");
}

#[tokio::test(start_paused = true)]
async fn a_changed_pipeline_is_refused_with_the_difference() {
    let dir = tempfile::tempdir().unwrap();
    let first = upstream(dir.path(), 20).await;
    let yaml = reader(dir.path(), ", sink: sink");
    let root = dir.path().join("read");
    let run = Run::new(&yaml, &root, Scripted::rules(vec![]));
    run.run().await;
    assert_eq!(run.plan.fingerprint(), Run::new(&yaml, &root, Scripted::rules(vec![])).plan.fingerprint());

    // The same lines in another order are the same data.
    let train = first.root.join("train.jsonl");
    std::fs::rename(&first.root, dir.path().join("before")).unwrap();
    let model = Scripted::new(|question| {
        let row = question.prompt.trim_end_matches('.').rsplit(' ').next().unwrap();
        Reply::text(format!(r#"{{"answer": "of {row}"}}"#))
    });
    let again = Run::new(&rows_pipeline(dir.path(), 20, 1), &first.root, model);
    again.run().await;
    assert_ne!(std::fs::read(&train).unwrap(), std::fs::read(dir.path().join("before/train.jsonl")).unwrap());
    Run::new(&yaml, &root, Scripted::rules(vec![])).open().unwrap();

    // Other answers are not.
    std::fs::remove_dir_all(&first.root).unwrap();
    let model = Scripted::new(|_| Reply::text(r#"{"answer": "another"}"#));
    Run::new(&rows_pipeline(dir.path(), 20, 1), &first.root, model).run().await;
    let Err(refused) = Run::new(&yaml, &root, Scripted::rules(vec![])).open() else { panic!("not refused") };
    let expected = format!("files.{}: its content changed", train.display());
    assert!(refused.to_string().contains(&expected), "{refused}");

    // And what nobody committed is no data.
    let mut bytes = std::fs::read(&train).unwrap();
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    std::fs::write(&train, bytes).unwrap();
    let damaged = said(&yaml);
    assert!(
        damaged.contains("is not what was committed") && damaged.contains("synthmill repair"),
        "{damaged}"
    );
}

#[test]
fn a_run_that_is_not_complete_is_refused() {
    let server = ModelServer::start(|question| answer(question).after(Duration::from_secs(3600)));
    let dir = rows_folder(4, 2, &server.url);
    let yaml =
        "name: reader\nstages:\n  - ingest: {run: out, sink: sink}\n  - sink: {path: a.jsonl, format: raw}\n";
    std::fs::write(dir.path().join("reader.yaml"), yaml).unwrap();
    let refused = |expected: &[&str]| {
        let text = stderr(&synthmill(dir.path(), &["run", "reader.yaml"], 2));
        for part in expected {
            assert!(text.contains(part), "`{part}` is not in\n{text}");
        }
        assert!(!dir.path().join("output").exists(), "nothing was begun");
    };
    refused(&["reader.yaml:3:19: `out` holds no run", "run the pipeline that makes it first"]);
    let mut running = Running::start(dir.path(), &["run", "p.yaml", "--out", "out"]);
    assert!(running.runs_until("a question came", || !server.questions().is_empty()));
    refused(&["reader.yaml:3:19: the run in `out` is being worked on by another process", "wait until"]);
    running.kill();
    refused(&["the run in `out` is not complete: killed, 0 items are done", "goes on with it"]);
}
