//! The facts of a range of text: its list items, sentences and table rows.

use std::ops::Range;

use super::inline_text::one_line;
use super::outline::{Atom, AtomKind, Outline};

/// The minimum length of a fact is one more than this, in Latin letters or the equivalent in another script.
const SHORT: usize = 10;
/// If code and prose together are longer than this, the prose alone makes the one fact.
const LONG: usize = 400;

/// The facts that begin within `range` of `text`, each on one line. If there is none, all that is readable there
/// is one fact.
#[must_use]
pub fn of(text: &str, outline: &Outline, range: &Range<usize>) -> Vec<String> {
    let atoms = outline.atoms_in(range);
    let facts: Vec<String> =
        atoms
            .iter()
            .filter(|atom| atom.kind == AtomKind::Fact && is_fact(&atom.text))
            .map(|atom| {
                if goes_on(atom, range) { one_line(&text[atom.start..range.end]) } else { atom.text.clone() }
            })
            .collect();
    if !facts.is_empty() {
        return facts;
    }
    let whole = join(atoms, |_| true);
    let words = join(atoms, |atom| atom.kind != AtomKind::Code);
    let fact = if whole.is_empty() {
        // Nothing begins here in the later parts of one very long sentence.
        one_line(&text[range.clone()])
    } else if whole.chars().count() > LONG && is_fact(&words) {
        words
    } else {
        whole
    };
    if fact.is_empty() { Vec::new() } else { vec![fact] }
}

/// Whether an atom is a very long sentence that was split at the end of `range`.
fn goes_on(atom: &Atom, range: &Range<usize>) -> bool {
    atom.text.len() > LONG && atom.text.len() > range.len()
}

fn join(atoms: &[Atom], takes: impl Fn(&Atom) -> bool) -> String {
    let texts: Vec<&str> = atoms
        .iter()
        .filter(|atom| !atom.text.is_empty() && takes(atom))
        .map(|atom| atom.text.as_str())
        .collect();
    texts.join(" ")
}

fn is_fact(text: &str) -> bool {
    let mut total = 0;
    let is_long = text.chars().any(|c| {
        total += weight(c);
        total > 2 * SHORT
    });
    is_long && text.contains(char::is_alphabetic)
}

