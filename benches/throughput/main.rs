//! What an item costs: `cargo bench --profile dist --bench throughput`. Some figures only: `-- http start`.
//!
//! Measures whole processes of the program: items a second, CPU, memory, and the time to the first request. Where it asks
//! a model, that is a server in another process that answers at once (`server`), and the same number of requests is made
//! by a loop of plain reqwest calls, in a process of its own (`bare`). The two run in turn, so that other work on the
//! machine slows both; medians are printed. Prints each figure with its command, and asserts nothing. Needs Linux.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

mod bare;
mod child;
mod http;
mod offline;
mod peers;
mod resuming;
mod server;
mod user_inputs;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// The figures and how long they are measured.
#[derive(Parser)]
struct Arguments {
    /// What to measure; by default everything but the peers.
    figures: Vec<Figure>,
    /// Items of each run that is compared with the bare loop.
    #[arg(long, default_value_t = 20_000)]
    items: u64,
    /// Items of the long runs: those without a model, the second of each pair for memory, and the run that is resumed.
    #[arg(long, default_value_t = 100_000)]
    rows: u64,
    /// Runs of each kind, of which the median is printed.
    #[arg(long, default_value_t = 5)]
    times: usize,
    /// The program, if not the one that was built with the benchmark.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_synthmill"))]
    program: PathBuf,
    /// The Python that has what the peers need; `benches/peers/run` installs it.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Added by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Figure {
    /// Items a second and CPU per item over HTTP, beside the bare loop; bytes on disk.
    Http,
    /// CPU per item of `user-inputs --no-llm`.
    Rows,
    /// CPU per written record of `docs-to-qa --no-llm`.
    Records,
    /// Peak memory with 64, 256 and 1,024 items in flight, and whether it grows with the run.
    Memory,
    /// The time from the start to the first request, of a new run and of a resumed one.
    Start,
    /// The same work in plain Python.
    Peers,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => return server::serve(None),
        ["serve", record] => return server::serve(Some(record.into())),
        ["bare", url, bodies, items, places] => {
            return bare::ask_all(url, bodies.as_ref(), items.parse().unwrap(), places.parse().unwrap());
        }
        _ => {}
    }
    let arguments = Arguments::parse();
    let wanted = |figure| arguments.figures.is_empty() || arguments.figures.contains(&figure);
    let folder = tempfile::TempDir::new().unwrap();
    let folder = folder.path();
    if wanted(Figure::Http) {
        heading(&format!("http --items {} --times {}", arguments.items, arguments.times));
        for places in [64, 1024] {
            http::share(&arguments, folder, places);
        }
    }
    if wanted(Figure::Rows) {
        heading(&format!("rows --rows {} --times {}", arguments.rows, arguments.times));
        offline::rows(&arguments, folder);
    }
    if wanted(Figure::Records) {
        heading(&format!("records --times {}", arguments.times));
        offline::records(&arguments, folder);
    }
    if wanted(Figure::Memory) {
        heading(&format!("memory --items {} --rows {}", arguments.items, arguments.rows));
        http::memory(&arguments, folder);
    }
    if wanted(Figure::Start) {
        heading(&format!("start --rows {} --times {}", arguments.rows, arguments.times));
        resuming::first_requests(&arguments, folder);
    }
    if arguments.figures.contains(&Figure::Peers) {
        println!("\n$ benches/peers/run --items {} --times {}", arguments.items, arguments.times);
        peers::compare(&arguments, &arguments.python, folder);
    }
}

fn heading(arguments: &str) {
    println!("\n$ cargo bench --profile dist --bench throughput -- {arguments}");
}

fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
