//! Rules of the source tree that no lint checks: file sizes, module docs, meaningful names, no panics outside tests, and
//! docs that name only existing files and tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The most lines a source file has.
const LONGEST: usize = 400;
/// Files that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[];
/// Names that say nothing of what is in a file.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "misc", "manager", "imp", "impl"];

/// Types that are declared once for each platform.
const BY_PLATFORM: &[&str] = &["FileId"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folders`, with its path from the root and its text.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty());
    found.sort();
    found
}

/// Fails with all that is wrong, a line each.
#[track_caller]
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let wrong: Vec<String> = sources(&["src", "tests"])
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(name, _)| format!("{name}: the first line is no `//!`"))
        .collect();
    none(&wrong);
}

#[test]
fn no_file_is_too_long() {
    let allowed = |name: &str| LONGER.iter().any(|(longer, _)| *longer == name);
    let files = sources(&["src", "tests"]);
    let wrong: Vec<String> = files
        .iter()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(name, lines)| *lines > LONGEST && !allowed(name))
        .map(|(name, lines)| format!("{name}: {lines} lines, {LONGEST} is the most"))
        .collect();
    none(&wrong);
    for (name, _) in LONGER {
        let file = files.iter().find(|(file, _)| file == name);
        assert!(file.is_some_and(|(_, text)| text.lines().count() > LONGEST), "{name} needs no exception");
    }
}

#[test]
fn every_name_says_something() {
    let wrong: Vec<String> = sources(&["src", "tests"])
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| {
            let path = Path::new(name).with_extension("");
            path.iter().any(|part| EMPTY_NAMES.contains(&&*part.to_string_lossy()))
        })
        .collect();
    none(&wrong);
}

/// The part of a file that is not its tests: a block of tests stands last, marked by `#[cfg(test)]`.
fn without_tests<'a>(name: &str, text: &'a str) -> &'a str {
    let of_tests = name.ends_with("/tests.rs") || name.contains("/tests/");
    let is_block = |(at, mark): &(usize, &str)| {
        let line = text[at + mark.len()..].lines().next().unwrap_or_default();
        line.contains("mod ") && line.ends_with('{')
    };
    let block = text.match_indices("#[cfg(test)]\n").find(is_block);
    if of_tests { "" } else { &text[..block.map_or(text.len(), |(at, _)| at)] }
}

#[test]
fn every_type_has_a_name_of_its_own() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, text) in sources(&["src"]) {
        for line in without_tests(&name, &text).lines() {
            if let Some(declared) = declared_type(line) {
                files.entry(declared.to_owned()).or_default().push(name.clone());
            }
        }
    }
    assert!(files.len() > 700, "{} types", files.len());
    let wrong: Vec<String> = files
        .iter()
        .filter(|(name, files)| files.len() > 1 && !BY_PLATFORM.contains(&name.as_str()))
        .map(|(name, files)| format!("`{name}` is declared in {}", files.join(", ")))
        .collect();
    none(&wrong);
}

/// The name of the type that a line declares, outside of any block.
fn declared_type(line: &str) -> Option<&str> {
    let public = line.strip_prefix("pub").map(|rest| rest.split_once(' ').map_or(rest, |(_, rest)| rest));
    let declaration = public.unwrap_or(line);
    let name =
        ["struct ", "enum ", "trait ", "type "].iter().find_map(|word| declaration.strip_prefix(word))?;
    name.split(|char: char| !char.is_alphanumeric()).next()
}

