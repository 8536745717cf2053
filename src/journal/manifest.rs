//! `manifest.json`: what run a directory holds, and how far it has come. Replaced atomically.
//!
//! Compared with the pipeline at each start: a run goes on only with the pipeline it began with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The version of the run directory that this program writes and reads.
pub(super) const FORMAT: u32 = 1;

/// What `manifest.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the directory's layout.
    pub format: u32,
    /// The program's version that made it.
    pub synthmill: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// What the run depends on, by part (`seed`, `models.teacher`, `stages.prompt`, ...), as hashes of the
    /// values: a part that differs refuses to resume.
    pub fingerprint: BTreeMap<String, String>,
    /// When the run was first started, local time, `YYYY-MM-DD_HH-MM-SS`.
    pub started: String,
    /// Counts the starts, from 1; each has its own log.
    pub generation: u32,
    /// How far the run has come.
    pub state: RunState,
    /// Seconds that all starts before this one took.
    pub seconds: f64,
    /// The output files in the order the commit log counts them.
    pub files: Vec<String>,
    /// The source's item count, once it was read to its end.
    pub items: Option<u64>,
    /// The run directory whose answers this run may use again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<PathBuf>,
    /// The limit under which the run finished, if it had one.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Being run, or killed.
    Running,
    /// Stopped before its end; the same command goes on.
    Interrupted,
    /// Every item has ended.
    Finished,
}
