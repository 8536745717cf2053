//! `manifest.json`: what run a directory holds, and how far it has come. Replaced atomically.
//!
//! Compared with the pipeline at each start: a run goes on only with the pipeline it began with. And with the
//! logs, in `integrity`: it holds the run's identity, which each log repeats, and how far the logs of all
//! starts reached that have ended.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hex::{decode_hex, encode_hex};

/// The version of the run directory that this program writes and reads.
pub(super) const FORMAT: u32 = 3;

/// What tells one run from all others: drawn when it is made, and written into each of its logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId([u8; 16]);

impl RunId {
    /// One that no other run has.
    pub(super) fn draw() -> Self {
        Self(rand::random())
    }

    pub(super) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    #[cfg(test)]
    pub(super) const fn of_test() -> Self {
        Self([7; 16])
    }
}

impl From<[u8; 16]> for RunId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<String> for RunId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        decode_hex(&text).map(Self).ok_or("a run's identity has 32 hexadecimal digits")
    }
}

impl From<RunId> for String {
    fn from(run: RunId) -> Self {
        encode_hex(&run.0)
    }
}

/// How far the logs of one start reach: where the last good frame of each ends. A log that was never made
/// has no length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLengths {
    /// The commit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commits: Option<u64>,
    /// The answers' log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<u64>,
    /// The log of notes.
    #[serde(default, rename = "batches", skip_serializing_if = "Option::is_none")]
    pub notes: Option<u64>,
}

/// What a file holds: its length and its CRC-32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChecksum {
    /// Bytes.
    pub length: u64,
    /// Of all of them.
    pub crc: u32,
}

impl FileChecksum {
    /// Adds bytes at the end.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let mut crc = crc32fast::Hasher::new_with_initial_len(self.crc, self.length);
        crc.update(bytes);
        self.crc = crc.finalize();
        self.length += bytes.len() as u64;
    }
}

/// What `manifest.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the directory's layout.
    pub format: u32,
    /// The run's identity.
    #[serde(default)]
    pub run: RunId,
    /// The program's version that made it.
    pub synthmill: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// What the run depends on, by part (`seed`, `models.teacher`, `stages.prompt`, ...): a part that differs
    /// refuses to resume.
    pub fingerprint: BTreeMap<String, Value>,
    /// What the stages told of themselves at the first start, such as the shares they draw by; for reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explained: Vec<Value>,
    /// When the run was first started, local time, `YYYY-MM-DD_HH-MM-SS`.
    pub started: String,
    /// Counts the starts, from 1; each has its own log.
    pub generation: u32,
    /// The first start whose commit log counts; those before it were gathered into it.
    #[serde(default = "first")]
    pub first_generation: u32,
    /// How far the logs of each start reach that has ended; a start that goes on, or was killed, has no entry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub logs: BTreeMap<u32, LogLengths>,
    /// Set while files that were written anew wait to be put in their places.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rewriting: bool,
    /// Set while rejected items that were taken out wait to be made again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retrying: bool,
    /// How far the run has come.
    pub state: RunState,
    /// Seconds that all starts before this one took.
    pub seconds: f64,
    /// The output files in the order the commit log counts them.
    pub files: Vec<String>,
    /// The files that were made of outputs when the run was complete.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arrays: BTreeMap<String, FileChecksum>,
    /// The source's item count, once it was read to its end.
    pub items: Option<u64>,
    /// The run directory whose answers this run may use again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<PathBuf>,
    /// The limit of the latest start, if it had one.
    #[serde(default)]
    pub limit: Option<u64>,
}

fn first() -> u32 {
    1
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

/// What differs between two fingerprints, a line for each value, `path: before -> after`.
pub(super) fn differences(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<String> {
    let mut lines = Vec::new();
    for (part, new) in after {
        match before.get(part) {
            Some(old) => compare(part, old, new, &mut lines),
            None => lines.push(format!("{part}: new")),
        }
    }
    for part in before.keys().filter(|part| !after.contains_key(*part)) {
        lines.push(format!("{part}: gone"));
    }
    lines
}

fn compare(path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    if old == new {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        let what = match path.starts_with("files.") {
            true => "its content changed".to_owned(),
            false => format!("{} -> {}", shown(old), shown(new)),
        };
        lines.push(format!("{path}: {what}"));
        return;
    };
    for (key, new) in new {
        match old.get(key) {
            Some(old) => compare(&format!("{path}.{key}"), old, new, lines),
            None => lines.push(format!("{path}.{key}: nothing -> {}", shown(new))),
        }
    }
    for (key, old) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
        lines.push(format!("{path}.{key}: {} -> nothing", shown(old)));
    }
}

/// A value on one line, cut where it is long.
fn shown(value: &Value) -> String {
    const MOST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_name_path_before_and_after() {
        let before = BTreeMap::from([
            ("seed".to_owned(), json!(1)),
            ("stages.prompt".to_owned(), json!({"user": "a", "old": 1})),
            ("files.a.md".to_owned(), json!("x")),
            ("vars".to_owned(), json!({})),
        ]);
        let after = BTreeMap::from([
            ("seed".to_owned(), json!(2)),
            ("stages.prompt".to_owned(), json!({"user": "b", "new": [1]})),
            ("files.a.md".to_owned(), json!("y")),
            ("models.m".to_owned(), json!({})),
        ]);
        let expected = [
            "files.a.md: its content changed",
            "models.m: new",
            "seed: 1 -> 2",
            "stages.prompt.user: \"a\" -> \"b\"",
            "stages.prompt.new: nothing -> [1]",
            "stages.prompt.old: 1 -> nothing",
            "vars: gone",
        ];
        assert_eq!(differences(&before, &after), expected);
        assert!(differences(&before, &before).is_empty());
    }
}
