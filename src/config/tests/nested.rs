//! Blocks in what comes of a file: the plan, the fingerprint, the schema, what the command line changes.

use serde_json::json;

use super::blocks::{bad, file, good, loaded};
use super::short;
use crate::config::Overrides;
use crate::config::json_schema;
use crate::config::load::load;
use crate::pipeline::document::parse_value;
use crate::stages::STAGES;

/// A loop of a question, and of three tries at another that are joined again.
const LOOP: &str = "
  - repeat:
      id: evolve
      times: 2
      stages:
        - prompt: {user: \"{{ text }} {{ repeat.pass + 1 }} {{ previous.score + 1 }}\"}
        - llm: {model: m}
        - for_each:
            in: 3
            as: attempt
            collect: {into: tries, fields: [completion, attempt]}
            stages:
              - prompt: {user: \"{{ attempt + 1 }} {{ for_each.index + for_each.count }} {{ completion }}\"}
              - llm: {id: judge, model: m, params: {}}
  - prompt: {user: \"{{ completion }} {% for try in tries %}{{ try.index + try.attempt }}{% endfor %}\"}
";

#[test]
fn stages_in_blocks_are_planned_by_their_paths() {
    let plan = good(LOOP);
    let ids: Vec<(&str, &str, usize)> =
        plan.all_stages().map(|stage| (&*stage.id, stage.own_id(), stage.depth())).collect();
    assert_eq!(
        ids,
        [
            ("generate", "generate", 0),
            ("set", "set", 0),
            ("evolve", "evolve", 0),
            ("evolve/prompt", "prompt", 1),
            ("evolve/llm", "llm", 1),
            ("evolve/for_each", "for_each", 1),
            ("evolve/for_each/prompt", "prompt", 2),
            ("evolve/for_each/judge", "judge", 2),
            ("prompt", "prompt", 0),
            ("last", "last", 0),
            ("sink", "sink", 0),
        ]
    );
    let block = &plan.stages[2];
    assert_eq!((block.inner.len(), block.inner[2].inner.len()), (3, 2));
    let context = plan.build_context(&block.inner[2].inner[1], "now");
    assert_eq!(&**context.draws.stage(), "evolve/for_each/judge");
    assert_eq!(context.items, None, "how many records come there is not known");
    for field in ["text", "previous", "repeat", "completion", "attempt", "for_each", "prompt"] {
        assert!(context.fields.iter().any(|known| known == field), "{field}: {:?}", context.fields);
    }
    let after = plan.build_context(&plan.stages[4], "now");
    assert_eq!(after.items, Some(3));
    for field in ["previous", "repeat", "attempt", "for_each"] {
        assert!(!after.fields.iter().any(|known| known == field), "{field}: {:?}", after.fields);
    }
}

#[test]
fn the_resolved_pipeline_loads_again_and_each_stage_is_a_part_of_the_fingerprint() {
    let plan = good(&LOOP.replace("times: 2", "times: \"{{ vars.passes }}\""));
    assert_eq!(plan.resolved.pointer("/stages/2/repeat/times"), Some(&json!(3)));
    let again = load("p.yaml", &plan.to_yaml(), &Overrides::default(), &|_| None, STAGES);
    let again = again.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(again.resolved, plan.resolved);
    let parts = plan.fingerprint();
    assert_eq!(again.fingerprint(), parts);
    assert_eq!(parts["stages.evolve"], json!({"id": "evolve", "times": 3}));
    assert_eq!(parts["stages.evolve/for_each/judge"], json!({"id": "judge", "model": "m", "params": {}}));
    assert_eq!(parts["order of stages"][7], json!("evolve/for_each/judge: llm"));
    // What is written as nothing is an empty body there too.
    let plan = good("  - repeat: {times: 1, stages: [{prompt: {user: a}}, {llm: {model: m}}, {parse: }]}");
    assert_eq!(plan.resolved.pointer("/stages/2/repeat/stages/2/parse"), Some(&json!({})));
}

#[test]
fn options_of_the_command_line_reach_stages_in_blocks() {
    let judge = "/stages/2/repeat/stages/2/for_each/stages/1/llm/params/temperature";
    for path in [
        "stages.evolve.stages.for_each.stages.judge.params.temperature",
        "stages.evolve/for_each/judge.params.temperature",
        "stages.2.stages.2.stages.1.params.temperature",
        "stages.evolve.stages.for_each/judge.params.temperature",
    ] {
        let overrides = Overrides { sets: vec![format!("{path}=0.5")], ..Overrides::default() };
        let plan = loaded(LOOP, &overrides).unwrap_or_else(|problems| panic!("{path}: {problems}"));
        assert_eq!(plan.resolved.pointer(judge), Some(&json!(0.5)), "{path}");
    }
    for (set, expected) in [
        (
            "stages.evolve.stages.jugde.model=x",
            "--set stages.evolve.stages.jugde.model: no stage `jugde` in `evolve`",
        ),
        ("stages.evolve/llm/x.model=x", "--set stages.evolve/llm/x.model: no stage `x` in `llm`"),
        ("stages.evolve.stages.llm=x", "--set stages.evolve.stages.llm: names a stage, not a field of it"),
        ("stages.evolve.stages.llm.modle=x", "--set stages.evolve.stages.llm.modle: unknown field `modle`"),
        ("stages.evolve.stages=[]", "--set stages.evolve.stages: `evolve` has no stages"),
    ] {
        let overrides = Overrides { sets: vec![set.to_owned()], ..Overrides::default() };
        let Err(problems) = loaded(LOOP, &overrides) else { panic!("{set}") };
        assert_eq!(short(&problems)[..1], [expected], "{problems}");
    }
    // The name that a stage in a block uses for the token limit counts.
    let overrides = Overrides {
        max_tokens: Some(7),
        sets: vec!["stages.evolve/for_each/judge.params={max_completion_tokens: 9}".to_owned()],
        ..Overrides::default()
    };
    let plan = loaded(LOOP, &overrides).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(plan.resolved.pointer("/models/m/params"), Some(&json!({"max_completion_tokens": 7})));
}

#[test]
fn the_schema_for_editors_reaches_into_blocks() {
    let schema = json_schema();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let is_valid = |stages: &str| validator.is_valid(&parse_value(&file(stages)).unwrap());
    assert!(is_valid(LOOP));
    assert!(is_valid(&LOOP.replace("times: 2", "times: \"{{ vars.passes }}\"")));
    for (right, wrong) in [
        ("times: 2", "tims: 2"),
        ("times: 2", "times: 0"),
        ("collect: {into: tries,", "collect: {in: tries,"),
        ("params: {}", "parms: {}"),
        ("- llm: {id: judge", "- lmm: {id: judge"),
        ("- llm: {id: judge, model: m, params: {}}", "- sink: {path: b.jsonl, format: raw}"),
    ] {
        assert!(LOOP.contains(right) && !is_valid(&LOOP.replace(right, wrong)), "{wrong}");
    }
    assert!(!is_valid("  - repeat: {times: 2, stages: []}"));
}
#[test]
fn blocks_nest_to_a_limit() {
    let nested = |depth: usize| {
        let mut stages = "prompt: {user: a}".to_owned();
        for _ in 0..depth {
            stages = format!("repeat: {{times: 1, stages: [{stages}]}}");
        }
        format!("  - {stages}")
    };
    let plan = good(&nested(8));
    assert_eq!(plan.all_stages().map(|stage| stage.depth()).max(), Some(8));
    let at = 5 + 8 * "repeat: {times: 1, stages: [".len();
    bad(&nested(9), &[&format!("7:{at} blocks stand too deep inside one another")]);
}

#[test]
fn every_cut_of_a_file_with_blocks_is_survived() {
    let file = file(LOOP);
    for (at, _) in file.char_indices() {
        for text in [&file[..at], &file[at..]] {
            if let Err(problems) = load("p.yaml", text, &Overrides::default(), &|_| None, STAGES) {
                assert!(problems.list.iter().all(|problem| problem.location.is_some()), "{problems}");
            }
        }
    }
}
