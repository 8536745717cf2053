//! The scripted model server of the tests, to be run by hand:
//! `cargo run --example model-server -- --script FILE --log FILE [--port N] [--authority FILE]`.
//!
//! Prints its base URL and serves until it is killed. `CONTRIBUTING.md` describes scripts.

#![expect(clippy::print_stdout, reason = "prints the URL for the user")]
#![expect(clippy::unwrap_used, reason = "a server that cannot go on has failed")]

#[path = "../tests/server/mod.rs"]
mod server;

use std::path::PathBuf;

use clap::Parser;

/// A server with OpenAI's API that answers and misbehaves as a script says.
#[derive(Parser)]
struct Arguments {
    /// The script, a JSON file; without one, every question is answered.
    #[arg(long)]
    script: Option<PathBuf>,
    /// The log file, with a line of JSON per question.
    #[arg(long)]
    log: Option<PathBuf>,
    /// The port; any free port by default.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where to write the certificate of the authority, for clients to trust.
    #[arg(long)]
    authority: Option<PathBuf>,
}

fn main() {
    let Arguments { script, log, port, authority } = Arguments::parse();
    let script = script.map(|file| serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap());
    let options = server::Options { script: script.unwrap_or_default(), log, port, authority };
    server::run(options, |url| println!("{url}"));
}
