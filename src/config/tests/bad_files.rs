//! Wrong files: what is reported, and where.

use super::*;

/// Replaces one line of the good file.
fn with(line: &str, replacement: &str) -> String {
    assert!(GOOD.contains(line), "no such line: {line}");
    GOOD.replace(line, replacement)
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let problems = problems_of(text, &Overrides::default());
    assert_eq!(short(&problems), expected, "\n{problems}");
}

#[test]
fn six_mistakes_of_different_kinds_are_six_problems_each_at_its_place() {
    let text = "\
name: six
vars: {unused: 1}
models:
  teacher: {base_urls: [\"http://h/v1\"], model: m}
stages:
  - rows: {path: a.jsonl}
  - wriet: {template: x}
  - ask:
      model: teacher
  - part:
      ratios: {train: 0.9, test: lots}
      ratio: 3
  - write: {template: \"{{ source.pth }}\"}
  - out: {path: ../train.jsonl}
";
    let problems = problems_of(text, &Overrides::default());
    let expected = [
        "2:8 nothing reads the variable `unused`",
        "7:5 unknown stage type `wriet`",
        "11:34 wrong type: found text `lots`",
        "12:7 unknown field `ratio`",
        "13:27 no earlier stage makes `source.pth`",
        "14:17 `../train.jsonl` is outside the run directory",
    ];
    assert_eq!(short(&problems), expected, "\n{problems}");
    let printed = problems.to_string();
    for part in [
        "p.yaml:7:5: unknown stage type `wriet`\n",
        "hint: did you mean `write`?",
        "hint: did you mean `ratios`?",
        "expected: a number",
        "hint: did you mean `source.path`?",
        "6 problems\n",
    ] {
        assert!(printed.contains(part), "{part} is not in\n{printed}");
    }
}

#[test]
fn shapes() {
    check(&with("    model: m\n", "    model: 5\n"), &["6:12 wrong type: found the number `5`"]);
    check(&with("name: test\n", "nmae: test\n"), &["1:1 `name` is missing", "1:1 unknown field `nmae`"]);
    check(&with("    model: m\n", "    model: m\n    provider: opnai\n"), &["7:15 unknown value `opnai`"]);
    check(&with("{retry: 2}", "{rety: 2}"), &["14:26 unknown field `rety`"]);
    check(&with("{retry: 2}", "{retry: many}"), &["14:33 wrong type: found text `many`"]);
    check(&with("{retry: 2}", "retyr"), &["14:25 unknown value `retyr`"]);
    check(&with("format: lines", "format: line"), &["17:37 unknown value `line`"]);
    check(&with("format: lines", "fallback: line"), &["17:39 unknown value `line`"]);
    check(&with("format: lines", "fallback: [1]"), &["17:39 wrong type: found a list"]);
    check(&with("  - cut:\n", "  - cut: {sizes: {smalest: 3}}\n"), &["11:19 unknown field `smalest`"]);
    check(&with("  - cut:\n", "  - cut: {sizes: {smallest: -3}}\n"), &["11:29 found the number `-3`"]);
    check(
        &with("  - cut:\n", "  - cut: {sizes: {smallest: 1.5}}\n"),
        &["11:29 wrong type: found the number `1.5`"],
    );
    check(
        &with("  - cut:\n", "  - cut: {sizes: {smallest: 5000000000}}\n"),
        &["11:29 invalid value: integer `5000000000`, expected u32"],
    );
    check(&with("{path: test.jsonl, format: lines}", "{format: lines}"), &["17:5 `path` is missing"]);
    check("[]", &["1:1 wrong type: found a list"]);
    check("", &["1:1 `name` is missing", "1:1 `stages` is missing"]);
    check("name: a\nstages: 3\n", &["2:9 wrong type: found the number `3`"]);
    check("name: a\nstages: []\n", &["2:9 the pipeline has no stages"]);
}

#[test]
fn stages_that_are_no_maps_with_one_key() {
    check(&with("  - cut:\n", "  - cut\n"), &["11:5 found text `cut`"]);
    check(&with("  - cut:\n", "  - cut: 5\n"), &["11:10 wrong type: found the number `5`"]);
    check(&with("  - cut:\n", "  - cut:\n    sizes: {}\n"), &["12:5 a second key, `sizes`, in one stage"]);
    check(&with("id: train", "id: The Train"), &["16:15 found text `The Train`"]);
    check(&with("id: train", "idd: train"), &["16:11 unknown field `idd`"]);
    check(
        &with("path: test.jsonl", "id: train, path: test.jsonl"),
        &["17:15 stage 7 has the id `train` too"],
    );
}

#[test]
fn the_order_of_stages() {
    check(&with("  - cut:\n", "  - cut:\n  - rows: {path: x}\n"), &["12:5 `rows` is not the first stage"]);
    check(&with("  - ask:", "  - cut:\n  - ask:"), &["13:5 `cut` comes too late, after `write`"]);
    check(
        "name: a\nstages:\n  - write: {template: x}\n",
        &["2:1 no stage writes the records", "3:5 a pipeline cannot begin with `write`"],
    );
    check(&format!("{GOOD}  - write: {{template: x}}\n"), &["18:5 nothing after stage `out` reaches a sink"]);
    check(
        "name: a\nstages:\n  - rows: {path: x}\n  - answer:\n  - out: {path: y}\n",
        &["4:5 `answer` reads a model's answer, but `rows` before it asks no model"],
    );
}

#[test]
fn names_in_templates_and_expressions() {
    check(&with("section.title", "section.titel"), &["12:27 no earlier stage makes `section.titel`"]);
    check(&with("section.title", "text"), &["12:27 no earlier stage makes `text`"]);
    check(&with("part == 'train'", "prt == 'train'"), &["16:28 no earlier stage makes `prt`"]);
    check(
        &with("part == 'train'", "'part =='"),
        &["16:28 syntax error: unexpected end of input, expected expression"],
    );
    check(
        &with(" {{ vars.topic }}\"}\n  - ask", " {{ vars.topik }}\"}\n  - ask"),
        &["12:47 `vars.topik` is not declared"],
    );
    check(
        &with("{{ vars.topic }}.jsonl", "{{ text }}{{ vars.topic }}"),
        &["10:22 `text` cannot be used here: no record is known yet"],
    );
    let open = "name: a\nstages:\n  - rows: {path: x, open: true}\n  - write: {template: '{{ a.b }} {{ source.b }}'}\n  - out: {path: y}\n";
    check(open, &["4:37 no earlier stage makes `source.b`"]);
    check(
        &with("{{ vars.share }}", "{{ vars.shar }}"),
        &["2:23 nothing reads the variable `share`", "15:32 `vars.shar` is not declared"],
    );
    check(
        &with("{{ vars.share }}", "{{ vars.topic }}"),
        &["2:23 nothing reads the variable `share`", "15:28 wrong type: found text `rivers`"],
    );
}

#[test]
fn models_and_limits() {
    check(
        &with("http://127", "ftp://127"),
        &["5:17 `ftp://127.0.0.1:8000/v1` is no http URL but one of `ftp`"],
    );
    check(
        &with("{model: teacher}", "{model: techer}"),
        &["4:3 no stage asks the model `teacher`", "13:18 no model named `techer` is declared"],
    );
    check(&with("\"{{ 8 * 8 }}\"", "\"{{ 8 - 8 }}\""), &["7:18 found the number `0`"]);
    check(&with("    model: m\n", "    api_key: sk-1\n    model: m\n"), &["6:5 unknown field `api_key`"]);
    check(
        &with("name: test\n", "name: ../up\nerror_budget: {share: 5}\n"),
        &["1:7 `../up` cannot be the name of a pipeline", "2:23 found the number `5`"],
    );
    let unset = with("127.0.0.1:${PORT}", "${PROT}");
    check(&unset, &["5:25 environment variable `PROT` is not set"]);
}

#[test]
fn outputs() {
    check(
        &with("path: test.jsonl", "path: ./train.jsonl"),
        &["17:17 `train.jsonl` is written by stage 7 (`out`) too"],
    );
    check(
        &with("path: test.jsonl", "path: rejected.jsonl"),
        &["17:17 the run keeps `rejected.jsonl` for itself"],
    );
    check(
        &with("path: test.jsonl", "path: train.jsonl/x"),
        &["17:17 `train.jsonl/x` and `train.jsonl` cannot both be files"],
    );
}

#[test]
fn yaml_that_cannot_be_read() {
    check("name: [a\nb: 1\n", &["2:2 illegal placement of ':' indicator"]);
    check(&format!("name: again\n{GOOD}"), &["2:1 `name` is written twice"]);
}

#[test]
fn wrong_overrides() {
    let text = GOOD.replace("stages:", "  other: {provider: heuristic}\nstages:");
    for (text, sets, expected) in [
        (GOOD, "models.techer.timeout=3", "--set models.techer.timeout: no model named `techer` is declared"),
        (GOOD, "stages.trian.path=x", "--set stages.trian.path: no stage `trian`"),
        (GOOD, "stages.train.pth=x", "--set stages.train.pth: unknown field `pth`"),
        (GOOD, "sed=3", "--set sed: unknown field `sed`"),
        (GOOD, "vars.tpic=3", "--set vars.tpic: no variable `tpic` is declared"),
        (GOOD, "name", "--set: `name` has no `=`"),
        (GOOD, "name.x=1", "--set name.x: there is nothing inside a plain value, so no `x`"),
        (GOOD, "models.teacher.concurrency=many", "--set models.teacher.concurrency: unknown value `many`"),
    ] {
        let overrides = Overrides { sets: vec![sets.to_owned()], ..Overrides::default() };
        assert_eq!(short(&problems_of(text, &overrides)), [expected]);
    }
    let overrides = Overrides { model: Some("x".to_owned()), ..Overrides::default() };
    let problems = problems_of(&text, &overrides);
    let several = "--model: the pipeline has several models: `teacher`, `other`";
    assert_eq!(short(&problems), ["9:3 no stage asks the model `other`", several]);
    assert_eq!(problems.list[1].hint.as_deref(), Some("say which: `--set models.teacher.model=...`"));
    let overrides = Overrides { vars: vec!["topc=x".to_owned()], ..Overrides::default() };
    let problems = problems_of(GOOD, &overrides);
    assert_eq!(short(&problems), ["--var topc: no variable `topc` is declared"]);
    assert_eq!(problems.list[0].hint.as_deref(), Some("did you mean `topic`?"));
}

#[test]
fn no_secret_is_printed() {
    for line in [
        "    api_key: sk-verysecret\n",
        "    api_key_env: sk-verysecret\n",
        "    base_url: \"https://me:sk-verysecret@h/v1\"\n",
        "    timeout: \"https://h/v1?api_key=sk-verysecret\"\n",
    ] {
        let printed = problems_of(&with("    model: m\n", line), &Overrides::default()).to_string();
        assert!(!printed.contains("verysecret"), "{printed}");
    }
}
