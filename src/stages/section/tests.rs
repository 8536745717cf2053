//! Documents in, sections out: fields, titles, what is left out, how long ones are split.

use super::*;

fn derive(config: Value, name: &str, text: &str) -> Vec<Record> {
    let config: Section = serde_json::from_value(config).unwrap();
    let mut record = Record::default();
    record.set("source", json!({"path": format!("docs/{name}"), "name": name, "stem": "guide"}));
    record.set("group", json!([format!("docs/{name}")]));
    record.set("text", text);
    let images = Some(ImageResolver::new(None));
    SectionSplitter { config, images }.sections(vec![record]).unwrap()
}

impl SectionSplitter {
    /// The sections of these documents.
    fn sections(&self, documents: Vec<Record>) -> Result<Vec<Record>, StageError> {
        self.transform(Box::new(documents.into_iter().map(Ok))).collect()
    }
}

/// Checks `heading_path: text` of each section.
fn check(config: Value, name: &str, text: &str, expected: &[&str]) {
    let sections = derive(config, name, text);
    let found: Vec<String> = sections
        .iter()
        .map(|record| {
            let field = |name: &str| record.text(name).unwrap().to_owned();
            format!("{}: {}", field("section.heading_path"), field("section.text"))
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_section_has_the_fields_that_later_stages_read() {
    let text = "---\ntitle: The guide\nlang: en\n---\n# Guide\n\n## Empty\n\n## Setup\n- Run the installer\n";
    let sections = derive(json!({}), "a.md", text);
    assert_eq!(sections.len(), 1);
    assert_eq!(
        Value::Object(sections[0].fields.clone()),
        json!({
            "source": {"path": "docs/a.md", "name": "a.md", "stem": "guide"},
            "group": ["docs/a.md#1"],
            "document": {"title": "The guide"},
            "front_matter": {"title": "The guide", "lang": "en"},
            "section": {
                "key": "docs/a.md#1",
                "number": 1,
                "title": "Setup",
                "heading_path": "Guide > Setup",
                "level": 2,
                "text": "- Run the installer",
                "facts": ["Run the installer"],
                "images": [],
            },
        })
    );
}

#[test]
fn the_title_is_declared_or_the_first_heading_or_the_files_name() {
    for (text, expected) in [
        ("---\ntitle: Declared\n---\nBefore.\n# Heading\nText.\n", "Declared"),
        ("Before.\n## Two\n# Heading\nText.\n", "Heading"),
        ("Text.\r\n## Two\r\nText.\r\n", "guide"),
    ] {
        let sections = derive(json!({}), "a.md", text);
        assert_eq!(sections[0].text("document.title"), Some(expected));
        assert_eq!(sections[0].text("section.title"), Some(expected), "before the first heading");
    }
}

#[test]
fn empty_short_and_marked_sections_are_left_out() {
    let text =
        "# A\nSome text here.\n# B\nNO_CONTENT_HERE\n# C\nTiny.\n# D\n![picture](x)\n# E\n<!-- x -->\n# F\n";
    check(json!({}), "a.md", text, &["A: Some text here.", "C: Tiny."]);
    check(json!({"min_chars": 6}), "a.md", text, &["A: Some text here."]);
    check(
        json!({"drop_marker": ""}),
        "a.md",
        text,
        &["A: Some text here.", "B: NO_CONTENT_HERE", "C: Tiny."],
    );
}

#[test]
fn long_sections_are_cut_and_numbered_through() {
    let sections =
        derive(json!({"max_chars": 30}), "a.md", "# A\nFirst block here.\n\nSecond block here.\n# B\nx\n");
    let keys: Vec<_> = sections.iter().map(|record| record.text("section.key").unwrap()).collect();
    assert_eq!(keys, ["docs/a.md#1", "docs/a.md#2", "docs/a.md#3"]);
    let facts: Vec<_> = sections.iter().map(|record| record.get("section.facts").unwrap()).collect();
    assert_eq!(facts, [&json!(["First block here."]), &json!(["Second block here."]), &json!(["x"])]);
}

#[test]
fn an_image_goes_with_the_part_that_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["1.gif", "2.gif", "3.gif"] {
        std::fs::write(folder.path().join(name), format!("GIF89a {name}")).unwrap();
    }
    let mut record = Record::default();
    record.set("source", json!({"path": format!("{}/a.md", folder.path().display())}));
    record.set("text", "# A ![](1.gif)\nFirst block here.\n\n![](2.gif) Second block.\n# B\nx ![](3.gif)\n");
    let config: Section = serde_json::from_value(json!({"max_chars": 30})).unwrap();
    let splitter = SectionSplitter { config, images: Some(ImageResolver::new(None)) };
    let sections = splitter.sections(vec![record]).unwrap();
    let paths = sections.iter().map(|section| section.get("section.images").unwrap()[0]["path"].as_str());
    let names: Vec<&str> = paths.map(|path| path.unwrap().rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["1.gif", "2.gif", "3.gif"]);
}

#[test]
fn plain_text_is_one_section() {
    check(json!({}), "a.TXT", "# no heading\n\nText.", &["guide: # no heading\n\nText."]);
    check(json!({"format": "text"}), "a.md", "# A\nB", &["guide: # A\nB"]);
}

#[test]
fn rows_are_cut_too() {
    let mut row = Record::default();
    row.set("text", "# A\nB\n");
    row.set("source", json!({"path": "r.jsonl", "name": "r.jsonl", "stem": "r", "row": 7}));
    let mut own = row.clone();
    own.set("source", "web");
    let splitter = SectionSplitter { config: serde_json::from_value(json!({})).unwrap(), images: None };
    let sections = splitter.sections(vec![row, own]).unwrap();
    assert_eq!(sections[0].text("section.key"), Some("r.jsonl:7#1"));
    assert!(sections[1].text("section.key").unwrap().starts_with("text-"));
    assert!(splitter.sections(vec![Record::default()]).is_err());
}
