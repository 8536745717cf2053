//! What holds of every page, whatever the findings say. How it behaves in a browser is tested in `tests/main`.

use super::render;
use crate::report::Findings;
use crate::report::findings::{Lengths, Proportion, Standout, TermList, Variety};

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

/// What a reader sees of a page: its text, without markup and with one space between words.
fn text_of(page: &str) -> String {
    let (_, body) = page.split_once("<main").unwrap();
    let mut text = String::new();
    for part in body.split('<') {
        text.push(' ');
        text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    let text = text.replace("&nbsp;", " ").replace('\u{a0}', " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_sentence_and_its_table_say_one_number() {
    let mut findings = Findings::sample();
    findings.made.files[0].by_heuristic = 41;
    findings.made.source_unread = 7;
    let part = |count, of| Proportion { count, of };
    findings.stands_out = vec![
        Standout::CutOff { model: "writer".into(), answers: findings.made.models[0].finish_reasons[1].part },
        Standout::ByHeuristic { file: "rows.jsonl".into(), records: part(41, 9_500) },
        Standout::SourceUnread { count: 7 },
        Standout::OtherLanguage { texts: part(5, 55) },
        Standout::Repeated { near: true, texts: findings.variety.measures[4].part.unwrap() },
    ];
    let text = text_of(&page(&[findings]));
    let check = |sentence: &str, table: &str| {
        assert!(text.contains(sentence), "`{sentence}` is not on the page");
        assert!(text.contains(table), "`{table}` is not on the page");
    };
    check("300 of 9,700 (3.1 %) answers of writer ended", "length 300 of 9,700");
    check("41 of 9,500 (0.4 %) records in rows.jsonl", "41 of 9,500 answered by the heuristic");
    check("7 files or rows of the source could not be read.", "files or rows that could not be read 7");
    check("5 of 55 (9.1 %) texts are in another language", "50 (90.9 %) are in it");
    check("570 of 9,500 (6.0 %) texts nearly repeat", "570 of 9,500 texts");
}

#[test]
fn an_attribute_with_a_flagged_row_is_not_said_to_agree() {
    let mut findings = Findings::sample();
    let text = text_of(&page(&[findings.clone()]));
    assert!(text.contains("No sure difference between drawn and configured shares"));
    findings.attributes[0].values[2].drawn_otherwise = true;
    findings.attributes[0].differs = true;
    findings.attributes[0].p_configured = Some(0.003);
    findings.attributes.truncate(1);
    let text = text_of(&page(&[findings]));
    assert!(text.contains(
        "The drawn shares differ from the configured ones (chi-square test over all values, p 0.003)"
    ));
    assert!(!text.contains("No sure difference"));
}

#[test]
fn the_page_shows_models_prompts_pipeline_and_crossed_attributes() {
    let page = page(&[Findings::sample()]);
    let text = text_of(&page);
    for shown in [
        "Record 000007 at llm : ok",
        "Ask &lt;script&gt;alert(1)&lt;&#x2f;script&gt;",
        "How do I renew?&lt;&#x2f;details&gt;",
        "name: user-inputs seed: 42",
        "tone by topic",
        "80.0 % 80.0 %",
        "small-8b-2026-01",
    ] {
        assert!(text.contains(shown), "`{shown}`: {}", text.len());
    }
    assert!(page.contains("served as <code>small-8b-2026-01</code>"));
}

#[test]
fn a_comparison_begins_with_the_configuration_and_calls_no_equal_more_varied() {
    let page = page(&[Findings::sample(), Findings::sample_after()]);
    let text = text_of(&page);
    let configured = text.find("models.writer.params.temperature 0.7 1.2 &lt;b&gt;").unwrap();
    assert!(configured < text.find("Main numbers").unwrap());
    assert!(text.contains("Exact duplicates 0.1 % 0.1 % no difference"));
    assert!(text.contains("Distinct words 3.1 % 5.2 % user-inputs-2"));
    assert_eq!(text.matches("Which is more varied").count(), 1);
    assert_eq!(page.matches("class=\"stack lengths\"").count(), 1, "one table of lengths for all");
}

#[test]
fn bars_share_one_scale() {
    let page = page(&[Findings::sample()]);
    let text = text_of(&page);
    assert!(text.contains("0 50 % 100 %"));
    // A share of 50 % fills half of its track, whatever else its table holds.
    assert!(page.contains("class=\"fill\" style=\"width:50.00%\""));
    assert!(page.contains("class=\"fill\" style=\"width:90.00%\""), "the split of 8,550 of 9,500");
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
fn two_runs_of_one_pipeline_are_named_by_their_directories() {
    let mut second = Findings::sample_after();
    second.name = Findings::sample().name;
    second.source.path = "output/warmer".into();
    let page = page(&[Findings::sample(), second]);
    assert!(page.contains("<title>Report: user-inputs and warmer</title>"));
}
