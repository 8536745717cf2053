//! What is said before a run of fields whose values cannot be what a stage needs, and that nothing is said where they
//! could; with the program's own stages.

use serde_json::{Value, json};

use crate::config::{Overrides, Plan};

/// What is said of a pipeline over these rows with these stages: `right`, or its problems.
fn said(file: &str, rows: &str, stages: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(file);
    std::fs::write(&path, rows).unwrap();
    let mut yaml = format!(
        "name: test\nmodels: {{m: {{provider: heuristic}}}}\nstages:\n  - ingest: {{paths: [{}]}}\n",
        path.display()
    );
    for stage in stages {
        yaml.push_str(&format!("  - {}\n", stage.replace('\n', "\n    ")));
    }
    if !yaml.contains("{model: m") {
        yaml = yaml.replace("models: {m: {provider: heuristic}}\n", "");
    }
    match Plan::load_text("p.yaml", &yaml, &Overrides::default()) {
        Ok(_) => "right".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

/// Rows of every kind of value.
fn rows() -> String {
    let row = json!({
        "text": "Tea.", "number": 3, "fraction": 0.5, "flag": true, "nothing": null, "texts": ["a"], "numbers": [1, 2],
        "object": {"title": "T", "n": 1}, "objects": [{"path": "a.png"}], "empty": [],
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": null, "tool_calls": []}],
        "conversations": [{"from": "human", "value": "Hi"}],
    });
    format!("{row}\n{row}\n")
}

const SINK: &str = "sink: {id: end, path: end.jsonl, format: raw}";

/// Checks one stage over such rows.
fn check(stage: &str, expected: &str) {
    let found = said("rows.jsonl", &rows(), &[stage, SINK]);
    assert!(found.contains(expected), "{stage}\nsays    {found}\ninstead {expected}");
}

#[test]
fn each_stage_declares_what_it_needs() {
    for (stage, expected) in [
        ("prompt: {user: a, images: number}", "`images` is a whole number"),
        ("prompt: {user: a, images: '[numbers]'}", "`images` is a list of lists of whole numbers"),
        ("llm: {model: m, input: number}", "p.yaml:5:28: `number` is a whole number"),
        ("llm: {model: m, input: texts}", "`texts` is a list of texts"),
        ("llm: {model: m, input: conversations}", "expected: a text or a list of messages"),
        ("llm: {model: m, input: object.n}", "`object.n` is a whole number"),
        ("llm: {model: m, input: text.title}", "`text` is a text: nothing stands in it"),
        ("llm: {model: m, input: text, tools: texts}", "`texts` is a list of texts"),
        ("cot_expand: {question: messages, answer: text, steps: texts}", "`messages` is a list of messages"),
        ("cot_expand: {question: text, answer: object, steps: texts}", "`object` is an object"),
        (
            "cot_expand: {question: text, answer: text, steps: numbers}",
            "expected: a text, a list of texts or null",
        ),
        ("split: {ratios: {a: 1, b: 1}, by: object}", "`object` is an object"),
        ("split: {ratios: {a: 1, b: 1}, by: '[texts]'}", "expected: a text, a number or a list of them"),
        ("split: {ratios: {a: 1, b: 1}, by: flag and number > 1}", "is `true` or `false`"),
        (
            "split: {rules: [{when: text > 3, to: a}, {to: b}]}",
            "`text` is a text, and cannot be compared with the number `3`",
        ),
        (
            "sink: {path: a.jsonl, format: messages, user: texts, assistant: text}",
            "`texts` is a list of texts",
        ),
        (
            "sink: {path: a.jsonl, format: alpaca, user: text, assistant: number}",
            "`number` is a whole number",
        ),
        (
            "sink: {path: a.jsonl, format: raw, when: number + text}",
            "`text` is a text, and cannot be reckoned with `number`",
        ),
        ("sink: {path: a.jsonl, format: raw, fields: [object.titel]}", "did you mean `object.title`?"),
    ] {
        check(stage, expected);
    }
    // The conversation and the turns that no option names.
    let named = |rows: &str, expected: &str| {
        let found = said("rows.jsonl", rows, &["sink: {path: a.jsonl, format: sharegpt}"]);
        assert!(found.contains(expected), "{rows} says {found}");
    };
    named(
        "{\"messages\": [{\"from\": \"a\"}]}\n",
        "`messages`, which is the conversation by default, is a list of objects",
    );
    named(
        "{\"messages\": \"Hi\"}\n",
        "hint: name the fields that hold the turns: `user: FIELD`, `assistant: FIELD`",
    );
    named(
        "{\"question\": [\"a\"], \"answer\": \"b\"}\n",
        "`question`, which is the user's turn by default, is a list of texts",
    );
    for stages in [["section:"], ["plan_questions:"]] {
        let found = said("rows.jsonl", "{\"text\": 3, \"section\": \"a\"}\n", &[stages[0], SINK]);
        assert!(found.contains("` is a"), "{found}");
    }
}

#[test]
fn templates_are_checked_inside() {
    for (template, expected) in [
        (
            "{% for c in text %}{{ c }}{% endfor %}",
            "`text` is a text, and a loop would go through its characters",
        ),
        ("{% for c in text %}{{ c }}{% endfor %}", "hint: `text | lines` goes through its lines"),
        ("{% for a in texts %}{% for b in a %}{{ b }}{% endfor %}{% endfor %}", "`a` is a text, and a loop"),
        ("{% for a in number %}{{ a }}{% endfor %}", "`number` is a whole number, and a loop wants a list"),
        ("{{ text.title }}", "`text` is a text: there is no `title` in it"),
        ("{% for m in objects %}{{ m.path.x }}{% endfor %}", "`m.path` is a text: there is no `x` in it"),
        ("{{ texts.title }}", "`texts` is a list of texts: there is no `title` in it"),
        ("{{ text + 1 }}", "hint: `text | float` is the number that it says"),
        (
            "{{ number - (text | trim) }}",
            "`number` is a whole number, and cannot be reckoned with a value that is a text",
        ),
        ("{% if text >= 4 %}a{% endif %}", "`text` is a text, and cannot be compared with the number `4`"),
        (
            "{{ 'a' if number == '3' else 'b' }}",
            "`number` is a whole number, and cannot be compared with the text `3`",
        ),
        (
            "{% if texts > 1 %}a{% endif %}",
            "`texts` is a list of texts, and cannot be compared with the number `1`",
        ),
        ("{% if object < text %}a{% endif %}", "`text` is a text, and cannot be compared with `object`"),
        ("{{ text * 2 }}", "`text` is a text, and cannot be reckoned with the number `2`"),
        ("{{ nothing ~ 'a' }}", "`nothing` is null, which has no text"),
        ("{{ nothing }}", "`nothing` is null, and nothing could be written for it"),
        ("{{ nothing | upper }}", "`nothing` is null, and `upper` wants a text"),
        (
            "{% if flag == 'true' %}a{% endif %}",
            "`flag` is `true` or `false`, and cannot be compared with the text `true`",
        ),
        ("{% if number in texts %}a{% endif %}", "`texts` is a list of texts, and `number` is never in it"),
        ("{% if number in text %}a{% endif %}", "`text` is a text, and `number` is never in it"),
        ("{% if nothing < 3 %}a{% endif %}", "`nothing` is null, and cannot be compared with the number `3`"),
        ("{% if 'a' in number %}a{% endif %}", "`number` is a whole number, and nothing is in it"),
        ("{{ number | join(', ') }}", "`number` is a whole number, and `join` wants a list or a text"),
        ("{{ texts | length + text }}", "cannot be reckoned with"),
        (
            "{% with x = text %}{{ x < 3 }}{% endwith %}",
            "`x` is a text, and cannot be compared with the number `3`",
        ),
    ] {
        check(&format!("prompt: {{user: {}}}", json!(template)), expected);
    }
    // In a block of literal text, the line is shown.
    check(
        "prompt:\n    user: |\n      a\n      {% for c in text %}\n      {% endfor %}",
        "p.yaml:7:23: `text` is a text",
    );
}

#[test]
fn what_could_be_right_is_not_refused() {
    for stage in [
        "prompt: {user: a, images: objects}",
        "prompt: {user: a, images: nothing}",
        "prompt: {user: a, images: empty}",
        "llm: {model: m, input: text}",
        "llm: {model: m, input: messages}",
        "llm: {model: m, input: empty}",
        "llm: {model: m, input: text, tools: objects}",
        "cot_expand: {question: text, answer: text, steps: nothing}",
        "cot_expand: {question: text, answer: object.title, steps: text}",
        "split: {ratios: {a: 1, b: 1}, by: number}",
        "split: {ratios: {a: 1, b: 1}, by: texts}",
        "split: {ratios: {a: 1, b: 1}, by: object.title ~ number}",
        "split: {ratios: {a: 1, b: 1}, by: 'object.n | string'}",
        "sink: {path: a.jsonl, format: messages}",
        "sink: {path: a.jsonl, format: raw, fields: [object.title]}",
        "sink: {path: a.jsonl, format: raw, when: text | float > 3 and number in numbers and 'T' in object.title}",
        "sink: {path: a.jsonl, format: raw, when: text == 'a' and nothing != 3 and flag == true}",
    ] {
        check(stage, "right");
    }
    for template in [
        "{% for c in text | list %}{{ c }}{% endfor %}{% for l in text | lines %}{{ l }}{% endfor %}",
        "{% if text is string %}{{ text }}{% else %}{% for t in text %}{{ t }}{% endfor %}{% endif %}",
        "{% for x in nothing %}{{ x }}{% endfor %}{% for key in object %}{{ key }}{% endfor %}",
        "{% set text = texts %}{% for t in text %}{{ t }}{% endfor %}",
        "{{ text.title | default('none') }}{{ number.x is defined }}",
        "{% macro row(text) %}{% for t in text %}{{ t }}{% endfor %}{% endmacro %}{{ row(texts) }}",
        "{% for text in texts %}{{ text }} {{ loop.index + 1 }}{% endfor %}",
        "{{ text[0] }}{{ texts[0] | upper }}{{ object['title'] }}{{ numbers[1:] | sum + 1 }}",
        "{{ (number | string) + text }}{{ '-' * 20 }}{{ fraction + number }}{{ number != '' }}",
        "{{ nothing == 'a' }}{{ range(number) | join }}{{ (text | int) + 1 }}",
    ] {
        check(&format!("prompt: {{user: {}}}", json!(template)), "right");
    }
    // Of two files, or of rows of two kinds, either may be.
    let mixed = "{\"q\": [\"a\"]}\n{\"q\": \"b\"}\n";
    assert_eq!(said("rows.jsonl", mixed, &["llm: {model: m, input: q}", SINK]), "right");
    // A kind that is asked for depends on the record, from then on.
    let lists = "{\"q\": [\"a\"]}\n";
    assert_eq!(said("rows.jsonl", lists, &["llm: {model: m, input: q, when: q is string}", SINK]), "right");
    // A stage that only some records go through leaves the others as they are.
    let stages = ["prompt: {user: a, output: q, when: q | length > 3}", "llm: {model: m, input: q}", SINK];
    assert_eq!(said("rows.jsonl", "{\"q\": \"a\"}\n", &stages), "right");
}

#[test]
fn the_first_rows_speak_for_a_long_file() {
    let mut rows = "{\"q\": [\"a\"], \"note\": null, \"meta\": {\"a\": 1}}\n".repeat(150);
    let refused = said("rows.jsonl", &rows, &["llm: {model: m, input: q}", SINK]);
    assert!(refused.contains("`q` is a list of texts"), "{refused}");
    rows.push_str("{\"q\": \"b\", \"note\": \"c\", \"meta\": {\"b\": 2}}\n");
    for stages in [
        // Not all is known of the rows, so names and kinds that were not seen may be there.
        vec!["llm: {model: m, input: note}"],
        vec!["llm: {model: m, input: meta.b}"],
        vec!["llm: {model: m, input: q, when: meta.b is defined}"],
        vec!["split: {rules: [{when: note != none, to: a}]}", "llm: {model: m, input: q}"],
    ] {
        let found = said("rows.jsonl", &rows, &[stages, vec![SINK]].concat());
        assert_eq!(found, "right");
    }
}

#[test]
fn columns_of_csv_are_texts() {
    let rows = "id,score,text\n1,10,a\n2,2,b\n";
    let check = |stage: &str, expected: &str| {
        let found = said("rows.csv", rows, &[stage, SINK]);
        assert!(found.contains(expected), "{stage} says {found}");
    };
    check(
        "sink: {path: a.jsonl, format: raw, when: score >= 4}",
        "`score` is a text, and cannot be compared with the number `4`",
    );
    check(
        "sink: {path: a.jsonl, format: raw, when: score == 10}",
        "hint: `score | float` is the number that it says",
    );
    check("sink: {path: a.jsonl, format: raw, when: 10 < score | int}", "right");
    check("split: {rules: [{when: score < 4, to: low}, {to: high}]}", "cannot be compared");
    check("sink: {path: a.jsonl, format: prompt_completion, user: text, assistant: score}", "right");
    check("llm: {model: m, input: source}", "`source` is an object");
    check("llm: {model: m, input: source.row}", "`source.row` is a whole number");
    // However long the file is.
    let many = format!("id,score\n{}", "1,10\n".repeat(150));
    let found = said("rows.csv", &many, &["sink: {path: a.jsonl, format: raw, when: score >= 4}"]);
    assert!(found.contains("cannot be compared"), "{found}");
    let found = said("rows.csv", &many, &["sink: {path: a.jsonl, format: raw, fields: [scores]}"]);
    assert!(found.contains("did you mean `score`?"), "{found}");
}

#[test]
fn answers_have_the_types_of_their_schema() {
    let parse = |schema: Value, stage: &str| {
        let parse = format!("parse: {}", json!({"schema": schema}));
        said("rows.jsonl", &rows(), &["llm: {model: m, input: text}", &parse, stage, SINK])
    };
    let schema = json!({
        "$defs": {"step": {"type": "object", "properties": {"why": {"type": "string"}}}},
        "type": "object", "additionalProperties": false,
        "properties": {
            "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}},
            "level": {"enum": [1, 2]}, "mood": {"anyOf": [{"type": "string"}, {"type": "array"}]},
            "free": {}, "maybe": {"type": ["string", "null"]}, "open": {"type": "object"},
        },
    });
    for (stage, expected) in [
        ("cot_expand: {question: text, answer: maybe, steps: steps}", "`steps` is a list of objects"),
        (
            "sink: {path: a.jsonl, format: messages, user: level, assistant: mood}",
            "`level` is a whole number",
        ),
        ("llm: {model: m, input: stepss}", "did you mean `steps`?"),
        ("prompt: {user: '{% for s in steps %}{{ s.why.x }}{% endfor %}'}", "`s.why` is a text"),
        ("cot_expand: {question: mood, answer: free, steps: maybe}", "right"),
        ("llm: {model: m, input: open.anything}", "right"),
    ] {
        let found = parse(schema.clone(), stage);
        assert!(found.contains(expected), "{stage} says {found}");
    }
}
