//! The pages for users are correct: their commands run, their pipelines are valid, the options they name exist.
//!
//! A shell reads each `sh` block. The programs on its path only record how they were called; the recorded commands are run
//! afterwards, in a project per page, with the files that the page shows. The mock replaces model servers, and long runs are
//! cut short.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::client::images::png;
use crate::docs::pages::{Page, pages};
use crate::harness::{project, stderr, stdout, synthmill};

/// Items of a shipped pipeline that are made at most.
const ITEMS: &str = "12";
/// Records what it is called by and with. A file of the repository and not written by the test, since a program that was
/// just written cannot be run while another thread starts a process, which has the file open for a moment.
const RECORDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/main/docs/record-call.sh");
/// Options in the pages that are not synthmill's.
const OF_OTHERS: &[&str] = &["--engine", "--limit-mm-per-prompt", "--release", "--path", "--bench"];

/// A project in which programs record their calls, with the files that a page shows and speaks of.
fn folder(page: &Page) -> TempDir {
    let dir = project();
    for program in [
        "bin/synthmill",
        "bin/cargo",
        "scripts/local-model",
        "scripts/measure-qa",
        "scripts/check-formats",
        "scripts/try-recipes",
        "benches/peers/run",
    ] {
        let path = dir.path().join(program);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(RECORDER, path).unwrap();
    }
    std::fs::create_dir_all(dir.path().join("manual")).unwrap();
    let manual = "# The pump\n\nThe pump has two valves.\n\n![The valves](valves.png)\n";
    std::fs::write(dir.path().join("manual/pump.md"), manual).unwrap();
    std::fs::write(dir.path().join("manual/valves.png"), png()).unwrap();
    for block in page.blocks() {
        if let Some(file) = block.file {
            std::fs::write(dir.path().join(file), block.text).unwrap();
        }
    }
    dir
}

/// The calls that a shell makes for a block: the program's name and its arguments.
fn calls(page: &str, dir: &Path, block: &str) -> Vec<Vec<String>> {
    let calls = dir.join("calls");
    std::fs::write(&calls, "").unwrap();
    let output = Command::new("/bin/sh")
        .args(["-euc", block])
        .current_dir(dir)
        .env("PATH", dir.join("bin"))
        .env("CALLS", &calls)
        .output()
        .unwrap();
    assert!(output.status.success(), "{page}: a shell refuses\n{block}\n{}", stderr(&output));
    let text = std::fs::read_to_string(&calls).unwrap();
    let fields = |call: &str| call.split_terminator('\u{1f}').map(str::to_owned).collect();
    text.split_terminator('\u{1e}').map(fields).collect()
}

/// Asserts that a script in Python declares the options that it is called with.
fn assert_options(script: &str, words: &[&str]) {
    for option in words.iter().filter(|word| word.starts_with("--")) {
        assert!(script.contains(&format!("add_argument(\"{option}\"")), "no option `{option}`");
    }
}

/// The arguments of synthmill in a call, if that is what is called in the end.
fn arguments(call: &[String]) -> Option<&[String]> {
    let words: Vec<&str> = call.iter().map(String::as_str).collect();
    match words[..] {
        ["synthmill", ..] => Some(&call[1..]),
        ["cargo", "run", "--release", "--", ..] => Some(&call[4..]),
        ["local-model", ..] => {
            let command =
                call.iter().position(|word| word == "--").expect("a command to run beside the model") + 1;
            arguments(&call[command..])
        }
        ["cargo", "test"] | ["run"] => None,
        ["check-formats", ..] => {
            let script = include_str!("../../../scripts/check-formats");
            assert_options(script, &words);
            None
        }
        ["try-recipes" | "scripts/try-recipes", ..] => {
            assert_options(include_str!("../../../scripts/try-recipes"), &words);
            None
        }
        ["cargo", "bench", "--bench", name, ..]
        | ["cargo", "bench", "--profile", "dist", "--bench", name, ..] => {
            let manifest = include_str!("../../../Cargo.toml");
            assert!(manifest.contains(&format!("[[bench]]\nname = \"{name}\"")), "no benchmark `{name}`");
            None
        }
        ["measure-qa", command, ..] => {
            let script = include_str!("../../../scripts/measure-qa");
            assert!(script.contains(&format!("add_parser(\"{command}\")")), "no command `{command}`");
            assert_options(script, &words);
            None
        }
        _ => panic!("{words:?} is nothing that this test knows how to run"),
    }
}

