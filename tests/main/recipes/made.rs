//! Runs a recipe with the mock and reads what it made.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::harness::{outputs, provenance_lines, synthmill};

/// What a run made.
pub(crate) struct Made {
    /// The lines of each sink by its file, sorted.
    files: BTreeMap<String, Vec<Value>>,
    pub(crate) status: Value,
    /// The lines of `provenance/`.
    pub(crate) provenance: Vec<Value>,
}

impl Made {
    /// Runs `pipelines/recipes/RECIPE` in a project, with the mock unless the arguments say otherwise, and asserts that it is
    /// complete.
    pub(crate) fn by(dir: &Path, recipe: &str, arguments: &[&str]) -> Self {
        let file = format!("pipelines/recipes/{recipe}");
        let mut words = vec!["-q", "run", &file, "--fresh", "--out", "made"];
        words.extend(arguments);
        if !arguments.contains(&"--no-llm") {
            words.push("--mock");
        }
        synthmill(dir, &words, 0);
        Self::read(&dir.join("made"))
    }

    pub(crate) fn read(root: &Path) -> Self {
        let parse = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        let files = outputs(root)
            .into_iter()
            .map(|(file, lines)| (file, lines.iter().map(|line| parse(line)).collect()))
            .collect();
        let status = parse(&std::fs::read_to_string(root.join("status.json")).unwrap());
        let provenance = provenance_lines(root).lines().map(parse).collect();
        Self { files, status, provenance }
    }

    #[track_caller]
    pub(crate) fn lines(&self, file: &str) -> &[Value] {
        self.files.get(file).unwrap_or_else(|| panic!("no `{file}` among {:?}", self.files.keys()))
    }

    /// The records that ended with `reason`: `ok`, a reason of a filter, or the class of a rejection.
    pub(crate) fn ended(&self, reason: &str) -> usize {
        self.provenance.iter().filter(|line| line["outcome"] == reason).count()
    }
}

/// Asserts that `count` of `of` draws are a `share` of them, within three standard errors.
#[track_caller]
pub(crate) fn assert_share(count: usize, of: usize, share: f64) {
    let error = (share * (1.0 - share) / of as f64).sqrt();
    let found = count as f64 / of as f64;
    assert!(
        (found - share).abs() <= 3.0 * error,
        "{count} of {of} is {found:.4}, not {share:.4} +- {:.4}",
        3.0 * error
    );
}
