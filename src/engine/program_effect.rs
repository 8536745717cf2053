//! The programs of a run: each outcome is journaled before it is used.
//!
//! A program costs time but no money, so the budget plays no part. This file defines the key that an outcome is
//! journaled under and its encoding. How a program ended is final, also if it crashed or took too long; that the
//! sandbox itself failed is not journaled and ends the run.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::effect::EffectRunner;
use super::event::Halt;
use super::programs::ProgramRun;
use super::record_end::json_bytes;
use crate::journal::{RequestKey, RequestKeys};
use crate::sandbox::{Program, ProgramOutcome};

/// An outcome in the journal, which also holds answers of models.
#[derive(Serialize, Deserialize)]
struct JournaledOutcome<T> {
    program: T,
}

/// Returns the outcome of a program from the journal, or runs the program and journals its outcome.
pub(super) async fn run(effects: &EffectRunner, run: ProgramRun<'_>) -> Result<ProgramOutcome, Halt> {
    let keys = keys(run);
    if let Some(bytes) = effects.answers.find(keys).await?
        && let Ok(JournaledOutcome { program }) = serde_json::from_slice(&bytes)
    {
        return Ok(program);
    }
    effects.answers.check()?;
    // Its slot is held until the outcome is journaled: a kill loses at most as many outcomes as there are slots.
    let ended = run.perform().await?;
    let outcome = &ended.outcome;
    let bytes = json_bytes(&JournaledOutcome { program: outcome }, 1024 + outcome.stdout.len());
    // A failure may have been the machine's, so another run tries again.
    effects.answers.store(keys, bytes, outcome.is_finished(), effects.spending.spent()).await?;
    Ok(ended.outcome)
}

/// The key of the program is a hash of the stage, the files that its command names, and everything the program is
/// given; the key of the record's own outcome also covers the record and the program's number.
fn keys(run: ProgramRun<'_>) -> RequestKeys {
    let mut hasher = blake3::Hasher::new();
    add(&mut hasher, run.unit.path.as_bytes());
    add(&mut hasher, run.unit.key.as_bytes());
    if let Some(worker) = run.unit.pool.worker() {
        add_program(&mut hasher, worker);
    }
    add_program(&mut hasher, run.program);
    let program = hasher.finalize();
    let key = blake3::hash(format!("{} {} {program}", run.record, run.index).as_bytes());
    RequestKeys { item: run.record.item, key: first_half(&key), question: first_half(&program) }
}

/// Adds what a program is given. Paths below the folder of the project count from there, so that it can be moved.
fn add_program(hasher: &mut blake3::Hasher, program: &Program) {
    let Program { command, env, stdin, files, readable, network, limits } = program;
    let limits = (
        limits.timeout.as_millis(),
        limits.cpu_seconds,
        limits.memory,
        limits.processes,
        limits.output_bytes,
    );
    let here = std::env::current_dir().unwrap_or_default();
    let command: Vec<&Path> =
        command.iter().map(Path::new).map(|part| part.strip_prefix(&here).unwrap_or(part)).collect();
    let readable: Vec<&Path> = readable.iter().map(|path| path.strip_prefix(&here).unwrap_or(path)).collect();
    add(hasher, &json_bytes(&(command, env, readable, network, limits), 256));
    add(hasher, stdin);
    for (path, content) in files {
        add(hasher, path.as_bytes());
        add(hasher, content);
    }
}

/// Adds a part with its length, so that the parts cannot be mistaken for others.
fn add(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}

fn first_half(hash: &blake3::Hash) -> RequestKey {
    let mut key = [0; 16];
    key.copy_from_slice(&hash.as_bytes()[..16]);
    key
}
