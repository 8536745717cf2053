//! Documents and rows as found in public repositories and spreadsheets, from the file to the line of a sink.

use serde_json::{Value, json};

use crate::harness::{outputs, stderr, stdout, synthmill};

const SECTIONS: &str = "name: t
stages:
  - ingest: {paths: [\"docs/**/*.md\"]}
  - section: {}
  - sink: {path: out.jsonl, format: raw, fields: [document, section]}
";

/// A folder with these files and the pipeline.
fn folder(yaml: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files.iter().chain(&[("p.yaml", yaml)]) {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn lines(dir: &tempfile::TempDir) -> Vec<Value> {
    let lines = &outputs(&dir.path().join("output/t"))["out.jsonl"];
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_unreadable_block_is_reported_and_is_not_a_heading() {
    let text = "---\ntitle: Brewing: a guide\nauthor: @kim\n---\n\nCoffee wants water of 94 degrees.\n";
    let dir = folder(SECTIONS, &[("docs/a.md", text)]);
    let said = stderr(&synthmill(dir.path(), &["run", "p.yaml"], 0));
    assert_eq!(said.matches("`docs/a.md`: its front matter cannot be read as a whole").count(), 1, "{said}");
    let line = &lines(&dir)[0];
    assert_eq!(line["document"]["title"], "Brewing: a guide");
    assert_eq!(line["section"]["heading_path"], "Brewing: a guide");
    assert_eq!(line["section"]["facts"], json!(["Coffee wants water of 94 degrees."]));
}

#[test]
fn comments_and_imports_reach_neither_facts_nor_texts() {
    let text = "import Tabs from '@theme/Tabs';\n\n# Tea\n\nUse hot water. %% private %%\n<!-- hidden -->\n\n<style>p {}</style>\n";
    let dir = folder(SECTIONS, &[("docs/a.md", text)]);
    synthmill(dir.path(), &["run", "p.yaml"], 0);
    let line = &lines(&dir)[0];
    assert_eq!(line["section"]["facts"], json!(["Use hot water."]));
    assert_eq!(line["section"]["text"].as_str().unwrap().trim(), "Use hot water.");
}

#[test]
fn files_in_a_folder_that_no_path_matches_are_reported_everywhere() {
    let files = [
        ("docs/a.md", "# A\n\nA sentence of it.\n"),
        ("docs/b.pdf", "%PDF-"),
        ("docs/deep/c.pdf", "%PDF-"),
        ("docs/d.docx", "PK"),
        ("docs/.hidden", "x"),
        ("docs/node_modules/x/README.md", "# X\n\nA sentence of it.\n"),
    ];
    let dir = folder(SECTIONS, &files);
    let told = "read 1 file, left out 3: 2 .pdf, 1 .docx; not looked into: docs/node_modules";
    let output = synthmill(dir.path(), &["validate", "p.yaml"], 0);
    assert!(stderr(&output).contains(told), "{}", stderr(&output));
    let checked: Value =
        serde_json::from_str(&stdout(&synthmill(dir.path(), &["validate", "p.yaml", "--json"], 0))).unwrap();
    assert_eq!(checked["diagnostics"][0]["message"], told);
    let output = synthmill(dir.path(), &["run", "p.yaml"], 0);
    assert!(stderr(&output).contains(&format!("files      {told}")), "{}", stderr(&output));
    let status = synthmill(dir.path(), &["status", "output/t"], 0);
    assert!(format!("{}{}", stdout(&status), stderr(&status)).contains(told));
    let status: Value =
        serde_json::from_str(&stdout(&synthmill(dir.path(), &["status", "output/t", "--json"], 0))).unwrap();
    assert_eq!(
        status["source_files"],
        json!({"read": 1, "kinds": {".docx": 1, ".pdf": 2}, "folders": ["docs/node_modules"]})
    );
    assert_eq!(lines(&dir).len(), 1);
}

#[test]
fn unreadable_files_are_found_before_a_run() {
    let yaml = "name: t
vars: {file: rows.csv}
stages:
  - ingest: {paths: [\"{{ vars.file }}\"]}
  - sink: {path: out.jsonl, format: raw}
";
    let files = [
        ("semicolon.csv", "id;text\n1;a\n"),
        ("twice.csv", "a,a\n1,2\n"),
        ("page.md", "<!doctype html>\n<style>p {}</style>"),
        ("open.csv", "id,text\n1,fine\n2,\"He said\n3,next\n"),
        ("pandas.csv", ",text\n0,first\n"),
        ("good.csv", "text\nfine\n"),
        ("large.jsonl", "{\"id\": 1}\n{\"id\": 18446744073709551616}\n"),
    ];
    let dir = folder(yaml, &files);
    let check = |file: &str, code: i32, part: &str| {
        let said =
            stderr(&synthmill(dir.path(), &["validate", "p.yaml", "--var", &format!("file={file}")], code));
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    };
    check("semicolon.csv", 2, "set `dialect: {delimiter: \";\"}`");
    check("twice.csv", 2, "two columns have the name `a`");
    check("page.md", 2, "an HTML page, no Markdown or text");
    check("open.csv", 0, "`open.csv:2` cannot be read: the quote that opens in line 3 is never closed");
    check("pandas.csv", 0, "left out, as the header row has no name for it: column 1");
    check("large.jsonl", 0, "18446744073709551616 does not fit into 64 bits");
    // One that can be read among others that cannot.
    check("*.csv", 0, "`twice.csv` cannot be read: two columns have the name `a`");
}
