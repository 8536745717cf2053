//! Right files: what the plan holds; the schema for editors; that no text makes the loader panic.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::reference::schema_of;
use crate::config::reference::stage_reference;
use crate::pipeline::document::parse_value;

fn plan(text: &str, overrides: &Overrides) -> Plan {
    match load_with(text, overrides) {
        Ok(plan) => plan,
        Err(problems) => panic!("{problems}"),
    }
}

#[test]
fn a_plan_has_everything_put_in() {
    let plan = plan(GOOD, &Overrides::default());
    let ids: Vec<&str> = plan.stages.iter().map(|stage| &*stage.id).collect();
    assert_eq!(ids, ["rows", "cut", "write", "ask", "answer", "part", "train", "out"]);
    assert_eq!(plan.stages[6].when.as_deref(), Some("part == 'train'"));
    let teacher = &plan.models["teacher"];
    assert_eq!(teacher.base_urls, ["http://127.0.0.1:8000/v1"]);
    assert_eq!((teacher.concurrency, plan.max_in_flight), (crate::pipeline::Concurrency::Fixed(64), 128));
    assert_eq!(teacher.params["temperature"], json!(0.7));
    assert_eq!(plan.resolved.pointer("/stages/5/part/ratios/train"), Some(&json!(0.9)));
    assert_eq!(plan.resolved.pointer("/error_budget/share"), Some(&json!(0.05)));
}

#[test]
fn the_resolved_pipeline_loads_again_to_the_same() {
    let first = plan(GOOD, &Overrides::default()).resolved;
    let again = plan(&first.to_string(), &Overrides::default()).resolved;
    assert_eq!(first, again);
}

#[test]
fn overrides_change_what_they_name() {
    let overrides = Overrides {
        sets: vec![
            "models.teacher.limits.requests_per_minute=600".to_owned(),
            "stages.cut.sizes={smallest: 7}".to_owned(),
            "stages.train.path=a/b.jsonl".to_owned(),
            "error_budget.share=0.5".to_owned(),
        ],
        vars: vec!["share=0.8".to_owned()],
        seed: Some(7),
        model: Some("other".to_owned()),
        base_url: Some("https://host/v1".to_owned()),
        max_tokens: Some(100),
        temperature: Some(0.0),
        no_llm: true,
        mock: false,
    };
    let plan = plan(GOOD, &overrides);
    for (at, expected) in [
        ("/seed", json!(7)),
        ("/error_budget/share", json!(0.5)),
        ("/models/teacher/provider", json!("heuristic")),
        ("/models/teacher/model", json!("other")),
        ("/models/teacher/base_urls", json!(["https://host/v1"])),
        ("/models/teacher/params", json!({"temperature": 0.0, "max_tokens": 100})),
        ("/models/teacher/limits/requests_per_minute", json!(600)),
        ("/stages/1/cut/sizes/smallest", json!(7)),
        ("/stages/5/part/ratios/train", json!(0.8)),
        ("/stages/6/out/path", json!("a/b.jsonl")),
    ] {
        assert_eq!(plan.resolved.pointer(at), Some(&expected), "{at}");
    }
}

#[test]
fn the_limit_of_tokens_keeps_the_name_that_the_pipeline_uses() {
    let overrides = Overrides { max_tokens: Some(100), ..Overrides::default() };
    let params = |set: &str| {
        let overrides = Overrides { sets: vec![set.to_owned()], ..overrides.clone() };
        plan(GOOD, &overrides).resolved.pointer("/models/teacher/params").cloned().unwrap()
    };
    assert_eq!(
        params("models.teacher.params={max_completion_tokens: 9}"),
        json!({"max_completion_tokens": 100})
    );
    assert_eq!(params("models.teacher.params={max_tokens: 9}"), json!({"max_tokens": 100}));
}

#[test]
fn anchors_and_merges_work() {
    let text = "\
name: a
vars: {}
stages:
  - rows: {path: x}
  - out: &out {path: a.jsonl, format: lines}
  - out: {<<: *out, path: b.jsonl}
";
    let plan = plan(text, &Overrides::default());
    assert_eq!(plan.resolved.pointer("/stages/2/out"), Some(&json!({"path": "b.jsonl", "format": "lines"})));
}

