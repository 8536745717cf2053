//! `exec` on real programs, as processes and as workers.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{outputs, sandbox, stderr, synthmill};

/// Answers each line; dies at some and hangs at others. Logs its starts and what it reads.
const WORKER: &str = r#"echo start >> "$LOG"
while read -r line; do
  echo "$line" >> "$LOG"
  case "$line" in
    *die*) echo 'no such topic' >&2; exit 3 ;;
    *hang*) sleep 1000 ;;
    *prose*) echo 'Sure!' ;;
    *) echo "{\"score\": ${#line}}" ;;
  esac
done
"#;

/// A project with rows whose `topic` is each of these.
fn project_of(topics: &[&str], exec: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    let rows: String = topics.iter().map(|topic| format!("{}\n", json!({"topic": topic}))).collect();
    std::fs::write(dir.path().join("rows.jsonl"), rows).unwrap();
    std::fs::write(dir.path().join("worker.sh"), WORKER).unwrap();
    let made = if exec.contains("output:") { "score" } else { "exec" };
    let yaml = format!(
        "name: rows\nerror_budget: {{share: 1, in_a_row: 1000}}\nstages:\n  - ingest: {{paths: [rows.jsonl]}}\n  \
         - exec: {}\n  - sink: {{path: out.jsonl, format: raw, fields: [topic, {made}]}}\n",
        exec.replace("LOGFILE", dir.path().join("log").to_str().unwrap())
    );
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    dir
}

fn lines(dir: &TempDir, file: &str) -> Vec<Value> {
    let lines = outputs(&dir.path().join("out")).remove(file).unwrap_or_default();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn log(dir: &Path) -> Vec<String> {
    std::fs::read_to_string(dir.join("log")).unwrap().lines().map(str::to_owned).collect()
}

const RUN: [&str; 4] = ["run", "p.yaml", "--out", "out"];

const SCORE: &str = "{type: object, required: [score], properties: {score: {type: integer}}}";

#[test]
fn each_way_to_end_is_its_own_status() {
    let script = "case $1 in fail) echo no >&2; exit 3 ;; crash) kill -SEGV $$ ;; hang) sleep 1000 ;; flood) yes ;; \
                  *) echo fine ;; esac";
    let exec = format!(
        "{{command: [sh, -c, {}, sh, \"{{{{ topic }}}}\"], timeout: 1, output_bytes: 10000, sandbox: off}}",
        json!(script)
    );
    let dir = project_of(&["fine", "fail", "crash", "hang", "flood"], &exec);
    synthmill(dir.path(), &RUN, 0);
    let mut seen: Vec<(String, String, Value, Value)> = lines(&dir, "out.jsonl")
        .iter()
        .map(|line| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let ran = &line["exec"];
            (text(&line["topic"]), text(&ran["status"]), ran["exit_code"].clone(), ran["signal"].clone())
        })
        .collect();
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    let row =
        |topic: &str, status: &str, code: Value, signal: Value| (topic.into(), status.into(), code, signal);
    assert_eq!(
        seen,
        [
            row("crash", "crashed", Value::Null, json!(11)),
            row("fail", "failed", json!(3), Value::Null),
            row("fine", "finished", json!(0), Value::Null),
            row("flood", "too_much_output", Value::Null, Value::Null),
            row("hang", "timeout", Value::Null, Value::Null),
        ]
    );
}

#[test]
fn nothing_of_our_environment_reaches_a_program() {
    let exec = "{command: [sh, -c, \"env; pwd; cat\"], env: {MODE: LOGFILE}, input: [topic], sandbox: off}";
    let dir = project_of(&["a"], exec);
    let run = crate::harness::program(dir.path(), &RUN).env("CANARY_KEY", "sk-canary").output().unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    let stdout = lines(&dir, "out.jsonl")[0]["exec"]["stdout"].as_str().unwrap().to_owned();
    let mut names: Vec<&str> =
        stdout.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    names.sort_unstable();
    // The shell itself sets PWD, SHLVL and _.
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    assert_eq!(names, ["HOME", "LANG", "MODE", "PATH", "TMPDIR"], "{stdout}");
    assert!(stdout.ends_with("{\"topic\":\"a\"}\n"), "{stdout}");
}

