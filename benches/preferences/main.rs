//! The recipe `preferences.yaml` over HTTP, on as many chats as are asked for: `cargo bench --bench preferences -- --rows 1000000`.
//!
//! Runs the pipeline as it is shipped on a fifth of the chats and on all of them, against a test server in another process that
//! answers at once, and prints time and the peak of memory of both. Fails if the larger run needs half as much memory again as
//! the smaller, or has no pairs. Needs Linux.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

#[path = "../judging/answers.rs"]
mod answers;
#[path = "../throughput/child.rs"]
mod child;
#[path = "../../tests/server/mod.rs"]
#[expect(dead_code, reason = "the server has answers of its own here, and no script")]
mod server;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use serde_json::{Value, json};

/// How much more memory five times the rows may take.
const MOST: f64 = 1.5;
const RECIPE: &str = "pipelines/recipes/preferences.yaml";

#[derive(Parser)]
struct Arguments {
    /// The chats of the second run; the first has a fifth of them.
    #[arg(long, default_value_t = 50_000)]
    rows: u64,
    /// Answers of each of the two models.
    #[arg(long, default_value_t = 2)]
    answers: u32,
    #[arg(long, default_value_t = 64)]
    concurrency: u32,
    /// Added by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        answers::serve();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let folder = tempfile::TempDir::new().unwrap();
    let mut serving = Command::new(std::env::current_exe().unwrap());
    let mut serving = serving.arg("serve").stdout(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut url).unwrap();
    println!("$ cargo bench --bench preferences -- --rows {}", arguments.rows);
    let few = run(&arguments, folder.path(), url.trim(), arguments.rows / 5);
    let many = run(&arguments, folder.path(), url.trim(), arguments.rows);
    serving.kill().unwrap();
    serving.wait().unwrap();
    println!("{:.2} times the memory for 5 times the rows", many / few);
    if many <= MOST * few { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the recipe over so many chats; returns the peak of memory in MB.
fn run(arguments: &Arguments, folder: &Path, url: &str, rows: u64) -> f64 {
    let (chats, out) = (folder.join("chats.jsonl"), folder.join(format!("out-{rows}")));
    write_chats(&chats, rows);
    let mut command = Command::new(env!("CARGO_BIN_EXE_synthmill"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("LLM_BASE_URL", url);
    command.args(["-q", "run", RECIPE, "--out"]).arg(&out);
    command.args(["--var", &format!("answers={}", arguments.answers)]);
    command.arg("--var").arg(format!("chats={}", chats.display()));
    for model in ["first", "second", "judge"] {
        command.args(["--set", &format!("models.{model}.concurrency={}", arguments.concurrency)]);
        // The server answers by what it is asked: a seed makes several answers to one prompt differ.
        command.args(["--set", &format!("models.{model}.params.seed=per_record")]);
    }
    let used = child::measure(&mut command);
    let status: Value = serde_json::from_slice(&std::fs::read(out.join("status.json")).unwrap()).unwrap();
    let requests = status["requests"].as_u64().unwrap();
    let pairs = BufReader::new(File::open(out.join("pairs.jsonl")).unwrap()).lines().count();
    println!(
        "{rows} chats, {requests} questions, {} at a time of each model: {:.0} s, {:.0} us of CPU a question, {:.0} MB, {pairs} pairs",
        arguments.concurrency,
        used.seconds,
        1e6 * used.cpu / requests as f64,
        used.peak
    );
    assert_eq!(status["rejected"], 0, "{status}");
    assert!(pairs > 0, "no pairs: {status}");
    std::fs::remove_dir_all(out).unwrap();
    used.peak
}

/// Chats in ShareGPT's form, one in three with a system message, one in four with two questions.
fn write_chats(path: &Path, rows: u64) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    for row in 0..rows {
        let turn = |from: &str, value: String| json!({"from": from, "value": value});
        let mut turns = Vec::new();
        if row.is_multiple_of(3) {
            turns.push(turn("system", format!("You are assistant number {row}. Answer in a few sentences.")));
        }
        for question in 0..=u64::from(row.is_multiple_of(4)) {
            turns.push(turn(
                "human",
                format!("Question {question} of chat {row}: why does dough rise in a warm room?"),
            ));
            turns.push(turn("gpt", "The yeast in it makes gas, and faster where it is warm. ".repeat(4)));
        }
        writeln!(file, "{}", json!({"conversations": turns, "source": "bench", "id": row.to_string()}))
            .unwrap();
    }
    file.flush().unwrap();
}
