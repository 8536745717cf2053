//! `ultrafeedback.yaml`: models and principles are drawn as configured, four aspects are rated in drawn orders, N/A is no number,
//! and the best answer is paired with a random other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::made::{Made, assert_share};
use crate::harness::{project, stderr, stdout, synthmill};

const RECIPE: &str = "ultrafeedback.yaml";
const POOL: [&str; 6] = ["mistral", "olmo", "phi", "qwen", "qwen-small", "smollm"];
const ASPECTS: [&str; 4] = ["instruction_following", "honesty", "truthfulness", "helpfulness"];
const MODELS: usize = 4;
/// The largest plausible sum over eleven equally likely wordings: one in a thousand is larger.
const CHI_SQUARE: f64 = 29.6;

/// Runs the recipe over so many prompts of each source.
fn make(dir: &Path, of_each: usize, arguments: &[&str]) -> Made {
    let prompt = |number: usize| {
        let source = ["chat", "task", "instruction", "trick"][number % 4];
        json!({
            "source": source,
            "instruction": format!("Question {number} of a {source}: what is larger, {number} or {}?", number + 1),
            "correct_answers": [format!("The larger of the two is {}.", number + 1)],
            "incorrect_answers": [format!("It is {number}.")],
        })
    };
    let lines: String = (0..4 * of_each).map(|number| prompt(number).to_string() + "\n").collect();
    std::fs::write(dir.join("prompts.jsonl"), lines).unwrap();
    Made::by(dir, RECIPE, &[&["--var", "prompts=prompts.jsonl"], arguments].concat())
}

fn completions(line: &Value) -> &[Value] {
    line["completions"].as_array().unwrap()
}

#[test]
fn models_principles_and_wordings_are_drawn_as_configured() {
    let dir = project();
    let of_each = 400;
    let made = make(dir.path(), of_each, &[]);
    let lines = made.lines("ultrafeedback.jsonl");
    assert_eq!(lines.len(), 4 * of_each);
    // Four answers and four aspects for each prompt.
    assert_eq!(made.status["requests"], 8 * lines.len());
    let mut models: BTreeMap<&str, usize> = BTreeMap::new();
    let mut principles: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut wordings: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for line in lines {
        let answered: BTreeSet<&str> =
            completions(line).iter().map(|one| one["model"].as_str().unwrap()).collect();
        assert_eq!((answered.len(), completions(line).len()), (MODELS, MODELS), "four different models");
        for one in completions(line) {
            let text = |name: &str| one[name].as_str().unwrap();
            *models.entry(text("model")).or_default() += 1;
            *principles.entry((line["source"].as_str().unwrap(), text("principle"))).or_default() += 1;
            *wordings
                .entry(text("principle"))
                .or_default()
                .entry(text("custom_system_prompt"))
                .or_default() += 1;
        }
    }
    assert_eq!(models.keys().copied().collect::<Vec<_>>(), POOL);
    models.values().for_each(|count| assert_share(*count, lines.len(), MODELS as f64 / POOL.len() as f64));
    let expected = [
        (("chat", "helpfulness"), 0.6),
        (("chat", "truthfulness"), 0.2),
        (("chat", "honesty"), 0.18),
        (("chat", "calibration"), 0.02),
        (("task", "helpfulness"), 0.8),
        (("task", "calibration"), 0.2),
        (("instruction", "helpfulness"), 1.0),
        (("trick", "truthfulness"), 0.5),
        (("trick", "honesty"), 0.45),
        (("trick", "calibration"), 0.05),
    ];
    assert_eq!(principles.len(), expected.len(), "{principles:?}");
    for (key, share) in expected {
        assert_share(principles[&key], MODELS * of_each, share);
    }
    for (principle, counts) in &wordings {
        let expected = if *principle == "calibration" { 1 } else { 11 };
        assert_eq!(counts.len(), expected, "{principle}");
        let share = counts.values().sum::<usize>() as f64 / expected as f64;
        let chi_square: f64 = counts.values().map(|count| (*count as f64 - share).powi(2) / share).sum();
        assert!(chi_square < CHI_SQUARE, "{principle}: {counts:?}");
    }
}

