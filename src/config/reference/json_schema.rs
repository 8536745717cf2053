//! The JSON schema of the whole pipeline file, for editors (`synthmill schema`).
//!
//! Assembled from the schemas with which the loader validates, so the two cannot differ. Looser in one respect: a
//! text with a template or a variable may replace a number or truth value.

use serde_json::{Map, Value, json};

use crate::config::check::{allow_common_keys, pipeline_schema};
use crate::stages::{Role, STAGES, StageType};

/// The schema, draft 2020-12.
#[must_use]
pub fn json_schema() -> Value {
    schema_of(STAGES)
}

pub(in crate::config) fn schema_of(table: &[StageType]) -> Value {
    let mut schema = pipeline_schema();
    loosen(&mut schema);
    schema["patternProperties"] =
        json!({"^x-": {"description": "Anything, for YAML anchors; left out when the file is read."}});
    // Stages that are allowed in blocks are defined once and referenced, since a block may contain blocks.
    let (shared, others): (Vec<&StageType>, Vec<&StageType>) =
        table.iter().partition(|stage| stage.in_blocks);
    let refer = |stage: &&StageType| json!({"$ref": format!("#/$defs/{}", stage.name)});
    let in_block: Vec<Value> = shared.iter().map(refer).collect();
    let mut definitions: Map<String, Value> =
        shared.iter().map(|stage| (stage.name.to_owned(), stage_schema(stage))).collect();
    definitions.insert(IN_BLOCK.to_owned(), json!({ "oneOf": in_block }));
    schema["$defs"] = Value::Object(definitions);
    let mut all: Vec<Value> = others.iter().map(|stage| stage_schema(stage)).collect();
    all.extend(in_block);
    list_stages(&mut schema, json!({ "oneOf": all }));
    schema
}

/// The definition of a stage in a block.
const IN_BLOCK: &str = "stage_in_block";

/// Sets the schema of the entries of the property `stages`.
fn list_stages(schema: &mut Value, entry: Value) {
    if let Some(field) = schema.pointer_mut("/properties/stages").and_then(Value::as_object_mut) {
        field.insert("items".to_owned(), entry);
        field.insert("minItems".to_owned(), json!(1));
    }
}

fn stage_schema(stage: &StageType) -> Value {
    let mut body = stage.schema().to_value();
    allow_common_keys(&mut body);
    loosen(&mut body);
    if stage.role == Role::Block {
        list_stages(&mut body, json!({"$ref": format!("#/$defs/{IN_BLOCK}")}));
    }
    if let Some(body) = body.as_object_mut() {
        body.shift_remove("$schema");
        // A stage without options may be written as its name and a colon.
        if body.get("required").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            body.insert("type".to_owned(), json!(["object", "null"]));
        }
    }
    let mut properties = Map::new();
    properties.insert(stage.name.to_owned(), body);
    json!({
        "type": "object",
        "description": stage.purpose,
        "properties": properties,
        "required": [stage.name],
        "additionalProperties": false,
    })
}

/// Allows a text with a template in place of each number or truth value.
fn loosen(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    for (keyword, inside) in map.iter_mut() {
        match (keyword.as_str(), inside) {
            ("properties" | "patternProperties" | "$defs", Value::Object(parts)) => {
                parts.values_mut().for_each(loosen);
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(parts)) => {
                parts.iter_mut().for_each(loosen);
            }
            ("items" | "additionalProperties", inside) => loosen(inside),
            _ => {}
        }
    }
    let scalar = |kind: &Value| matches!(kind.as_str(), Some("integer" | "number" | "boolean"));
    let wants_scalar = match map.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(scalar),
        Some(kind) => scalar(kind),
        None => false,
    };
    if !wants_scalar {
        return;
    }
    let mut outer = Map::new();
    for kept in ["description", "default"] {
        if let Some(value) = map.shift_remove(kept) {
            outer.insert(kept.to_owned(), value);
        }
    }
    let strict = Value::Object(std::mem::take(map));
    outer.insert("anyOf".to_owned(), json!([strict, {"type": "string", "pattern": r"\{\{|\$\{"}]));
    *map = outer;
}
