//! The cost of a report: `cargo bench --profile dist --bench report`. With fewer records: `-- 100000`.
//!
//! Makes a run of `user-inputs` without a model, then times whole processes of `report` on it. Prints the medians with the
//! command, and asserts nothing. Needs Linux.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

#[path = "throughput/child.rs"]
mod child;

use std::process::Command;

/// Records of the run, unless an argument names another number.
const RECORDS: u64 = 1_000_000;
/// Reports, of which medians are printed.
const TIMES: usize = 3;

fn main() {
    let records = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(RECORDS);
    let folder = tempfile::TempDir::new().unwrap();
    let run = folder.path().join("run");
    let mut make = synthmill();
    make.args(["-q", "run", "pipelines/user-inputs.yaml", "--no-llm", "--set", "durability=process"]);
    make.args(["--var", &format!("rows={records}"), "--out"]).arg(&run);
    child::measure(&mut make);
    println!("synthmill run pipelines/user-inputs.yaml --no-llm --var rows={records} --out RUN");
    println!("synthmill report RUN");
    let report = |_| child::measure(synthmill().args(["-q", "report"]).arg(&run));
    let reports: Vec<child::Usage> = (0..TIMES).map(report).collect();
    println!(
        "report of {records} records (median of {TIMES}): {:.1} s, {:.1} s of CPU, {:.1} us of CPU a record, {:.0} MB",
        median(reports.iter().map(|report| report.seconds)),
        median(reports.iter().map(|report| report.cpu)),
        median(reports.iter().map(|report| 1e6 * report.cpu / records as f64)),
        median(reports.iter().map(|report| report.peak)),
    );
}

fn synthmill() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synthmill"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
