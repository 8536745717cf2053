//! `run a.yaml b.yaml`: pipelines run in order, each in its own run directory, later ones on the output of earlier ones;
//! all are checked before anything runs, and an option applies to the pipelines that have what it names.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::child::{Running, answer, answering};
use crate::harness::model_server::ModelServer;
use crate::harness::{outputs, stderr, stdout, synthmill};

const FIRST: &str = "\
name: first
vars: {rows: 6}
stages:
  - generate: {count: \"{{ vars.rows }}\"}
  - set: {topic: \"topic {{ row }}\"}
  - sink: {id: topics, path: topics.jsonl, format: raw, fields: [row, topic]}
";
const SECOND: &str = "\
name: second
vars: {least: 2}
stages:
  - ingest: {run: output/first, sink: topics}
  - filter: {keep_if: \"row >= vars.least | int\", reason: early}
  - set: {title: \"About {{ topic }}\"}
  - sink: {path: titles.jsonl, format: raw, fields: [title]}
";

/// A folder with these pipelines, as `1.yaml`, `2.yaml`, ...
fn folder(pipelines: &[&str]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (index, text) in pipelines.iter().enumerate() {
        std::fs::write(dir.path().join(format!("{}.yaml", index + 1)), text).unwrap();
    }
    dir
}

/// Runs the program to this exit code; stderr must hold each of `parts`.
#[track_caller]
fn check(dir: &Path, arguments: &[&str], code: i32, parts: &[&str]) -> String {
    let output = synthmill(dir, arguments, code);
    for part in parts {
        assert!(stderr(&output).contains(part), "`{part}` is not in\n{}", stderr(&output));
    }
    stdout(&output)
}

const BOTH: [&str; 3] = ["run", "1.yaml", "2.yaml"];

#[test]
fn a_later_pipeline_reads_what_an_earlier_one_made() {
    let dir = folder(&[FIRST, SECOND]);
    check(dir.path(), &BOTH, 0, &["1 of 2: first", "2 of 2: second"]);
    let titles = &outputs(&dir.path().join("output/second"))["titles.jsonl"];
    let expected: Vec<String> = (2..6).map(|row| format!("{{\"title\":\"About topic {row}\"}}")).collect();
    assert_eq!(*titles, expected);
    check(dir.path(), &BOTH, 0, &["output/first is finished", "output/second is finished"]);

    // Summaries are one object a line, for machines.
    let told = check(dir.path(), &[&BOTH[..], &["--fresh", "--json"]].concat(), 0, &[]);
    let summaries: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let field = |name: &str| summaries.iter().map(|one| one[name].clone()).collect::<Vec<_>>();
    assert_eq!(field("pipeline"), ["first", "second"]);
    assert_eq!(field("ok"), [6, 4]);

    // With other rows in the first, the second is not what it was: it is refused until it begins anew.
    let more = [&BOTH[..], &["--var", "rows=7", "--fresh"]].concat();
    check(dir.path(), &more, 0, &[]);
    check(dir.path(), &["run", "1.yaml", "--fresh"], 0, &[]);
    let changed = "files.output/first/topics.jsonl: its content changed";
    check(dir.path(), &["run", "2.yaml"], 2, &[changed, "--fresh"]);
    check(dir.path(), &["run", "2.yaml", "--fresh"], 0, &[]);
}

#[test]
fn demonstrations_come_of_an_earlier_pipeline_and_count_as_part_of_the_later_one() {
    let second = "\
name: second
stages:
  - generate: {count: 3}
  - few_shot: {run: output/first, sink: topics, k: 2, by: first}
  - set: {shown: {expr: \"examples | map(attribute='topic') | list\"}}
  - sink: {path: shown.jsonl, format: raw, fields: [row, shown]}
";
    let dir = folder(&[FIRST, second]);
    // Nothing is known of the demonstrations before the first has run.
    check(dir.path(), &["validate", "1.yaml", "2.yaml"], 0, &[]);
    check(dir.path(), &["validate", "2.yaml"], 2, &["2.yaml:4:21: `output/first` holds no run"]);
    check(dir.path(), &BOTH, 0, &["2 of 2: second"]);
    let shown = &outputs(&dir.path().join("output/second"))["shown.jsonl"];
    let expected = |row: u32| format!("{{\"row\":{row},\"shown\":[\"topic 0\",\"topic 1\"]}}");
    assert_eq!(*shown, (0..3).map(expected).collect::<Vec<_>>(), "in the order of the items");
    check(dir.path(), &["run", "1.yaml", "--fresh", "--var", "rows=9"], 0, &[]);
    check(
        dir.path(),
        &["run", "2.yaml"],
        2,
        &["files.output/first/topics.jsonl: its content changed", "--fresh"],
    );
    let wrong = second.replace("sink: topics", "sink: topic");
    std::fs::write(dir.path().join("3.yaml"), wrong.replace("name: second", "name: third")).unwrap();
    check(dir.path(), &["run", "3.yaml"], 2, &["has no sink `topic`", "did you mean `topics`?"]);
}

#[test]
fn out_is_the_folder_of_the_run_directories() {
    let dir = folder(&[FIRST, &SECOND.replace("run: output/first", "run: ./made//first")]);
    check(dir.path(), &[&BOTH[..], &["--out", "made"]].concat(), 0, &[]);
    assert_eq!(outputs(&dir.path().join("made/second"))["titles.jsonl"].len(), 4);
    assert!(!dir.path().join("output").exists());
}

#[test]
fn all_problems_of_all_files_are_reported_before_anything_runs() {
    let third = SECOND.replace("name: second", "name: third").replace("{{ topic }}", "{{ topic");
    let dir = folder(&[&FIRST.replace("fields: [row, topic]", "fields: [rwo]"), SECOND, &third]);
    let parts = ["1.yaml:6:", "no earlier stage makes `rwo`", "3.yaml:6:"];
    check(dir.path(), &["run", "1.yaml", "2.yaml", "3.yaml"], 2, &parts);
    assert!(!dir.path().join("output").exists(), "nothing was begun");
    // What the second reads comes of the first, which is wrong; that is no mistake of the second.
    let told = check(dir.path(), &["validate", "1.yaml", "2.yaml"], 2, &["no earlier stage makes `rwo`"]);
    assert!(told.contains("second is right"), "{told}");
    // In the other order it is one.
    let none = "2.yaml:4:19: `output/first` holds no run";
    check(dir.path(), &["validate", "2.yaml", "1.yaml"], 2, &[none]);

    let twice = folder(&[FIRST, FIRST]);
    check(twice.path(), &BOTH, 2, &["`1.yaml` and `2.yaml` are both named `first`"]);
    assert!(!twice.path().join("output").exists());
}

#[test]
fn a_pipeline_that_cannot_be_checked_yet_is_checked_in_its_turn() {
    let dir = folder(&[FIRST, &SECOND.replace("{{ topic }}", "{{ topik }}")]);
    check(dir.path(), &["validate", "1.yaml", "2.yaml"], 0, &[]);
    let parts = ["2.yaml:6:", "no earlier stage makes `topik`", "did you mean `topic`?"];
    check(dir.path(), &BOTH, 2, &parts);
    assert!(dir.path().join("output/first/topics.jsonl").exists());
    assert!(!dir.path().join("output/second").exists());
}

#[test]
fn options_reach_the_pipelines_that_have_what_they_name() {
    let dir = folder(&[FIRST, SECOND]);
    let options = ["--var", "rows=9", "--var", "least=8", "--set", "stages.filter.reason=too_early"];
    let arguments = [&BOTH[..], &options, &["--set", "drain_timeout=5"]].concat();
    check(dir.path(), &arguments, 0, &["too_early"]);
    assert_eq!(outputs(&dir.path().join("output/second"))["titles.jsonl"].len(), 1);

    let dir = folder(&[FIRST, SECOND]);
    for (options, parts) in [
        (["--var", "rwos=9"], &["no variable `rwos` is declared", "did you mean `rows`?", "`least`"][..]),
        (["--set", "stages.fliter.reason=x"], &["no stage `fliter`", "did you mean `filter`?"]),
        (["--model", "m"], &["the pipeline declares no model"]),
    ] {
        check(dir.path(), &[&BOTH[..], &options].concat(), 2, parts);
    }
    assert!(!dir.path().join("output").exists());
}

#[test]
fn the_first_incomplete_pipeline_stops_the_sequence() {
    let server = ModelServer::start(|question| answer(question).after(Duration::from_secs(3600)));
    let asking = format!(
        "name: asking\nmodels: {{m: {{base_urls: ['{}'], model: m}}}}\nstages:\n  - generate: {{count: 3}}\n  \
         - prompt: {{user: 'Question {{{{ row }}}}'}}\n  - llm: {{model: m}}\n  \
         - sink: {{path: a.jsonl, format: raw}}\n",
        server.url
    );
    let dir = folder(&[FIRST, &asking, SECOND]);
    let mut run = Running::start(dir.path(), &["run", "1.yaml", "2.yaml", "3.yaml"]);
    assert!(run.runs_until("a question came", || !server.questions().is_empty()));
    run.signal("INT");
    run.says("stopping: waiting");
    run.signal("INT");
    let ended = run.wait();
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    assert!(ended.stderr.contains("asking is not complete, so not begun: second"), "{}", ended.stderr);
    assert!(!dir.path().join("output/second").exists());

    // The same command goes on where it stopped, here with another server for the one that has a model.
    let healthy = answering(Duration::ZERO);
    let again = ["run", "1.yaml", "2.yaml", "3.yaml", "--base-url", &healthy.url];
    check(dir.path(), &again, 0, &["output/first is finished", "going on with asking"]);
    assert_eq!(outputs(&dir.path().join("output/second"))["titles.jsonl"].len(), 4);
}
