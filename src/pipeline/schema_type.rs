//! The field type of what a JSON schema allows: what `parse` makes of an answer, known before there is one.
//!
//! Follows references inside the schema and merges alternatives. Unknown keywords do not narrow a type, so that
//! the type is never narrower than the schema.

use serde_json::{Map, Value};

use super::field_type::FieldType;

/// The maximum depth; deeper schemas and circular references count as any value.
const MOST_DEPTH: usize = 24;

/// Keywords that may allow names which `properties` does not have.
const MORE_NAMES: [&str; 7] =
    ["patternProperties", "unevaluatedProperties", "dependentSchemas", "dependencies", "if", "then", "else"];

impl FieldType {
    /// The type of a value that is valid against `schema`.
    #[must_use]
    pub fn of_schema(schema: &Value) -> Self {
        of(schema, schema, 0)
    }
}

fn of(schema: &Value, root: &Value, depth: usize) -> FieldType {
    let Some(schema) = schema.as_object().filter(|_| depth < MOST_DEPTH) else { return FieldType::any() };
    let mut kind = by_type(schema);
    if let Some(options) = schema.get("enum").and_then(Value::as_array) {
        kind = kind.and(options.iter().map(FieldType::of_value).fold(FieldType::never(), FieldType::or));
    }
    if let Some(value) = schema.get("const") {
        kind = kind.and(FieldType::of_value(value));
    }
    if let Some(items) = items(schema, root, depth) {
        kind = kind.and(FieldType::list(items).or(everything_but_lists()));
    }
    if let Some(object) = object(schema, root, depth) {
        kind = kind.and(object.or(everything_but_objects()));
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        kind = kind.and(resolve(target, root).map_or(FieldType::any(), |target| of(target, root, depth + 1)));
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(branches) = schema.get(keyword).and_then(Value::as_array) {
            let branches = branches.iter().map(|branch| of(branch, root, depth + 1));
            kind = kind.and(branches.fold(FieldType::never(), FieldType::or));
        }
    }
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        kind = kind.and(of(part, root, depth + 1));
    }
    kind
}

/// Whether an object that is valid against `schema` has no other names than those that the schema declares.
pub(crate) fn is_closed(schema: &Value) -> bool {
    closed(schema, schema, 0)
}

fn closed(schema: &Value, root: &Value, depth: usize) -> bool {
    let Some(map) = schema.as_object().filter(|_| depth < MOST_DEPTH) else { return false };
    let refuses = |keyword: &str| map.get(keyword) == Some(&Value::Bool(false));
    let mut parts = map.get("allOf").and_then(Value::as_array).into_iter().flatten();
    let target = map.get("$ref").and_then(Value::as_str).and_then(|target| resolve(target, root));
    let every = |keyword: &str| {
        let branches = map.get(keyword).and_then(Value::as_array);
        branches.is_some_and(|branches| branches.iter().all(|branch| closed(branch, root, depth + 1)))
    };
    (refuses("additionalProperties") && !map.contains_key("patternProperties"))
        || refuses("unevaluatedProperties")
        || target.is_some_and(|target| closed(target, root, depth + 1))
        || parts.any(|part| closed(part, root, depth + 1))
        || every("anyOf")
        || every("oneOf")
}

/// Whether a reference inside the schema resolves to a part of it.
pub(crate) fn reference_resolves(target: &str, root: &Value) -> bool {
    resolve(target, root).is_some()
}

/// Resolves a reference inside the schema.
fn resolve<'s>(target: &str, root: &'s Value) -> Option<&'s Value> {
    let pointer = target.strip_prefix('#')?;
    root.pointer(&percent_encoding::percent_decode_str(pointer).decode_utf8().ok()?)
}

fn by_type(schema: &Map<String, Value>) -> FieldType {
    let one = |name: &Value| match name.as_str() {
        Some("null") => FieldType::null(),
        Some("boolean") => FieldType::boolean(),
        // JSON Schema counts a number such as 2.0 as an integer.
        Some("integer" | "number") => FieldType::number(),
        Some("string") => FieldType::text(),
        Some("array") => FieldType::any_list(),
        Some("object") => FieldType::object(),
        _ => FieldType::any(),
    };
    match schema.get("type") {
        Some(Value::Array(names)) => names.iter().map(one).fold(FieldType::never(), FieldType::or),
        Some(name) => one(name),
        None => FieldType::any(),
    }
}

