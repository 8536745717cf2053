//! How many programs `exec` runs a second: `cargo bench --bench programs`.
//!
//! Workers: a Python program that computes for 100 microseconds a line. Processes: `python3 -c pass` in the sandbox, beside
//! `bwrap ... python3 -c pass` in a loop on the same machine. Prints figures and compares; fails if there are less than
//! those that the documentation promises. Needs Linux and `python3`; the comparison needs `bwrap`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

#[path = "../throughput/child.rs"]
mod child;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use clap::Parser;
use serde_json::Value;

/// Lines a second that workers must answer on two processors.
const LINES: f64 = 8000.0;
const WORKER: &str = "import sys, time\n\
    for line in sys.stdin:\n\
    \x20   end = time.perf_counter() + 100e-6\n\
    \x20   while time.perf_counter() < end:\n\
    \x20       pass\n\
    \x20   sys.stdout.write('{\"score\": 1}\\n')\n\
    \x20   sys.stdout.flush()\n";

#[derive(Parser)]
struct Arguments {
    /// The lines that workers answer.
    #[arg(long, default_value_t = 80_000)]
    lines: u32,
    /// The programs that run as processes.
    #[arg(long, default_value_t = 800)]
    programs: u32,
    /// Repetitions; the best one counts.
    #[arg(long, default_value_t = 3)]
    repeat: u32,
    /// Added by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("worker.py"), WORKER).unwrap();
    println!("$ cargo bench --bench programs");
    let (mut lines, mut programs, mut loops) = (0.0_f64, 0.0_f64, 0.0_f64);
    for _ in 0..arguments.repeat {
        let worker = "{command: [python3, worker.py], mode: worker, input: [row], \
                      output: {type: object, required: [score], properties: {score: {type: integer}}}}";
        lines = lines.max(rate(folder.path(), "workers", worker, arguments.lines));
        let process = "{command: [python3, -c, pass]}";
        programs = programs.max(rate(folder.path(), "processes", process, arguments.programs));
        loops = loops.max(bwrap_loop(arguments.programs / 2).unwrap_or_default());
    }
    println!("best: workers {lines:.0} lines/s, processes {programs:.1}/s, bwrap in a loop {loops:.1}/s");
    if lines >= LINES && programs >= loops { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a pipeline with this `exec` on so many rows; returns the programs a second.
fn rate(folder: &Path, name: &str, exec: &str, rows: u32) -> f64 {
    let yaml = format!(
        "name: {name}\nstages:\n  - generate: {{count: {rows}}}\n  - exec: {exec}\n  \
         - sink: {{path: out.jsonl, format: raw, fields: [row]}}\n"
    );
    std::fs::write(folder.join("p.yaml"), yaml).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_synthmill"));
    command.current_dir(folder).args(["-q", "run", "p.yaml", "--fresh", "--out", name]);
    let used = child::measure(&mut command);
    let status = std::fs::read(folder.join(name).join("status.json")).unwrap();
    let status: Value = serde_json::from_slice(&status).unwrap();
    assert_eq!(status["ok"], rows, "{status}");
    let rate = f64::from(rows) / used.seconds;
    println!(
        "{name}: {rows} in {:.2} s, {rate:.1}/s, {:.1} s of CPU, {:.0} MB",
        used.seconds, used.cpu, used.peak
    );
    rate
}

/// Runs `bwrap ... python3 -c pass` in a loop; returns the programs a second, or `None` without bubblewrap.
fn bwrap_loop(programs: u32) -> Option<f64> {
    let start = Instant::now();
    for _ in 0..programs {
        let mut command = Command::new("bwrap");
        command.args([
            "--unshare-all",
            "--die-with-parent",
            "--ro-bind",
            "/usr",
            "/usr",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
        ]);
        for link in ["bin", "lib", "lib64"] {
            command.args(["--symlink", &format!("usr/{link}"), &format!("/{link}")]);
        }
        command.args(["--tmpfs", "/tmp", "--", "/usr/bin/python3", "-c", "pass"]);
        let ended = command.stdout(Stdio::null()).status();
        let Ok(ended) = ended else {
            println!("bwrap is not installed: nothing to compare with");
            return None;
        };
        assert!(ended.success(), "{ended}");
    }
    let rate = f64::from(programs) / start.elapsed().as_secs_f64();
    println!("bwrap in a loop: {programs} programs, {rate:.1}/s");
    Some(rate)
}
