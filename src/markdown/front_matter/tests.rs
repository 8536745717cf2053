//! Front matter as found in public repositories, and texts that are not front matter.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn check(text: &str, expected: Value, rest: &str) {
    let found = split(text);
    assert_eq!((Value::Object(found.fields), found.rest, found.problem), (expected, rest, None), "{text}");
}

/// Checks the fields and the rest of a block that cannot be parsed as a whole, and a word of the error.
fn check_broken(text: &str, expected: Value, rest: &str, why: &str) {
    let found = split(text);
    assert_eq!((Value::Object(found.fields), found.rest), (expected, rest), "{text}");
    let problem = found.problem.unwrap_or_default();
    assert!(problem.contains(why) && !problem.contains('\n'), "{text}: {problem}");
}

#[test]
fn a_mapping_at_the_start_is_removed() {
    check(
        "---\ntitle: A\ntags: [x, y, no]\n---\n# B\n",
        json!({"title": "A", "tags": ["x", "y", "no"]}),
        "# B\n",
    );
    check("---\r\ndate: 2024-01-02\r\n---\r\nx", json!({"date": "2024-01-02"}), "x");
    check("---\na: 1\n---", json!({"a": 1}), "");
    check("---\ntitle: A\n...\nText.\n", json!({"title": "A"}), "Text.\n");
    check("\u{feff}---\ntitle: A\n---\nx", json!({"title": "A"}), "x");
    check("\n\n--- \ntitle: A\n---\nx", json!({"title": "A"}), "x");
    check("<!-- a licence\n over lines -->\n\n---\ntitle: A\n---\nx", json!({"title": "A"}), "x");
    check("---\n---\nx", json!({}), "x");
    check("---\n\n---\n\nx", json!({}), "\nx");
}

#[test]
fn toml_and_json_are_front_matter_too() {
    check(
        "+++\ntitle = \"Brewing\"\ndate = 2024-01-02T03:04:05Z\n[extra]\ntags = [\"tea\", 1, 1.5, true]\n+++\nx",
        json!({"title": "Brewing", "date": "2024-01-02T03:04:05Z", "extra": {"tags": ["tea", 1, 1.5, true]}}),
        "x",
    );
    check("---toml\na = 1\n---\nx", json!({"a": 1}), "x");
    check(
        "{\n  \"title\": \"A\",\n  \"tags\": [\"}\"]\n}\n\n# B\n",
        json!({"title": "A", "tags": ["}"]}),
        "\n# B\n",
    );
    check(";;;\n{\"title\": \"A\"}\n;;;\nx", json!({"title": "A"}), "x");
    check(";;;\n\"title\": \"A\",\n\"n\": 1\n;;;\nx", json!({"title": "A", "n": 1}), "x");
    check("---json\n{\"title\": \"A\"}\n---\nx", json!({"title": "A"}), "x");
}

#[test]
fn heads_without_fences_are_read() {
    check(
        "% A title\n  that goes on\n% Kim; Lee\n% May 2024\n\nText.",
        json!({"title": "A title that goes on", "author": "Kim; Lee", "date": "May 2024"}),
        "\nText.",
    );
    check("%\n% Kim\n\nText.", json!({"author": "Kim"}), "\nText.");
    check(
        "#+TITLE: A: b\n#+OPTIONS: toc:nil\n\n* Heading",
        json!({"title": "A: b", "options": "toc:nil"}),
        "\n* Heading",
    );
    check(
        "Title: A title\n  goes on\nAuthor: Kim\nMy Key: x\n\nText.",
        json!({"title": "A title goes on", "author": "Kim", "my key": "x"}),
        "\nText.",
    );
    check("Date: 2024-01-02\nTags: a, b\n\nText.", json!({"date": "2024-01-02", "tags": "a, b"}), "\nText.");
}

