//! What types are in words, and what could be what.

use super::*;
use serde_json::json;

fn of(value: Value) -> FieldType {
    FieldType::of_value(&value)
}

#[test]
fn types_are_described_in_words() {
    for (value, expected) in [
        (json!("a"), "a text"),
        (json!(3), "a whole number"),
        (json!(2.5), "a number"),
        (json!(true), "`true` or `false`"),
        (json!(null), "null"),
        (json!(["a"]), "a list of texts"),
        (json!([[1]]), "a list of lists of whole numbers"),
        (json!([]), "a list"),
        (json!([1, "a"]), "a list of texts or whole numbers"),
        (json!({"a": 1}), "an object"),
        (json!([{"role": "user", "content": "a"}]), "a list of messages"),
    ] {
        assert_eq!(of(value).to_string(), expected);
    }
    assert_eq!(
        FieldType::text().or(FieldType::messages()).or_null().to_string(),
        "a text, a list of messages or null"
    );
    assert_eq!(FieldType::any().to_string(), "any value");
}

#[test]
fn nothing_is_refused_that_could_be_right() {
    let check = |found: &FieldType, wanted: FieldType, expected: bool| {
        assert_eq!(found.could_be(&wanted), expected, "{found} as {wanted}");
    };
    let messages = FieldType::messages;
    check(&of(json!("a")), FieldType::text(), true);
    check(&of(json!(1)), FieldType::number(), true);
    check(&of(json!(1)), FieldType::text(), false);
    check(&of(json!(["a"])), FieldType::text(), false);
    check(&of(json!(["a"])).or(of(json!("a"))), FieldType::text(), true);
    check(&FieldType::any(), messages(), true);
    check(&of(json!([])), messages(), true);
    check(&of(json!([{"role": "user", "content": null, "tool_calls": []}])), messages(), true);
    check(&of(json!([{"role": "user", "content": [{"type": "text"}]}])), messages(), true);
    check(&of(json!([{"role": "assistant", "tool_calls": []}])), messages(), true);
    check(&of(json!([{"from": "human", "value": "a"}])), messages(), false);
    check(&of(json!([{"from": "human"}, {"role": "user", "content": "a"}])), messages(), true);
    check(&of(json!(["a"])), messages(), false);
    check(&of(json!({"role": "user", "content": "a"})), messages(), false);
    // Only of the first rows it is known that they have no more names.
    check(&of(json!({"a": 1})), FieldType::object_of(vec![("b".into(), FieldType::text())], true), false);
    assert_eq!(of(json!({"a": 1})).get("b"), None);
    assert_eq!(of(json!({"a": 1})).presumed().get("b"), Some(FieldType::any()));
    assert_eq!(of(json!(null)).presumed(), FieldType::any());
}
