//! What is read of files and run directories.

use std::fs;

use tempfile::TempDir;

use super::*;

/// A unit in one line: key, then its records.
fn show(unit: &ItemRecords) -> String {
    let record = |record: &DataRecord| {
        let text: Vec<&str> = record.turns.iter().map(|turn| turn.text.as_str()).collect();
        let attributes: Vec<String> = record
            .attributes
            .iter()
            .map(|attribute| format!("{}={}", attribute.name, attribute.value))
            .collect();
        let rejected =
            record.rejected.as_ref().map_or(String::new(), |why| format!(" rejected: {}", why.class));
        format!("{} {} [{}]{rejected}", record.id, text.join("/"), attributes.join(","))
    };
    format!("{}: {}", unit.key, unit.records.iter().map(record).collect::<Vec<_>>().join("; "))
}

fn read(path: &Path) -> (Vec<String>, Result<InputMetadata, ReadError>) {
    let mut input = Input::open(path).unwrap();
    let mut units = Vec::new();
    while let Some(unit) = input.next().unwrap() {
        units.push(show(&unit));
    }
    (units, input.into_metadata())
}

fn run_directory(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let sinks: Vec<String> = files
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .filter(|name| !name.contains("rejected") && !name.contains("provenance"))
        .collect();
    let mut names = vec!["rejected.jsonl".to_owned(), "provenance/records-0001.jsonl.zst".to_owned()];
    names.extend(sinks);
    let manifest = serde_json::json!({
        "format": 1, "synthmill": "0.1.0", "pipeline": "p", "fingerprint": {}, "started": "s", "generation": 1,
        "state": "finished", "seconds": 1.0, "files": names, "items": 3,
    });
    fs::write(dir.path().join("manifest.json"), manifest.to_string()).unwrap();
    fs::create_dir(dir.path().join("provenance")).unwrap();
    for (name, text) in files {
        let bytes = match name.ends_with(".zst") {
            true => zstd::encode_all(text.as_bytes(), 1).unwrap(),
            false => text.as_bytes().to_vec(),
        };
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

const PROVENANCE: (&str, &str) = (
    "provenance/records-0001.jsonl.zst",
    r#"{"id":"000001.x-0","outcome":"ok","draws":{"s":{"tone":"calm"}},"calls":[]}
{"id":"000001.x-1","outcome":"ok","draws":{"s":{"tone":"calm"}},"calls":[]}
{"id":"000000","outcome":"rejected","draws":{"s":{"tone":"angry"}},"calls":[]}
{"id":"000002","outcome":"ok","draws":{"s":{"tone":""}},"calls":[]}
"#,
);

const REJECTED: (&str, &str) = (
    "rejected.jsonl",
    r#"{"id":"000000","stage":"parse","class":"schema","message":"m","attempts":1,"answer":"bad","record":{"kind":"A"}}
"#,
);

#[test]
fn the_files_of_a_run_are_joined_by_id() {
    let dir = run_directory(&[
        PROVENANCE,
        REJECTED,
        (
            "train.jsonl",
            "{\"text\":\"one\",\"id\":\"000001.x-0\",\"kind\":\"B\"}\n{\"text\":\"three\",\"id\":\"000002\"}\n",
        ),
        ("more.jsonl", "{\"text\":\"two\",\"id\":\"000001.x-1\"}\n"),
        ("array.jsonl", "\"one\"\n\"two\"\n\"three\"\n"),
    ]);
    let (units, metadata) = read(dir.path());
    assert_eq!(
        units,
        [
            "000001: 000001.x-0 one [tone=calm,kind=B,split=train]; 000001.x-1 two [tone=calm,file=more]",
            "000000: 000000 bad [tone=angry,kind=A] rejected: schema",
            "000002: 000002 three [tone=,split=train]",
        ]
    );
    let metadata = metadata.unwrap();
    let files: Vec<_> =
        metadata.files.iter().map(|file| (file.path.as_str(), file.records, file.measured)).collect();
    assert_eq!(
        files,
        [
            ("train.jsonl", 2, true),
            ("more.jsonl", 1, true),
            ("array.jsonl", 3, false),
            ("rejected.jsonl", 1, true)
        ]
    );
    assert_eq!(metadata.notes.len(), 1, "{:?}", metadata.notes);
}

#[test]
fn without_ids_texts_and_draws_are_read_apart() {
    let dir = run_directory(&[
        PROVENANCE,
        ("out.jsonl", "{\"text\":\"one\",\"tone\":\"calm\",\"kind\":\"B\"}\n{\"te"),
    ]);
    let (units, metadata) = read(dir.path());
    assert_eq!(units.len(), 4);
    assert_eq!(units[3], "out.jsonl:1: out.jsonl:1 one [kind=B]");
    assert!(metadata.unwrap().notes[0].contains("no sink writes record ids"));
}

#[test]
fn without_ids_a_field_of_a_rejected_record_is_still_read_of_the_others() {
    let dir = run_directory(&[PROVENANCE, REJECTED, ("out.jsonl", "{\"text\":\"one\",\"kind\":\"B\"}\n")]);
    let (units, _) = read(dir.path());
    assert_eq!(units.last().unwrap(), "out.jsonl:1: out.jsonl:1 one [kind=B]");
}

#[test]
fn lines_in_another_order_are_still_counted() {
    let sink = "{\"text\":\"three\",\"id\":\"000002\"}\n{\"text\":\"one\",\"id\":\"000001.x-0\"}\n";
    let dir = run_directory(&[PROVENANCE, ("out.jsonl", sink)]);
    let (units, metadata) = read(dir.path());
    assert_eq!(units.last().unwrap(), "000001: 000001.x-0 one []");
    assert_eq!(metadata.unwrap().notes, ["1 records could not be joined with their provenance"]);
}

#[test]
fn bare_files_are_read_with_their_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.jsonl");
    fs::write(&path, "{\"text\":\"a\"}\nnot json\n7\n{\"text\":\"b\",\"id\":\"000004.x-0\"}\n{\"text\":\"c\",\"id\":\"000004.x-1\"}\n")
        .unwrap();
    let (units, metadata) = read(&path);
    assert_eq!(units, ["data.jsonl:1: data.jsonl:1 a []", "000004: 000004.x-0 b []; 000004.x-1 c []"]);
    let metadata = metadata.unwrap();
    assert_eq!(
        (metadata.name.as_str(), metadata.files[0].records, metadata.files[0].malformed),
        ("data", 3, 2)
    );
    assert!(metadata.notes[0].contains("(2 in all); number 2: expected"), "{:?}", metadata.notes);
}

#[test]
fn a_truncated_file_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, text: &str, records: u64, malformed: u64, damage: Option<&str>| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        let metadata = read(&path).1.unwrap();
        let file = &metadata.files[0];
        assert_eq!((file.records, file.malformed), (records, malformed), "{text}");
        match damage {
            Some(damage) => assert!(file.damage.as_ref().unwrap().contains(damage), "{:?}", file.damage),
            None => assert_eq!(file.damage, None, "{text}"),
        }
    };
    let array = Some("ends before its array does");
    check("a.json", r#"[{"text":"a"},{"te"#, 1, 1, array);
    check("a.json", r#"[{"text":"a"},"#, 1, 0, array);
    check("a.json", r#"[{"text":"a"}"#, 1, 0, array);
    check("a.json", "[{\"text\":\"a\"}]\n", 1, 0, None);
    check("a.json", "[\"a\",\n\"b\"]\n[\"c\"]", 2, 0, Some("behind the end"));
    check("a.jsonl", "{\"text\":\"a\"}\n{\"te", 1, 1, Some("last line is not whole"));
    check("a.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}", 2, 0, None);
    check("a.csv", "text,n\none,1\n2,\"two\nthree,3\n", 2, 0, Some("inside a quote"));
    check("a.csv", "text,n\none,1\n", 1, 0, None);
}

#[test]
fn uncommitted_lines_of_a_run_are_not_damage() {
    let dir = run_directory(&[PROVENANCE, ("out.jsonl", "{\"text\":\"one\",\"id\":\"000002\"}\n{\"te")]);
    let metadata = read(dir.path()).1.unwrap();
    assert_eq!(
        (metadata.files[0].records, metadata.files[0].malformed, metadata.files[0].damage.as_deref()),
        (1, 0, None)
    );
}

#[test]
fn an_empty_file_is_no_second_copy() {
    let dir = run_directory(&[
        PROVENANCE,
        ("train.jsonl", "{\"text\":\"three\",\"id\":\"000002\"}\n"),
        ("validation.jsonl", ""),
    ]);
    let metadata = read(dir.path()).1.unwrap();
    assert_eq!((metadata.files[1].records, metadata.files[1].measured), (0, true));
    assert_eq!(metadata.notes, Vec::<String>::new());
}

#[test]
fn a_record_of_very_many_fields_costs_little() {
    let fields = (0..100_000).map(|n| (format!("field {n}"), Value::from(n.to_string()))).collect();
    let row = parsed_record::parse(Value::Object(fields)).unwrap();
    assert_eq!((row.attributes.len(), row.truncation.attributes), (200, 99_799));
    let row = parsed_record::parse(serde_json::json!({"text": "x".repeat(3 << 20)})).unwrap();
    assert_eq!((row.turns[0].text.len(), row.truncation.texts), (1 << 20, 1));
}

#[test]
fn nothing_to_read_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Input::open(dir.path()), Err(ReadError::NoRun(_))));
    assert!(matches!(Input::open(&dir.path().join("no.jsonl")), Err(ReadError::File { .. })));
    let path = dir.path().join("empty.json");
    fs::write(&path, "").unwrap();
    let error = read(&path).1.unwrap_err().to_string();
    assert!(error.ends_with("holds no record: it is empty"), "{error}");
}

proptest::proptest! {
    #[test]
    fn any_bytes_can_be_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.json");
        fs::write(&path, bytes).unwrap();
        read(&path).1.ok();
    }

    #[test]
    fn any_json_can_be_read(value in value()) {
        parsed_record::parse(value);
    }
}

/// JSON with the names that readers look for.
fn value() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let names =
        "messages|conversations|prompt|completion|provenance|draws|id|text|role|content|target_words|x";
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}