#[test]
fn fields_of_an_invalid_block_are_recovered() {
    check_broken(
        "---\ntitle: Brewing: a guide\nlayout: post\n---\n\nCoffee.\n",
        json!({"title": "Brewing: a guide", "layout": "post"}),
        "\nCoffee.\n",
        "",
    );
    check_broken(
        "---\ntitle: Brewing\nauthor: @kim\ntags:\n  - a\n  - b\n---\nMilk.\n",
        json!({"title": "Brewing", "author": "@kim", "tags": ["a", "b"]}),
        "Milk.\n",
        "",
    );
    check_broken(
        "---\ntitle: Brewing\ntags: a\ntags: b\n---\nCocoa.\n",
        json!({"title": "Brewing", "tags": "b"}),
        "Cocoa.\n",
        "duplicate",
    );
    check_broken(
        "---\ntitle: Brewing\nmore:\n\tdeep: 1\n---\nx",
        json!({"title": "Brewing", "more": {"deep": 1}}),
        "x",
        "",
    );
    check_broken(
        "---\ntitle: {{ title }}\ndate: {{ date }}\n---\nx",
        json!({"title": "{{ title }}", "date": "{{ date }}"}),
        "x",
        "",
    );
    check_broken(
        "---\ntitle:Brewing\nlayout:post\n---\nx",
        json!({"title": "Brewing", "layout": "post"}),
        "x",
        "no mapping",
    );
    check_broken(
        "---\ntitle: \"He said \"hi\" twice\"\ndescription: a long line\nthat nobody indented: truly\nand goes on\n---\nx",
        json!({"title": "He said \"hi\" twice", "description": "a long line", "that nobody indented": "truly\nand goes on"}),
        "x",
        "",
    );
    check_broken(
        "---\n# a comment\ntitle: *star\n\nother: [1, 2\n---\nx",
        json!({"title": "*star", "other": "[1, 2"}),
        "x",
        "",
    );
    check_broken(
        "+++\ntitle = \"A\"\nauthor = Kim\n[x]\ny = 1\n+++\nz",
        json!({"title": "A", "author": "Kim"}),
        "z",
        "",
    );
    check_broken(
        "{\n  \"title\": \"A\",\n  \"n\": 1,\n}\n\nText.\n",
        json!({"title": "A", "n": 1}),
        "\nText.\n",
        "",
    );
    assert_eq!(split("---\ntitle: {{ title }}\n---\nx").title(), None);
    assert_eq!(split("---\nTitle: Brewing: a\n  guide\n---\nx").title().as_deref(), Some("Brewing: a guide"));
}

#[test]
fn anything_else_is_text() {
    for text in [
        "",
        "# A\n",
        "---\n",
        "---\ntext\n---\nmore",
        "---\n- a\n---\n",
        "---\na: [\n",
        "---\na: 1\n",
        "---\n# Heading\n---\nText.\n",
        "---\nSome words: these.\n\nA paragraph of prose.\n---\nMore.\n",
        "---\n\nA paragraph of prose: it has a colon.\n\nAnother one.\n\n---\n",
        "---\n**Bold**: a word\n[link]: http://a.b\n---\nx",
        "Words first.\n\n---\na: 1\n---\n",
        "----\na: 1\n----\n",
        "+++\nnothing here\n+++\nx",
        "{\"a\": 1}\n",
        "{name} is a placeholder\n\nText.",
        "%% a comment %%\n\nText.",
        "%50 of all\n",
        "Note: mind the gap.\n\nText.",
        "Title: The Hobbit\nI love this book.\n\nText.",
        "Author: Kim\n\nText.",
        "#+ not a keyword\n",
    ] {
        check(text, json!({}), text);
    }
}

proptest! {
    #[test]
    fn the_rest_is_the_end_of_the_text(
        text in "(---|\\+\\+\\+|;;;|\\.\\.\\.|\\{|\\}|<!--|-->|%|#\\+|[tT]itle|: |= |\"|\\[|- |@|\t|\n|\n|\n|[a-zé{}]){0,40}"
    ) {
        let found = split(&text);
        prop_assert!(text.ends_with(found.rest));
        let _ = found.title();
    }
}
