//! The same work in other programs (`benches/peers/`), in turn with ours against the same server.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child::{self, Usage};
use crate::server::Server;
use crate::{Arguments, http, median, user_inputs};

/// Requests at a time.
const PLACES: usize = 64;

/// Prints a table of the peers, as Markdown.
pub(crate) fn compare(arguments: &Arguments, python: &Path, folder: &Path) {
    let bodies = http::bodies(arguments, folder);
    let server = Server::start(None);
    let out = folder.join("peers");
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/peers/plain_python.py");
    let (mut ours, mut bare, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.times {
        let _ = std::fs::remove_dir_all(&out);
        let (program, items) = (&arguments.program, arguments.items);
        ours.push(child::measure(&mut user_inputs::command(program, &server.url, PLACES, items, &out)));
        bare.push(http::loop_of_requests(items, PLACES, &server, &bodies));
        let mut command = Command::new(python);
        command.arg(&script).arg(&server.url).arg(&bodies).arg(folder.join("plain.jsonl"));
        command.args(["--items", &items.to_string(), "--concurrency", &PLACES.to_string()]);
        plain.push(child::measure(&mut command));
    }
    println!(
        "| {} items, {PLACES} at a time | items a second | CPU per item | peak memory |",
        arguments.items
    );
    println!("|---|---|---|---|");
    let row = |name: &str, runs: &[Usage]| {
        println!(
            "| {name} | {:.0} | {:.0} us | {:.0} MB |",
            median(runs.iter().map(|run| arguments.items as f64 / run.seconds)),
            median(runs.iter().map(|run| 1e6 * run.cpu / arguments.items as f64)),
            median(runs.iter().map(|run| run.peak)),
        );
    };
    row("synthmill: draws, renders, asks, journals, writes", &ours);
    row("plain Python: asks, writes", &plain);
    row("bare loop of reqwest: asks", &bare);
}
