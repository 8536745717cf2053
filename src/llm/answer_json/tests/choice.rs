//! Which of several pieces of JSON is the answer, and white space that JSON does not know.

use serde_json::{Value, json};

use super::super::{ExtractError, LONGEST_ANSWER, SchemaMatch, extract, extract_fitting};

/// What is extracted from an answer that should be `{"answer": TEXT}` and nothing more.
fn answer(text: &str) -> Result<Value, ExtractError> {
    let judge = |value: &Value| match value.as_object() {
        Some(object) if object.len() == 1 && object.get("answer").is_some_and(Value::is_string) => {
            SchemaMatch::Valid
        }
        Some(_) => SchemaMatch::Invalid,
        None => SchemaMatch::OtherType,
    };
    extract_fitting(text, judge, |value| format!("wrong: {value}"))
}

#[track_caller]
fn moon(text: &str) {
    assert_eq!(answer(text), Ok(json!({"answer": "The moon."})), "{text}");
}

#[track_caller]
fn fails(text: &str, error: ExtractError) {
    assert_eq!(answer(text), Err(error), "{text}");
}

const MOON: &str = r#"{"answer": "The moon."}"#;

#[test]
fn the_last_conforming_value_is_the_answer() {
    moon(&format!(r#"Draft: {{"answer": "Perhaps the moon, perhaps the sun."}} Final: {MOON}"#));
    moon(&format!(
        r#"The schema is {{"type": "object", "properties": {{"answer": {{"type": "string"}}}}}}, so: {MOON}"#
    ));
    moon(&format!(r#"As in {{"answer": "an example answer that is long"}}, I say: {MOON}"#));
    moon(&format!("```json\n{{\"answer\": \"draft\"}}\n```\nBetter:\n```json\n{MOON}\n```"));
    moon(&format!("```json\n{MOON}\n```\nIt follows the schema `{{\"answer\": \"TEXT\"}}` as asked."));
    moon(&format!("{MOON}\n\n{{\"confidence\": 0.9}}"));
    moon(&format!("{MOON} [\"a\", \"list\"]"));
    moon(&format!("[{{\"answer\": \"in a list\"}}]\n{MOON}"));
    moon(&format!("{MOON}\nNone of these: {{}}"));
    moon(&format!("I thought of {{x: x > 0 and so on. {MOON}"));
    moon(&format!("A set {{a: b}} and {{b: {{c: d}}}}. {MOON} That is it, see {{a: 1}}."));
    moon("{\"answer\": \"valid\"} {'answer': 'The moon.',}");
    moon(&format!("{{'answer': 'broken',}} {MOON}"));
    moon(&format!("<think>{{\"answer\": \"thought\"}}</think>{MOON}"));
    moon(&format!("`{MOON}`"));
    moon(&format!("{MOON}\n{{\"other\": \"breaks of"));
}

#[test]
fn nested_values_are_not_candidates() {
    fails(
        r#"{"result": {"answer": "x"}}"#,
        ExtractError::Unfit(r#"wrong: {"result":{"answer":"x"}}"#.into()),
    );
    fails(r#"[{"answer": "x"}]"#, ExtractError::Unfit(r#"wrong: [{"answer":"x"}]"#.into()));
    fails(
        r#"{"result": {"answer": "x",},}"#,
        ExtractError::Unfit(r#"wrong: {"result":{"answer":"x"}}"#.into()),
    );
}

#[test]
fn the_error_concerns_the_last_value_that_was_meant() {
    fails(r#"{"a": 1} then {"b": 2} and ["c"]"#, ExtractError::Unfit(r#"wrong: {"b":2}"#.into()));
    fails(r#"{"a": 1} then `{"b": 2}`"#, ExtractError::Unfit(r#"wrong: {"a":1}"#.into()));
    fails(r#"{"answer": "draft"} then {"answer": "The mo"#, ExtractError::Cut);
    fails(r#"{"answer": "The mo"#, ExtractError::Cut);
    fails(r#"{"answer": "$$\nh\nu\nx$$"}"#, ExtractError::Unclear("\\nu".into()));
    fails(&" ".repeat(LONGEST_ANSWER + 1), ExtractError::TooLong);
    fails("no JSON {at all}", ExtractError::NoJson);
}

#[test]
fn white_space_and_punctuation_of_any_kind_separate_strings() {
    moon("{\n\u{a0}\u{a0}\"answer\": \"The moon.\"\n}");
    for space in [
        "\u{3000}", "\u{200b}", "\u{feff}", "\u{2028}", "\u{85}", "\u{200d}", "\u{2060}", "\u{1680}",
        "\u{c}", "\u{b}",
    ] {
        moon(&format!("{{{space}\"answer\"{space}:{space}\"The moon.\"{space}}}"));
        moon(&format!("So:\n{{{space}\"answer\": \"The moon.\"{space},}}{space}Done."));
    }
    moon("{\n  // the answer\n  \"answer\": \"The moon.\"\n}");
    moon("{ // don't {worry}\n  \"answer\": \"The moon.\" /* it's \"so\" } */\n}");
    moon("{ /* a */ # b\n \"answer\": \"The moon.\"}");
    moon("{\"answer\"：\"The moon.\"}");
    moon("{＂answer＂：＂The moon.＂，}");
    moon("{\u{201c}answer\u{201d}：\u{201c}The moon.\u{201d}}");
    moon("{answer：'The moon.'}");
    moon("Sure. {\u{a0}answer: 'The moon.'}");
    moon("{'answer'：'The moon.'}");
}

#[test]
fn texts_stay_as_they_are() {
    let check = |json: &str, text: &str| assert_eq!(answer(json), Ok(json!({"answer": text})), "{json}");
    check("{\"answer\"：\"一，二：三\u{3000}四、“五”\"}", "一，二：三\u{3000}四、“五”");
    check("{\u{a0}\"answer\": \"a\u{a0}// b /* c */ # d\u{200b}\",}", "a\u{a0}// b /* c */ # d\u{200b}");
    check("{\"answer\": \"see http://a.b/c#d\" // here\n}", "see http://a.b/c#d");
    check("{'answer'： 'it is，so'}", "it is，so");
    check("{\"answer\"： \"he said \\\"，\\\"\"}", "he said \"，\"");
}

#[test]
fn hostile_answers_take_bounded_time() {
    for part in [
        "{",
        "{\"",
        "{\"a\":",
        "{\"a\":1}",
        "[",
        "[{",
        "{//",
        "{/*",
        " /* ",
        "{a:",
        "{ #",
        "```{\"a\":1}```",
        "<think>",
        "{\"answer\": 1} ",
        "`{\"a\":1}`",
        "{\"a\": [|\\\"-,",
        "\\\"a/",
        "\"’.+",
        "、\"",
        "<",
        "{a: \"",
    ] {
        let hostile = part.repeat(100_000 / part.len());
        let _ = answer(&hostile);
        let _ = extract(&hostile);
        let _ = answer(&format!("{{\"a\": [{hostile}"));
        let _ = answer(&format!("{{\"a\": \"{hostile}"));
    }
    let braces = "{\"a\": 1}".repeat(100_000);
    assert!(matches!(answer(&braces), Err(ExtractError::Unfit(_))));
    moon(&format!("{braces}{MOON}"));
    fails(&format!("{{\"answer\": \"{}", "\"-,".repeat(300_000)), ExtractError::TooLong);
}
