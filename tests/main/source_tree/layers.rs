//! The layers of the code: each module uses those below it and none above.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The modules at the top of `src/`, from the lowest to the highest. One may import from those before it.
const LAYERS: [&str; 24] = [
    "printable",
    "nearest",
    "text_file",
    "rational",
    "number",
    "token_count",
    "language",
    "draw",
    "record",
    "image",
    "sandbox",
    "markdown",
    "template",
    "pipeline",
    "journal",
    "llm",
    "heuristic",
    "stage",
    "formats",
    "stages",
    "config",
    "engine",
    "run",
    "report",
];
/// The modules above all layers.
const TOP: [&str; 3] = ["cli", "lib", "main"];

#[test]
fn each_module_uses_only_those_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    assert!(files.len() > 300, "{} files", files.len());
    let rank = |module: &str| LAYERS.iter().position(|layer| *layer == module);
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for file in files {
        let path = file.strip_prefix(&source).unwrap().to_string_lossy().into_owned();
        let module = path.split(['/', '.']).next().unwrap().to_owned();
        if TOP.contains(&&*module) || path.contains("tests") {
            continue;
        }
        let Some(own) = rank(&module) else {
            wrong.push(format!("src/{path}: `{module}` has no place among the layers"));
            continue;
        };
        for used in imported(&std::fs::read_to_string(&file).unwrap()) {
            match rank(&used) {
                _ if used == module => {}
                Some(other) if other < own => {}
                Some(_) => wrong.push(format!("src/{path}: `{module}` is below `{used}`, which it uses")),
                None => wrong.push(format!("src/{path}: uses `{used}`, which has no place below it")),
            }
            seen.insert((module.clone(), used));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The test itself sees what is there.
    for (above, below) in
        [("engine", "journal"), ("stages", "pipeline"), ("config", "stages"), ("llm", "record")]
    {
        assert!(seen.contains(&(above.to_owned(), below.to_owned())), "{above} uses {below}");
    }
}

#[test]
fn imports_are_read_in_every_form() {
    let source = "use crate::draw::Draws;\nuse crate::{journal, llm::Model, stage::{A, b::C}};\n// crate::cli\n\
                  fn f() { crate::template::x() }\n#[cfg(test)]\nmod tests { use crate::report::X; }\n";
    let found: Vec<String> = imported(source).into_iter().collect();
    assert_eq!(found, ["draw", "journal", "llm", "stage", "template"]);
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => rust_files(&path, files),
            false if path.extension().is_some_and(|end| end == "rs") => files.push(path),
            false => {}
        }
    }
}

/// The modules of this crate that a file names outside of its tests and comments.
fn imported(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code: String = lines.collect::<Vec<_>>().join("\n");
    let mut modules = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => modules.extend(first_names(group)),
            None => modules.extend(first_name(rest)),
        }
    }
    modules
}

/// The first name of each path in a group, up to its closing brace.
fn first_names(group: &str) -> Vec<String> {
    let (mut names, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.extend(first_name(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.extend(first_name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}

fn first_name(path: &str) -> Option<String> {
    let path = path.trim_start();
    let end = path.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(path.len());
    (end > 0).then(|| path[..end].to_owned())
}