#[test]
fn workers_that_die_or_hang_are_replaced_and_cost_one_record_each() {
    let topics: Vec<String> = (0..40)
        .map(|row| match row {
            5 | 6 => format!("die {row}"),
            17 => "hang".to_owned(),
            23 => "prose".to_owned(),
            _ => format!("topic {row:02}"),
        })
        .collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let exec = format!(
        "{{command: [sh, worker.sh], mode: worker, workers: 2, timeout: 1, input: [topic], output: {SCORE}, \
         env: {{LOG: LOGFILE}}, sandbox: off}}"
    );
    let dir = project_of(&topics, &exec);
    synthmill(dir.path(), &RUN, 0);
    let made = lines(&dir, "out.jsonl");
    assert_eq!(made.len(), 36);
    for line in made {
        let topic = line["topic"].as_str().unwrap();
        let sent = json!({"topic": topic}).to_string();
        assert_eq!(line["score"], json!(sent.len()), "each record gets the answer to its own line");
    }
    let mut rejected: Vec<(String, String)> = lines(&dir, "rejected.jsonl")
        .iter()
        .map(|line| {
            (line["class"].as_str().unwrap().to_owned(), line["message"].as_str().unwrap().to_owned())
        })
        .collect();
    rejected.sort();
    let classes: Vec<&str> = rejected.iter().map(|(class, _)| class.as_str()).collect();
    assert_eq!(classes, ["failed", "failed", "output", "timeout"]);
    assert!(rejected[0].1.contains("exit code 3: no such topic"), "{rejected:?}");
    assert!(rejected[2].1.contains("it begins with `Sure!`"), "{rejected:?}");
    let log = log(dir.path());
    let starts = log.iter().filter(|line| *line == "start").count();
    assert_eq!(log.len() - starts, 40, "each line is sent once");
    assert!((3..=5).contains(&starts), "two workers and one for each that ended: {starts}");
}

#[test]
fn a_program_that_waits_holds_up_its_own_record_only() {
    // The first record waits for what the last one does.
    let script =
        "case $1 in first) until [ -e \"$LOG\" ]; do sleep 0.01; done ;; last) echo > \"$LOG\" ;; esac";
    let exec = format!(
        "{{command: [sh, -c, {}, sh, \"{{{{ topic }}}}\"], workers: 2, timeout: 60, env: {{LOG: LOGFILE}}, \
         sandbox: off}}",
        json!(script)
    );
    let middle: Vec<String> = (0..200).map(|row| format!("row {row}")).collect();
    let mut topics = vec!["first"];
    topics.extend(middle.iter().map(String::as_str));
    topics.push("last");
    let dir = project_of(&topics, &exec);
    synthmill(dir.path(), &RUN, 0);
    let made = lines(&dir, "out.jsonl");
    assert_eq!(made.len(), 202);
    assert!(made.iter().all(|line| line["exec"]["status"] == "finished"), "{made:?}");
}

#[test]
fn a_program_that_cannot_be_started_stops_the_run_which_then_goes_on() {
    let dir = project_of(&["a", "b"], "{command: [./tool], input: [topic], sandbox: off}");
    let (tool, shell) = (dir.path().join("tool"), dir.path().join("shell"));
    std::fs::write(&tool, format!("#!{}\ncat\n", shell.display())).unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = synthmill(dir.path(), &RUN, 4);
    let said = stderr(&run);
    assert!(said.contains("stage `exec`") && said.contains("tool"), "{said}");
    assert!(said.contains("stopped, a program cannot be run"), "{said}");
    for file in ["rejected.jsonl", "out.jsonl"] {
        assert_eq!(lines(&dir, file), [] as [Value; 0], "it says nothing about a record");
    }
    std::os::unix::fs::symlink("/bin/sh", shell).unwrap();
    synthmill(dir.path(), &RUN, 0);
    assert_eq!(lines(&dir, "out.jsonl").len(), 2);
}

#[test]
fn programs_that_ran_are_not_run_again() {
    let exec =
        "{command: [sh, -c, 'cat >> \"$LOG\"; echo run'], input: [topic], env: {LOG: LOGFILE}, sandbox: off}";
    let dir = project_of(&["a", "b", "c", "d", "e"], exec);
    synthmill(dir.path(), &["run", "p.yaml", "--out", "out", "--limit", "2"], 0);
    assert_eq!(log(dir.path()).len(), 2);
    synthmill(dir.path(), &RUN, 0);
    synthmill(dir.path(), &RUN, 0);
    let mut log = log(dir.path());
    log.sort();
    assert_eq!(log, ["a", "b", "c", "d", "e"].map(|topic| json!({"topic": topic}).to_string()));
}

