//! `evol-instruct`: how many records its rounds make, that every child has its parent, that all operations are as likely,
//! and what each elimination drops.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::lines;
use crate::harness::{project, provenance_lines, synthmill};

const RECIPE: &str = "pipelines/recipes/evol-instruct.yaml";
const FILE: &str = "evol-instruct.jsonl";
/// Judges every instruction as different from the one before.
const DIFFERENT: &str = "{rules: [{logprobs: {A: -5, B: -0.01}}]}";
/// Judges every instruction as the same.
const SAME: &str = "{rules: [{logprobs: {A: -0.01, B: -5}}]}";

/// A project with so many seeds.
fn seeds(count: usize) -> TempDir {
    let dir = project();
    let seeds: String = (0..count)
        .map(|row| {
            format!(
                "{}\n",
                json!({"instruction": format!("Describe the colour number {row}."), "output": "Red."})
            )
        })
        .collect();
    std::fs::write(dir.path().join("seeds.jsonl"), seeds).unwrap();
    dir
}

/// Runs the recipe on seeds, with these scripts of the writer and the judge; gives its lines.
fn evolved(dir: &Path, writer: &Value, judge: &str, more: &[&str]) -> Vec<Value> {
    let writer = format!("models.writer.mock={}", json!({ "rules": writer }));
    let judge = format!("models.judge.mock={judge}");
    let run =
        ["run", RECIPE, "--mock", "--fresh", "--var", "seeds=seeds.jsonl", "--set", &writer, "--set", &judge];
    synthmill(dir, &[&run[..], more].concat(), 0);
    lines(&dir.join("output/evol-instruct"), FILE)
}

/// A writer that makes each instruction longer by a few words and answers in one way.
fn writer(answer: &str) -> Value {
    json!([
        {"when": "mock.stage == 'evolve/llm'", "answer": "{{ instruction }} Give a reason."},
        {"answer": answer},
    ])
}

#[test]
fn n_seeds_and_m_rounds_make_n_times_m_plus_one_records_with_their_parents() {
    let dir = seeds(20);
    for (rounds, more) in [(4, vec![]), (3, vec!["--var", "variant=code"]), (2, vec!["--var", "rounds=2"])] {
        let made = evolved(dir.path(), &writer("It is blue."), DIFFERENT, &more);
        assert_eq!(made.len(), 20 * (rounds + 1));
        let by_id: BTreeMap<&str, &Value> =
            made.iter().map(|line| (line["id"].as_str().unwrap(), line)).collect();
        for line in &made {
            let Some(parent) = line["parent"].as_str() else {
                assert_eq!((&line["round"], &line["operation"]), (&json!(0), &json!("seed")));
                assert_eq!(line["messages"][1]["content"], "Red.", "the answer of the seed is kept");
                continue;
            };
            let parent = by_id.get(parent).unwrap_or_else(|| panic!("no {parent}"));
            assert_eq!(line["round"].as_u64().unwrap(), parent["round"].as_u64().unwrap() + 1, "{line}");
            let text = |line: &Value| line["messages"][0]["content"].as_str().unwrap().to_owned();
            assert_eq!(text(line), format!("{} Give a reason.", text(parent)));
            assert_eq!(line["messages"][1]["content"], "It is blue.");
        }
    }
}

#[test]
fn what_always_fails_leaves_the_seeds() {
    let dir = seeds(20);
    let writes = |text: &str| json!([{"when": "mock.stage == 'evolve/llm'", "answer": text}, {"answer": "It is blue."}]);
    for (reason, writer, judge) in [
        ("nothing_new", writer("It is blue."), SAME),
        ("sorry", writer("Sorry, no."), DIFFERENT),
        ("hollow", writer("And so... it IS, for you!"), DIFFERENT),
        ("hollow", writer(" ... "), DIFFERENT),
        ("copies_prompt", writes("Name the colour of the given prompt."), DIFFERENT),
        ("copies_prompt", writes("Name the colour of the <instruction> of grass."), DIFFERENT),
        ("copies_prompt", writes("Sure! Name the colour of the grass."), DIFFERENT),
        ("length", writes("Name it."), DIFFERENT),
        ("length", writes("{{ 'long ' * 900 }}"), DIFFERENT),
    ] {
        let made = evolved(dir.path(), &writer, judge, &[]);
        assert_eq!(made.len(), 20, "{reason}");
        assert!(made.iter().all(|line| line["round"] == 0), "{reason}");
        let skipped = skipped(&dir.path().join("output/evol-instruct"));
        assert_eq!(skipped, BTreeMap::from([(reason.to_owned(), 80)]), "four rounds of twenty seeds");
    }
}

/// How many passes were skipped, by reason.
fn skipped(run: &Path) -> BTreeMap<String, usize> {
    let mut reasons: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in provenance_lines(run).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for skipped in line["skipped"].as_array().into_iter().flatten() {
            let (class, id) = (&skipped["class"], &skipped["id"]);
            reasons
                .entry(class.as_str().unwrap().to_owned())
                .or_default()
                .insert(id.as_str().unwrap().to_owned());
        }
    }
    reasons.into_iter().map(|(class, ids)| (class, ids.len())).collect()
}

#[test]
fn an_instruction_between_the_tags_of_the_prompt_is_taken_out_of_them() {
    let dir = seeds(2);
    let writer = json!([
        {"when": "mock.stage == 'evolve/llm'", "answer": "<instruction>\n{{ instruction }} Why?\n</instruction>\n"},
        {"answer": "It is blue."},
    ]);
    let made = evolved(dir.path(), &writer, DIFFERENT, &["--var", "rounds=1"]);
    assert_eq!(made.len(), 4);
    assert_eq!(made[1]["messages"][0]["content"], "Describe the colour number 0. Why?");
}

