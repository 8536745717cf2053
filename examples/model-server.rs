//! The scripted model server of the tests, to be run by hand:
//! `cargo run --example model-server -- --script FILE --log FILE [--port N] [--authority FILE]`.
//!
//! Prints its base URL and serves until it is ended. `CONTRIBUTING.md` says what a script may hold.

#![expect(clippy::print_stdout, reason = "the URL is for whoever starts it")]
#![expect(clippy::unwrap_used, reason = "a server that cannot go on has failed")]

#[path = "../tests/server/mod.rs"]
mod server;

use std::path::PathBuf;

use clap::Parser;

/// A server with OpenAI's API that answers and misbehaves as a script says.
#[derive(Parser)]
struct Arguments {
    /// The script, a file of JSON; every question is answered without one.
    #[arg(long)]
    script: Option<PathBuf>,
    /// The file that gets a line of JSON for each question.
    #[arg(long)]
    log: Option<PathBuf>,
    /// The port; any that is free without it.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where to write the certificate that clients may trust.
    #[arg(long)]
    authority: Option<PathBuf>,
}

fn main() {
    let Arguments { script, log, port, authority } = Arguments::parse();
    let script = script.map(|file| serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap());
    let options = server::Options { script: script.unwrap_or_default(), log, port, authority };
    server::run(options, |url| println!("{url}"));
}
