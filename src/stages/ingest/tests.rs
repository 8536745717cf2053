//! Tests of `ingest` as a whole: files in a folder, units out.

use serde_json::{Map, Value, json};

use super::*;

/// The units of a folder with these files: each record, or the failure as text, with `@` in place of the folder.
fn units(files: &[(&str, &[u8])], config: Value) -> (Option<u64>, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let config: Ingest = serde_json::from_str(&config.to_string().replace('@', root)).unwrap();
    let context = BuildContext {
        vars: Map::from_iter([("ending".to_owned(), json!("md"))]),
        draws: crate::draw::Draws::new(0, "ingest".into()),
        started: String::new(),
        items: None,
        fields: Vec::new(),
    };
    let Processor::Source(mut source) = config.build(&context).unwrap() else { panic!("not a source") };
    let total = source.units();
    let mut found = Vec::new();
    while let Some(unit) = source.next() {
        let value = match unit {
            Ok(unit) => json!({"name": unit.name, "fields": unit.records[0].fields}),
            Err(failure) => json!(failure.to_string()),
        };
        found.push(serde_json::from_str(&value.to_string().replace(root, "@")).unwrap());
    }
    (total, found)
}

#[test]
fn documents_come_in_the_order_of_their_paths_once_each() {
    let files: &[(&str, &[u8])] =
        &[("b.md", b"B"), ("a.md", b"\xef\xbb\xbfA\r\n"), ("c.md", b"\xff"), ("B.md", b"0")];
    let (total, found) = units(files, json!({"paths": ["@/b.md", "@/*.{{ vars.ending }}"]}));
    assert_eq!(total, Some(4));
    let document = |name: &str, text: &str| {
        let path = format!("@/{name}.md");
        json!({"name": path, "fields": {
            "source": {"path": path, "name": format!("{name}.md"), "stem": name},
            "group": [path],
            "text": text,
        }})
    };
    assert_eq!(
        found,
        [
            document("B", "0"),
            document("a", "A\n"),
            document("b", "B"),
            json!("`@/c.md`: not text: no UTF-8 at byte 0"),
        ]
    );
}

#[test]
fn rows_keep_their_fields_and_get_a_source_and_a_group() {
    let files: &[(&str, &[u8])] = &[
        ("r.jsonl", b"{\"text\":\"a\"}\n\n7\n{\"source\":\"web\",\"group\":[\"g\"]}\n"),
        ("s.csv", b"id\n1\n"),
        ("t.csv", b"a,a\n1,2\n"),
    ];
    let (total, found) = units(files, json!({"paths": ["@/*"]}));
    assert_eq!(total, None);
    assert_eq!(
        found,
        [
            json!({"name": "@/r.jsonl:1", "fields": {
                "text": "a",
                "source": {"path": "@/r.jsonl", "name": "r.jsonl", "stem": "r", "row": 1},
                "group": ["@/r.jsonl:1"],
            }}),
            json!("`@/r.jsonl:3`: not a JSON object but a number"),
            json!({"name": "@/r.jsonl:4", "fields": {"source": "web", "group": ["g"]}}),
            json!({"name": "@/s.csv:1", "fields": {
                "id": "1",
                "source": {"path": "@/s.csv", "name": "s.csv", "stem": "s", "row": 1},
                "group": ["@/s.csv:1"],
            }}),
            json!("`@/t.csv`: two columns have the name `a`"),
        ]
    );
}

#[test]
fn a_format_can_be_given_and_limits_hold() {
    let files: &[(&str, &[u8])] = &[("a.log", b"abc"), ("b.log", b"abcdef")];
    let (_, found) = units(files, json!({"paths": ["@/*"], "format": "document", "limit_bytes": 3}));
    assert_eq!(found[0]["fields"]["text"], "abc");
    assert_eq!(found[1], "`@/b.log`: larger than `limit_bytes` (3)");
    let (_, found) = units(files, json!({"paths": ["@/a.log"]}));
    assert_eq!(found, [json!("`@/a.log`: its ending does not say how to read it")]);
}

#[test]
fn the_fields_of_rows_are_declared_before_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.jsonl");
    std::fs::write(&path, "{\"a\":1}\n{\"b\":2}\n").unwrap();
    let rows = rows::jsonl(path.to_str().unwrap()).unwrap();
    let (vars, models) = (Map::new(), std::collections::BTreeMap::new());
    // What the context then knows is tested where it is written.
    declare_fields(&mut CheckContext::new(&vars, &models), rows, false);
}

#[test]
fn rows_in_a_format_become_the_fields_of_which_it_is_made() {
    let files: &[(&str, &[u8])] = &[(
        "r.jsonl",
        b"{\"q\":\"Why?\",\"chosen\":\"So.\",\"rejected\":\"No.\",\"n\":1}\n{\"q\":\"Why?\",\"chosen\":\"So.\"}\n\
        {\"q\":\"Why?\",\"prompt\":\"Why?\",\"chosen\":\"So.\",\"rejected\":\"No.\"}\n",
    )];
    let config = json!({"paths": ["@/*"], "rows": "preference", "columns": {"prompt": "q"}});
    let (_, found) = units(files, config);
    let fields = &found[0]["fields"];
    assert_eq!(
        (&fields["prompt"], &fields["chosen"], &fields["rejected"], &fields["n"]),
        (&json!("Why?"), &json!("So."), &json!("No."), &json!(1))
    );
    assert_eq!(
        found[1..],
        [
            json!("`@/r.jsonl:2`: the row has no column `rejected`"),
            json!(
                "`@/r.jsonl:3`: the row has a column `prompt` beside the one that is named for it in `columns`"
            ),
        ]
    );
}
