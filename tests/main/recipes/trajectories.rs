//! `trajectories.yaml`: which episodes are kept, and the rewards, returns and classes of their steps.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::made::Made;
use crate::harness::project;

const RECIPE: &str = "trajectories.yaml";
const SHIPPED: &str = "config/recipes/trajectories-episodes.jsonl";

/// The steps of all data sets by episode, in order.
fn by_episode(made: &Made) -> BTreeMap<String, Vec<Value>> {
    let mut episodes: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for step in made.lines("train.jsonl").iter().chain(made.lines("test.jsonl")) {
        episodes.entry(step["episode"].as_str().unwrap().to_owned()).or_default().push(step.clone());
    }
    episodes.values_mut().for_each(|steps| steps.sort_by_key(|step| step["step"].as_u64()));
    episodes
}

fn rows(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether it is a success of the policy itself.
fn is_autonomous_success(row: &Value) -> bool {
    row["collected_by"] == "policy" && row["success"] == true
}

/// Episodes of 1 to 9 steps, of people and of the policy, with and without success.
fn write_episodes(file: &Path, count: usize) {
    let mut lines = String::new();
    for episode in 0..count {
        let place = |step: usize| json!({"observation": format!("{episode}/{step}.jpg"), "action": [0.1, -3, 0, 0.2, 9, 0, 1, 0]});
        let steps: Vec<Value> = (0..1 + episode % 9).map(place).collect();
        let by = if episode % 3 == 0 { "teleoperation" } else { "policy" };
        let row = json!({"episode": format!("{episode:04}"), "instruction": "open it", "collected_by": by,
            "success": episode % 2 == 0, "steps": steps});
        writeln!(lines, "{row}").unwrap();
    }
    std::fs::write(file, lines).unwrap();
}

#[test]
fn every_step_has_the_return_of_its_episodes_end() {
    let dir = project();
    write_episodes(&dir.path().join("episodes.jsonl"), 300);
    for (file, rows) in [
        (SHIPPED, rows(&dir.path().join(SHIPPED))),
        ("episodes.jsonl", rows(&dir.path().join("episodes.jsonl"))),
    ] {
        let made = Made::by(dir.path(), RECIPE, &["--var", &format!("episodes={file}")]);
        let episodes = by_episode(&made);
        let kept: Vec<&Value> = rows.iter().filter(|row| !is_autonomous_success(row)).collect();
        assert_eq!(made.status["drops"], json!([["autonomous_success", rows.len() - kept.len()]]));
        assert!(rows.len() > kept.len() && kept.iter().any(|row| row["success"] == false));
        assert_eq!(episodes.len(), kept.len(), "{file}");
        for row in kept {
            let steps = &episodes[row["episode"].as_str().unwrap()];
            assert_eq!(steps.len(), row["steps"].as_array().unwrap().len(), "{row}");
            let outcome = if row["success"] == true { 1.0 } else { 0.0 };
            for (at, step) in steps.iter().enumerate() {
                let is_last = at + 1 == steps.len();
                assert_eq!(step["step"], at);
                assert_eq!(step["mc_return"], outcome, "sparse and undiscounted: {step}");
                assert_eq!(step["reward"], if is_last { outcome } else { 0.0 }, "{step}");
                assert_eq!(step["terminal"], is_last, "{step}");
                assert_eq!(step["observation"], row["steps"][at]["observation"]);
            }
        }
        assert_eq!(made.status["requests"].as_u64(), Some(0), "no model is asked");
    }
}

#[test]
fn a_discount_makes_early_steps_worth_less() {
    let dir = project();
    write_episodes(&dir.path().join("episodes.jsonl"), 60);
    let made = Made::by(dir.path(), RECIPE, &["--var", "episodes=episodes.jsonl", "--var", "discount=0.5"]);
    let mut successes = 0;
    for steps in by_episode(&made).values() {
        let outcome = steps.last().unwrap()["reward"].as_f64().unwrap();
        successes += usize::from(outcome == 1.0);
        for (at, step) in steps.iter().enumerate() {
            let left = i32::try_from(steps.len() - 1 - at).unwrap();
            assert_eq!(step["mc_return"], outcome * 0.5_f64.powi(left), "{step}");
        }
    }
    assert!(successes > 5);
}

#[test]
fn actions_are_classes_of_each_dimension() {
    let dir = project();
    let check = |bins: &str, of: &dyn Fn(f64, f64, f64) -> u64| {
        let made = Made::by(dir.path(), RECIPE, &["--set", &format!("vars.bins={bins}")]);
        let rows = rows(&dir.path().join(SHIPPED));
        let (mut seen, mut least, mut most) = (0, u64::MAX, 0);
        for (episode, steps) in by_episode(&made) {
            let row = rows.iter().find(|row| row["episode"] == episode.as_str()).unwrap();
            for (at, step) in steps.iter().enumerate() {
                let (classes, action) = (&step["action_bins"], &row["steps"][at]["action"]);
                assert_eq!(classes.as_array().unwrap().len(), 8);
                for dimension in 0..8 {
                    let limit = if dimension < 3 { 0.05 } else { 0.25 };
                    let (low, high) = if dimension < 6 { (-limit, limit) } else { (0.0, 1.0) };
                    let class = classes[dimension].as_u64().unwrap();
                    assert_eq!(class, of(action[dimension].as_f64().unwrap(), low, high), "{step}");
                    (seen, least, most) = (seen + 1, least.min(class), most.max(class));
                }
            }
        }
        assert!(seen > 400 && least == 0, "{seen} {least}");
        most
    };
    let bin = |count: f64| {
        move |value: f64, low: f64, high: f64| {
            (((value - low) / (high - low) * count).floor().clamp(0.0, count - 1.0)) as u64
        }
    };
    assert_eq!(check("256", &bin(256.0)), 255);
    assert_eq!(check("7", &bin(7.0)), 6);
    assert_eq!(check("[4, 4, 4, 4, 4, 4, 4, 4]", &bin(4.0)), 3);
}

#[test]
fn an_episode_is_on_one_side() {
    let dir = project();
    write_episodes(&dir.path().join("episodes.jsonl"), 300);
    let made = Made::by(dir.path(), RECIPE, &["--var", "episodes=episodes.jsonl"]);
    let of = |file: &str| -> Vec<&str> {
        made.lines(file).iter().map(|step| step["episode"].as_str().unwrap()).collect()
    };
    let (train, test) = (of("train.jsonl"), of("test.jsonl"));
    assert!(!test.is_empty() && test.iter().all(|episode| !train.contains(episode)));
}
