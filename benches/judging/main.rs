//! Generates, judges, selects and classifies candidates over HTTP, for 100,000 records: `cargo bench --bench
//! judging`.
//!
//! Runs one pipeline four times against the test server in another process, whose answers depend on the question alone: on a
//! fifth of the records and on all of them, whose peaks of memory are printed; one question at a time; and killed nine
//! times. The last three must have the same lines. Prints the first difference, and fails. Needs Linux.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

mod answers;
#[path = "../throughput/child.rs"]
mod child;
#[path = "../../tests/main/harness/output_check.rs"]
#[expect(dead_code, reason = "only its way to read outputs is used")]
mod output_check;
#[path = "../../tests/server/mod.rs"]
#[expect(dead_code, reason = "the server has answers of its own here, and no script")]
mod server;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use serde_json::Value;

/// How often a run is killed.
const KILLS: u64 = 9;
/// How often the status of a run is read that is to be killed.
const INTERVAL: Duration = Duration::from_millis(20);
/// Each record has three answers, rated by two aspects; a pair of them becomes a line in several formats.
const PIPELINE: &str = r#"
name: judging
seed: 11
vars: {records: 100000}
models:
  writer:
    base_urls: ["${LLM_BASE_URL}"]
    model: test
stages:
  - generate: {count: "{{ vars.records }}"}
  - set: {question: "Why does dough number {{ row }} rise?"}
  - for_each:
      in: 3
      collect: {into: candidates, fields: [answer]}
      stages:
        - prompt: {user: "{{ question }} (answer {{ element }})"}
        - llm: {model: writer, output: answer}
  - judge:
      model: writer
      of: candidates
      question: "{{ question }}"
      aspects: {correctness: "1 is wrong, 5 is right.", clarity: "1 is muddled, 5 is clear."}
  - choose: {take: pair, by: candidate.score}
  - classify:
      model: writer
      question: "{{ question }}"
      choices: {baking: about bread, other: anything else}
  - set: {is_wanted: {expr: "label == 'baking'"}}
  - sink: {id: preference, path: preference.jsonl, format: preference, prompt: question, fields: [id, label]}
  - sink: {id: implicit, path: implicit.jsonl, format: preference_implicit, prompt: question, fields: [id]}
  - sink: {id: ultrafeedback, path: ultrafeedback.jsonl, format: ultrafeedback_binarized, prompt: question, fields: [id]}
  - sink: {id: kto, path: kto.jsonl, format: kto, prompt: question, completion: chosen.answer, label: is_wanted, fields: [id]}
  - sink: {id: soft, path: soft.jsonl, format: weak_to_strong, text: question, probabilities: probabilities, fields: [id]}
"#;

#[derive(Parser)]
struct Arguments {
    /// The records of each run but the first.
    #[arg(long, default_value_t = 100_000)]
    records: u64,
    /// The program, if not the one that was built with this benchmark.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_synthmill"))]
    program: PathBuf,
    /// Added by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A run directory to be made.
struct Run<'a> {
    arguments: &'a Arguments,
    folder: &'a Path,
    url: &'a str,
    name: &'a str,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        answers::serve();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("judging.yaml"), PIPELINE).unwrap();
    let mut serving = Command::new(std::env::current_exe().unwrap());
    let mut serving = serving.arg("serve").stdout(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let run = |name| Run { arguments: &arguments, folder: folder.path(), url: url.trim(), name };
    println!("$ cargo bench --bench judging -- --records {}", arguments.records);
    let same = measure(&run);
    serving.kill().unwrap();
    serving.wait().unwrap();
    if same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Makes the runs; returns whether those of all records are the same.
fn measure<'a>(run: &impl Fn(&'a str) -> Run<'a>) -> bool {
    let records = run("").arguments.records;
    for (name, records) in [("fifth", records / 5), ("whole", records)] {
        let run = run(name);
        let used = child::measure(&mut run.command(records, 64));
        let requests = run.status()["requests"].as_u64().unwrap();
        println!(
            "{records} records, {requests} questions, 64 at a time: {:.0} s, {:.0} us of CPU a question, {:.0} MB",
            used.seconds,
            1e6 * used.cpu / requests as f64,
            used.peak
        );
    }
    let golden = output_check::outputs(&run("whole").root());
    for (file, lines) in &golden {
        println!("    {file}: {} lines", lines.len());
    }
    let slow = run("slow");
    let used = child::measure(&mut slow.command(records, 1));
    let same = slow.compare(&golden);
    println!("one at a time: {:.0} s, {:.0} MB, {}", used.seconds, used.peak, describe(same));
    let killed = run("killed");
    let kills = (1..=KILLS).filter(|kill| killed.kill_after(kill * records / (KILLS + 1))).count();
    child::measure(&mut killed.command(records, 64));
    let same = killed.compare(&golden) && same;
    println!("killed {kills} times: {}", describe(same));
    same && kills as u64 == KILLS
}

fn describe(same: bool) -> &'static str {
    if same { "the same lines" } else { "other lines" }
}

impl Run<'_> {
    fn root(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    fn command(&self, records: u64, concurrency: u32) -> Command {
        let mut command = Command::new(&self.arguments.program);
        command.args(["-q", "run", "judging.yaml", "--out", self.name]);
        command.args(["--var", &format!("records={records}")]);
        command.args(["--set", &format!("models.writer.concurrency={concurrency}")]);
        command.current_dir(self.folder).env("LLM_BASE_URL", self.url).stdin(Stdio::null());
        command
    }

    fn status(&self) -> Value {
        let bytes = std::fs::read(self.root().join("status.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Starts the run and kills it once so many items have ended; false if it ended before.
    fn kill_after(&self, items: u64) -> bool {
        let mut child = self.command(self.arguments.records, 64).spawn().unwrap();
        loop {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            let status = self.status();
            let ended = ["ok", "dropped", "rejected"].iter().filter_map(|name| status[name].as_u64());
            if ended.sum::<u64>() >= items {
                child.kill().unwrap();
                child.wait().unwrap();
                return true;
            }
            std::thread::sleep(INTERVAL);
        }
    }

    /// Prints which files have other lines, if any have.
    fn compare(&self, golden: &BTreeMap<String, Vec<String>>) -> bool {
        let outputs = output_check::outputs(&self.root());
        for (file, lines) in golden.iter().filter(|(file, lines)| outputs.get(*file) != Some(lines)) {
            let found = outputs.get(file).map_or(0, Vec::len);
            println!("{}/{file}: {found} lines, which are not the {} of `whole`", self.name, lines.len());
        }
        outputs == *golden
    }
}
