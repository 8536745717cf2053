//! Settings that a pipeline is refused for, each with its message and place.

use crate::config::{Overrides, Plan};

const TONE: &str = r#"[{"tone": "", "frequency score": 2}, {"tone": "angry", "frequency score": 1}, {"tone": "never", "frequency score": 0}]"#;
const TOPIC: &str = r#"[{"topic": "fees", "frequency score": 3}, {"topic": "books", "frequency score": 1}]"#;

/// Checks what is said about a pipeline with these lines under `sample_injections`; `@` is the folder.
fn check(source: &str, body: &str, rest: &str, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("tone.json", TONE), ("topic.json", TOPIC)] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let root = dir.path().to_str().unwrap();
    std::fs::write(dir.path().join("length.txt"), r#"{"mean": 2, "sigma": 1}"#).unwrap();
    let body = body.replace('\n', "\n      ").replace('@', root);
    let models = if rest.contains("llm") { "{m: {provider: heuristic}}" } else { "{}" };
    let yaml = format!(
        "name: test\nmodels: {models}\nstages:\n  - generate: {source}\n  \
         - sample_injections:\n      {body}\n  {rest}\n"
    );
    let found = match Plan::load_text("test.yaml", &yaml, &Overrides::default()) {
        Ok(_) => "right".to_owned(),
        Err(problems) => problems.to_string().replace(root, "@"),
    };
    assert!(found.contains(expected), "{yaml}\nsays    {found}\ninstead {expected}");
}

const ALL: &str = "- sink: {path: a.jsonl, format: raw}";
const FOLDER: &str = "folder: '@'";

/// As above, for one attribute's settings.
fn attribute(settings: &str, expected: &str) {
    check("{count: 10}", &format!("{FOLDER}\nattributes: {{{settings}}}"), ALL, expected);
}

#[test]
fn settings_that_do_not_fit_their_attribute() {
    attribute("tone: {sample: 2}, topic: {quota: exact}", "right");
    for (settings, expected) in [
        ("tune: {quota: exact}", "no injection file for the attribute `tune`"),
        ("tune: {quota: exact}", "did you mean `tone`?"),
        ("tone: {draw: {uniform: {min: 1, max: 2}}}", "`tone` has a file in the folder too"),
        ("age: {draw: {uniform: {min: 1, max: 2}}, rows: {path: a.csv}}", "`draw` and `rows` are both given"),
        (
            "age: {draw: {uniform: {min: 2, max: 1}}}",
            "test.yaml:7:32: no number with 0 decimals lies between",
        ),
        ("age: {draw: {uniform: {min: 1, max: 2}}, sample: 2}", "`age` is not drawn from a list of values"),
        ("age: {draw: {choice: [a, b, a]}}", "`a` stands there twice"),
        ("age: {draw: {choice: {a: -1}}}", "`a` has the score -1"),
        ("age: {draw: {choice: some}}", "expected a list of values"),
        ("age: {draw: {cauchy: {mean: 1}}}", "unknown field `cauchy`"),
        ("who: {rows: {path: none.csv}}", "`none.csv`: No such file"),
        ("tone: {sample: 3}", "`sample` is 3, but `tone` has 2 values with a score above 0"),
        ("tone: {sample: 0}", "`sample` is 0"),
        ("tone: {sample: 2, quota: exact}", "`quota` and `sample` cannot both hold"),
        ("tone: {quota: exact, given: {topic: {fees: {angry: 3}}}}", "`quota` and `given` cannot both hold"),
        ("tone: {quota: almost}", "unknown value `almost`"),
        ("tone: {given: {topics: {fees: {angry: 3}}}}", "did you mean `topic`?"),
        ("tone: {given: {tone: {angry: {angry: 3}}}}", "no other attribute `tone`"),
        ("tone: {given: {topic: {feess: {angry: 3}}}}", "no value of `topic` `feess`"),
        ("tone: {given: {topic: {fees: {angrx: 3}}}}", "did you mean `angry`?"),
        ("tone: {given: {topic: {fees: {angry: -3}}}}", "the score is -3"),
        ("tone: {given: {topic: {fees: {angry: 0, '': 0}}}}", "all scores are 0"),
        ("tone: {given: {topic: {}, other: {}}}", "`given` must name one attribute"),
        (
            "tone: {given: {topic: {fees: {angry: 1}}}}, topic: {given: {tone: {angry: {fees: 1}}}}",
            "`given` goes in a circle",
        ),
    ] {
        attribute(settings, expected);
    }
}

