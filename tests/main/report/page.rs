//! The page of the report in a browser: search and filters work, hostile texts stay text, no requests are sent.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::browser::Browser;
use crate::harness::synthmill;

/// Texts that would do harm if any of them became markup, a script, or the end of the embedded data.
const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "</script><script>throw new Error('broken out')</script>",
    "<img src=x onerror=\"console.error('broken out')\">",
    "<!--<script>",
    "{{ 7 * 7 }} {% raw %} & &lt; \u{2028} ' \" `code`",
];
const RECORDS: usize = 40;

/// Makes the report of rows that hold hostile texts in every place a text can stand.
fn report(dir: &TempDir) -> PathBuf {
    let types = ["FACT_BASED", "SECTION_SUMMARY"];
    let rows = (0..RECORDS).map(|number| {
        let hostile = HOSTILE[number % HOSTILE.len()];
        let row = json!({
            "text": format!("Question q{number}q about bridges and rivers: {hostile} Which of them is older?"),
            "split": if number % 4 == 0 { "validation" } else { "train" },
            "question_type": types[number % 2],
            "tone": hostile,
            (hostile): "a field",
        });
        format!("{row}\n")
    });
    std::fs::write(dir.path().join("rows.jsonl"), rows.collect::<String>()).unwrap();
    synthmill(dir.path(), &["report", "rows.jsonl"], 0);
    dir.path().join("rows.report.html")
}

fn shown_records(browser: &mut Browser) -> Vec<String> {
    let texts =
        browser.evaluate("[...document.querySelectorAll('#list > li')].map((item) => item.innerText)");
    texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn choose(browser: &mut Browser, select: &str, value: &str) {
    let script = format!(
        "{{ const select = document.querySelector({}); select.value = {}; \
         if (select.value !== {2}) throw new Error('no such choice'); \
         select.dispatchEvent(new Event('change', {{bubbles: true}})); }}",
        json!(select),
        json!(value),
        json!(value)
    );
    browser.evaluate(&script);
}

#[test]
fn the_page_can_be_searched_and_filtered_and_stays_quiet() {
    let dir = TempDir::new().unwrap();
    let page = report(&dir);
    let mut browser = Browser::start();
    browser.open(&page);

    let all = shown_records(&mut browser);
    assert_eq!(all.len(), 25, "the first records are shown");
    browser.evaluate("document.getElementById('show-more').click()");
    assert_eq!(shown_records(&mut browser).len(), RECORDS);

    // By the keyboard, as a person would.
    browser.evaluate("document.getElementById('search').focus()");
    browser.write("Q17Q rivers");
    let found = shown_records(&mut browser);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("Question q17q about"), "{found:?}");
    browser.evaluate("document.querySelector('#filters [type=reset]').focus()");
    browser.press("Enter");
    assert_eq!(shown_records(&mut browser).len(), 25, "all are back");

    choose(&mut browser, "[data-attribute=split]", "=validation");
    let found = shown_records(&mut browser);
    assert_eq!(found.len(), RECORDS / 4);
    assert!(found.iter().all(|text| text.contains("validation")), "{found:?}");
    choose(&mut browser, "[data-attribute=question_type]", "=SECTION_SUMMARY");
    assert_eq!(shown_records(&mut browser), Vec::<String>::new(), "validation holds facts only");
    let count = browser.evaluate("document.getElementById('count').textContent");
    assert!(count.as_str().unwrap().starts_with("No record"), "{count}");

    choose(&mut browser, "[data-attribute=split]", "");
    choose(&mut browser, "[data-attribute=question_type]", "");
    choose(&mut browser, "[data-attribute=tone]", &format!("={}", HOSTILE[1]));
    let found = shown_records(&mut browser);
    assert_eq!(found.len(), RECORDS / HOSTILE.len());
    assert!(found.iter().all(|text| text.contains(HOSTILE[1])), "shown as it stands in the data: {found:?}");

    assert_eq!(browser.problems(), Vec::<String>::new());
    let foreign = browser
        .requests()
        .into_iter()
        .filter(|address| !address.starts_with("data:") && *address != format!("file://{}", page.display()));
    assert_eq!(foreign.collect::<Vec<_>>(), Vec::<String>::new(), "the page asks for nothing");
}

