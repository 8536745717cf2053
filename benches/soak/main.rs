//! A soak: `cargo bench --bench soak -- --minutes 10`. Runs that are killed at random, against a server that fails at random.
//!
//! Each round draws a run and its disturbances (`round`), goes on until the run is complete, and is then checked: every
//! item once and the same lines as in an undisturbed run (`output_check`), every committed byte as it was written
//! (`synthmill repair`), and no answer paid for twice but those that were in flight at a kill, as the server counted them.
//! The seed fixes what is drawn, not how fast the machine is. The first violation is printed and ends the soak; the
//! round's folder is then kept.

#![expect(clippy::print_stdout, reason = "a soak prints its rounds")]
#![expect(clippy::unwrap_used, reason = "a soak that cannot go on has failed")]

#[path = "../../tests/main/harness/output_check.rs"]
mod output_check;
mod round;
#[path = "../../tests/server/mod.rs"]
mod server;
mod server_process;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use round::{Outcome, Round};

/// How long to go on, and with what.
#[derive(Parser)]
struct Arguments {
    /// Rounds begin for so many minutes.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Determines what is drawn; by default it is random, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// The program, if not the one that was built with this benchmark.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_synthmill"))]
    program: PathBuf,
    /// Added by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let ["serve", options] = words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        server::run(serde_json::from_str(options).unwrap(), |url| println!("{url}"));
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("$ cargo bench --bench soak -- --minutes {} --seed {seed}", arguments.minutes);
    let program = std::path::absolute(&arguments.program).unwrap();
    let (begun, mut rounds, mut all) = (Instant::now(), 0_u64, Outcome::default());
    while begun.elapsed() < Duration::from_secs_f64(60.0 * arguments.minutes) {
        // Each round has its own sequence, as how often it draws depends on how fast it goes.
        let mut random = ChaCha8Rng::seed_from_u64(seed.wrapping_add(rounds));
        rounds += 1;
        let folder = tempfile::TempDir::new().unwrap();
        let round = Round::draw(&mut random);
        println!("round {rounds}: {round}");
        let outcome = round.run(&program, folder.path(), &mut random);
        println!("    {outcome}");
        if !outcome.violations.is_empty() {
            println!("violations, in {}:\n{}", folder.keep().display(), outcome.violations.join("\n"));
            return ExitCode::FAILURE;
        }
        all.add(&outcome);
    }
    println!("{rounds} rounds in {:.0} s without a violation: {all}", begun.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}