#[test]
fn ratings_do_not_depend_on_the_order_and_places_are_equal() {
    let dir = project();
    let shuffled = make(dir.path(), 100, &[]);
    let mut orders: BTreeSet<String> = BTreeSet::new();
    let mut first = [0; MODELS];
    for line in &shuffled.provenance {
        let Some(questions) = line["fields"]["judge"]["questions"].as_array() else { continue };
        // One question for each aspect, each in an order of its own.
        assert_eq!(questions.len(), ASPECTS.len());
        for question in questions {
            orders.insert(question["slots"].to_string());
            first[question["slots"][0].as_u64().unwrap() as usize] += 1;
        }
    }
    assert_eq!(orders.len(), 24, "all orders of four");
    first.iter().for_each(|count| assert_share(*count, first.iter().sum(), 0.25));
    // The heuristic rates a text by what it says.
    let rated = |made: &Made| -> Vec<String> {
        made.lines("ultrafeedback.jsonl").iter().map(|line| line["completions"].to_string()).collect()
    };
    let given = make(dir.path(), 100, &["--set", "stages.judge.order=given"]);
    assert_eq!(rated(&shuffled), rated(&given));
}

#[test]
fn an_aspect_that_does_not_apply_is_no_zero() {
    let dir = project();
    let made = make(dir.path(), 40, &[]);
    let mut without = 0;
    for line in made.lines("ultrafeedback.jsonl") {
        for one in completions(line) {
            let ratings: Vec<f64> =
                ASPECTS.iter().filter_map(|aspect| one["ratings"][aspect].as_f64()).collect();
            let applies = line["source"] != "instruction";
            assert_eq!(
                (ratings.len(), one["ratings"]["honesty"].is_null()),
                (3 + usize::from(applies), !applies),
                "{one}"
            );
            without += usize::from(!applies);
            let mean = ratings.iter().sum::<f64>() / ratings.len() as f64;
            assert!((one["score"].as_f64().unwrap() - mean).abs() < 1e-9, "{one}");
        }
    }
    assert_eq!(without, 40 * MODELS);
}

#[test]
fn the_best_is_chosen_and_a_random_lower_one_rejected() {
    let dir = project();
    let made = make(dir.path(), 200, &[]);
    let (mut worst, mut of, mut expected) = (0, 0, 0.0);
    let mut pairs = 0;
    for line in &made.provenance {
        let told = &line["fields"]["choose"];
        if line["outcome"] != "ok" || !told.is_object() {
            continue;
        }
        pairs += 1;
        let values: Vec<f64> = told["values"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        let of_index = |place: &Value| values[place.as_u64().unwrap() as usize];
        let (chosen, rejected) = (of_index(&told["taken"][0]), of_index(&told["rejected"]));
        assert!(values.iter().all(|value| *value <= chosen) && rejected < chosen, "{told}");
        let lower: Vec<f64> = values.iter().copied().filter(|value| *value < chosen).collect();
        let least = lower.iter().copied().fold(f64::INFINITY, f64::min);
        let lowest = lower.iter().filter(|value| **value == least).count();
        if lowest < lower.len() {
            of += 1;
            worst += usize::from(rejected == least);
            expected += lowest as f64 / lower.len() as f64;
        }
    }
    assert_eq!(pairs, made.lines("binarized.jsonl").len());
    assert!(of > 200, "{of} records with several lower answers");
    assert_share(worst, of, expected / of as f64);
    for line in made.lines("binarized.jsonl") {
        assert!(line["score_chosen"].as_f64() > line["score_rejected"].as_f64(), "{line}");
        assert_eq!(line["messages"], line["chosen"]);
    }
}

#[test]
fn a_judge_that_prefers_the_first_place_is_exposed_by_the_report() {
    let dir = project();
    let entry =
        |number: u64| json!({"text": number, "reason": "-", "rating": if number == 1 { 5 } else { 2 }});
    let answer = json!({"texts": (1..=4).map(entry).collect::<Vec<_>>()});
    let rule = format!("models.judge.mock={}", json!({"rules": [{ "answer": answer }]}));
    let by_place = |arguments: &[&str]| {
        make(dir.path(), 40, arguments);
        let output = synthmill(dir.path(), &["report", "made"], 0);
        format!("{}{}", stdout(&output), stderr(&output))
            .contains("`judge` has a position bias: the mean of texts shown at position 1")
    };
    assert!(by_place(&["--set", &rule]));
    assert!(!by_place(&[]));
}
