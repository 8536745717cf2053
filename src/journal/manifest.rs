//! `manifest.json`: identifies the run in a directory and stores its state. Replaced atomically.
//!
//! Compared with the pipeline at each start, since a run can only continue with the pipeline it began with, and
//! with the logs in `integrity`: it holds the run's id, which each log repeats, and the lengths of the logs of all
//! starts that have ended.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hex::{decode_hex, encode_hex};

/// The version of the run directories that this program creates.
pub(super) const FORMAT: u32 = 4;
/// The oldest version that it reads and continues. In version 3 provenance is not compressed, as its file's name says.
pub(super) const OLDEST_FORMAT: u32 = 3;

/// Identifies a run: random, drawn when the run is created, and repeated in each of its logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId([u8; 16]);

impl RunId {
    /// Draws a new id.
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

/// The lengths of the logs of one start, up to the end of the last good frame. `None` for a log that was never
/// created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLengths {
    /// The commit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commits: Option<u64>,
    /// The answer log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<u64>,
    /// The note log.
    #[serde(default, rename = "batches", skip_serializing_if = "Option::is_none")]
    pub notes: Option<u64>,
}

/// Length and CRC-32 of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChecksum {
    /// Bytes.
    pub length: u64,
    /// CRC-32 of all bytes.
    pub crc: u32,
}

impl FileChecksum {
    /// Appends bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let mut crc = crc32fast::Hasher::new_with_initial_len(self.crc, self.length);
        crc.update(bytes);
        self.crc = crc.finalize();
        self.length += bytes.len() as u64;
    }
}

/// The content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the directory's layout.
    pub format: u32,
    /// The run's id.
    #[serde(default)]
    pub run: RunId,
    /// Version of the program that created the run.
    pub synthmill: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// What the run's results depend on, by part (`seed`, `models.teacher`, `stages.prompt`, ...). A run with a
    /// part that differs is not resumed.
    pub fingerprint: BTreeMap<String, Value>,
    /// The explanations of the stages at the first start, such as the shares they draw by; for reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explained: Vec<Value>,
    /// When the run was first started, local time, `YYYY-MM-DD_HH-MM-SS`.
    pub started: String,
    /// The number of starts; each has its own logs.
    pub generation: u32,
    /// The first start whose commit log counts; earlier commits were merged into it.
    #[serde(default = "first")]
    pub first_generation: u32,
    /// Lengths of the logs of each start that has ended; one that is running, or was killed, has no entry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub logs: BTreeMap<u32, LogLengths>,
    /// Whether rewritten files are waiting to be moved into place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rewriting: bool,
    /// Whether rejected items were removed and are still to be made again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retrying: bool,
    /// The state of the run.
    pub state: RunState,
    /// Total duration of all earlier starts, in seconds.
    pub seconds: f64,
    /// The output files, in the order in which the commit log counts them.
    pub files: Vec<String>,
    /// Checksums of the files that were made of outputs when the run was complete.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arrays: BTreeMap<String, FileChecksum>,
    /// The number of items of the source, once it was read to its end.
    pub items: Option<u64>,
    /// The run directory whose answers this run may reuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<PathBuf>,
    /// The `--limit` of the latest start, if it had one.
    #[serde(default)]
    pub limit: Option<u64>,
}

fn first() -> u32 {
    1
}

/// The state of a run as its manifest holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Running, or killed.
    Running,
    /// Stopped before its end; the same command resumes it.
    Interrupted,
    /// Every item has ended.
    Finished,
}

/// Returns the differences between two fingerprints, one line per value, `path: before -> after`.
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

/// Formats a value on one line, truncated if it is long.
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