#[test]
fn the_map_shows_its_texts_and_highlights_a_value() {
    let dir = TempDir::new().unwrap();
    let page = report(&dir);
    let mut browser = Browser::start();
    browser.open(&page);

    let points = browser.evaluate("document.querySelectorAll('#map circle').length");
    assert_eq!(points, json!(RECORDS));
    browser.evaluate("document.querySelector('#map .map').focus()");
    browser.press("ArrowRight");
    let tip = browser.evaluate("document.querySelector('#map .tip').innerText");
    assert!(tip.as_str().unwrap().contains("about bridges and rivers"), "{tip}");

    choose(&mut browser, "#map .map-colour", "split");
    browser.evaluate("document.querySelectorAll('#map .legend button')[1].click()");
    let faint = browser.evaluate("document.querySelectorAll('#map circle.faint').length");
    assert_eq!(faint, json!(RECORDS - RECORDS / 4), "only the validation points are left");

    assert_eq!(browser.problems(), Vec::<String>::new());
}

#[test]
fn nothing_of_a_record_becomes_markup() {
    let dir = TempDir::new().unwrap();
    let page = report(&dir);
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(!html.contains("<script>alert"), "a record's script stands in the page as it is");
    let mut browser = Browser::start();
    browser.open(&page);
    let counts = browser.evaluate("[document.scripts.length, document.images.length, document.forms.length]");
    assert_eq!(counts, json!([2, 0, 1]));
    let has_side_scroll = browser.evaluate("document.documentElement.scrollWidth > innerWidth");
    assert_eq!(has_side_scroll, Value::Bool(false));
    assert_eq!(browser.problems(), Vec::<String>::new());
}

#[test]
fn on_a_phone_chapters_collapse_and_nothing_is_clipped() {
    let dir = TempDir::new().unwrap();
    let page = report(&dir);
    let mut browser = Browser::start();
    browser.resize(390, 844);
    browser.open(&page);
    let open = "document.querySelectorAll('.chapter > details[open]').length";
    assert_eq!(browser.evaluate(open), json!(0), "chapters begin closed");
    let height = browser.evaluate("document.documentElement.scrollHeight").as_u64().unwrap();
    assert!(height < 5_000, "{height} pixels to scroll through");

    // A link opens what it leads to.
    browser.evaluate("document.querySelector('.contents a[href=\"#words\"]').click()");
    assert_eq!(browser.evaluate("document.querySelector('#words > details').open"), json!(true));

    browser.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })");
    let cut = browser.evaluate(
        "[...document.querySelectorAll('td, th, p, h2, h3, pre, svg')].filter((element) => {
            const box = element.getBoundingClientRect();
            const isSeen = box.width > 1 && !element.closest('.scroll, thead, .unseen, .skip');
            return isSeen && box.right > innerWidth + 1;
        }).map((element) => element.outerHTML.slice(0, 200))",
    );
    assert_eq!(cut, json!([]), "reaches beyond the screen's edge");
    assert_eq!(browser.problems(), Vec::<String>::new());
}

#[test]
fn on_a_wide_screen_chapters_are_open() {
    let dir = TempDir::new().unwrap();
    let page = report(&dir);
    let mut browser = Browser::start();
    browser.resize(1280, 900);
    browser.open(&page);
    assert_eq!(
        browser.evaluate("document.querySelectorAll('.chapter > details:not([open])').length"),
        json!(0)
    );
    let starts = browser.evaluate(
        "[...new Set([...document.querySelectorAll('#attributes .track')].map((bar) => Math.round(bar.getBoundingClientRect().left)))].length",
    );
    assert_eq!(starts, json!(1), "all bars of the attributes start at one place");
}
