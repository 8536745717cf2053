//! Findings of whole files and run directories.

use std::fmt::Write as _;

use super::*;
use crate::report::findings::Standout;

/// A run of 300 items with a tone that is rejected often and four conversations each.
fn run_directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (mut train, mut rejected, mut provenance) = (String::new(), String::new(), String::new());
    for n in 0..300 {
        let tone = ["", "angry", "polite & formal"][n % 3];
        let draws = format!(r#""draws":{{"s":{{"tone":"{tone}","target_words":{}}}}}"#, 8 + n % 5);
        if n % 6 == 1 {
            let _ = writeln!(provenance, r#"{{"id":"{n:06}","outcome":"rejected",{draws},"calls":[]}}"#);
            let _ = writeln!(
                rejected,
                r#"{{"id":"{n:06}","stage":"parse","class":"schema","message":"no","attempts":1,"answer":null,"record":{{}}}}"#
            );
            continue;
        }
        for child in 0..4 {
            let id = format!("{n:06}.cot_expand-{child}");
            let call = r#"{"stage":"llm","model":"m","provider":"openai","prompt_tokens":100,"completion_tokens":10}"#;
            let _ = writeln!(provenance, r#"{{"id":"{id}","outcome":"ok",{draws},"calls":[{call}]}}"#);
            let answer = ["", "Think. ", "Think well. ", "Think very well. "][child];
            let _ = writeln!(
                train,
                r#"{{"messages":[{{"role":"user","content":"How do I renew card {n}?"}},{{"role":"assistant","content":"{answer}Ask at the desk of the library."}}],"id":"{id}","cot":"{child}"}}"#
            );
        }
    }
    let files = ["rejected.jsonl", "provenance/records.jsonl", "train.jsonl"];
    let manifest = serde_json::json!({
        "format": 1, "synthmill": "0.1.0", "pipeline": "p", "fingerprint": {}, "started": "s", "generation": 1,
        "state": "finished", "seconds": 1.0, "files": files, "items": 300,
    });
    let status =
        serde_json::json!({"admitted": 300, "ok": 250, "dropped": 0, "rejected": 50, "in_flight": 0});
    std::fs::create_dir(dir.path().join("provenance")).unwrap();
    for (name, text) in files.iter().zip([&rejected, &provenance, &train]) {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    std::fs::write(dir.path().join("manifest.json"), manifest.to_string()).unwrap();
    std::fs::write(dir.path().join("status.json"), status.to_string()).unwrap();
    dir
}

#[test]
fn a_run_is_counted_in_items_and_records() {
    let dir = run_directory();
    let options = Options { sample: 60, prices: Some((1.0, 2.0)), ..Options::default() };
    let all = findings(&[dir.path().to_owned()], &options).unwrap();
    let found = &all[0];
    assert_eq!((found.records, found.items, found.sampled), (1_000, 250, 60));
    assert!(found.made.identity.as_ref().unwrap().holds);
    assert_eq!(
        (found.made.rejections[0].class.as_str(), found.made.rejections[0].part.count),
        ("schema", 50)
    );
    assert_eq!(found.made.tokens.map(|tokens| tokens.prompt), Some(25_000));
    assert!((found.made.cost.as_ref().unwrap().total - 0.03).abs() < 1e-9);

    let tone = &found.attributes[0];
    assert_eq!((tone.name.as_str(), tone.drawn, tone.items), ("tone", true, 300.0));
    let outliers: Vec<&str> =
        tone.values.iter().filter(|value| value.rejected_often).map(|value| value.value.as_str()).collect();
    assert_eq!(outliers, ["angry"]);
    let told = found.stands_out.iter().find_map(|standout| match standout {
        Standout::RejectedOften { value, rejected, drawn, .. } => Some((value.as_str(), *rejected, *drawn)),
        _ => None,
    });
    assert_eq!(told, Some(("angry", 50.0, 100.0)), "the sentence has the numbers of the table");
    let cot = found.attributes.iter().find(|attribute| attribute.name == "cot").unwrap();
    assert!((cot.items - 250.0).abs() < 1e-6 && cot.values.len() == 4);

    assert_eq!(found.lengths.asked.as_ref().unwrap().part, "assistant");
    assert_eq!(found.lengths.asked.as_ref().unwrap().records, 1_000);
    assert_eq!(found.words.first_words.total, 250);
    assert_eq!(found.words.first_words.over[0].term, "how");
    assert_eq!(found.map.as_ref().unwrap().points.len(), 60);
    assert_eq!(found.sample.iter().filter(|record| record.rejected.is_some()).count(), 50);
}

#[test]
fn the_same_data_gives_the_same_findings() {
    let dir = run_directory();
    let made = || findings(&[dir.path().to_owned()], &Options { sample: 40, ..Options::default() }).unwrap();
    let (mut first, mut second) = (made(), made());
    first[0].generated.clear();
    second[0].generated.clear();
    // Sums over hash maps may differ in their last bit; what people see may not.
    let shown = |found: &[Findings]| {
        let found = &found[0];
        let terms: Vec<&str> = found.words.words.over.iter().map(|term| term.term.as_str()).collect();
        format!("{:?} {terms:?} {:?} {:?}", found.sample, found.attributes, found.made)
    };
    assert_eq!(shown(&first), shown(&second));
}

#[test]
fn several_are_compared_with_the_first() {
    let dir = run_directory();
    let path = dir.path().join("other.jsonl");
    let line = |n: usize| {
        let tone = if n < 5 { "calm" } else { "angry" };
        format!("{{\"text\":\"Please may I visit museum {n}?\",\"tone\":\"{tone}\"}}\n")
    };
    std::fs::write(&path, (0..50).map(line).collect::<String>()).unwrap();
    let options = Options { sample: 50, against: Some(path.clone()), ..Options::default() };
    let all = findings(&[dir.path().to_owned(), path], &options).unwrap();
    assert_eq!(all[0].difference, None);
    let difference = all[1].difference.as_ref().unwrap();
    assert_eq!(difference.from, "p");
    assert_eq!((difference.shares[0].value.as_str(), difference.shares[0].after), ("angry", 0.9));
    assert!(difference.words.iter().any(|term| term.term == "museum" && term.z > 4.0));
    assert!(all[0].words.reference.ends_with("other.jsonl"));
    // A file against itself says nothing more often.
    assert!(all[1].words.words.over.iter().all(|term| term.z.abs() < 1e-6));
}

#[test]
fn few_texts_and_markup_are_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.json");
    std::fs::write(&path, r#"["<script>alert(1)</script>", ""]"#).unwrap();
    let found = &findings(&[path], &Options::default()).unwrap()[0];
    assert_eq!((found.records, found.map.is_none()), (2, true));
    assert_eq!(found.sample[0].turns[0].text, "<script>alert(1)</script>");
    assert!(serde_json::to_string(found).is_ok());
}
