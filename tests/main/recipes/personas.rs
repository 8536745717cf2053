//! `personas.yaml`: how far personas are from their text, whose relations they are, and what is asked for each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::made::{Made, assert_share};
use crate::harness::project;

const RECIPE: &str = "personas.yaml";
const TASKS: &str = include_str!("../../../config/recipes/personas-tasks.jsonl");

fn text<'l>(line: &'l Value, field: &str) -> &'l str {
    line[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {line}"))
}

/// The templates of the tasks by name.
fn templates() -> BTreeMap<String, String> {
    let rows = TASKS.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (text(&row, "task").to_owned(), text(&row, "template").to_owned())).collect()
}

#[test]
fn each_persona_beyond_the_first_has_its_parent_and_none_is_deeper_than_six() {
    let dir = project();
    for (asked, depth) in [("2", 2), ("6", 6), ("9", 6), ("0", 0)] {
        let made = Made::by(dir.path(), RECIPE, &["--var", &format!("depth={asked}"), "--limit", "60"]);
        let personas = made.lines("personas.jsonl");
        assert_eq!(personas.len(), 60 * (depth + 1), "N texts and M relations make N x (M + 1) personas");
        let by_id: BTreeMap<&str, &Value> = personas.iter().map(|line| (text(line, "id"), line)).collect();
        for persona in personas {
            let own = persona["depth"].as_u64().unwrap();
            assert!(own <= 6, "{persona}");
            match persona["parent"].as_str() {
                None => assert_eq!((own, &persona["relation"]), (0, &Value::Null), "{persona}"),
                Some(parent) => {
                    let parent = by_id[parent];
                    assert_eq!(parent["depth"], own - 1);
                    assert_eq!(parent["persona"], persona["parent_persona"]);
                    assert_eq!(parent["group"], persona["group"]);
                    assert!(!text(persona, "relation").is_empty());
                    assert_ne!(parent["persona"], persona["persona"]);
                }
            }
        }
    }
}

#[test]
fn prompts_of_a_task_differ_in_the_persona_alone_and_tasks_are_drawn_equally_often() {
    let dir = project();
    let made = Made::by(dir.path(), RECIPE, &["--var", "depth=6"]);
    let (samples, templates) = (made.lines("samples.jsonl"), templates());
    assert!(samples.len() > 1000, "{}", samples.len());
    for (task, template) in &templates {
        let of_task: Vec<&Value> = samples.iter().filter(|line| text(line, "task") == task).collect();
        let (before, after) = template.split_once("{persona}").unwrap();
        let prompts: BTreeSet<&str> = of_task.iter().map(|line| text(line, "prompt")).collect();
        assert!(prompts.len() > 20, "{task}");
        for line in &of_task {
            assert_eq!(text(line, "prompt"), format!("{before}{}{after}", text(line, "persona")));
        }
        assert_share(of_task.len(), samples.len(), 1.0 / templates.len() as f64);
    }
    // The words that an answer begins with are taken off, and each text stands beside the persona that it was made for.
    let personas: BTreeMap<&str, &Value> =
        made.lines("personas.jsonl").iter().map(|line| (text(line, "id"), &line["persona"])).collect();
    for line in samples {
        assert_eq!(personas[text(line, "id")], &line["persona"]);
        assert!(!text(line, "synthesized").starts_with(|char: char| char.is_whitespace() || char == ':'));
        for prefix in ["Math problem", "Logic problem", "User prompt", "Title", "Name", "Tool"] {
            assert!(!text(line, "synthesized").starts_with(prefix), "{line}");
        }
    }
}

#[test]
fn a_persona_that_is_its_own_relation_ends_the_way() {
    let dir = project();
    let same = "models.writer.mock={rules: [{contains: Think of somebody, when: repeat.pass == 2, \
                answer: {relation: twin, persona: '{{ persona }}'}}, \
                {contains: Think of somebody, answer: {relation: twin, persona: 'A second person who is number {{ repeat.pass }}.'}}, \
                {contains: Who would be, answer: {persona: 'A person who often reads {{ section.key }}.'}}]}";
    let made = Made::by(dir.path(), RECIPE, &["--var", "depth=4", "--limit", "10", "--set", same]);
    let depths: Vec<&Value> = made.lines("personas.jsonl").iter().map(|line| &line["depth"]).collect();
    assert_eq!(depths.len(), 20, "the persona of the text, and one relation");
    assert!(depths.iter().all(|depth| **depth == json!(0) || **depth == json!(1)));
}