#[test]
fn an_apology_of_79_words_is_dropped_and_one_of_80_is_kept() {
    let dir = seeds(3);
    for (words, apology, records) in
        [(79, "sorry", 3), (80, "sorry", 6), (79, "SORRY", 3), (79, "Sorry,", 3), (79, "glad", 6)]
    {
        let answer = format!("{apology} {}", vec!["word"; words - 1].join(" "));
        let made = evolved(dir.path(), &writer(&answer), DIFFERENT, &["--var", "rounds=1"]);
        assert_eq!(made.len(), records, "{apology} and {words} words");
    }
}

#[test]
fn an_instruction_that_failed_goes_back_unchanged_and_is_tried_in_the_next_round() {
    let dir = seeds(10);
    let writer = json!([
        {"when": "mock.stage == 'evolve/llm'", "answer": "{{ instruction }} Give a reason."},
        {"when": "mock.stage == 'evolve/answer' and repeat.pass in [1, 3]", "answer": "I am sorry."},
        {"answer": "It is blue."},
    ]);
    let made = evolved(dir.path(), &writer, DIFFERENT, &[]);
    assert_eq!(made.len(), 30, "the seeds and two rounds");
    let of_one: Vec<&Value> =
        made.iter().filter(|line| line["id"].as_str().unwrap().starts_with("000007")).collect();
    for (line, (id, parent, round, pass, text)) in of_one.iter().zip([
        ("000007.evolve-0", json!(null), 0, 0, "Describe the colour number 7."),
        ("000007.evolve-2", json!("000007.evolve-0"), 1, 2, "Describe the colour number 7. Give a reason."),
        (
            "000007.evolve-4",
            json!("000007.evolve-2"),
            2,
            4,
            "Describe the colour number 7. Give a reason. Give a reason.",
        ),
    ]) {
        assert_eq!(line["id"], id);
        assert_eq!(line["parent"], parent);
        assert_eq!((&line["round"], &line["pass"]), (&json!(round), &json!(pass)));
        assert_eq!(line["messages"][0]["content"], text);
    }
}

#[test]
fn sixty_thousand_evolutions_take_each_of_six_operations_as_often() {
    const SEEDS: u32 = 15_000;
    let dir = seeds(SEEDS as usize);
    // The recipe with its draws alone: what models say changes nothing of them.
    let mut recipe: Value = serde_saphyr::from_str(&std::fs::read_to_string(RECIPE).unwrap()).unwrap();
    recipe.as_object_mut().unwrap().shift_remove("models");
    let stages = recipe["stages"].as_array_mut().unwrap();
    stages.retain(|stage| stage.get("llm").is_none());
    for stage in stages {
        if let Some(inside) = stage.pointer_mut("/repeat/stages").and_then(Value::as_array_mut) {
            inside.retain(|stage| stage.get("sample_injections").is_some() || stage.get("set").is_some());
        }
        if let Some(sink) = stage.get_mut("sink") {
            *sink = json!({"path": FILE, "format": "raw", "fields": ["id", "round", "operation"]});
        }
    }
    std::fs::write(dir.path().join("draws.yaml"), recipe.to_string()).unwrap();
    synthmill(dir.path(), &["run", "draws.yaml", "--var", "seeds=seeds.jsonl"], 0);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut changes = 0;
    let mut last = String::new();
    for line in lines(&dir.path().join("output/evol-instruct"), FILE) {
        let operation = line["operation"].as_str().unwrap().to_owned();
        changes += u32::from(line["round"] != 0 && operation != last);
        last.clone_from(&operation);
        *counts.entry(operation).or_default() += 1;
    }
    assert_eq!(counts.remove("seed"), Some(SEEDS));
    let named: Vec<&str> = counts.keys().map(String::as_str).collect();
    assert_eq!(
        named,
        ["add_constraints", "complicate_input", "concretise", "deepen", "in_breadth", "more_reasoning_steps"]
    );
    // One in six with a standard deviation of 91.3.
    for (operation, count) in &counts {
        assert!(count.abs_diff(10_000) <= 273, "{operation}: {count}");
    }
    // Rounds are independent: of 45,000 pairs of neighbouring rounds one in six has the same operation twice, with a
    // standard deviation of 79; the first round always differs from `seed`.
    let same = 60_000 - changes;
    assert!(same.abs_diff(7_500) <= 237, "{same}");
}

#[test]
fn the_variant_for_code_has_operations_and_seeds_of_its_own() {
    let dir = project();
    synthmill(dir.path(), &["run", RECIPE, "--mock", "--var", "variant=code"], 0);
    let made = lines(&dir.path().join("output/evol-instruct"), FILE);
    let operations: BTreeSet<&str> = made.iter().map(|line| line["operation"].as_str().unwrap()).collect();
    let own = [
        "add_constraints",
        "complexity",
        "misleading_code",
        "more_reasoning_steps",
        "rarer_requirement",
        "seed",
    ];
    assert!(operations.is_subset(&BTreeSet::from(own)), "{operations:?}");
    assert!(operations.contains("rarer_requirement") || operations.contains("complexity"), "{operations:?}");
    assert!(made.iter().all(|line| line["pass"].as_u64().unwrap() <= 3));
    assert_eq!(made.iter().filter(|line| line["round"] == 0).count(), 10);
}