/// The arguments with the mock in place of a server, and of a run of a shipped pipeline its first items only.
fn shortened(arguments: &[String]) -> Vec<String> {
    let mut short = arguments.to_vec();
    let is_run = short[0] == "run";
    if (is_run || short[0] == "preview") && !short.iter().any(|word| word == "--no-llm" || word == "--mock") {
        short.push("--mock".to_owned());
    }
    if is_run && short[1].starts_with("pipelines/") {
        match short.iter().position(|word| word == "--limit") {
            Some(at) => ITEMS.clone_into(&mut short[at + 1]),
            None => short.extend(["--limit".to_owned(), ITEMS.to_owned()]),
        }
    }
    short
}

/// Runs every command of a page; gives how many there were.
fn run_all(page: &Page) -> usize {
    let dir = folder(page);
    let mut count = 0;
    for block in page.blocks().iter().filter(|block| block.language == "sh") {
        let called = calls(&page.name, dir.path(), &block.text);
        assert!(!called.is_empty(), "{}: no command in\n{}", page.name, block.text);
        for call in &called {
            let Some(arguments) = arguments(call) else { continue };
            let short = shortened(arguments);
            synthmill(dir.path(), &short.iter().map(String::as_str).collect::<Vec<_>>(), 0);
            count += 1;
        }
    }
    count
}

#[test]
fn every_command_in_the_docs_runs() {
    let pages = pages();
    // Pages have nothing to do with each other, and some of their commands wait.
    let count: usize = std::thread::scope(|scope| {
        let running: Vec<_> = pages.iter().map(|page| scope.spawn(|| run_all(page))).collect();
        running.into_iter().map(|page| page.join().unwrap()).sum()
    });
    assert!(count > 25, "{count} commands");
}

#[test]
fn pipelines_in_the_docs_are_valid() {
    let dir = project();
    let schema: Value = serde_json::from_str(include_str!("../../../docs/pipeline.schema.json")).unwrap();
    let is_setting = |key: &str| key.starts_with("x-") || schema["properties"].get(key).is_some();
    let mut count = 0;
    // The reference's blocks are lines of its table, several of which could not stand in one pipeline.
    for page in pages().iter().filter(|page| !["docs/pipeline.md", "docs/stages.md"].contains(&&*page.name)) {
        for block in page.blocks().iter().filter(|block| block.language == "yaml" && block.file.is_none()) {
            let keys: Vec<&str> = top_level(&block.text);
            if keys.is_empty() || !keys.iter().all(|key| is_setting(key)) {
                continue;
            }
            std::fs::write(dir.path().join("page.yaml"), completed(&block.text, &keys)).unwrap();
            let output = crate::harness::program(dir.path(), &["validate", "page.yaml"]).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}\n{}\n{}", page.name, block.text, stderr(&output));
            count += 1;
        }
    }
    assert!(count >= 5, "{count} pipelines");
}

fn top_level(yaml: &str) -> Vec<&str> {
    let is_key = |line: &&str| !line.starts_with([' ', '#', '-']);
    yaml.lines().filter(is_key).filter_map(|line| Some(line.split_once(':')?.0)).collect()
}

/// A part of a pipeline with what it lacks of a whole one: a name, and stages that ask its models.
fn completed(yaml: &str, keys: &[&str]) -> String {
    let mut whole = yaml.to_owned();
    if !keys.contains(&"name") {
        whole.push_str("\nname: page\n");
    }
    if keys.contains(&"stages") {
        return whole;
    }
    whole.push_str("stages:\n  - ingest: {paths: [\"markdown_docs/*.md\"]}\n  - section: {}\n  - prompt: {user: \"{{ section.text }}\"}\n");
    let models = yaml.split("models:\n").nth(1).unwrap_or_default();
    let names =
        models.lines().take_while(|line| line.starts_with(' ')).filter(|line| !line.starts_with("   "));
    for name in names {
        whole.push_str(&format!("  - llm: {{model: {}}}\n", name.trim().trim_end_matches(':')));
    }
    whole.push_str("  - sink: {path: page.jsonl, format: raw}\n");
    whole
}