/// The weight of a character, in halves of a Latin letter: a Chinese one is half a word, a sign of Thai, Hindi or
/// Amharic about a syllable, and Arabic and Hebrew omit vowels.
fn weight(c: char) -> usize {
    match c {
        '\u{0590}'..='\u{08ff}' => 3,
        '\u{0900}'..='\u{109f}'
        | '\u{1200}'..='\u{139f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{1900}'..='\u{1cff}'
        | '\u{a8e0}'..='\u{abff}' => 4,
        '\u{1100}'..='\u{11ff}'
        | '\u{3000}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff00}'..='\u{ffef}'
        | '\u{20000}'..='\u{3ffff}' => 6,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::super::outline::Syntax;
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(of(text, &Outline::of(text, Syntax::Markdown), &(0..text.len())), expected, "{text}");
    }

    #[test]
    fn list_items_are_facts_and_nested_items_keep_their_parents() {
        check(
            "- Parent item\n  - child one\n    - grandchild\n  - child two\n- Another item\n",
            &[
                "Parent item",
                "Parent item - child one",
                "Parent item - child one - grandchild",
                "Parent item - child two",
                "Another item",
            ],
        );
        check(
            "1. First step\n   goes on\n2. Second step\n   * a detail\n",
            &["First step goes on", "Second step", "Second step - a detail"],
        );
        check(
            "+ plus bullet one\n\n  with a paragraph\n\n+ plus bullet two\n",
            &["plus bullet one with a paragraph", "plus bullet two"],
        );
        check(
            "1) numbered with a bracket\n- [x] a finished task\n- [ ] an open task\n",
            &["numbered with a bracket", "a finished task", "an open task"],
        );
    }

    #[test]
    fn words_that_only_lead_to_a_list_or_code_are_no_facts() {
        check(
            "The house has these:\n\n- On Linux:\n  - use the package\n- a second item\n",
            &["On Linux - use the package", "a second item"],
        );
        check(
            "Install it as follows:\n\n```sh\nmake all\n```\n\nThen run it once.\n",
            &["Then run it once."],
        );
        check("A note that ends so:\n", &["A note that ends so:"]);
        check(
            "- It works. Only thus:\n  - on Linux\n",
            &["It works. Only thus:", "It works. Only thus - on Linux"],
        );
    }

    #[test]
    fn a_very_long_sentence_is_split_among_its_parts() {
        let text = "one is here and ".repeat(200);
        let outline = Outline::of(&text, Syntax::Markdown);
        let part = |range: Range<usize>| of(&text, &outline, &range);
        assert_eq!(part(0..800), [text[..800].trim_end()]);
        assert_eq!(part(800..1600), [text[800..1600].trim_end()]);
    }

    #[test]
    fn markup_is_removed() {
        check(
            "The **bold** `code.Here()` and [a *link*](http://a.b) ~~old~~ &amp; ![icon](i.png) done.\n",
            &["The bold code.Here() and a link old & icon done."],
        );
        check(
            "See [the book][b] and note[^1] now.\n\n[b]: http://a.b\n[^1]: The footnote text.\n",
            &["See the book and note now.", "The footnote text."],
        );
        check(
            "Line one is here  \nLine two is here<br>Line three is here\n",
            &["Line one is here", "Line two is here", "Line three is here"],
        );
        check(
            "Use [`Map::get`], [the set][crate::Set] or a[i][j].\n",
            &["Use Map::get, the set or a[i][j]."],
        );
        check("> A quoted sentence. Another one here.\n", &["A quoted sentence.", "Another one here."]);
        check("> [!NOTE]\n> Mind the quoted gap.\n", &["Mind the quoted gap."]);
        check(
            "中文的第一句话很长很长。\n中文的第二句话\n也很长很长很长。\n",
            &["中文的第一句话很长很长。", "中文的第二句话也很长很长很长。"],
        );
    }

    #[test]
    fn table_rows_name_their_headers() {
        check(
            "| Name | Size | |\n|---|---|---|\n| Oak | `20 m` | tall |\n| Elm | | |\n",
            &["Name: Oak; Size: 20 m; tall"],
        );
    }

    #[test]
    fn ten_characters_are_dropped_and_eleven_kept() {
        check("- 0123456 89\n- ab cdefgh0\n- ab cdefgh01\n", &["ab cdefgh01"]);
        check("- äöüäöüäöüä\n- äöüäöüäöüäö\n", &["äöüäöüäöüäö"]);
    }

    #[test]
    fn short_sentences_of_other_scripts_are_facts() {
        check(
            "水温为九十度。绿茶泡两分钟。红茶泡四分钟，时间太长味道会变苦。茶叶每杯三克。\n",
            &["水温为九十度。", "绿茶泡两分钟。", "红茶泡四分钟，时间太长味道会变苦。", "茶叶每杯三克。"],
        );
        check("- 关闭电源\n- 拔下插头\n- 图片\n", &["关闭电源", "拔下插头"]);
        check(
            "물은 구십 도로 데웁니다. 찻잎을 넣습니다. 삼 분 기다립니다.\n",
            &["물은 구십 도로 데웁니다.", "찻잎을 넣습니다.", "삼 분 기다립니다."],
        );
        check("湯を沸かす。茶葉を入れる。\n", &["湯を沸かす。", "茶葉を入れる。"]);
        check("ውሃ አፍላ። ቡና ጨምር።\n", &["ውሃ አፍላ።", "ቡና ጨምር።"]);
        check("चाय डालें। पानी लें।\n", &["चाय डालें।", "पानी लें।"]);
        check("- ต้มน้ำ\n- ใส่ใบชา\n- ชา\n", &["ต้มน้ำ", "ใส่ใบชา"]);
        check("- اغلي الماء\n- شاي\n", &["اغلي الماء"]);
        check("- ငါးမိနစ်\n- ដាំទឹក\n- ཆུ་སྐོལ།\n- ຕົ້ມນໍ້າ\n", &["ငါးမိနစ်", "ដាំទឹក", "ཆུ་སྐོལ།", "ຕົ້ມນໍ້າ"]);
    }

    #[test]
    fn content_without_a_fact_is_one_fact() {
        check("- one\n- two\n", &["one two"]);
        check("```sh\ncargo run\n\ncargo test\n```\n", &["cargo run cargo test"]);
        let code = "let x = 1;\n".repeat(50);
        check(&format!("It is used so:\n\n```\n{code}```\n"), &["It is used so:"]);
        check("Run this:\n\n```\nmake\n```\n", &["Run this: make"]);
        check("[docs](http://a.b) | [home](http://c.d)\n", &["docs | home"]);
        check("<p align=\"center\">\n  A fine <b>tool</b>\n</p>\n", &["A fine tool"]);
        check("", &[]);
    }

    #[test]
    fn badges_comments_and_tables_of_contents_say_nothing() {
        let text = "[![Build](http://a.b/c.svg)](http://a.b) ![Crates.io version](http://d.e)\n\n<!-- a comment -->\n\n\
                    - [Installation](#installation)\n- [Using the tool](#using)\n\n[ref]: http://a.b\n";
        let outline = Outline::of(text, Syntax::Markdown);
        assert!(!outline.is_readable(&(0..text.len())));
        check(&format!("{text}\nOne sentence here.\n"), &["One sentence here."]);
    }

    #[test]
    fn plain_text_has_sentences_and_simple_lists() {
        let text = "# not a heading\n\nOne sentence goes\nover two lines. Another *one* here.\n\n- an item that\n  goes on\n2) a second item\n";
        let facts = of(text, &Outline::of(text, Syntax::Plain), &(0..text.len()));
        assert_eq!(
            facts,
            [
                "# not a heading",
                "One sentence goes over two lines.",
                "Another *one* here.",
                "an item that goes on",
                "a second item",
            ]
        );
    }
}
