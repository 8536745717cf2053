//! Checks the outputs of a finished run: complete lines, unique ids, and the same lines as an undisturbed run. Its own
//! test plants each kind of fault and expects it to be named. The soak in `benches/` uses it too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

/// Returns what is wrong with the run in `root`, compared with the outputs of an undisturbed run.
pub(crate) fn violations(root: &Path, golden: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut found = Vec::new();
    let mut ids = BTreeSet::new();
    let outputs = outputs(root);
    for (file, expected) in golden {
        let bytes = std::fs::read(root.join(file)).unwrap_or_default();
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            found.push(format!("{file}: ends in half a line"));
        }
        let lines = outputs.get(file).cloned().unwrap_or_default();
        for line in &lines {
            match serde_json::from_str::<Value>(line) {
                Err(_) => found.push(format!("{file}: torn line `{line}`")),
                Ok(value) => {
                    let id = value["id"].as_str().unwrap_or_default().to_owned();
                    if !ids.insert(id.clone()) {
                        found.push(format!("{file}: id {id} stands twice"));
                    }
                }
            }
        }
        let (have, want): (BTreeSet<_>, BTreeSet<_>) = (lines.iter().collect(), expected.iter().collect());
        found.extend(want.difference(&have).map(|line| format!("{file}: lost line `{line}`")));
        found.extend(have.difference(&want).map(|line| format!("{file}: foreign line `{line}`")));
    }
    found.extend(
        outputs.keys().filter(|file| !golden.contains_key(*file)).map(|file| format!("{file}: foreign file")),
    );
    found
}

/// Returns the sorted lines of every sink and of `rejected.jsonl`, by file.
pub(crate) fn outputs(root: &Path) -> BTreeMap<String, Vec<String>> {
    let mut outputs = BTreeMap::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "jsonl") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            outputs.insert(path.file_name().unwrap().to_string_lossy().into_owned(), lines);
        }
    }
    outputs
}

#[test]
fn the_checker_names_each_planted_fault() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("train.jsonl");
    let lines = ["{\"id\":\"000000\",\"n\":0}", "{\"id\":\"000001\",\"n\":1}", "{\"id\":\"000002\",\"n\":2}"];
    let golden = BTreeMap::from([("train.jsonl".to_owned(), lines.map(str::to_owned).to_vec())]);
    let check = |text: String, expected: &[&str]| {
        std::fs::write(&path, text).unwrap();
        let found = violations(dir.path(), &golden);
        for word in expected {
            assert!(found.iter().any(|line| line.contains(word)), "no `{word}` in {found:?}");
        }
        assert_eq!(found.is_empty(), expected.is_empty(), "{found:?}");
    };
    let [a, b, c] = lines;
    check(format!("{c}\n{a}\n{b}\n"), &[]);
    check(format!("{a}\n{c}\n"), &["lost line `{\"id\":\"000001\""]);
    check(format!("{a}\n{b}\n{c}\n{b}\n"), &["id 000001 stands twice"]);
    check(format!("{a}\n{b}\n{c}\n{}", &a[..9]), &["half a line", "torn line"]);
    check(format!("{a}\n{b}\n{c}\n{{\"id\":\"000009\"}}\n"), &["foreign line `{\"id\":\"000009\""]);
}