/// Each command with its help.
pub(crate) fn commands() -> Vec<(String, String)> {
    let help = |words: &[&str]| stdout(&synthmill(Path::new("."), &[words, &["--help"]].concat(), 0));
    let all = help(&[]);
    let listed = all.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    // Lines that go on from the one before stand further in.
    let names =
        listed.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let names = names.map(|line| line.split_whitespace().next().unwrap()).filter(|name| *name != "help");
    names.map(|name| (name.to_owned(), help(&[name]))).collect()
}

/// What of a piece of code in a sentence does not exist, if it is a command or an option.
fn unknown(code: &str, commands: &[(String, String)]) -> Vec<String> {
    let words: Vec<&str> = code.split([' ', '[', ']', '=']).filter(|word| !word.is_empty()).collect();
    let of_program = words.first() == Some(&"synthmill");
    let Some(first) = words.get(usize::from(of_program)) else { return Vec::new() };
    let command = commands.iter().find(|(name, _)| name == first);
    if command.is_none() && of_program && first.starts_with(char::is_lowercase) {
        return vec![format!("no command `{first}`")];
    }
    if command.is_none() && !first.starts_with("--") {
        return Vec::new();
    }
    let has = |help: &str, option: &str| {
        help.split(|letter: char| !(letter.is_alphanumeric() || letter == '-')).any(|word| word == option)
    };
    let exists = |option: &str| match command {
        Some((_, help)) => has(help, option),
        None => OF_OTHERS.contains(&option) || commands.iter().any(|(_, help)| has(help, option)),
    };
    let options = words.iter().filter(|word| word.starts_with("--") && word.contains(char::is_alphabetic));
    options.filter(|option| !exists(option)).map(|option| format!("no option `{option}`")).collect()
}

#[test]
fn the_commands_and_options_in_sentences_exist() {
    let commands = commands();
    for (code, wrong) in [
        ("synthmill run a.yaml --fresh", ""),
        ("synthmill COMMAND --help", ""),
        ("--reuse-answers=DIR", ""),
        ("on_error", ""),
        ("synthmill runn a.yaml", "no command `runn`"),
        ("synthmill status --fresh", "no option `--fresh`"),
        ("run --freshly", "no option `--freshly`"),
        ("--freshly", "no option `--freshly`"),
    ] {
        assert_eq!(unknown(code, &commands).join(""), wrong, "{code}");
    }
    let mut wrong = Vec::new();
    for page in pages() {
        for code in page.code() {
            wrong.extend(
                unknown(&code, &commands).iter().map(|what| format!("{}: `{code}`: {what}", page.name)),
            );
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn messages_in_the_docs_are_those_that_are_printed() {
    let page = Page::read("docs/pipeline-file.md");
    let dir = folder(&page);
    let path = dir.path().join("tickets.yaml");
    let yaml = std::fs::read_to_string(&path).unwrap();
    assert!(yaml.contains("{{ text }}"), "{yaml}");
    std::fs::write(path, yaml.replace("{{ text }}", "{{ txt }}")).unwrap();
    let told = stderr(&synthmill(dir.path(), &["validate", "tickets.yaml"], 2));
    let shown = page.blocks().into_iter().find(|block| block.text.starts_with("error: ")).unwrap().text;
    assert!(told.starts_with(&shown), "{told}\nis not\n{shown}");
}

#[test]
fn json_in_the_docs_is_valid() {
    let mut count = 0;
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.language == "json") {
            for value in serde_json::Deserializer::from_str(&block.text).into_iter::<Value>() {
                assert!(value.is_ok(), "{}: {value:?}\n{}", page.name, block.text);
                count += 1;
            }
        }
    }
    assert!(count >= 4, "{count}");
}
