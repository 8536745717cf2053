//! Templates and expressions over real-life rows: whatever cannot be evaluated is a clear error.

use std::path::Path;

use serde_json::Value;

use crate::harness::{outputs, stderr, stdout, synthmill};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// The messages of all that was rejected.
fn rejected(run: &Path) -> Vec<String> {
    let lines = outputs(run).remove("rejected.jsonl").unwrap_or_default();
    let message =
        |line: &String| serde_json::from_str::<Value>(line).unwrap()["message"].as_str().unwrap().to_owned();
    lines.iter().map(message).collect()
}

const SCORES: &str = "id,score,flag\n1,10,true\n2,2,false\n3,N/A,true\n";

fn filtered(when: &str) -> String {
    format!(
        "name: t
stages:
  - ingest: {{paths: [rows.csv]}}
  - sink: {{path: good.jsonl, format: raw, fields: [id], when: \"{when}\"}}
"
    )
}

#[test]
fn texts_of_a_csv_file_are_not_numbers() {
    // All of a table's columns are texts, which is known before the run.
    let dir = folder(&[("rows.csv", SCORES)]);
    let write = |yaml: &str| std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    for (when, message) in [
        ("score >= 4", "`score` is a text, and cannot be compared with the number `4`"),
        ("score == 10", "`score` is a text, and cannot be compared with the number `10`"),
    ] {
        write(&filtered(when));
        let said = stderr(&synthmill(dir.path(), &["run", "p.yaml", "--fresh", "-q"], 2));
        assert!(said.contains(message) && said.contains("`score | float` is the number"), "{said}");
    }
    write(&filtered("score != 'N/A' and score | float >= 4"));
    synthmill(dir.path(), &["run", "p.yaml", "--fresh", "-q"], 0);
    assert_eq!(outputs(&dir.path().join("output/t"))["good.jsonl"], ["{\"id\":\"1\"}"]);

    // Of rows that differ, each is judged for itself.
    let rows = "{\"id\": 1, \"score\": \"10\"}\n{\"id\": 2, \"score\": 10}\n";
    std::fs::write(dir.path().join("rows.jsonl"), rows).unwrap();
    for (when, message) in [
        (
            "score >= 4",
            "`score` is the text `10`, which cannot be compared by `>=` with `4`, the number 4; \
             `score | float` (or `| int`) is its number",
        ),
        (
            "score == 10",
            "`score` is the text `10`, which cannot be compared by `==` with `10`, the number 10; \
             `score | float` (or `| int`) is its number",
        ),
    ] {
        write(&filtered(when).replace("rows.csv", "rows.jsonl"));
        synthmill(dir.path(), &["run", "p.yaml", "--fresh", "-q"], 0);
        let run = dir.path().join("output/t");
        assert_eq!(outputs(&run)["good.jsonl"], ["{\"id\":2}"]);
        let messages = rejected(&run);
        assert!(messages.len() == 1 && messages[0].contains(message), "{messages:?}");
    }
}

#[test]
fn a_text_that_says_no_is_not_true() {
    let dir = folder(&[("rows.csv", SCORES), ("p.yaml", &filtered("flag"))]);
    synthmill(dir.path(), &["run", "p.yaml", "--set", "error_budget.share=1", "-q"], 0);
    let run = dir.path().join("output/t");
    assert_eq!(outputs(&run)["good.jsonl"].len(), 2);
    let messages = rejected(&run);
    assert!(messages.len() == 1 && messages[0].contains("compare it: `flag == 'true'`"), "{messages:?}");
}

#[test]
fn every_field_name_can_be_used_in_expressions() {
    let rows = "Product name,5-star,my-col,text\nkettle,5,blue,The lid is loose.\n";
    let dir = folder(&[("rows.csv", rows)]);
    let pipeline = |user: &str, when: &str| {
        format!(
            "name: t
stages:
  - ingest: {{paths: [rows.csv]}}
  - prompt: {{user: '{user}'}}
  - split: {{by: 'record[\"Product name\"]', ratios: {{a: 1, b: 1}}}}
  - sink: {{path: out.jsonl, format: raw, fields: [prompt, Product name, 5-star], when: '{when}'}}
"
        )
    };
    let fine = pipeline(
        "{{ record[\"Product name\"] }} {{ record[\"5-star\"] }} {{ text }}",
        "record[\"my-col\"] == \"blue\"",
    );
    std::fs::write(dir.path().join("p.yaml"), fine).unwrap();
    synthmill(dir.path(), &["run", "p.yaml", "-q"], 0);
    let line: Value = serde_json::from_str(&outputs(&dir.path().join("output/t"))["out.jsonl"][0]).unwrap();
    assert_eq!(line["prompt"][0]["content"], "kettle 5 The lid is loose.");
    assert_eq!(line["Product name"], "kettle");
    let product =
        "the field \"Product name\" is written `record[\"Product name\"]` in templates and expressions";
    for (user, when, hint) in [
        ("{{ Product_name }}", "true", product),
        ("{{ Product name }}", "true", product),
        ("{{ 5-star }}", "true", "is written `record[\"5-star\"]`"),
        ("x", "my-col == 1", "is written `record[\"my-col\"]`"),
        ("{{ record.txt }}", "true", "did you mean `text`?"),
    ] {
        std::fs::write(dir.path().join("p.yaml"), pipeline(user, when)).unwrap();
        let said = stderr(&synthmill(dir.path(), &["validate", "p.yaml"], 2));
        assert!(said.contains(hint), "`{hint}` is not in\n{said}");
    }
}

#[test]
fn a_dotted_key_is_read_as_validate_says() {
    let rows = "{\"meta.lang\": \"en\", \"q\": \"Hi\"}\n{\"meta\": {\"lang\": \"de\"}, \"q\": \"Ho\"}\n";
    let yaml = "name: t
stages:
  - ingest: {paths: [rows.jsonl]}
  - prompt: {user: '{{ meta.lang }} {{ record[\"meta.lang\"] }}'}
  - sink: {path: out.jsonl, format: raw, fields: [prompt, meta.lang], when: \"meta.lang in ['en', 'de']\"}
";
    let dir = folder(&[("rows.jsonl", rows), ("p.yaml", yaml)]);
    synthmill(dir.path(), &["validate", "p.yaml"], 0);
    synthmill(dir.path(), &["run", "p.yaml", "-q"], 0);
    let lines = &outputs(&dir.path().join("output/t"))["out.jsonl"];
    assert!(
        lines[0].contains("\"content\":\"de de\"") && lines[1].contains("\"content\":\"en en\""),
        "{lines:?}"
    );
    assert!(
        lines[0].contains("\"meta.lang\":\"de\"") && lines[1].contains("\"meta.lang\":\"en\""),
        "{lines:?}"
    );
}

#[test]
fn an_unrenderable_prompt_is_refused_at_load_or_rejected_by_name() {
    let rows = "{\"facts\": [\"it's <b> & more\"], \"note\": null, \"name\": \" Kim \"}\n";
    let pipeline = |user: &str| {
        format!(
            "name: t
stages:
  - ingest: {{paths: [rows.jsonl]}}
  - prompt: {{user: \"{user}\"}}
  - sink: {{path: out.jsonl, format: raw, fields: [prompt]}}
"
        )
    };
    let dir = folder(&[("rows.jsonl", rows)]);
    let write = |user: &str| std::fs::write(dir.path().join("p.yaml"), pipeline(user)).unwrap();
    write("{{ facts | tojson }}{{ name.strip() }}{{ note or '' }}");
    synthmill(dir.path(), &["run", "p.yaml", "--fresh", "-q"], 0);
    let lines = &outputs(&dir.path().join("output/t"))["out.jsonl"];
    assert!(lines[0].contains("[\\\"it's <b> & more\\\"]Kim"), "{lines:?}");
    write("{{ note }}");
    // Where it is null in all rows, that is known before.
    let said = stderr(&synthmill(dir.path(), &["run", "p.yaml", "--fresh", "-q"], 2));
    assert!(said.contains("`note` is null"), "{said}");
    let both = format!("{rows}{}", rows.replace("null", "\"mind the gap\""));
    std::fs::write(dir.path().join("rows.jsonl"), both).unwrap();
    synthmill(dir.path(), &["run", "p.yaml", "--fresh", "-q"], 0);
    let messages = rejected(&dir.path().join("output/t"));
    assert_eq!(messages, ["`note` is null, which has no text; `note or ''` leaves it empty"]);
    for (user, message) in [
        ("{{ name.strp() }}", "templates have no method `strp`"),
        ("{{ name | strip }}", "templates have no filter `strip`"),
        ("{% include 'a.j2' %}", "there is nothing for `{% include %}` to read"),
        ("{{ lipsum() }}", "templates have no function `lipsum`"),
    ] {
        write(user);
        let said = stderr(&synthmill(dir.path(), &["validate", "p.yaml"], 2));
        assert!(said.contains(message), "`{message}` is not in\n{said}");
    }
}

#[test]
fn an_unterminated_expression_is_refused_at_its_position() {
    let long = vec!["score == 'x'"; 20_000].join(" or ");
    let dir = folder(&[("rows.csv", SCORES), ("p.yaml", &filtered(&long))]);
    let said = stderr(&synthmill(dir.path(), &["validate", "p.yaml"], 2));
    assert!(said.contains("p.yaml:4:") && said.contains("the expression is too long"), "{}", &said[..400]);
    let nested = format!("name: t\nstages: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    std::fs::write(dir.path().join("p.yaml"), nested).unwrap();
    let output = synthmill(dir.path(), &["validate", "p.yaml"], 2);
    assert!(stdout(&output).is_empty() && stderr(&output).contains("1 problem"));
}

#[test]
fn unterminated_rows_are_reported_and_the_others_read() {
    let deep = format!("{{\"id\": {}{}}}\n{{\"id\": 2}}\n", "[".repeat(100_000), "]".repeat(100_000));
    let yaml = "name: t
stages:
  - ingest: {paths: [rows.jsonl]}
  - sink: {path: out.jsonl, format: raw, fields: [id]}
";
    let dir = folder(&[("rows.jsonl", &deep), ("p.yaml", yaml)]);
    synthmill(dir.path(), &["run", "p.yaml", "-q"], 0);
    assert_eq!(outputs(&dir.path().join("output/t"))["out.jsonl"], ["{\"id\":2}"]);
}

#[test]
fn an_inner_block_sees_the_position_in_the_outer_one() {
    let dir = folder(&[(
        "p.yaml",
        "name: t
stages:
  - generate: {count: 1}
  - set: {seen: {expr: \"[]\"}, places: {expr: \"[]\"}, more: true}
  - repeat:
      id: outer
      times: 3
      while: more
      stages:
        - repeat:
            id: inner
            times: repeat.pass
            stages:
              - set: {seen: {expr: \"seen + [repeat.pass]\"}}
        - for_each:
            in: previous.seen | length + 1
            collect: {into: places, fields: [place]}
            stages:
              - set: {place: \"{{ repeat.pass }}: {{ for_each.index + 1 }} of {{ for_each.count }}\"}
        - set: {more: {expr: \"seen | length < 3\"}}
  - sink: {path: a.jsonl, format: raw, fields: [seen, places]}
",
    )]);
    synthmill(dir.path(), &["run", "p.yaml", "-q"], 0);
    let lines = outputs(&dir.path().join("output/t"));
    // One pass of the inner one, then two; then `while` is false.
    let places = "[{\"index\":0,\"place\":\"2: 1 of 2\"},{\"index\":1,\"place\":\"2: 2 of 2\"}]";
    assert_eq!(lines["a.jsonl"], [format!("{{\"seen\":[1,1,2],\"places\":{places}}}")]);
}
