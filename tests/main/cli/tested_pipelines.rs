//! `synthmill test`: what passes, how failures are reported, and what is refused before anything runs.

use std::path::Path;

use serde_json::Value;

use crate::harness::{program, stderr};

/// The pipeline of `docs/pipeline-file.md`, with its tests.
fn documented() -> String {
    let page = include_str!("../../../docs/pipeline-file.md");
    let begin = page.find("name: replies\n").unwrap();
    page[begin..].split("```").next().unwrap().to_owned()
}

/// Writes `yaml` and runs its tests; returns the exit code, stdout and stderr.
fn tested(dir: &Path, yaml: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    std::fs::write(dir.join("replies.yaml"), yaml).unwrap();
    let output = program(dir, &[&["test", "replies.yaml"], arguments].concat()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output))
}

#[test]
fn the_documented_tests_pass_and_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (code, told, errors) = tested(dir.path(), &documented(), &[]);
    assert_eq!(code, Some(0), "{told}{errors}");
    assert!(told.ends_with("2 passed, 0 failed\n"), "{told}");
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[test]
fn a_failure_is_told_as_documented() {
    let dir = tempfile::tempdir().unwrap();
    let changed = documented().replace("reply: Fruit 2}", "reply: Fruit 3}");
    let (code, told, _) = tested(dir.path(), &changed, &[]);
    assert_eq!(code, Some(8), "{told}");
    let page = include_str!("../../../docs/pipeline-file.md");
    let shown = &page[page.find("FAILED  a short reply").unwrap()..];
    for line in shown.split("```").next().unwrap().lines() {
        assert!(told.contains(&format!("{line}\n")), "{line:?} is not in\n{told}");
    }
    let (_, told, _) = tested(dir.path(), &changed, &["--json", "--only", "short"]);
    let report: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&report["passed"], &report["failed"]), (&Value::from(0), &Value::from(1)));
    assert!(report["tests"][0]["differences"][0].as_str().unwrap().contains("line 2"), "{told}");
}

#[test]
fn rejections_drops_and_conditions_are_compared() {
    for (from, to, expected) in [
        ("    rejected: [content_filter]\n", "", "- expected none\n    + found    content_filter"),
        ("dropped: [long]", "dropped: [short]", "- expected short\n    + found    long"),
        ("row < 3", "row < 2", "sink `fruit`, line 2, check `row < 2`: is not true"),
        ("expect: {fruit: []}", "expect: {fruit: [{row: 1}]}", "- expected 1 line\n    + found    0 lines"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let yaml = documented();
        assert!(yaml.contains(from), "{from}");
        let (code, told, _) = tested(dir.path(), &yaml.replace(from, to), &[]);
        assert_eq!(code, Some(8), "{told}");
        assert!(told.contains(expected), "{expected:?} is not in\n{told}");
    }
}

#[test]
fn tests_beside_the_file_are_run_too() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = documented();
    let (pipeline, tests) = yaml.split_once("tests:\n").unwrap();
    let (code, _, errors) = tested(dir.path(), pipeline, &[]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("`replies.yaml` has no tests") && errors.contains("`replies.tests`"), "{errors}");
    std::fs::create_dir(dir.path().join("replies.tests")).unwrap();
    let file = dir.path().join("replies.tests/all.yaml");
    std::fs::write(&file, format!("tests:\n{tests}")).unwrap();
    let (code, told, errors) = tested(dir.path(), pipeline, &[]);
    assert_eq!((code, told.ends_with("2 passed, 0 failed\n")), (Some(0), true), "{told}{errors}");
    std::fs::write(&file, format!("tests:\n{}", tests.replace("    input:", "    inputs:"))).unwrap();
    let (code, _, errors) = tested(dir.path(), pipeline, &[]);
    assert_eq!(code, Some(2));
    assert!(
        errors.contains("replies.tests/all.yaml:3:5") && errors.contains("did you mean `input`?"),
        "{errors}"
    );
}

#[test]
fn wrong_tests_are_refused_at_their_positions() {
    for (from, to, expected) in [
        ("expect: {fruit: []}", "expect: {fruits: []}", "there is no sink `fruits`; there are `fruit`"),
        ("      writer:\n        rules", "      write:\n        rules", "there is no model `write`"),
        ("when: row == 1", "when: row ==", "replies.yaml:21:"),
        ("row < 3", "row <", "replies.yaml:15:"),
        ("error: content_filter", "error: nonsense", "nonsense"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let yaml = documented();
        assert!(yaml.contains(from), "{from}");
        let (code, told, errors) = tested(dir.path(), &yaml.replace(from, to), &[]);
        assert_eq!(code, Some(2), "{told}{errors}");
        assert!(errors.contains(expected), "{expected:?} is not in\n{errors}");
    }
}
