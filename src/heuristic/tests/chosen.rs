//! What is chosen from a section: items with their introductions, meaningful sentences, specific terms; and that
//! questions differ from steps in languages without wording.

use super::*;

/// Every pair of a section, in all types.
fn all_pairs(text: &str) -> Vec<(&'static str, draft::QaPair)> {
    let one = section(1, "Datatypes", text);
    pairs(&one, &section(2, "Other", "The kernel keeps the mirror."))
}

#[test]
fn an_item_is_said_with_what_introduces_it() {
    let text = "Sequences of all types can be decoded. These datatypes are *not* supported:\n\n- DEFAULT/OPTIONAL in SET.\n\
        - CHOICE of an open type.\n- EMBEDDED PDV values\n";
    for (kind, pair) in all_pairs(text) {
        // The first step may name an item without saying anything of it.
        for text in pair.steps[1..].iter().chain([&pair.answer]) {
            let item = ["DEFAULT/OPTIONAL in SET", "CHOICE of an", "EMBEDDED PDV val"]
                .iter()
                .any(|item| text.contains(item));
            assert!(!item || text.contains("are not supported:"), "{kind}: {text}\n{pair:?}");
        }
    }
}

#[test]
fn what_points_elsewhere_is_used_where_there_is_nothing_else() {
    let text = "You can find benchmarks of the parser here and here. The parser reads a megabyte in two milliseconds. More information \
        about this parser is in the wiki of the parser. The parser keeps no copy of its input. See below for links to the parser.";
    for (kind, pair) in all_pairs(text) {
        // Facts are asked about as they were planned.
        let short = kind != "FACT_BASED";
        for sentence in ["benchmarks", "More information", "See below"].iter().filter(|_| short) {
            let said = pair.steps.iter().chain([&pair.answer]).any(|text| text.contains(sentence));
            assert!(!said, "{kind}: {pair:?}");
        }
    }
    let alone = pair(&record("INFERENCE", &section(1, "Links", "You can find the rest here."), None, None));
    assert!(alone.unwrap().answer.contains("the rest here"));
}

#[test]
fn a_term_is_a_noun() {
    let found = |text: &str| {
        let one = json!({"title": "T", "text": text});
        let passage = passage::Passage::of(&one, "", Some(language::Language::English));
        let terms = terms::key_terms(&passage, &passage.all());
        terms.into_iter().map(|term| term.text).collect::<Vec<_>>()
    };
    let check = |text: &str, wrong: &[&str], right: &str| {
        let terms = found(text);
        let words = |term: &String| wrong.iter().any(|wrong| term.split(' ').any(|word| word == *wrong));
        assert!(!terms.iter().any(words), "{terms:?}");
        assert!(terms.iter().any(|term| term == right), "{terms:?}");
    };
    check("The MSRV may be raised in a minor release.", &["may"], "MSRV");
    check("The code is dual licensed under the MIT license.", &["licensed"], "code");
    check("Some options affect decode speed.", &["affect", "decode"], "speed");
    check("A change of the minor is not breaking for the linker.", &["minor"], "linker");
}

#[test]
fn other_languages_get_questions_that_can_be_told_from_steps() {
    let korean =
        "김치는 배추를 소금에 절여 만든다. 절인 배추는 찬물에 두 번 헹군다. 양념은 고춧가루와 마늘로 만든다.";
    let chinese = "绿茶的水温约为80度。冲泡时间为两分钟。水温过高会使茶汤发苦。";
    for (text, title) in [(korean, "김치"), (chinese, "绿茶")] {
        let one = section(1, title, text);
        for (kind, pair) in pairs(&one, &section(2, "비교", text)) {
            assert!(pair.question.contains('?'), "{kind}: {pair:?}");
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            assert!(!pair.steps[0].contains('?'), "{kind}: {pair:?}");
            assert_ne!(letters(&pair.steps[0]), letters(&pair.question), "{kind}: {pair:?}");
        }
    }
}
