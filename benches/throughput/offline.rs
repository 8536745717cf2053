//! What an item costs without a model server, where the heuristic answers.

use std::path::Path;
use std::process::Command;

use crate::child::{self, Usage};
use crate::{Arguments, median, user_inputs};

/// `user-inputs --no-llm`: templates, draws and the journal, with next to no work of the heuristic.
pub(crate) fn rows(arguments: &Arguments, folder: &Path) {
    let out = folder.join("rows");
    let run = || user_inputs::pipeline(&arguments.program, arguments.rows, &out);
    let runs = repeat(arguments, &out, || child::measure(run().arg("--no-llm")));
    print("user-inputs --no-llm", "item", &runs, arguments.rows as f64);
}

/// `docs-to-qa --no-llm` on the shipped documents.
pub(crate) fn records(arguments: &Arguments, folder: &Path) {
    let out = folder.join("records");
    let runs = repeat(arguments, &out, || {
        let mut command = Command::new(&arguments.program);
        command.args(["-q", "run", "pipelines/docs-to-qa.yaml", "--no-llm", "--out"]).arg(&out);
        child::measure(command.current_dir(env!("CARGO_MANIFEST_DIR")))
    });
    let lines = |name: &str| std::fs::read_to_string(out.join(name)).unwrap().lines().count();
    let written = lines("train.jsonl") + lines("validation.jsonl");
    print("docs-to-qa --no-llm", "written record", &runs, written as f64);
}

fn repeat(arguments: &Arguments, out: &Path, run: impl Fn() -> Usage) -> Vec<Usage> {
    let once = |_| {
        let _ = std::fs::remove_dir_all(out);
        run()
    };
    (0..arguments.times).map(once).collect()
}

fn print(what: &str, of: &str, runs: &[Usage], count: f64) {
    println!(
        "{what}, {count} of them: CPU per {of} {:.0} us, {:.0} a second, {:.0} MB",
        median(runs.iter().map(|run| 1e6 * run.cpu / count)),
        median(runs.iter().map(|run| count / run.seconds)),
        median(runs.iter().map(|run| run.peak)),
    );
}
