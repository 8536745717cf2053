//! Injection files that are refused, each with its messages.

use super::*;

/// Checks the messages about a file of this name and content, joined by ` | `.
fn check(file: &str, text: &str, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(file);
    std::fs::write(&path, text).unwrap();
    let found = match read(path.to_str().unwrap(), file.rsplit_once('.').unwrap().0) {
        Ok((name, weighted)) => format!("{name}: {}", weighted.texts().join(", ")),
        Err(problems) => problems.join(" | "),
    };
    assert!(found.contains(expected), "{file} {text}\nsays    {found}\ninstead {expected}");
}

#[test]
fn wrong_entries_are_refused_by_number_and_key() {
    for (entries, expected) in [
        (
            r#"[{"tone": "a", "frequency score": 1}, {"mood": "b", "frequency score": 1}]"#,
            "entry 2 has no key `tone`, which is the file's name; it has `mood`, `frequency score`",
        ),
        (r#"[{"tune": "b", "frequency score": 1}]"#, "entry 1 has no key `tone`"),
        (r#"[{"tune": "b", "frequency score": 1}]"#, "did you mean it by `tune`?"),
        (r#"[{}]"#, "it has no key"),
        (r#"[{"tone": "a"}]"#, "entry 1 has no key `frequency score`"),
        (r#"[{"tone": "a", "frequency scor": 1}]"#, "did you mean it by `frequency scor`?"),
        (
            r#"[{"tone": "a", "frequency score": -1}]"#,
            "entry 1 has the `frequency score` -1, expected 0 or more",
        ),
        (r#"[{"tone": "a", "frequency score": "5"}]"#, "entry 1 has the text `5` as `frequency score`"),
        (r#"[{"tone": "a", "frequency score": null}]"#, "expected a number"),
        (r#"[{"tone": "a", "frequency score": [1]}]"#, "has a list as `frequency score`"),
        (r#"[{"tone": "a", "frequency score": NaN}]"#, "is not JSON: expected value at line 1"),
        (r#"[{"tone": "a", "frequency score": 1e999}]"#, "is not JSON: number out of range"),
        (
            r#"[{"tone": "a", "frequency score": 0}, {"tone": "b", "frequency score": 0}]"#,
            "all scores are 0, so nothing can be drawn",
        ),
        ("[]", "there is no value"),
        (
            r#"[{"tone": "a", "frequency score": 1}, {"tone": "b", "frequency score": 1}, {"tone": "a", "frequency score": 2}]"#,
            "entry 3 has the same value as entry 1: `a`",
        ),
        (r#"[{"tone": ["a"], "frequency score": 1}]"#, "entry 1 has a list under `tone`, expected a text"),
        (r#"{"tone": "a", "frequency score": 1}"#, "holds an object, expected a list of objects"),
        (r#"["a"]"#, "entry 1 is a text, expected an object"),
        (r#"[{"tone": "a", "frequency score": 1},]"#, "is not JSON: trailing comma at line 1"),
    ] {
        check("tone.json", entries, expected);
    }
}

#[test]
fn yaml_and_csv_are_held_to_the_same() {
    check("tone.yaml", "- {tone: a, frequency score: .nan}", "is not YAML: line 1 column 30: non-finite");
    check("tone.yaml", "- {tone: a, frequency score: many}", "has the text `many`");
    check("tone.yml", "- [", "is not YAML");
    check("tone.csv", "tone,frequency score\na,NaN\n", "entry 1 has the text `NaN` as `frequency score`");
    check("tone.csv", "tone,frequency score\na,inf\n", "has the text `inf`");
    check("tone.csv", "tone,frequency score\na,-2\n", "expected 0 or more");
    check("tone.csv", "tone,frequency score\na\n", "is not CSV");
    check("tone.csv", "mood,frequency score\na,1\n", "entry 1 has no key `tone`");
}

#[test]
fn every_wrong_entry_is_told_up_to_ten() {
    let entries = [r#"{"tone": 1}"#; 12].join(",");
    check(
        "tone.json",
        &format!("[{entries}]"),
        "entry 1 has no key `frequency score` | entry 2 has the same value",
    );
    check("tone.json", &format!("[{entries}]"), " | 13 more entries are wrong");
}

#[test]
fn spaces_and_other_keys_are_allowed() {
    check(
        "additional instruction.json",
        r#"[{"additional instruction": "x", "frequency score": 1}]"#,
        "additional_instruction: x",
    );
    check(
        "reading-level.yaml",
        "- {reading level: 3, frequency_score: 1, note: for people}",
        "reading_level: 3",
    );
    check("tone.json", "\u{feff}[{\"tone\": \"\", \"frequency score\": 0.5}]", "tone: ");
    // A plural that is the key itself stays.
    check("topics.json", r#"[{"topics": "x", "frequency score": 1}]"#, "topics: x");
}
