//! Runs with programs under `kill -9`: the same lines as a run that was never killed, and no program whose outcome was
//! journaled runs twice.

use std::path::Path;

use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::harness::child::Running;
use crate::harness::{assert_same_outputs, synthmill};

const ROWS: usize = 300;
/// Programs or workers at a time, in each of two stages.
const WORKERS: usize = 2;
/// Answers of workers that may be on their way to the journal.
const UNJOURNALED: usize = 64;

/// A process for the first stage, a worker for the second; both log what they are asked.
fn project() -> TempDir {
    let dir = TempDir::new().unwrap();
    let rows: String = (0..ROWS).map(|row| format!("{{\"n\": {row}}}\n")).collect();
    std::fs::write(dir.path().join("rows.jsonl"), rows).unwrap();
    let worker = "while read -r line; do echo \"$line\" >> \"$LOG\"; case \"$line\" in *7}) echo no ;; *) echo \"{\\\"m\\\": \
                  ${#line}}\" ;; esac; done\n";
    std::fs::write(dir.path().join("worker.sh"), worker).unwrap();
    let log = dir.path().join("log");
    let yaml = format!(
        r#"name: killed
vars: {{log: {}}}
error_budget: {{share: 1, in_a_row: 1000}}
stages:
  - ingest: {{paths: [rows.jsonl]}}
  - exec:
      id: process
      command: [sh, -c, 'echo "process $1" >> "$LOG"; [ $(($1 % 5)) != 0 ] || exit 3; echo $1', sh, "{{{{ n }}}}"]
      env: {{LOG: "{{{{ vars.log }}}}"}}
      workers: {WORKERS}
      sandbox: off
  - set: {{status: "{{{{ exec.status }}}}", said: "{{{{ exec.stdout }}}}", exec: null}}
  - exec:
      id: worker
      command: [sh, worker.sh]
      mode: worker
      input: [n]
      output: {{type: object, required: [m], properties: {{m: {{type: integer}}}}}}
      env: {{LOG: "{{{{ vars.log }}}}"}}
      workers: {WORKERS}
      sandbox: off
  - sink: {{path: out.jsonl, format: raw, fields: [id, n, status, said, m]}}
"#,
        log.display()
    );
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    dir
}

/// The numbers of processes that were run and of lines that workers read.
fn ran(dir: &Path) -> (usize, usize) {
    let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
    let processes = log.lines().filter(|line| line.starts_with("process")).count();
    (processes, log.lines().count() - processes)
}

fn all(ran: (usize, usize)) -> usize {
    ran.0 + ran.1
}

const RUN: [&str; 4] = ["run", "p.yaml", "--out", "out"];

#[test]
fn a_run_killed_at_random_has_the_outcomes_of_one_that_was_not() {
    let kills: usize = std::env::var("SYNTHMILL_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let (golden, dir) = (project(), project());
    synthmill(golden.path(), &RUN, 0);
    let whole = ran(golden.path());
    assert_eq!(whole, (ROWS, ROWS), "each record is run once in both stages");
    let seed = rand::random::<u64>();
    let mut random = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
    let mut killed = 0;
    while killed < kills {
        let mut running = Running::start(dir.path(), &RUN);
        let until = all(ran(dir.path())) + random.random_range(0..4 * ROWS / kills);
        let goes_on = running.runs_until("some programs ran", || all(ran(dir.path())) >= until);
        let ended = running.kill();
        if ended.code == Some(0) {
            break;
        }
        assert!(goes_on, "seed {seed}: {}", ended.stderr);
        killed += 1;
    }
    assert!(killed >= kills / 3, "seed {seed}: only {killed} kills before the end");
    synthmill(dir.path(), &RUN, 0);
    assert_same_outputs(&dir.path().join("out"), &golden.path().join("out"));
    let (processes, lines) = ran(dir.path());
    let (processes, lines) = (processes - ROWS, lines - ROWS);
    assert!(processes <= killed * WORKERS, "seed {seed}: {processes} processes ran twice in {killed} kills");
    assert!(
        lines <= killed * (WORKERS + UNJOURNALED),
        "seed {seed}: {lines} lines were read twice in {killed} kills"
    );
    eprintln!("{killed} kills, {processes} of {ROWS} processes ran twice, {lines} lines were read twice");
}