fn everything_but_lists() -> FieldType {
    [FieldType::text(), FieldType::number(), FieldType::boolean(), FieldType::object()]
        .into_iter()
        .fold(FieldType::null(), FieldType::or)
}

fn everything_but_objects() -> FieldType {
    [FieldType::text(), FieldType::number(), FieldType::boolean(), FieldType::any_list()]
        .into_iter()
        .fold(FieldType::null(), FieldType::or)
}

/// The type of list elements; `None` if the schema does not restrict them.
fn items(schema: &Map<String, Value>, root: &Value, depth: usize) -> Option<FieldType> {
    let first = schema.get("prefixItems").and_then(Value::as_array);
    let rest = schema.get("items").filter(|items| items.is_object() || items.is_boolean());
    if first.is_none() && rest.is_none() {
        return None;
    }
    let rest = match rest {
        Some(Value::Bool(false)) => FieldType::never(),
        Some(rest) => of(rest, root, depth + 1),
        None => FieldType::any(),
    };
    Some(first.into_iter().flatten().map(|item| of(item, root, depth + 1)).fold(rest, FieldType::or))
}

/// The type of objects; `None` if the schema does not restrict them. Names that it does not declare count as
/// unknown, unless it allows others explicitly.
fn object(schema: &Map<String, Value>, root: &Value, depth: usize) -> Option<FieldType> {
    let others = schema.get("additionalProperties");
    let closed = others == Some(&Value::Bool(false));
    let properties = schema.get("properties").and_then(Value::as_object);
    if properties.is_none() && !closed {
        return None;
    }
    let open = !closed && others.is_some() || MORE_NAMES.iter().any(|keyword| schema.contains_key(*keyword));
    let mut known = Vec::new();
    for (name, property) in properties.into_iter().flatten() {
        known.push((name.clone(), of(property, root, depth + 1)));
    }
    Some(FieldType::object_of(known, open))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_has_a_type() {
        let node = json!({"$defs": {"node": {"type": "object", "properties": {"name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}}, "$ref": "#/$defs/node"});
        for (schema, expected) in [
            (json!(true), "any value"),
            (json!({}), "any value"),
            (json!({"type": "string"}), "a text"),
            (json!({"type": ["string", "null"]}), "a text or null"),
            (json!({"type": "integer"}), "a number"),
            (json!({"enum": ["a", 1]}), "a text or a whole number"),
            (json!({"const": true}), "`true` or `false`"),
            (json!({"type": "array", "items": {"type": "string"}}), "a list of texts"),
            (json!({"type": "array"}), "a list"),
            (
                json!({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "boolean"}}),
                "a list of texts or truth values",
            ),
            (
                json!({"type": "array", "prefixItems": [{"type": "string"}], "items": false}),
                "a list of texts",
            ),
            (
                json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "number"}}]}),
                "a text or a list of numbers",
            ),
            (json!({"oneOf": [{"type": "string"}, {"type": "null"}]}), "a text or null"),
            (json!({"allOf": [{"type": ["string", "number"]}, {"type": ["string", "null"]}]}), "a text"),
            (
                json!({"$defs": {"t": {"type": "string"}}, "type": "array", "items": {"$ref": "#/$defs/t"}}),
                "a list of texts",
            ),
            (json!({"$ref": "#/$defs/none"}), "any value"),
            (json!({"not": {"type": "string"}}), "any value"),
            (node, "an object"),
        ] {
            assert_eq!(FieldType::of_schema(&schema).to_string(), expected, "{schema}");
        }
    }

    #[test]
    fn the_names_in_objects_are_known() {
        let schema = json!({"$defs": {"who": {"properties": {"age": {"type": "integer"}}}}, "type": "object",
            "properties": {"who": {"$ref": "#/$defs/who"}, "tags": {"type": "object", "additionalProperties": {"type": "string"}},
                "more": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": true}}});
        let kind = FieldType::of_schema(&schema);
        let who = kind.get("who").unwrap();
        assert_eq!(who.get("age"), Some(FieldType::number()));
        assert_eq!(who.get("name"), None, "declared are its names, and this is none");
        assert_eq!(kind.get("tags").unwrap().get("x"), Some(FieldType::any()));
        assert_eq!(kind.get("more").unwrap().get("b"), Some(FieldType::any()));
        let either = json!({"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}},
            {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "null"}}}]});
        let kind = FieldType::of_schema(&either);
        assert_eq!(kind.get("a").unwrap().to_string(), "a text or a number");
        assert_eq!((kind.get("b"), kind.get("c")), (Some(FieldType::null()), None));
    }
}
