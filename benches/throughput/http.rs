//! A whole run over HTTP: its rate and its CPU beside those of the bare loop, and its memory.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child::{self, Usage};
use crate::server::Server;
use crate::{Arguments, median, user_inputs};

/// Requests whose bodies are stored for the bare loop.
const BODIES: u64 = 1000;

/// The program and the bare loop in turn, with this many requests at a time.
pub(crate) fn share(arguments: &Arguments, folder: &Path, places: usize) {
    let bodies = bodies(arguments, folder);
    let server = Server::start(None);
    let out = folder.join("http");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..arguments.times {
        bare.push(loop_of_requests(arguments.items, places, &server, &bodies));
        let _ = std::fs::remove_dir_all(&out);
        let (program, rows) = (&arguments.program, arguments.items);
        ours.push(child::measure(&mut user_inputs::command(program, &server.url, places, rows, &out)));
    }
    let items = arguments.items as f64;
    let rate = |runs: &[Usage]| median(runs.iter().map(|run| items / run.seconds));
    let cost = |runs: &[Usage]| median(runs.iter().map(|run| 1e6 * run.cpu / items));
    let ratio =
        |of: fn(&Usage) -> f64| median(ours.iter().zip(&bare).map(|(ours, bare)| of(ours) / of(bare)));
    println!(
        "user-inputs over HTTP, {places} at a time: {:.0} items a second, bare loop {:.0}, share {:.2}",
        rate(&ours),
        rate(&bare),
        1.0 / ratio(|run| run.seconds),
    );
    println!(
        "    CPU per item {:.0} us, bare loop {:.0} us, times {:.1}",
        cost(&ours),
        cost(&bare),
        ratio(|run| run.cpu),
    );
    println!(
        "    on disk, bytes an item: output {:.0}, provenance {:.0}, journal {:.0}",
        size(&out.join("user-inputs.jsonl")) / items,
        size(&out.join("provenance")) / items,
        size(&out.join("journal")) / items,
    );
}

/// Peak memory of a short and of a long run, with so many items in flight.
pub(crate) fn memory(arguments: &Arguments, folder: &Path) {
    let server = Server::start(None);
    let out = folder.join("memory");
    for places in [64, 256, 1024] {
        let peaks = [arguments.items, arguments.rows].map(|rows| {
            let _ = std::fs::remove_dir_all(&out);
            let command = &mut user_inputs::command(&arguments.program, &server.url, places, rows, &out);
            let in_flight = format!("max_in_flight={places}");
            child::measure(command.args(["--set", &in_flight])).peak
        });
        println!(
            "{places} in flight: {:.0} MB after {} items, {:.0} MB after {}",
            peaks[0], arguments.items, peaks[1], arguments.rows
        );
    }
    let _ = std::fs::remove_dir_all(&out);
}

/// Runs the bare loop in a process of its own.
pub(crate) fn loop_of_requests(items: u64, places: usize, server: &Server, bodies: &Path) -> Usage {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["bare", &server.url]).arg(bodies).args([items.to_string(), places.to_string()]);
    child::measure(&mut command)
}

/// Stores the bodies that the program sends, and returns their file.
pub(crate) fn bodies(arguments: &Arguments, folder: &Path) -> PathBuf {
    let path = folder.join("bodies.jsonl");
    let server = Server::start(Some(&path));
    let out = folder.join("bodies");
    let _ = std::fs::remove_dir_all(&out);
    child::measure(&mut user_inputs::command(&arguments.program, &server.url, 64, BODIES, &out));
    path
}

/// Returns the bytes of a file, or of the files in a folder.
fn size(path: &Path) -> f64 {
    if !path.is_dir() {
        return path.metadata().unwrap().len() as f64;
    }
    std::fs::read_dir(path).unwrap().map(|entry| size(&entry.unwrap().path())).sum()
}
