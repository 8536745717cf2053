//! `verified-code.yaml`: tests that the reference does not pass are left out, pass rates are shares of those that are left,
//! and pairs differ by an exact gap.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::made::Made;
use crate::harness::project;

const RECIPE: &str = "verified-code.yaml";

#[test]
fn what_is_verified_passed_every_sound_test() {
    let dir = project();
    let made = Made::by(dir.path(), RECIPE, &[]);
    let all = made.lines("solutions.jsonl");
    assert_eq!((made.ended("few_tests"), all.len()), (1, 4));
    let unsound = [
        "assert busiest_hour(['12:00', '11:59']) == 12",
        "assert parking_fee(60) == 100",
        "assert parse_size('2k') == 2048",
    ];
    let mut left_out = Vec::new();
    for line in all {
        let (given, tests) = (line["given"].as_array().unwrap(), line["tests"].as_array().unwrap());
        left_out.extend(given.iter().filter(|test| !tests.contains(test)).map(|test| test.as_str().unwrap()));
        for solution in line["solutions"].as_array().unwrap() {
            let passed =
                solution["per_test"].as_array().unwrap().iter().filter(|one| **one == "passed").count();
            assert_eq!(solution["passed"], passed);
            assert_eq!(solution["pass_rate"], passed as f64 / tests.len() as f64, "of the sound tests");
            let gives_up = solution["answer"].as_str().unwrap().contains("sys.exit(0)");
            assert!(!gives_up || passed == 0, "{solution}");
        }
    }
    left_out.sort_unstable();
    assert_eq!(left_out, unsound);
    let sft = made.lines("sft.jsonl");
    assert_eq!(sft.len(), 4);
    for line in sft {
        let from = all.iter().find(|other| other["id"] == line["id"]).unwrap();
        let answer = &line["messages"][1]["content"];
        let solution =
            from["solutions"].as_array().unwrap().iter().find(|one| one["answer"] == *answer).unwrap();
        assert_eq!((&solution["pass_rate"], &line["tests"]), (&json!(1.0), &from["tests"]));
    }
    let pairs = made.lines("preference.jsonl");
    assert_eq!((pairs.len(), made.ended("tie")), (3, 1));
    for pair in pairs {
        let rate = |column: &str| pair[column].as_f64().unwrap();
        let (better, worse) = (rate("chosen.pass_rate"), rate("rejected.pass_rate"));
        assert!(better >= 0.8 && worse > 0.0 && better - worse > 0.4 - 1e-9, "{pair}");
    }
}

#[test]
fn the_gap_of_a_pair_is_exact() {
    // How many of twenty tests two solutions pass, and what becomes of them. As floats, 0.85 - 0.45 is less than 0.4.
    let cases = [(17, 9, "ok"), (16, 9, "min_gap"), (15, 7, "not_good")];
    let dir = project();
    let seeds = (0..cases.len()).map(|case| format!("def seed_{case}(a):\n    b = a\n    return b\n\n\n"));
    std::fs::write(dir.path().join("seeds.py"), seeds.collect::<String>()).unwrap();
    let tests: Vec<String> = (0..20).map(|number| format!("assert same({number}) == {number}")).collect();
    let task = "Write a function `same(number)` that returns the number that it gets, whatever kind of number it is.";
    let mut rules = vec![
        json!({"when": "mock.stage == 'exercise'", "answer": {"task": task, "function": "same"}}),
        json!({"when": "mock.stage == 'tests'", "answer": {"tests": tests}}),
        json!({"when": "mock.stage == 'reference'", "answer": "```python\ndef same(number):\n    return number\n```"}),
    ];
    for (case, (first, second, _)) in cases.iter().enumerate() {
        let passing = format!("{{{{ [{first}, {second}][record.attempt] }}}}");
        let code =
            format!("```python\ndef same(number):\n    return number if number < {passing} else None\n```");
        rules.push(json!({"when": format!("'seed_{case}(' in snippet"), "answer": code}));
    }
    let rules = json!({ "rules": rules });
    let mut arguments: Vec<String> =
        ["--var", "sources=seeds.py", "--var", "solutions=2"].map(str::to_owned).to_vec();
    for model in ["writer", "strong", "solver"] {
        arguments.extend(["--set".to_owned(), format!("models.{model}.mock={rules}")]);
    }
    let made = Made::by(dir.path(), RECIPE, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let mut passed: Vec<(String, Value)> = made
        .lines("solutions.jsonl")
        .iter()
        .map(|line| (line["snippet"].as_str().unwrap()[..10].to_owned(), line["solutions"].clone()))
        .collect();
    passed.sort_by(|a, b| a.0.cmp(&b.0));
    for ((_, solutions), (first, second, _)) in passed.iter().zip(cases) {
        assert_eq!((&solutions[0]["passed"], &solutions[1]["passed"]), (&json!(first), &json!(second)));
    }
    let pairs: Vec<(&Value, &Value)> = made
        .lines("preference.jsonl")
        .iter()
        .map(|pair| (&pair["chosen.pass_rate"], &pair["rejected.pass_rate"]))
        .collect();
    assert_eq!(pairs, [(&json!(0.85), &json!(0.45))]);
    let reasons: BTreeMap<&str, usize> =
        cases[1..].iter().map(|(_, _, reason)| (*reason, made.ended(reason))).collect();
    assert_eq!(reasons, BTreeMap::from([("min_gap", 1), ("not_good", 1)]));
}
