//! Wrong pipeline files with the expected errors: `tests/cases/bad_pipelines/NAME.yaml` is refused with the text of
//! `NAME.txt`. `UPDATE_EXPECTED=1 cargo test bad_pipelines` rewrites the texts: review the difference before you keep it.

use std::path::{Path, PathBuf};

use crate::harness::{project, stderr, stdout, synthmill};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/bad_pipelines");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    cases.sort();
    cases
}

#[test]
fn each_file_is_refused_with_all_its_problems() {
    let dir = project();
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        std::fs::copy(&case, dir.path().join(&name)).unwrap();
        let output = synthmill(dir.path(), &["validate", &name], 2);
        assert_eq!(stdout(&output), "", "{name}");
        let said = stderr(&output);
        // A run refuses it with the same message and creates nothing.
        assert_eq!(stderr(&synthmill(dir.path(), &["run", &name], 2)), said, "{name}");
        // Hints list files that exist, so each case has its own folder.
        std::fs::remove_file(dir.path().join(&name)).unwrap();
        let expected = case.with_extension("txt");
        if update {
            std::fs::write(&expected, &said).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{name}:\n{said}"));
        }
    }
    let how = "`UPDATE_EXPECTED=1 cargo test bad_pipelines` writes the texts anew";
    assert!(wrong.is_empty(), "not as expected ({how}):\n{}", wrong.join("\n"));
    assert!(!dir.path().join("output").exists());
}

#[test]
fn six_mistakes_are_six_problems_each_at_its_place() {
    let case = cases().into_iter().find(|case| case.ends_with("six_mistakes.yaml")).unwrap();
    let dir = project();
    std::fs::copy(case, dir.path().join("six.yaml")).unwrap();
    let said = stderr(&synthmill(dir.path(), &["validate", "six.yaml"], 2));
    let places: Vec<&str> = said
        .lines()
        .filter_map(|line| line.trim_start_matches("error: ").strip_prefix("six.yaml:"))
        .collect();
    let expected = [
        ("2:29", "colour"),
        ("9:5", "sectoin"),
        ("10:", "source.pth"),
        ("14:34", "`test` is -0.1"),
        ("15:7", "bye"),
        ("16:", "outside the run directory"),
    ];
    assert_eq!(places.len(), expected.len(), "{said}");
    for (place, (at, word)) in places.iter().zip(expected) {
        assert!(place.starts_with(at) && place.contains(word), "`{at}` and `{word}` in {place}");
    }
}
