//! `own-step.yaml`: a script scores each answer as a worker, the scores decide what is kept, and only the record that a
//! worker dies about is lost.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::made::Made;
use crate::harness::project;

const RECIPE: &str = "own-step.yaml";
const SCRIPT: &str = "config/recipes/own-step-score.py";

/// What the script says about these answers, asked in this order.
fn scores(answers: &[&str]) -> Vec<Value> {
    let mut command = Command::new("python3");
    command.arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = command.spawn().unwrap();
    let lines: String = answers.iter().map(|answer| json!({"answer": answer}).to_string() + "\n").collect();
    script.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let said = String::from_utf8(script.wait_with_output().unwrap().stdout).unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The text of the answer in a column of a pair.
fn text<'a>(pair: &'a Value, column: &str) -> &'a str {
    pair[column][0]["content"].as_str().unwrap()
}

#[test]
fn the_script_computes_the_reading_ease() {
    // One sentence of three words with six syllables; two of one word each; a word of six syllables; nothing.
    let answers = ["Water is important.", "Go. Now!", "Refrigeratory", ""];
    let ease = |sentences: f64, words: f64, syllables: f64| {
        206.835 - 1.015 * words / sentences - 84.6 * syllables / words
    };
    let expected = [
        (3, ease(1.0, 3.0, 6.0)),
        (2, ease(2.0, 2.0, 2.0)),
        (1, ease(1.0, 1.0, 6.0)),
        (1, ease(1.0, 1.0, 1.0)),
    ];
    let found = scores(&answers);
    for (found, (words, ease)) in found.iter().zip(expected) {
        assert_eq!(found["words"], words, "{found}");
        assert!((found["ease"].as_f64().unwrap() - ease).abs() <= 0.051, "{found}, not {ease}");
    }
    let mut backwards = answers;
    backwards.reverse();
    let mut reversed = scores(&backwards);
    reversed.reverse();
    assert_eq!(found, reversed, "no answer depends on those before");
}

#[test]
fn scores_decide_which_answers_are_kept() {
    let dir = project();
    let made = Made::by(dir.path(), RECIPE, &[]);
    let pairs = made.lines("preference.jsonl");
    assert_eq!((pairs.len(), made.lines("sft.jsonl").len()), (10, 10));
    for pair in pairs {
        let (chosen, rejected) = (text(pair, "chosen"), text(pair, "rejected"));
        let said = scores(&[chosen, rejected]);
        assert_eq!((&pair["chosen.ease"], &pair["rejected.ease"]), (&said[0]["ease"], &said[1]["ease"]));
        let ease = |column: &str| pair[column].as_f64().unwrap();
        assert!(ease("chosen.ease") >= 60.0 && ease("chosen.ease") - ease("rejected.ease") >= 15.0, "{pair}");
        assert!(!chosen.contains("It depends"), "an answer that is too short is not the easiest");
    }
    let trained: BTreeSet<&str> =
        made.lines("sft.jsonl").iter().map(|line| line["messages"][1]["content"].as_str().unwrap()).collect();
    let chosen: BTreeSet<&str> = pairs.iter().map(|pair| text(pair, "chosen")).collect();
    assert_eq!(trained, chosen);
    let strict = Made::by(dir.path(), RECIPE, &["--var", "ease=100"]);
    let easy = pairs.iter().filter(|pair| pair["chosen.ease"].as_f64().unwrap() >= 100.0).count();
    assert!(easy > 0 && easy < 10, "{easy}");
    assert_eq!((strict.lines("sft.jsonl").len(), strict.lines("preference.jsonl").len()), (easy, 10));
}

#[test]
fn a_worker_that_dies_or_hangs_loses_only_the_answer_it_was_busy_with() {
    let dir = project();
    let script = std::fs::read_to_string(SCRIPT).unwrap();
    let broken = script.replace(
        "    words =",
        "    if 'Bread rises' in text: sys.exit(3)\n    while 'Bread dough' in text: pass\n    words =",
    );
    assert_ne!(script, broken);
    std::fs::write(dir.path().join("broken.py"), broken).unwrap();
    let arguments = ["--var", "script=broken.py", "--set", "stages.answers.stages.score.timeout=5"];
    let made = Made::by(dir.path(), RECIPE, &arguments);
    // Of the bread only the hard answer is left, which makes no pair.
    let pairs = made.lines("preference.jsonl");
    assert!(pairs.iter().all(|pair| !text(pair, "prompt").contains("bread")), "{pairs:?}");
    assert_eq!((pairs.len(), made.ended("no_pair")), (9, 1));
    let whole = Made::by(dir.path(), RECIPE, &[]);
    let others: Vec<&Value> = whole
        .lines("preference.jsonl")
        .iter()
        .filter(|pair| !text(pair, "prompt").contains("bread"))
        .collect();
    assert_eq!(pairs.iter().collect::<Vec<_>>(), others, "no other record is touched");
}
