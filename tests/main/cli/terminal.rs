//! Terminal output: no control sequences from documents or file names, colours only when wanted, prompts in full.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{program, stderr, stdout, synthmill};

/// An escape that clears the screen, and a mark that turns the direction of reading.
const HOSTILE: &str = "\u{1b}[2J\u{202e}";
const PIPELINE: &str = "\
name: hostile
stages:
  - ingest: {paths: [\"*.jsonl\"]}
  - prompt: {system: You are kind., user: \"Ask about {{ topic }}.\\nNow.\"}
  - sink: {path: out.jsonl, format: raw}
";

fn folder() -> tempfile::TempDir {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("p.yaml"), PIPELINE).unwrap();
    let row = |topic: &str| format!("{}\n", serde_json::json!({"topic": topic}));
    let rows = [row(&format!("tea{HOSTILE}")), row(&"long ".repeat(300))].concat();
    std::fs::write(dir.path().join("a.jsonl"), rows).unwrap();
    std::fs::write(dir.path().join(format!("bad{HOSTILE}.jsonl")), "{\n").unwrap();
    dir
}

#[track_caller]
fn is_harmless(text: &str) {
    let found = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
    assert_eq!(found, None, "{text:?}");
}

#[test]
fn control_sequences_in_data_never_reach_the_terminal() {
    let dir = folder();
    let preview = synthmill(dir.path(), &["preview", "p.yaml"], 0);
    is_harmless(&stdout(&preview));
    is_harmless(&stderr(&preview));
    assert!(stdout(&preview).contains("tea\\u{1b}[2J\\u{202e}"), "{}", stdout(&preview));
    let run = stderr(&synthmill(dir.path(), &["run", "p.yaml"], 0));
    is_harmless(&run);
    assert!(run.contains("bad\\u{1b}[2J\\u{202e}.jsonl"), "{run}");
    // The output holds what the source held.
    let out = std::fs::read_to_string(dir.path().join("output/hostile/out.jsonl")).unwrap();
    let first: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(first["topic"], format!("tea{HOSTILE}"));
    std::fs::write(dir.path().join("key.yaml"), format!("{PIPELINE}\"x{HOSTILE}\": 1\n")).unwrap();
    is_harmless(&stderr(&synthmill(dir.path(), &["validate", "key.yaml"], 2)));
    is_harmless(&stderr(&synthmill(dir.path(), &["validate", &format!("no{HOSTILE}.yaml")], 2)));
}

#[test]
fn a_preview_shows_prompts_whole_and_the_items_that_are_asked_for() {
    let dir = folder();
    let preview = |arguments: &[&str]| {
        let all = [&["preview", "p.yaml", "--prompts-only"], arguments].concat();
        stdout(&synthmill(dir.path(), &all, 0))
    };
    let second = preview(&["--item", "1"]);
    assert!(
        second.contains("   [system]\n      You are kind.\n\n   [user]\n      Ask about long"),
        "{second}"
    );
    assert_eq!(second.matches("long ").count(), 300);
    assert!(second.contains(".\n      Now.\n"), "{second}");
    assert!(second.starts_with("== item 000001 ==") && second.matches("== item").count() == 1);
    assert_eq!(preview(&["--item", "9"]), "");
    // Of as many as there are, a sample is all of them, in their order.
    assert_eq!(preview(&["--sample", "-n", "2"]), preview(&[]));
    assert_eq!(preview(&["--sample", "-n", "1"]).matches("== item").count(), 1);
    let lines = preview(&["--json"]);
    let shown: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(shown[0]["item"]["fields"]["topic"], format!("tea{HOSTILE}"));
    assert_eq!(shown[1]["steps"][0]["records"][0]["fields"]["prompt"][0]["role"], "system");
}

#[test]
fn colours_follow_the_usual_variables() {
    let dir = folder();
    let colours = |variables: &[(&str, &str)]| {
        let mut command: Command = program(dir.path(), &["run", "nowhere.yaml"]);
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM"] {
            command.env_remove(name);
        }
        let told = command.envs(variables.iter().copied()).stdin(Stdio::null()).output().unwrap();
        String::from_utf8(told.stderr).unwrap().contains('\u{1b}')
    };
    assert!(!colours(&[]), "no terminal");
    assert!(colours(&[("CLICOLOR_FORCE", "1")]));
    assert!(!colours(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}