#[test]
fn templates_may_loop_set_and_reach_inside_open_fields() {
    let template = "{% set a = section.title %}{% for fact in section.facts %}{{ loop.index }}{{ fact.x }}{{ a }}\
        {% endfor %}{{ section.facts.0.deep | upper }}{% for i in range(3) %}{{ i }}{% endfor %}{{ id }}";
    let text = GOOD.replace("{{ section.title }}", template);
    plan(&text, &Overrides::default());
}

#[test]
fn passwords_do_not_reach_the_resolved_pipeline() {
    let text = GOOD.replace("http://127", "http://me:${PASSWORD}@127");
    let plan = plan(&text, &Overrides::default());
    assert_eq!(plan.models["teacher"].base_urls, ["http://me:hush@127.0.0.1:8000/v1"]);
    assert!(!plan.resolved.to_string().contains("hush"));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    let text = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
    assert_eq!(plan(&text, &Overrides::default()).resolved, plan(GOOD, &Overrides::default()).resolved);
    let wrong = text.replace("id: train", "idd: train");
    assert_eq!(short(&problems_of(&wrong, &Overrides::default())), ["16:11 unknown field `idd`"]);
}

#[test]
fn the_schema_for_editors_is_one_and_takes_good_files_only() {
    let schema = schema_of(TABLE);
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let file = parse_value(GOOD).unwrap();
    let errors: Vec<String> = validator.iter_errors(&file).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let wrong = parse_value(&GOOD.replace("id: train", "idd: train")).unwrap();
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn the_reference_lists_options_with_types_and_defaults() {
    let out = TABLE.iter().find(|stage| stage.name == "out").unwrap();
    let text = stage_reference(out);
    for row in [
        "## out\n\nWrites a file.\n",
        "| `path` | text | required | The file, in the run directory. |",
        "| `format` | one of `messages`, `lines` | `\"messages\"` | How a line looks.",
        "| `id` | text |  | The stage's name",
        "```yaml\nout\n```",
    ] {
        assert!(text.contains(row), "{row} is not in\n{text}");
    }
}

#[test]
fn a_missing_file_is_reported_with_those_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("first.yaml"), GOOD).unwrap();
    let Err(error) = Plan::load(&folder.path().join("frist.yaml"), &Overrides::default()) else { panic!() };
    let message = error.to_string();
    assert!(message.starts_with("cannot read `") && message.contains("did you mean `"), "{message}");
    // A file that is there but cannot be read is not proposed in its own place.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("binary.yaml");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    let Err(error) = Plan::load(&path, &Overrides::default()) else { panic!() };
    assert!(!error.to_string().contains("did you mean"), "{error}");
}

/// Loads a text and prints what is wrong with it.
fn survives(text: &str) {
    if let Err(problems) = load_with(text, &Overrides::default()) {
        let printed = problems.to_string();
        assert!(problems.list.iter().all(|problem| problem.location.is_some()), "{printed}");
    }
}

#[test]
fn deep_nesting_and_alias_bombs_are_refused() {
    survives(&"[".repeat(100_000));
    survives(&"{a: ".repeat(10_000));
    let mut bomb = String::from("a0: &a0 [x, x]\n");
    for level in 1..30 {
        let line = format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1);
        bomb.push_str(&line);
    }
    survives(&bomb);
}

#[test]
fn every_cut_of_a_good_file_is_survived() {
    for (at, _) in GOOD.char_indices() {
        survives(&GOOD[..at]);
        survives(&GOOD[at..]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_survived(text in "(?s).{0,200}") {
        survives(&text);
    }

    #[test]
    fn yaml_like_text_is_survived(text in "([ \\n]{0,4}[-a-c:{}\\[\\],\"'&*!|>?%#~$é1.]{1,3}){0,40}") {
        survives(&text);
    }

    #[test]
    fn a_changed_good_file_is_survived(at in 0..GOOD.len(), cut in 0..12_usize, new in "[-a-z:{}\\[\\] \\n\"'&*|~$é1.]{0,6}") {
        let end = (at + cut).min(GOOD.len());
        if let (Some(head), Some(tail)) = (GOOD.get(..at), GOOD.get(end..)) {
            survives(&format!("{head}{new}{tail}"));
        }
    }
}