#[test]
fn rules_that_cannot_be() {
    let rules = |rules: &str, expected: &str| {
        check("{count: 10}", &format!("{FOLDER}\nexclude: [{rules}]"), ALL, expected);
    };
    rules("{topic: fees, tone: angry}", "right");
    rules("{topic: [fees, books]}", "the rules leave no combination that can be drawn");
    rules("{tone: angry}, {tone: ''}", "the rules leave no combination that can be drawn");
    rules("{}", "the rule names no attribute");
    rules("{topics: fees}", "no attribute `topics`");
    rules("{topic: fee}", "did you mean `fees`?");
    let quota = format!("{FOLDER}\nattributes: {{tone: {{quota: exact}}}}\nexclude: [{{tone: angry}}]");
    check("{count: 10}", &quota, ALL, "`tone` has `quota: exact`, which `exclude` would break");
    let rare = "attributes: {a: {draw: {choice: {x: 1, y: 99999}}}}\nexclude: [{a: y}]";
    check("{count: 10}", rare, ALL, "the rules leave 0.00 % of the combinations of `a`");
}

#[test]
fn a_quota_needs_to_know_its_items() {
    let quota = format!("{FOLDER}\nattributes: {{tone: {{quota: exact}}}}");
    check("{count: 10}", &quota, ALL, "right");
    check("{}", &quota, ALL, "`quota: exact` needs to know how many items come");
    check("{count: 10}", &format!("when: row > 3\n{quota}"), ALL, "`quota: exact` needs to know");
    check("{count: 10}", &quota, &format!("{ALL}\naccept: 5"), "`quota: exact` needs to know");
    check("{count: 0}", FOLDER, ALL, "`count` is 0");
}

#[test]
fn a_folder_and_a_length_must_be_right() {
    check("{}", "{}", ALL, "nothing is drawn");
    check("{}", "folder: '@/none'", ALL, "cannot read the folder `@/none`");
    check("{}", "length: '@/length.txt'", ALL, "`@/length.txt`: missing field `shift`");
    check("{}", "length: '@/none.json'", ALL, "cannot read `@/none.json`");
    check("{}", "folder: '{{ vars.none }}'", ALL, "`vars.none` is not declared");
}

#[test]
fn what_is_drawn_must_reach_the_model() {
    let asks = |prompt: &str| {
        format!(
            "- prompt: {{user: '{prompt}'}}\n  - llm: {{model: m}}\n  - sink: {{path: a.jsonl, format: raw}}"
        )
    };
    check("{}", FOLDER, &asks("{{ injection_list }}"), "right");
    check("{}", FOLDER, &asks("{{ injections.tone }} {{ injections.topic }}"), "right");
    check("{}", FOLDER, &asks("Say something."), "no prompt reads `injections.tone`, `injections.topic`");
    check("{}", FOLDER, &asks("{{ injections.tone }}"), "no prompt reads `injections.topic`");
    check("{}", FOLDER, &asks("{{ injections.tome }}"), "no earlier stage makes `injections.tome`");
    let length = format!("{FOLDER}\nlength: config/response_length_distribution.json");
    check("{}", &length, &asks("{{ injection_list }}"), "no prompt reads `target_words`");
    // What only shapes another attribute need not be shown.
    let given = format!("{FOLDER}\nattributes: {{tone: {{given: {{topic: {{fees: {{angry: 9}}}}}}}}}}");
    check("{}", &given, &asks("{{ injections.tone }}"), "right");
}
