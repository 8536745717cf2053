//! `preferences.yaml`: two models answer each chat, a judge rates all answers in a drawn order, and the best and the worst
//! become a pair.

use std::path::Path;

use serde_json::{Value, json};

use super::made::{Made, assert_share};
use crate::harness::project;

const RECIPE: &str = "preferences.yaml";

/// Writes chats of one question each, as OpenHermes has them.
fn write_chats(dir: &Path, count: usize) {
    let chat = |number: usize| {
        let answer = format!(
            "The sum is {}. Adding {number} and {number} gives it, since both are equal.",
            2 * number
        );
        let turns = json!([
            {"from": "human", "value": format!("How much are {number} and {number}?")},
            {"from": "gpt", "value": answer},
        ]);
        json!({"conversations": turns, "source": "sums", "category": null}).to_string() + "\n"
    };
    std::fs::write(dir.join("chats.jsonl"), (0..count).map(chat).collect::<String>()).unwrap();
}

/// The elements of the judged list of a record, from its provenance.
fn judged(line: &Value) -> Vec<Value> {
    let told = &line["fields"]["choose"];
    let list = |name: &str| told[name].as_array().cloned().unwrap_or_default();
    if told["elements"].is_array() { list("elements") } else { list("not_taken") }
}

#[test]
fn every_chat_has_answers_of_both_models_and_one_judgement() {
    let dir = project();
    let chats = std::fs::read_to_string(dir.path().join("config/recipes/preferences-chats.jsonl")).unwrap();
    let chats: Vec<Value> = chats.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for answers in [2, 3] {
        let made = Made::by(dir.path(), RECIPE, &["--var", &format!("answers={answers}")]);
        assert_eq!(made.status["requests"].as_u64().unwrap() as usize, chats.len() * (2 * answers + 1));
        let pairs = made.lines("pairs.jsonl");
        assert!(pairs.len() > chats.len() / 2, "{} pairs", pairs.len());
        for pair in pairs {
            let row: usize = pair["id"].as_str().unwrap().parse().unwrap();
            let turns = chats[row]["conversations"].as_array().unwrap();
            let asked: Vec<&Value> = turns[..turns.len() - 1].iter().map(|turn| &turn["value"]).collect();
            let prompt = pair["prompt"].as_array().unwrap();
            assert_eq!(
                prompt.iter().map(|turn| &turn["content"]).collect::<Vec<_>>(),
                asked,
                "all but the answer"
            );
            assert_ne!(pair["chosen"], pair["rejected"]);
            let score = |name: &str| pair[name].as_f64().unwrap();
            assert!(score("score_chosen") - score("score_rejected") >= 1.0, "{pair}");
        }
    }
}

#[test]
fn the_best_is_chosen_the_worst_rejected_and_no_place_is_preferred() {
    let dir = project();
    let chats = 600;
    write_chats(dir.path(), chats);
    let made = Made::by(dir.path(), RECIPE, &["--var", "chats=chats.jsonl"]);
    let pairs = made.lines("pairs.jsonl").len();
    assert_eq!(made.provenance.len(), chats);
    assert_eq!(pairs + made.ended("min_gap") + made.ended("tie") + made.ended("no_pair"), chats);
    assert!(pairs > chats / 5, "{pairs} pairs");
    let mut first_slot = [0; 4];
    for line in &made.provenance {
        let told = &line["fields"]["choose"];
        let values: Vec<f64> = told["values"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        assert_eq!(values.len(), 4, "{told}");
        let slots = line["fields"]["judge"]["questions"][0]["slots"].as_array().unwrap();
        first_slot[slots.iter().position(|slot| *slot == 0).unwrap()] += 1;
        if line["outcome"] != "ok" {
            assert_eq!(
                judged(line).iter().map(|one| &one["model"]).collect::<Vec<_>>(),
                ["first", "second", "first", "second"]
            );
            continue;
        }
        let of = |place: &Value| values[place.as_u64().unwrap() as usize];
        let (chosen, rejected) = (of(&told["taken"][0]), of(&told["rejected"]));
        assert!(values.iter().all(|value| (rejected..=chosen).contains(value)), "{told}");
    }
    for count in first_slot {
        assert_share(count, chats, 0.25);
    }
    let both = |key: &str, name: &str| made.lines("pairs.jsonl").iter().any(|pair| pair[key] == name);
    assert!(both("chosen_model", "first") && both("rejected_model", "second"));
}

#[test]
fn answers_that_were_cut_off_are_left_out() {
    let dir = project();
    let cut_off = "models.first.mock={rules: [{answer: It is, finish_reason: length}]}";
    let made = Made::by(dir.path(), RECIPE, &["--set", cut_off]);
    let pairs = made.lines("pairs.jsonl");
    assert!(!pairs.is_empty());
    for pair in pairs {
        assert_eq!((&pair["chosen_model"], &pair["rejected_model"]), (&json!("second"), &json!("second")));
    }
    let rules = "{rules: [{when: \"sample > 1 and category != 'math'\", answer: It is, finish_reason: length}, \
                 {answer: \"{{ reference if sample == 1 else 'No.' }}\"}]}";
    let cut_off_too = format!("models.second.mock={rules}");
    let made = Made::by(dir.path(), RECIPE, &["--set", cut_off, "--set", &cut_off_too]);
    assert_eq!((made.lines("pairs.jsonl").len(), made.ended("too_few_answers")), (2, 10));
}