#[test]
fn nothing_outside_tests_unwraps() {
    let mut wrong = Vec::new();
    for (name, text) in sources(&["src"]) {
        for (number, line) in without_tests(&name, &text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for call in [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "dbg!("] {
                if code.contains(call) {
                    wrong.push(format!("{name}:{}: `{call}`", number + 1));
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_stage_has_its_row() {
    let text = std::fs::read_to_string(root().join("src/stages/mod.rs")).unwrap();
    let modules: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    assert_eq!(modules.len(), synthmill::stages::STAGES.len());
    for module in modules {
        assert!(text.contains(&format!("StageType::of::<{module}::")), "`{module}` has no row in `STAGES`");
        assert!(synthmill::stages::find(module).is_some(), "no stage is called `{module}` as its file is");
    }
}

#[test]
fn the_readme_is_read_in_a_minute() {
    let lines = std::fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= 180, "README.md has {lines} lines: put what is not for everybody into a page in docs/");
}

#[test]
fn the_architecture_is_read_in_ten_minutes() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let words = text.split_whitespace().count();
    assert!(words < 2000, "docs/architecture.md has {words} words: put details into a page of their own");
}

#[test]
fn pages_for_developers_name_only_files_that_exist() {
    let folders = ["src/", "tests/", "docs/", "scripts/", "pipelines/", "config/", "benches/", "fuzz/"];
    let mut wrong = Vec::new();
    for page in ["docs/architecture.md", "docs/invariants.md", "docs/durability.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let mut named = 0;
        for name in text.split('`').skip(1).step_by(2) {
            // `src/engine/ask.rs:answer` names something in a file; `llm/http.rs` is below `src/`.
            let file = name.split([':', '#']).next().unwrap_or_default();
            let is_path = file.contains('/') && file.ends_with(".rs")
                || folders.iter().any(|folder| file.starts_with(folder));
            if !is_path || name.contains(['*', '<', '{', ' ', '…']) {
                continue;
            }
            if !root().join(file).exists() && !root().join("src").join(file).exists() {
                wrong.push(format!("{page} names `{name}`, which is not there"));
            }
            named += 1;
        }
        assert!(named > 2, "{page} names {named} files");
    }
    none(&wrong);
}

#[test]
fn invariants_name_only_tests_that_exist() {
    let functions = functions();
    let text = std::fs::read_to_string(root().join("docs/invariants.md")).unwrap();
    let named: Vec<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains("::") && !name.starts_with("reqwest::"))
        .collect();
    assert!(named.len() > 15, "{named:?}");
    let wrong: Vec<String> = named
        .iter()
        .filter(|name| !functions.iter().any(|function| names(name, function)))
        .map(|name| format!("docs/invariants.md names the test `{name}`, which is not there"))
        .collect();
    none(&wrong);
}

/// The path of every function in the tests and in the crate, as `engine::running::name`.
fn functions() -> Vec<String> {
    let mut functions = Vec::new();
    for (file, text) in sources(&["src", "tests/main"]) {
        let file = file.trim_start_matches("src/").trim_start_matches("tests/main/");
        let module = file.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
        for line in text.lines() {
            let name = line.split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next());
            functions.extend(name.map(|name| format!("{module}::{name}")));
        }
    }
    functions
}

/// Whether `name`, the end of a path in which `…` stands for any text, names `function`.
fn names(name: &str, function: &str) -> bool {
    let starts = function.match_indices("::").map(|(at, colons)| at + colons.len());
    std::iter::once(0).chain(starts).any(|start| {
        let mut parts = name.split('…');
        let Some(mut rest) = function[start..].strip_prefix(parts.next().unwrap_or_default()) else {
            return false;
        };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.is_empty() || name.ends_with('…')
    })
}

#[test]
fn names_of_tests_are_matched_by_their_ends() {
    let function = "engine::running::a_panic_ends_one_record";
    for name in
        ["running::a_panic_…", "running::…", "engine::…::a_panic_ends_one_record", "a_panic_ends_one_record"]
    {
        assert!(names(name, function), "{name}");
    }
    for name in ["running::a_panic_", "unning::a_panic_…", "gates::…", "engine::…::a_panic"] {
        assert!(!names(name, function), "{name}");
    }
}

#[test]
fn files_of_a_run_are_reached_through_the_disk_trait_only() {
    let mut wrong = Vec::new();
    for folder in ["src/journal", "src/engine"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() || path.ends_with("journal/disk.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let found = ["std::fs", " File::", "(File::", "OpenOptions", "tokio::fs"]
                .iter()
                .find(|word| text.contains(**word));
            wrong.extend(
                found.map(|word| format!("{} has `{word}`, which goes round `Disk`", path.display())),
            );
        }
    }
    none(&wrong);
}
