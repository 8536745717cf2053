//! `kill -9`, many times in one run, against a model server that is never killed and counts each question.
//!
//! Two model stages, so that an item can die between its answers. `SYNTHMILL_KILLS` sets the number of
//! kills; the default keeps the test to seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::{RngExt, SeedableRng};

use crate::harness::child::{Running, answering, ids, rows_folder};
use crate::harness::output_check;
use crate::harness::{assert_same_outputs, outputs, program, synthmill};

const RUN: &[&str] = &["run", "p.yaml", "--out", "out"];
const ROWS: usize = 800;
const PLACES: u32 = 8;

/// `rows_folder` with a second question about each answer.
fn two_stage_folder(url: &str) -> tempfile::TempDir {
    let dir = rows_folder(ROWS, PLACES, url);
    let path = dir.path().join("p.yaml");
    let yaml = std::fs::read_to_string(&path).unwrap();
    let second = "  - prompt: {id: second, user: \"And {{ answer }}\", output: again}\n  \
                  - llm: {id: llm-2, model: teacher, input: again, output: more}\n  - split:";
    std::fs::write(path, yaml.replace("  - split:", second)).unwrap();
    dir
}

#[test]
fn a_run_killed_again_and_again_asks_twice_only_what_was_in_flight() {
    let kills: usize = std::env::var("SYNTHMILL_KILLS").map_or(200, |kills| kills.parse().unwrap());
    let server = answering(Duration::from_millis(4));
    let undisturbed = two_stage_folder(&server.url);
    synthmill(undisturbed.path(), RUN, 0);
    assert_eq!(server.questions().len(), 2 * ROWS);

    let server = answering(Duration::from_millis(4));
    let dir = two_stage_folder(&server.url);
    let out = dir.path().join("out");
    let seed = rand::random::<u64>();
    let mut random = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
    let mut killed = 0;
    let mut spare = 0;
    while killed < kills {
        let mut run = Running::start(dir.path(), RUN);
        // From the beginning of a start, before it has a log, to well into it.
        let asked = server.questions().len() + random.random_range(0..(2 * ROWS / kills).max(8));
        let running = run.runs_until("some questions came", || server.questions().len() >= asked);
        let ended = run.kill();
        if ended.code == Some(0) {
            break;
        }
        assert!(running, "seed {seed}: {}", ended.stderr);
        killed += 1;
        spare += PLACES as usize;
    }
    assert!(killed >= kills / 2, "seed {seed}: only {killed} kills before the end");
    synthmill(dir.path(), RUN, 0);

    assert_eq!(ids(&out), ROWS, "seed {seed}");
    assert_same_outputs(&out, &undisturbed.path().join("out"));
    assert_eq!(
        output_check::violations(&out, &outputs(&undisturbed.path().join("out"))),
        Vec::<String>::new()
    );
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for question in server.questions() {
        *times.entry(question.prompt).or_default() += 1;
    }
    let again: usize = times.values().map(|times| times - 1).sum();
    eprintln!("kills: {killed}, questions asked again: {again} of at most {spare} in flight (seed {seed})");
    assert_eq!(times.len(), 2 * ROWS, "seed {seed}");
    assert!(again <= spare, "seed {seed}: {again} questions were asked again, {spare} could be in flight");
}

/// The operation and file at which the program aborts, at the first and at later hits.
const POINTS: &[&str] = &[
    "make journal 1",
    "write manifest.json 1",
    "half manifest.json 1",
    "rename manifest.json 1",
    "renamed manifest.json 1",
    "renamed manifest.json 2",
    "sync_dir out 1",
    "open answers 1",
    "half answers 1",
    "written answers 1",
    "write answers 5",
    "half answers 9",
    "written answers 20",
    "sync answers 1",
    "synced answers 2",
    "open commits 1",
    "half commits 1",
    "write train 1",
    "half train 1",
    "half train 2",
    "written train 1",
    "sync train 1",
    "synced train 1",
    "half test 1",
    "write records-0001 1",
    "half records-0001 2",
    "write commits 2",
    "half commits 2",
    "written commits 2",
    "sync commits 2",
    "synced commits 2",
    "rename status.json 1",
    "half status.json 1",
    "renamed units.json 1",
];

#[test]
fn a_run_aborted_at_named_points_resumes() {
    let server = answering(Duration::from_millis(2));
    let undisturbed = two_stage_folder(&server.url);
    let yaml = std::fs::read_to_string(undisturbed.path().join("p.yaml")).unwrap();
    let rows: String = (0..120).map(|row| format!("{{\"topic\": \"topic {row}\"}}\n")).collect();
    std::fs::write(undisturbed.path().join("rows.jsonl"), &rows).unwrap();
    synthmill(undisturbed.path(), RUN, 0);
    let golden = outputs(&undisturbed.path().join("out"));
    let mut aborted = 0;
    for point in POINTS {
        let server = answering(Duration::from_millis(2));
        let dir = two_stage_folder(&server.url);
        std::fs::write(dir.path().join("rows.jsonl"), &rows).unwrap();
        let old_url = yaml.split("base_urls: [\"").nth(1).unwrap().split('"').next().unwrap();
        std::fs::write(dir.path().join("p.yaml"), yaml.replace(old_url, &server.url)).unwrap();
        // Three starts in a row abort at the point, so that the recovery hits it too.
        for _ in 0..3 {
            let status = program(dir.path(), RUN).env("SYNTHMILL_ABORT", point).output().unwrap().status;
            aborted += usize::from(status.code().is_none());
        }
        synthmill(dir.path(), RUN, 0);
        let out = dir.path().join("out");
        assert_eq!(output_check::violations(&out, &golden), Vec::<String>::new(), "{point}");
        let again = server.questions().len() - 240;
        assert!(again <= 3 * PLACES as usize, "{point}: {again} questions were asked again");
    }
    eprintln!("abort points: {} points, {aborted} aborts", POINTS.len());
    assert!(aborted >= 2 * POINTS.len(), "only {aborted} of {} starts met their point", 3 * POINTS.len());
}
