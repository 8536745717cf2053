//! `rephrase.yaml`: pieces that make up their document, the exact mix, and what is cleaned or left out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::made::{Made, assert_share};
use crate::harness::project;

const RECIPE: &str = "rephrase.yaml";
/// A model that writes something new, as long as the piece.
const GOOD: &str =
    "models.writer.mock={rules: [{answer: \"Of {{ source.name }}: {{ 'Something else. ' * 60 }}\"}]}";

fn text<'l>(line: &'l Value, field: &str) -> &'l str {
    line[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {line}"))
}

/// Documents of one piece each, of more than the least length.
fn write_documents(folder: &Path, count: usize) {
    std::fs::create_dir_all(folder).unwrap();
    for number in 0..count {
        let mut document = format!("# Field {number}\n\n");
        for sentence in 0..4 {
            write!(
                document,
                "In year {sentence} the field number {number} bore {} sacks of grain and some straw. ",
                number + sentence
            )
            .unwrap();
        }
        std::fs::write(folder.join(format!("field-{number:04}.md")), document).unwrap();
    }
}

/// The real and the made line of each piece.
fn pairs(made: &Made) -> BTreeMap<&str, (Vec<&Value>, Vec<&Value>)> {
    let mut pairs: BTreeMap<&str, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for line in made.lines("mix.jsonl") {
        let pair = pairs.entry(text(line, "source_id")).or_default();
        if line["is_synthetic"] == true { pair.1.push(line) } else { pair.0.push(line) }
    }
    pairs
}

#[test]
fn pieces_are_their_document_and_end_where_sentences_do() {
    let dir = project();
    let made = Made::by(dir.path(), RECIPE, &["--set", GOOD, "--var", "min_chars=0"]);
    let mut documents: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
    for line in made.lines("mix.jsonl").iter().filter(|line| line["is_synthetic"] == false) {
        let index = line["piece_index"].as_u64().unwrap();
        documents.entry(line["group"][0].as_str().unwrap()).or_default().push((index, text(line, "text")));
    }
    assert_eq!(documents.len(), 8);
    let written = |text: &str| text.split_whitespace().collect::<String>();
    for (path, mut pieces) in documents {
        pieces.sort_unstable();
        assert!(pieces.iter().map(|(index, _)| *index).eq(0..pieces.len() as u64), "{path}");
        let joined: String = pieces.iter().map(|(_, piece)| written(piece)).collect();
        let document = std::fs::read_to_string(dir.path().join(path)).unwrap();
        assert!(joined == written(&document), "{path}");
        // A token of these texts has some four bytes, of Japanese three.
        assert!(pieces.iter().all(|(_, piece)| piece.len() < 300 * 8), "{path}");
        assert!(pieces.len() > 3, "{path}");
    }
}

#[test]
fn real_and_made_text_are_one_to_one_and_of_one_group() {
    let dir = project();
    write_documents(&dir.path().join("fields"), 600);
    for (styles, names) in
        [("wrap", ["easy", "medium", "hard", "qa"]), ("finephrase", ["math", "table", "faq", "tutorial"])]
    {
        let file = format!("styles=config/recipes/rephrase-{styles}.jsonl");
        let made = Made::by(dir.path(), RECIPE, &["--var", "docs=fields", "--var", &file]);
        let pairs = pairs(&made);
        assert!(pairs.len() >= 590, "some are copied or too short three times: {}", pairs.len());
        let mut drawn: BTreeMap<&str, usize> = BTreeMap::new();
        for (source, (real, synthetic)) in &pairs {
            let ([real], [synthetic]) = (&real[..], &synthetic[..]) else {
                panic!("{source}: {} real, {} made", real.len(), synthetic.len());
            };
            assert_eq!((&real["group"], text(real, "style")), (&synthetic["group"], "original"));
            assert_ne!(real["text"], synthetic["text"]);
            assert!(text(synthetic, "id").starts_with(source));
            *drawn.entry(text(synthetic, "style")).or_default() += 1;
        }
        assert_eq!(drawn.len(), 4, "{drawn:?}");
        names.iter().for_each(|name| assert_share(drawn[name], pairs.len(), 0.25));
    }
}

#[test]
fn what_models_say_before_they_begin_is_taken_off() {
    let dir = project();
    write_documents(&dir.path().join("fields"), 7);
    let leads = [
        "Sure! Here is the text in simple words:\n\n",
        "Certainly, here's the rewritten version:\n",
        "Here are the questions and answers you asked for:\n\n",
        "**Rewritten text:**\n\n",
        "Of course. ",
        "Okay: ",
        "",
    ];
    let body = "Field said so. ".repeat(30);
    let rules: Vec<String> = leads
        .iter()
        .enumerate()
        .map(|(at, lead)| {
            let answer = serde_json::to_string(&format!("{lead}{body}")).unwrap();
            format!("{{when: \"'field-{at:04}' in source.name\", answer: {answer}}}")
        })
        .collect();
    let rules = format!("models.writer.mock={{rules: [{}]}}", rules.join(", "));
    let made = Made::by(dir.path(), RECIPE, &["--var", "docs=fields", "--set", &rules]);
    let lines: Vec<&Value> =
        made.lines("mix.jsonl").iter().filter(|line| line["is_synthetic"] == true).collect();
    assert_eq!(lines.len(), leads.len());
    for line in lines {
        assert_eq!(text(line, "text"), body.trim(), "{line}");
    }
}

#[test]
fn copies_and_what_is_too_short_cut_off_or_a_remark_are_left_out_with_their_real_text() {
    let dir = project();
    write_documents(&dir.path().join("fields"), 60);
    let rules = "models.writer.mock={rules: [\
        {when: \"source.name < 'field-0010'\", answer: '{{ piece }}'}, \
        {when: \"source.name < 'field-0020'\", answer: 'Grain.'}, \
        {when: \"source.name < 'field-0030'\", answer: \"{{ 'And so on. ' * 40 }}\", finish_reason: length}, \
        {when: \"source.name < 'field-0040'\", answer: \"{{ 'As an AI I rephrased it. ' * 20 }}\"}, \
        {answer: \"{{ 'Grain grew there. ' * 20 }}\"}]}";
    let made = Made::by(dir.path(), RECIPE, &["--var", "docs=fields", "--set", rules]);
    for (reason, count) in [("copy", 10), ("short", 10), ("cut_off", 10), ("remark", 10)] {
        assert_eq!(made.ended(reason), count, "{reason}");
    }
    assert_eq!((pairs(&made).len(), made.lines("mix.jsonl").len()), (20, 40));
    // What is wrong three times was asked for three times.
    assert_eq!(made.status["requests"], 40 * 3 + 20);
}
