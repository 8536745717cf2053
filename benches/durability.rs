//! The cost of durability, and the time to resume a long run: `cargo bench --bench durability`.
//!
//! Times whole processes of the program, on a pipeline whose records are generated and go through a template to a file.
//! Prints one line per figure and asserts nothing.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Items of the throughput runs.
const ITEMS: u64 = 100_000;
/// Finished items before a run is resumed.
const DONE: u64 = 1_000_000;
/// Pairs of runs; the median of their ratios is printed.
const PAIRS: usize = 5;

fn main() {
    let dir = tempfile::TempDir::new().unwrap();
    for (name, durability) in [("on", "power"), ("off", "process")] {
        std::fs::write(dir.path().join(format!("{name}.yaml")), pipeline(durability)).unwrap();
    }
    provenance(dir.path());
    work(dir.path());
    throughput(dir.path());
    resume(dir.path());
}

/// Bytes of provenance per item of `user-inputs`, at several rates: a commit is one frame, and the fewer items it has,
/// the less they can share. One run, stopped and continued with another concurrency at a model that takes 0.2 seconds.
fn provenance(dir: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = dir.join("provenance");
    let size =
        || std::fs::metadata(out.join("provenance/records-0001.jsonl.zst")).map_or(0, |file| file.len());
    let mut done = 0;
    // The first items have more whole exchanges than the millionth.
    for (items, concurrency) in [(50_000, 1000), (20_000, 1000), (2_000, 20), (100, 1)] {
        let (before, begun) = (size(), Instant::now());
        let status = Command::new(env!("CARGO_BIN_EXE_synthmill"))
            .args(["-q", "run", "pipelines/user-inputs.yaml", "--mock", "--var", "rows=1000000"])
            .args(["--set", "models.writer.mock.delay=0.2", "--set", "max_in_flight=2000"])
            .args(["--set", &format!("models.writer.concurrency={concurrency}")])
            .args(["--limit", &(done + items).to_string(), "--out"])
            .arg(&out)
            .current_dir(root)
            .status()
            .unwrap();
        assert!(status.success());
        let rate = items as f64 / begun.elapsed().as_secs_f64();
        let bytes = (size() - before) as f64 / items as f64;
        println!(
            "provenance of user-inputs, items {done} and on: {bytes:.0} bytes an item at {rate:.0} items a second"
        );
        done += items;
    }
}

/// Items with some work: the shipped documents, answered by the heuristic, a few thousand per second.
fn work(dir: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let time = |name: &str, durability: &str| {
        let out = dir.join(name);
        let _ = std::fs::remove_dir_all(&out);
        let begun = Instant::now();
        let status = Command::new(env!("CARGO_BIN_EXE_synthmill"))
            .args(["-q", "run", "pipelines/docs-to-qa.yaml", "--no-llm", "--set", durability, "--out"])
            .arg(&out)
            .current_dir(root)
            .status()
            .unwrap();
        assert!(status.success());
        begun.elapsed().as_secs_f64()
    };
    let _ = time("work-on", "durability=power");
    let status = std::fs::read_to_string(dir.join("work-on/status.json")).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let items = status["admitted"].as_u64().unwrap() as f64;
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let on = time("work-on", "durability=power");
        ratios.push(time("work-off", "durability=process") / on);
        rates.push(items / on);
    }
    println!(
        "docs-to-qa without a model, durability on: {:.0} items a second, whole process",
        median(&mut rates)
    );
    println!("throughput with durability on, of that with it off: {:.0} %", 100.0 * median(&mut ratios));
}

fn pipeline(durability: &str) -> String {
    format!(
        "name: bench\ndurability: {durability}\nmax_in_flight: 1024\nvars: {{count: {ITEMS}}}\nstages:\n  \
         - generate: {{count: \"{{{{ vars.count }}}}\"}}\n  \
         - prompt: {{user: \"Write about {{{{ row }}}} in two sentences, for people who know little of it.\"}}\n  \
         - sink: {{path: rows.jsonl, format: raw}}\n"
    )
}

fn throughput(dir: &Path) {
    let mut ratios = Vec::new();
    let mut rates = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let on = run(dir, "on", &[]);
        let off = run(dir, "off", &[]);
        ratios.push(off.as_secs_f64() / on.as_secs_f64());
        rates.0.push(ITEMS as f64 / on.as_secs_f64());
        rates.1.push(ITEMS as f64 / off.as_secs_f64());
    }
    println!("items that take no work at all:");
    println!("durability on:  {:.0} items a second (median of {PAIRS})", median(&mut rates.0));
    println!("durability off: {:.0} items a second", median(&mut rates.1));
    println!("throughput with durability on, of that with it off: {:.0} %", 100.0 * median(&mut ratios));
}

fn resume(dir: &Path) {
    let count = format!("count={}", DONE + 1);
    let done = DONE.to_string();
    let begin = run(dir, "on", &["--var", &count, "--limit", &done]);
    println!("{DONE} items made in {:.1} s", begin.as_secs_f64());
    let begun = Instant::now();
    let output = Command::new("/usr/bin/env")
        .args(["time", "-f", "%M", env!("CARGO_BIN_EXE_synthmill"), "-q"])
        .args(["run", "on.yaml", "--out", "on", "--var", &count])
        .current_dir(dir)
        .output();
    let seconds = begun.elapsed().as_secs_f64();
    match output {
        Ok(output) if output.status.success() => {
            let peak = String::from_utf8_lossy(&output.stderr);
            let peak: f64 = peak.trim().lines().last().unwrap_or("0").parse().unwrap_or(0.0);
            println!(
                "resumed with {DONE} done, one item more, all checked: {seconds:.2} s, {:.0} MB",
                peak / 1024.0
            );
        }
        other => println!("not measured: {other:?} (needs GNU time)"),
    }
}

fn run(dir: &Path, name: &str, arguments: &[&str]) -> Duration {
    let _ = std::fs::remove_dir_all(dir.join(name));
    let begun = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_synthmill"))
        .args(["-q", "run", &format!("{name}.yaml"), "--out", name])
        .args(arguments)
        .current_dir(dir)
        .status()
        .unwrap();
    assert!(status.success());
    begun.elapsed()
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
