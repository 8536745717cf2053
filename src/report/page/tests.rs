//! What holds of every page, whatever the findings say. How it behaves in a browser is tested in `tests/main`.

use super::render;
use crate::report::Findings;
use crate::report::findings::{Lengths, TermList, Variety};

fn page(findings: &[Findings]) -> String {
    render(findings).unwrap_or_else(|error| panic!("{error}"))
}

/// Findings of data in which there is nothing to find.
fn empty() -> Findings {
    let mut findings = Findings::sample();
    findings.records = 0;
    findings.items = 0;
    findings.sampled = 0;
    findings.notes.clear();
    findings.made.files.clear();
    findings.made.splits.clear();
    findings.made.drops.clear();
    findings.made.rejections.clear();
    findings.made.models.clear();
    findings.made.estimates.clear();
    findings.made.needed.clear();
    findings.made.identity = None;
    findings.made.tokens = None;
    findings.made.cost = None;
    findings.made.seconds = None;
    findings.lengths = Lengths { parts: Vec::new(), asked: None };
    findings.attributes.clear();
    for list in [&mut findings.words.words, &mut findings.words.bigrams, &mut findings.words.first_words] {
        *list = TermList { total: 0, over: Vec::new(), under: Vec::new(), ..list.clone() };
    }
    findings.words.by_value.clear();
    findings.variety = Variety { measures: Vec::new(), groups: Vec::new() };
    findings.map = None;
    findings.languages = None;
    findings.sample.clear();
    findings
}

#[test]
fn texts_of_records_never_become_markup() {
    let page = page(&[Findings::sample(), Findings::sample_after()]);
    assert!(!page.contains("<script>alert"));
    assert_eq!(page.matches("</script>").count(), 2, "only the page's own scripts end");
    let (_, data) = page.split_once(r#"id="data">"#).unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    assert!(data.contains(r"\u003cscript>alert(1)\u003c/script>"));
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(
        data["runs"][0]["records"][3]["turns"][0]["text"],
        "How do I renew card 3?<script>alert(1)</script>"
    );
}

#[test]
fn the_page_names_no_address() {
    let page = page(&[Findings::sample()]);
    for address in ["http:", "https:", "src=", "url(", "@import", "//cdn"] {
        assert!(!page.contains(address), "the page holds `{address}`");
    }
}

#[test]
fn every_entry_of_the_contents_has_its_chapter() {
    for findings in [vec![Findings::sample()], vec![Findings::sample(), Findings::sample_after()]] {
        let page = page(&findings);
        let targets = page.split("href=\"#").skip(1).filter_map(|rest| rest.split_once('"'));
        for (target, _) in targets {
            assert_eq!(page.matches(&format!("id=\"{target}\"")).count(), 1, "`#{target}`");
        }
    }
}

#[test]
fn a_chapter_without_data_says_why_it_is_left_out() {
    let page = page(&[empty()]);
    for reason in [
        "no record holds a text to measure",
        "the records have no drawn attribute and no field with few values",
        "there are no words to count",
        "there are too few texts to compare",
        "a map needs three texts or more",
        "no text is long enough to tell a language by",
        "there are no records",
    ] {
        assert!(page.contains(reason), "`{reason}`");
    }
}

#[test]
fn charts_take_the_colours_of_the_page() {
    let page = page(&[Findings::sample()]);
    let drawings = page.split("<svg").skip(1).filter_map(|rest| rest.split_once("</svg>"));
    for (drawing, _) in drawings {
        assert!(!drawing.contains("\"#"), "a fixed colour: {drawing}");
        assert!(drawing.contains("var(--"));
    }
}

#[test]
fn two_runs_of_one_pipeline_are_told_apart_by_their_directories() {
    let mut second = Findings::sample_after();
    second.name = Findings::sample().name;
    second.source.path = "output/warmer".into();
    let page = page(&[Findings::sample(), second]);
    assert!(page.contains("<title>Report: user-inputs and warmer</title>"));
}