#[test]
fn the_plan_counts_programs_and_their_time() {
    let dir = project_of(&["a", "b", "c"], "{command: [cat], input: [topic], workers: 3, sandbox: off}");
    let plan = synthmill(dir.path(), &["plan", "p.yaml", "--items", "3000", "--json"], 0);
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    let stage = &plan["programs"][0];
    assert_eq!(
        (&stage["stage"], &stage["programs"], &stage["at_a_time"]),
        (&json!("exec"), &json!(3000.0), &json!(3))
    );
    assert!(stage["seconds"].as_f64().unwrap() > 0.0, "{stage}");
    let text = crate::harness::stdout(&synthmill(dir.path(), &["plan", "p.yaml"], 0));
    assert!(text.contains(" 3 programs, ") && text.contains(" ms each, 3 at a time: "), "{text}");
}

#[test]
fn the_busy_time_of_several_programs_does_not_vanish_in_their_waits() {
    let dir = TempDir::new().unwrap();
    let rows = "{\"code\": \"true\", \"tests\": [\"true\", \"true\", \"true\", \"true\"]}\n".repeat(4);
    std::fs::write(dir.path().join("rows.jsonl"), rows).unwrap();
    let yaml = "name: rows\nstages:\n  - ingest: {paths: [rows.jsonl]}\n  \
                - run_tests: {language: bash, workers: 1, sandbox: off}\n  \
                - sink: {path: out.jsonl, format: raw, fields: [test_run]}\n";
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    synthmill(dir.path(), &RUN, 0);
    let status = std::fs::read_to_string(dir.path().join("out/status.json")).unwrap();
    let status: Value = serde_json::from_str(&status).unwrap();
    let stage =
        status["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == "run_tests").unwrap();
    assert!(stage["busy_seconds"].as_f64().unwrap() > 0.0, "{stage}");
}

#[test]
fn a_program_in_the_sandbox_reads_the_project_and_writes_elsewhere() {
    if let Err(error) = sandbox() {
        eprintln!("skipped: {error}");
        return;
    }
    // The project is below `/tmp`, of which the program sees another one.
    let script = "import os\nopen('here', 'w').write('a')\nopen('/tmp/there', 'w').write('b')\n\
                  rows = open(os.environ['PROJECT'] + '/rows.jsonl').read()\nprint(len(rows), sorted(os.listdir()))\n\
                  try:\n    open(os.environ['PROJECT'] + '/new', 'w')\nexcept OSError as error:\n    print(error.strerror)\n";
    let dir = project_of(&["a"], "{command: [python3, main.py], env: {PROJECT: FOLDER}, read: [.]}");
    std::fs::write(dir.path().join("main.py"), script).unwrap();
    let yaml = std::fs::read_to_string(dir.path().join("p.yaml")).unwrap();
    std::fs::write(dir.path().join("p.yaml"), yaml.replace("FOLDER", dir.path().to_str().unwrap())).unwrap();
    synthmill(dir.path(), &RUN, 0);
    let ran = &lines(&dir, "out.jsonl")[0]["exec"];
    let stdout = ran["stdout"].as_str().unwrap();
    assert!(stdout.starts_with("14 ['here']\n"), "{ran}");
    assert!(stdout.contains("Read-only") || stdout.contains("Permission denied"), "{ran}");
}

/// A project whose worker answers 30 rows by the shell lines `body`, which see each row as `$line`.
fn worker_project(body: &str) -> TempDir {
    let topics: Vec<String> = (0..30).map(|row| format!("topic {row:02}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let exec = format!(
        "{{command: [sh, worker.sh], mode: worker, workers: 1, timeout: 20, input: [topic], output: {SCORE}, sandbox: off}}"
    );
    let dir = project_of(&topics, &exec);
    std::fs::write(dir.path().join("worker.sh"), format!("while read -r line; do {body}; done\n")).unwrap();
    dir
}

/// The number at the end of a topic.
const NUMBER: &str = "n=$(echo \"$line\" | tr -cd 0-9 | sed 's/^0//')";

#[test]
fn a_worker_that_is_out_of_step_gives_no_record_the_answer_to_another() {
    let dir = worker_project(&format!("{NUMBER}; echo scoring $n; echo \"{{\\\"score\\\": $n}}\""));
    synthmill(dir.path(), &RUN, 5);
    for line in lines(&dir, "out.jsonl") {
        let number: i64 = line["topic"].as_str().unwrap()[6..].parse().unwrap();
        assert_eq!(line["score"], json!(number), "{line}");
    }
    assert!(
        lines(&dir, "rejected.jsonl")
            .iter()
            .all(|line| line["class"] == "output" || line["class"] == "failed")
    );
}

#[test]
fn a_line_that_nobody_asked_for_stops_the_run() {
    // The second line comes when the first has been taken for the answer.
    let late = "if [ $n = 7 ]; then sleep 0.2; echo '{\"score\": 99}'; touch late; sleep 5; fi";
    let dir = worker_project(&format!("{NUMBER}; echo \"{{\\\"score\\\": $n}}\"; {late}"));
    let yaml = std::fs::read_to_string(dir.path().join("p.yaml")).unwrap();
    // All others are sent only when that has been written.
    let wait = "- exec: {id: wait, command: [sh, -c, 'case $1 in *07) ;; *) until [ -e \"$LATE\" ]; do sleep 0.01; done ;; esac', \
                sh, \"{{ topic }}\"], workers: 64, env: {LATE: FOLDER/late}, sandbox: off, into: waited}\n  - exec: ";
    let yaml = yaml.replacen("- exec: ", wait, 1).replace("FOLDER", dir.path().to_str().unwrap());
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    let script = std::fs::read_to_string(dir.path().join("worker.sh")).unwrap();
    let touch = format!("touch {}/late", dir.path().display());
    std::fs::write(dir.path().join("worker.sh"), script.replace("touch late", &touch)).unwrap();
    let said = stderr(&synthmill(dir.path(), &RUN, 4));
    assert!(said.contains("a worker wrote a line that nobody asked for"), "{said}");
}

#[test]
fn a_text_that_cannot_be_an_argument_costs_its_own_record_only() {
    let long = "x".repeat(140_000);
    let dir = project_of(&["fine", "a\0b", &long], "{command: [echo, \"{{ topic }}\"], sandbox: off}");
    synthmill(dir.path(), &RUN, 0);
    assert_eq!(lines(&dir, "out.jsonl").len(), 1);
    let rejected = lines(&dir, "rejected.jsonl");
    assert_eq!(rejected.len(), 2);
    for line in rejected {
        assert_eq!(line["class"], "command");
        assert!(line["message"].as_str().unwrap().contains("hint: pass the text by `input`"), "{line}");
    }
}

#[test]
fn a_virtual_environment_of_the_project_runs_in_the_sandbox() {
    if let Err(error) = sandbox() {
        eprintln!("skipped: {error}");
        return;
    }
    let exec = "{command: [.venv/bin/python, s.py], mode: worker, input: [topic], output: {type: object, properties: {score: \
                {type: integer}}}}";
    let dir = project_of(&["a", "b"], exec);
    std::fs::create_dir_all(dir.path().join(".venv/bin")).unwrap();
    std::os::unix::fs::symlink("/usr/bin/python3", dir.path().join(".venv/bin/python3")).unwrap();
    std::os::unix::fs::symlink("python3", dir.path().join(".venv/bin/python")).unwrap();
    std::fs::create_dir_all(dir.path().join(".venv/lib")).unwrap();
    std::fs::write(dir.path().join(".venv/pyvenv.cfg"), "home = /usr/bin\nversion = 3\n").unwrap();
    // The others must be able to read the project where programs run as an unused user.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = "import sys\nfor line in sys.stdin:\n    print('{\"score\": %d, \"topic\": \"other\"}' % (sys.prefix != \
                  sys.base_prefix), flush=True)\n";
    std::fs::write(dir.path().join("s.py"), script).unwrap();
    synthmill(dir.path(), &RUN, 0);
    let made = lines(&dir, "out.jsonl");
    assert_eq!(made.len(), 2);
    // The program is the environment's, and cannot replace what it does not declare.
    assert!(made.iter().all(|line| line["score"] == 1 && line["topic"] != "other"), "{made:?}");
}
