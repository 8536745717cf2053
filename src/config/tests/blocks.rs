//! Blocks: what is said of the stages inside them and after them, and at which place; with the program's own stages.

use super::short;
use crate::config::load::load;
use crate::config::{Overrides, Plan};
use crate::pipeline::Problems;
use crate::stages::STAGES;

/// The text before the stages of a case, which begin in line 7.
const HEAD: &str = "\
name: test
vars: {passes: 3}
models: {m: {provider: heuristic}}
stages:
  - generate: {count: \"{{ vars.passes }}\"}
  - set: {text: hello, parts: {expr: \"['a', 'b']\"}, score: {expr: \"1\"}}
";

pub(super) fn file(stages: &str) -> String {
    let end =
        "  - llm: {id: last, model: m, input: text, output: asked}\n  - sink: {path: a.jsonl, format: raw}\n";
    format!("{HEAD}{}\n{end}", stages.trim_matches('\n'))
}

pub(super) fn loaded(stages: &str, overrides: &Overrides) -> Result<Plan, Problems> {
    load("p.yaml", &file(stages), overrides, &|_| None, STAGES)
}

#[track_caller]
pub(super) fn good(stages: &str) -> Plan {
    match loaded(stages, &Overrides::default()) {
        Ok(plan) => plan,
        Err(problems) => panic!("{problems}"),
    }
}

#[track_caller]
pub(super) fn bad(stages: &str, expected: &[&str]) {
    let Err(problems) = loaded(stages, &Overrides::default()) else { panic!("no problem in\n{stages}") };
    assert_eq!(short(&problems), expected, "\n{problems}");
}

#[track_caller]
fn hinted(stages: &str, expected: &str, hint: &str) {
    let Err(problems) = loaded(stages, &Overrides::default()) else { panic!("no problem in\n{stages}") };
    assert_eq!(short(&problems), [expected], "\n{problems}");
    assert_eq!(problems.list[0].hint.as_deref(), Some(hint), "\n{problems}");
}

#[test]
fn every_problem_in_a_block_has_its_location() {
    bad(
        "
  - repeat:
      times: 2
      stages:
        - prmpt: {user: a}
        - prompt: {usr: a}
        - llm: {model: [m]}
        - for_each:
            in: 3
            collect: {into: tries, fields: [completion, nothing]}
            stages:
              - prompt: {user: \"{{ txt }} {{ vars.pases }}\"}
              - llm: {model: n, id: A}
              - llm
  - prompt: {user: \"{{ score.x }}\"}
",
        &[
            "10:11 unknown stage type `prmpt`",
            "11:20 unknown field `usr`",
            "12:24 wrong type: found a list",
            "17:46 `vars.pases` is not declared",
            "18:30 no model named `n` is declared",
            "18:37 found text `A`",
            "19:17 found text `llm`",
            "20:24 `score` is a whole number: there is no `x` in it",
        ],
    );
}

#[test]
fn likely_mistakes_get_a_hint() {
    let ask = "stages: [llm: {model: m, input: text, output: text}]";
    hinted(
        &format!("  - repeat: {{id: evolve, times: 2, while: \"{{{{ score < 4 }}}}\", {ask}}}"),
        "7:43 syntax error: unexpected `}`, expected `:`",
        "an expression stands without braces: `score < 4`",
    );
    hinted(
        "  - repeat: {times: 2, stages: [prompt: {user: \"{{ pass }}\"}]}",
        "7:52 no earlier stage makes `pass`",
        "did you mean `repeat.pass`?",
    );
    hinted(
        "  - for_each: {in: 2, stages: [prompt: {user: \"{{ index }}\"}]}",
        "7:51 no earlier stage makes `index`",
        "did you mean `for_each.index`?",
    );
    hinted(
        "  - repeat: {id: evolve, times: 2, stages: [llm: {model: m, input: text}]}\n  - parse: {schema: {type: object}}",
        "8:5 `parse` reads a model's answer, but `evolve` before it is a block",
        "put it into `evolve`, right after the stage whose answer it reads",
    );
}

#[test]
fn names_in_a_block_are_held_against_the_fields_there() {
    let inside = |stages: &str| {
        format!("  - repeat:\n      id: evolve\n      times: 2\n      stages:\n        - {stages}\n")
    };
    bad(&inside("prompt: {user: \"{{ txt }}\"}"), &["11:30 no earlier stage makes `txt`"]);
    bad(&inside("prompt: {user: \"{{ repeat.pas }}\"}"), &["11:30 no earlier stage makes `repeat.pas`"]);
    bad(&inside("prompt: {user: \"{{ previous.txt }}\"}"), &["11:30 no earlier stage makes `previous.txt`"]);
    bad(
        &inside("prompt: {user: \"{{ previous.previous }}\"}"),
        &["11:30 no earlier stage makes `previous.previous`"],
    );
    bad(
        &inside("prompt: {when: text > 1, user: \"{{ text }}\"}"),
        &["11:26 `text` is a text, and cannot be compared with the number `1`"],
    );
    // The first pass has not what only later ones find.
    hinted(
        &inside("prompt: {user: \"{{ completion }}\"}\n        - llm: {model: m}"),
        "11:30 no earlier stage makes `completion`",
        "there is none in the first pass yet: set `completion` before the block",
    );
    hinted(
        &inside("llm: {model: m, input: text}\n        - prompt: {user: \"{{ previous.completion }}\"}"),
        "12:30 no earlier stage makes `previous.completion`",
        "there is none in the first pass yet: set `completion` before the block",
    );
    // A field is what it was before or what a pass makes of it.
    good(&inside("prompt: {when: \"score is number\", user: \"{{ score }}\"}\n        - set: {score: high}"));
    good(
        "  - set: {note: {expr: \"none\"}}\n  - repeat: {times: 2, while: \"note == none or note < 4\", stages: [set: {note: {expr: \"3\"}}]}",
    );
    bad(
        &inside("repeat: {times: repeat.pass, while: previous.score > 1, stages: [set: {a: b}]}"),
        &["11:47 no earlier stage makes `previous.score`"],
    );
    hinted(
        "  - repeat: {id: evolve, times: 2, while: completion == 'a', stages: [llm: {model: m, input: text}]}",
        "7:43 no earlier stage makes `completion`",
        "there is none in the first pass yet: set `completion` before the block",
    );
}

#[test]
fn what_a_loop_makes_is_known_after_it_only_where_every_record_has_it() {
    let after = |options: &str, name: &str| {
        format!(
            "  - repeat: {{id: evolve, {options}, stages: [llm: {{model: m, input: text}}]}}\n  - prompt: {{user: \"{{{{ {name} }}}}\"}}"
        )
    };
    good(&after("times: 2", "completion"));
    good(&after("times: 2, when: text == 'a'", "completion"));
    for (options, why) in [
        ("times: score", "`times` may be 0"),
        ("times: 2, while: score < 2", "`while` may be false before the first pass"),
        ("times: 2, on_fail: skip", "a pass may fail (`on_fail: skip`)"),
        ("times: 2, on_fail: stop", "the first pass may fail (`on_fail: stop`)"),
        ("times: 2, keep: all", "the record as it came in goes on too (`keep: all`)"),
    ] {
        let hint = format!("`evolve` may not make it, since {why}: set `completion` before the block");
        hinted(&after(options, "completion"), "8:24 no earlier stage makes `completion`", &hint);
        good(&format!("  - set: {{completion: none yet}}\n{}", after(options, "completion")));
    }
    hinted(
        &after("times: 2", "previous.text"),
        "8:24 no earlier stage makes `previous.text`",
        "there is `previous` only in the stages of `evolve`",
    );
    bad(&after("times: 2", "pass"), &["8:24 no earlier stage makes `pass`"]);
    good(&after("times: 2, keep: all", "pass + 1 }}{{ parent"));
    // A field of the user's that has such a name is there again.
    good(&format!("  - prompt: {{output: previous, user: mine}}\n{}", after("times: 2", "previous[0].role")));
}

#[test]
fn what_an_element_makes_is_collected_or_stays() {
    let block = |options: &str, rest: &str| {
        format!(
            "  - for_each: {{id: tries, {options}, stages: [llm: {{model: m, input: text}}]}}\n  - prompt: {{user: \"{rest}\"}}"
        )
    };
    good(&block("in: parts", "{{ element | upper }}{{ completion }}"));
    good(&block("in: 3, collect: {into: all, fields: [completion]}", "{{ all[0].completion | upper }}"));
    hinted(
        &block("in: 3, collect: {into: all, fields: [text]}", "{{ completion }}"),
        "8:24 no earlier stage makes `completion`",
        "`completion` is gone after `tries`: collect it with `collect: {fields: [...]}`",
    );
    for (options, rest, expected) in [
        ("in: parts", "{{ for_each.index }}", "8:24 no earlier stage makes `for_each.index`"),
        (
            "in: parts, as: part",
            "{{ part + 1 }}",
            "8:24 `part` is a text, and cannot be reckoned with the number `1`",
        ),
        ("in: 3, collect: {into: all, fields: [nothing]}", "", "7:64 no earlier stage makes `nothing`"),
        (
            "in: 3, collect: {into: all, fields: [for_each.index]}",
            "",
            "7:64 `for_each.index` is no field of its own",
        ),
        ("in: 3, collect: {into: all, fields: [index]}", "", "7:64 `index` is in every entry already"),
        ("in: 3, collect: {into: all, fields: [text, text]}", "", "7:70 `text` is named twice"),
        ("in: 3, collect: {into: all, fields: []}", "", "7:63 nothing is collected"),
        ("in: 3, collect: {into: vars, fields: [text]}", "", "7:50 `vars` has a meaning of its own"),
        ("in: 3, as: 3x", "", "7:38 `3x` is no name of a field"),
        ("in: 3, at_least: 2", "", "7:34 nothing is collected"),
        ("in: 3, at_least: 4, collect: {into: all, fields: [text]}", "", "7:44 found the number `4`"),
        ("in: text", "", "7:31 `text` is a text"),
        ("in: txt", "", "7:31 no earlier stage makes `txt`"),
        ("in: 10001", "", "7:31 found the number `10001`"),
        ("in: 0", "", "7:31 found the number `0`"),
        ("in: [1, 2]", "", "7:31 wrong type: found a list"),
    ] {
        bad(&block(options, rest), &[expected]);
    }
    good(&block("in: \"{{ vars.passes }}\", at_least: 3, collect: {into: all, fields: [text]}", ""));
}

#[test]
fn how_often_a_loop_runs() {
    let block = |times: &str| format!("  - repeat: {{times: {times}, stages: [prompt: {{user: a}}]}}");
    for fine in ["1", "score", "parts | length", "\"{{ vars.passes }}\"", "vars.passes", "4.0"] {
        good(&block(fine));
    }
    for (times, expected) in [
        ("0", "7:21 found the number `0`"),
        ("-1", "7:21 found the number `-1`"),
        ("2.5", "7:21 wrong type: found the number `2.5`"),
        ("true", "7:21 wrong type: found `true`"),
        ("text", "7:21 `text` is a text"),
        ("scor", "7:21 no earlier stage makes `scor`"),
        ("\"{{ vars.nothing }}\"", "7:25 `vars.nothing` is not declared"),
        ("4294967296", "7:21 found the number `4294967296`"),
    ] {
        bad(&block(times), &[expected]);
    }
}

#[test]
fn stages_that_are_not_allowed_in_a_block() {
    let inside = |block: &str, stages: &str| format!("  - {block}, stages: [{stages}]}}");
    for (stage, expected) in [
        ("sink: {path: b.jsonl, format: raw}", "`sink` cannot stand in a block"),
        ("split: {ratios: {a: 1}, by: text}", "`split` cannot stand in a block"),
        ("generate: {count: 1}", "`generate` cannot stand in a block"),
        ("section: {}", "`section` cannot stand in a block"),
        ("parse: {input: text}", "`parse` reads a model's answer, but it is the first stage of `repeat`"),
    ] {
        bad(&inside("repeat: {times: 2", stage), &[&format!("7:33 {expected}")]);
    }
    // The sink inside is no reason to say that there is none.
    let no_sink = format!("{HEAD}  - repeat: {{times: 2, stages: [sink: {{path: b.jsonl, format: raw}}]}}\n");
    let Err(problems) = load("p.yaml", &no_sink, &Overrides::default(), &|_| None, STAGES) else { panic!() };
    assert_eq!(short(&problems), ["3:10 no stage asks the model `m`", "7:33 `sink` cannot stand in a block"]);
    bad(
        "  - llm: {model: m, input: text}\n  - repeat: {times: 2, stages: [prompt: {user: a}, parse: {}]}",
        &["8:52 `parse` reads a model's answer, but `repeat/prompt` before it asks no model"],
    );
    bad("  - repeat: {times: 2, stages: []}", &["7:32 `repeat` has no stages"]);
    bad("  - repeat: {times: 2}", &["7:5 `stages` is missing"]);
    bad("  - repeat: {times: 2, stages: 5}", &["7:32 wrong type: found the number `5`"]);
    bad(
        &inside("repeat: {times: 2", "prompt: {id: a, user: a}, prompt: {id: a, user: b}"),
        &["7:72 stage 1 of `repeat` has the id `a` too"],
    );
    // Another block may contain the same id.
    good(&inside("repeat: {id: a, times: 2", "prompt: {id: a, user: a}"));
}

#[test]
fn several_records_of_one_are_refused_where_one_goes_on() {
    let expand = "cot_expand: {question: text, answer: text, steps: parts}";
    let each = |inner: &str| format!("for_each: {{in: 2, stages: [{inner}]}}");
    let collected = |inner: &str| {
        format!("for_each: {{in: 2, collect: {{into: all, fields: [text]}}, stages: [{inner}]}}")
    };
    let all = "repeat: {id: keeps, times: 2, keep: all, stages: [prompt: {user: a}]}";
    let repeat = |inner: &str| format!("repeat: {{times: 2, stages: [{inner}]}}");
    let prompt = "prompt: {user: a}";
    for (stages, expected) in [
        (
            repeat(expand),
            Some("7:33 `repeat/cot_expand` makes several records of one, and `repeat` goes on with one"),
        ),
        (
            repeat(all),
            Some("7:33 `repeat/keeps` makes several records of one, and `repeat` goes on with one"),
        ),
        (
            repeat(&each(prompt)),
            Some("7:33 `repeat/for_each` makes several records of one, and `repeat` goes on with one"),
        ),
        (repeat(&collected(prompt)), None),
        (
            collected(expand),
            Some("7:70 `for_each/cot_expand` makes several records of one, and `for_each` goes on with one"),
        ),
        (each(expand), None),
        (each(all), None),
        (each(&each(expand)), None),
        (each(&repeat(prompt)), None),
        (all.to_owned(), None),
    ] {
        let stages = format!("  - {stages}");
        match expected {
            Some(expected) => bad(&stages, &[expected]),
            None => drop(good(&stages)),
        }
    }
}

#[test]
fn what_is_used_in_a_block_is_used() {
    let models = "models: {m: {provider: heuristic}, n: {provider: heuristic}}\nvars: {name: a}\n";
    let stages = "  - generate: {count: 1}\n  - repeat:\n      times: 2\n      stages:\n        - prompt: {user: \"{{ vars.name }}\"}\n        - llm: {model: n}\n        - llm: {model: m}\n";
    let text = format!("name: test\n{models}stages:\n{stages}  - sink: {{path: a.jsonl, format: raw}}\n");
    let problems = |text: &str| match load("p.yaml", text, &Overrides::default(), &|_| None, STAGES) {
        Ok(_) => Vec::new(),
        Err(problems) => short(&problems),
    };
    assert_eq!(problems(&text), Vec::<String>::new());
    // A stage that cannot be read may use them still.
    assert_eq!(problems(&text.replace("{model: n}", "{modle: n}")), ["10:17 unknown field `modle`"]);
    assert_eq!(
        problems(&text.replace("        - llm: {model: n}\n", "")),
        ["2:36 no stage asks the model `n`"]
    );
    // What is drawn in a block is to be read there.
    let drawn = "sample_injections: {attributes: {tone: {draw: {choice: [kind, rude]}}, }}";
    let stage = |user: &str| {
        format!(
            "  - repeat:\n      times: 2\n      stages:\n        - {drawn}\n        - prompt: {{user: \"{user}\"}}\n        - llm: {{model: m}}"
        )
    };
    good(&stage("{{ injection_list }}"));
    bad(&stage("a"), &["10:11 no prompt reads `injections.tone`: the model would not see what is drawn"]);
    let quota = drawn.replace("draw: {choice: [kind, rude]}", "draw: {choice: [kind, rude]}, quota: exact");
    good(&format!("  - {quota}\n  - prompt: {{user: \"{{{{ injection_list }}}}\"}}"));
    bad(
        &stage("{{ injection_list }}").replace(drawn, &quota),
        &["10:88 `quota: exact` needs to know how many items come, each exactly once"],
    );
}

#[test]
fn rules_of_a_mock_model_see_the_fields_in_a_block() {
    let mock = |when: &str| {
        let stages = "  - generate: {count: 1}\n  - repeat: {times: 2, stages: [prompt: {user: a}, llm: {model: m}]}\n";
        let rule = format!("mock: {{rules: [{{when: \"{when}\", answer: a}}, {{answer: b}}]}}");
        let text = format!(
            "name: test\nmodels: {{m: {{provider: mock, {rule}}}}}\nstages:\n{stages}  - sink: {{path: a.jsonl, format: raw}}\n"
        );
        match load("p.yaml", &text, &Overrides::default(), &|_| None, STAGES) {
            Ok(_) => Vec::new(),
            Err(problems) => short(&problems),
        }
    };
    assert_eq!(mock("repeat.pass == 2"), Vec::<String>::new());
    assert_eq!(mock("repeat.pas == 2"), ["2:53 no earlier stage makes `repeat.pas`"]);
}
