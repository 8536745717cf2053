//! Tests of `answer_schema`: what is said of wrong answers, and that it is bounded.

use super::*;
use serde_json::json;

fn schema() -> AnswerSchema {
    AnswerSchema::new(&json!({
        "type": "object",
        "properties": {
            "question": {"type": "string", "minLength": 5},
            "level": {"enum": ["easy", "hard"]},
            "steps": {"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 3},
            "source": {"type": "object", "properties": {"title": {"type": ["string", "null"]}}},
        },
        "required": ["question", "steps"],
        "additionalProperties": false,
    }))
    .unwrap()
}

#[test]
fn messages_say_what_to_change() {
    let check = |answer: Value, message: &str| {
        assert_eq!(schema().check(&answer), Err(message.to_owned()), "{answer}");
    };
    let steps = json!(["a", "b", "c"]);
    assert_eq!(schema().check(&json!({"question": "Why so?", "steps": steps})), Ok(()));
    check(json!({"question": "Why so?", "steps": ["a"]}), "steps: expected at least 3 items, got 1");
    check(json!({"question": "Why so?", "steps": ["a", 2, "c"]}), "steps.1: expected string, got number");
    check(json!({"steps": steps}), "the property \"question\" is missing");
    check(json!({"question": "Why so?", "steps": steps, "x": 1}), "unexpected property \"x\"");
    check(json!([]), "expected object, got array");
    check(
        json!({"question": "Why", "steps": steps, "level": "mid", "source": {"title": 1}}),
        "question: expected at least 5 characters, got 3; level: expected one of [\"easy\",\"hard\"]; \
         source.title: expected null or string, got number",
    );
}

#[test]
fn messages_stay_short() {
    let many = json!({"question": "Why so?", "steps": vec![1; 999]});
    let message = schema().check(&many).unwrap_err();
    assert!(message.len() <= 505, "{}", message.len());
    assert!(message.ends_with("; ..."), "{message}");
}

#[test]
fn properties_have_types_with_their_contents() {
    let kind = schema().kind();
    let names: Vec<&str> = kind.fields().map(|(name, _)| name).collect();
    assert_eq!(names, ["question", "level", "steps", "source"]);
    assert!(!schema().is_open());
    assert!(AnswerSchema::new(&json!({"type": "object"})).unwrap().is_open());
}

#[test]
fn wrong_schemas_report_the_position() {
    let check = |schema: Value, places: &[&str]| {
        let errors = AnswerSchema::new(&schema).unwrap_err();
        let at: Vec<&str> = errors.iter().map(|error| error.at.as_str()).collect();
        assert_eq!(at, places, "{errors:?}");
    };
    check(json!({"type": "objekt"}), &["/type"]);
    check(
        json!({"properties": {"a": {"minItems": -1}}, "required": 7}),
        &["/properties/a/minItems", "/required"],
    );
    let closed = json!({"properties": {"a": {"items": {"properties": {"b": true}, "required": ["b", "c"],
        "additionalProperties": false}}}, "required": ["x"]});
    check(closed, &["/properties/a/items/required/1"]);
    assert!(AnswerSchema::new(&json!({"$ref": "http://example.com/x.json"})).is_err());
    assert!(AnswerSchema::new(&json!({"type": "string", "pattern": "("})).is_err());
}

/// Trees of five kinds of nodes, distinguished by a constant.
fn trees() -> AnswerSchema {
    let node = |op: &str| {
        json!({"type": "object", "required": ["op", "args"], "additionalProperties": false,
            "properties": {"args": {"type": "array", "items": {"$ref": "#/$defs/node"}}, "op": {"const": op}}})
    };
    let leaf = json!({"type": "object", "required": ["op", "value"], "additionalProperties": false,
        "properties": {"op": {"const": "leaf"}, "value": {"type": "number"}}});
    let nodes: Vec<Value> = ["add", "mul", "sub", "neg"].map(node).into_iter().chain([leaf]).collect();
    AnswerSchema::new(&json!({"$defs": {"node": {"anyOf": nodes}}, "$ref": "#/$defs/node"})).unwrap()
}

fn tree(depth: usize, width: usize, leaf: Value) -> Value {
    let mut tree = leaf;
    for _ in 0..depth {
        tree = json!({"op": "add", "args": vec![tree; width]});
    }
    tree
}

#[test]
fn alternatives_are_distinguished_and_listed_in_bounded_time() {
    let schema = trees();
    let leaf = |value: Value| json!({"op": "leaf", "value": value});
    assert_eq!(schema.check(&tree(7, 1, leaf(json!(1)))), Ok(()));
    let wrong = schema.check(&tree(8, 1, leaf(json!("one")))).unwrap_err();
    assert_eq!(
        wrong,
        "args.0.args.0.args.0.args.0.args.0.args.0.args.0.args.0.value: expected number, got string"
    );
    let wrong = schema.check(&tree(12, 2, leaf(json!("one")))).unwrap_err();
    assert!(wrong.contains("value: expected number, got string"), "{wrong}");
    let wrong = schema.check(&tree(60, 1, leaf(json!("one")))).unwrap_err();
    assert!(wrong.contains("expected number, got string"), "{wrong}");
    assert_eq!(
        schema.check(&json!({"op": "div", "args": []})).unwrap_err(),
        "this meets none of the 5 forms of `anyOf`"
    );
}

#[test]
fn every_keyword_has_a_message() {
    let check = |schema: Value, answer: Value, message: &str| {
        assert_eq!(AnswerSchema::new(&schema).unwrap().check(&answer), Err(message.to_owned()), "{schema}");
    };
    check(json!({"not": {"type": "object"}}), json!({}), "this does not meet the schema");
    check(json!({"allOf": [{"required": ["a"]}]}), json!({}), "the property \"a\" is missing");
    check(
        json!({"oneOf": [{}, {"type": "object"}]}),
        json!({}),
        "this meets more than one of the forms of `oneOf`",
    );
    check(
        json!({"prefixItems": [{"type": "null"}], "items": {"type": "string"}}),
        json!([1, 2]),
        "0: expected null, got number; 1: expected string, got number",
    );
    check(
        json!({"additionalProperties": {"type": "string"}}),
        json!({"a/b": 1}),
        "a/b: expected string, got number",
    );
    check(
        json!({"properties": {"a/b~c": {"type": "string"}}}),
        json!({"a/b~c": 1}),
        "a/b~c: expected string, got number",
    );
    check(
        json!({"properties": {"é x": {"type": "string"}}}),
        json!({"é x": 1}),
        "é x: expected string, got number",
    );
    check(json!({"uniqueItems": true}), json!([1, 1]), "expected items that differ");
    check(json!({"minProperties": 1}), json!({}), "the value has less than 1 property");
    check(
        json!({"anyOf": [{"type": "null"}, {"type": "object", "required": ["a"]}]}),
        json!({}),
        "the property \"a\" is missing",
    );
}

#[test]
fn large_answers_and_patterns_are_bounded() {
    let many = json!({"question": "Why so?", "steps": vec![json!(1); 200_000]});
    assert!(schema().check(&many).unwrap_err().len() <= 505);
    let names: serde_json::Map<String, Value> = (0..100_000).map(|n| (format!("p{n}"), json!(n))).collect();
    let message = schema().check(&Value::Object(names)).unwrap_err();
    assert!(message.len() <= 505 && message.contains("..."), "{message}");
    let unique = AnswerSchema::new(&json!({"uniqueItems": true})).unwrap();
    let items: Vec<Value> = (0..100_000).map(|n| json!([n])).collect();
    assert_eq!(unique.check(&Value::Array(items)), Ok(()));
    let pattern = AnswerSchema::new(&json!({"items": {"pattern": "^(?=(a+)+$)(a+)+$"}})).unwrap();
    let texts: Vec<Value> = (0..30).map(|n| json!(format!("{}!{n}", "a".repeat(40)))).collect();
    assert!(pattern.check(&Value::Array(texts)).is_err());
    let mut deep = json!([]);
    for _ in 0..120 {
        deep = json!([deep]);
    }
    let recursive =
        json!({"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#"}, "maxItems": 1}]});
    assert_eq!(AnswerSchema::new(&recursive).unwrap().check(&deep), Ok(()));
}
