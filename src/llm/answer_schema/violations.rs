//! Describes how an answer violates a schema, in bounded time and memory.
//!
//! Whether a value conforms is known quickly, since the library caches results; its list of errors is not: each
//! alternative of an `anyOf` lists all of its own, which is exponential in the depth for a recursive schema, and an
//! array of a million wrong items has a million errors. So this walks down from the root, only into parts that are
//! violated, into at most one alternative, and stops when the message is full.

use std::collections::HashMap;

use jsonschema::{Validator, ValidatorMap};
use serde_json::{Map, Value};

use super::{compiled, what};

/// The longest message, in bytes.
const LONGEST: usize = 500;
/// The number of errors that are listed for one value.
const MAX_OF_ONE: usize = 8;
/// The depth to which a small answer is walked; deeper violations are reported at that depth.
const DEEPEST: usize = 256;
/// The upper bound of the product of depth and size of an answer: each step validates everything below it.
const MAX_WORK: usize = 2_000_000;
/// The most parts a schema may have to be decomposed, since each part is compiled.
const MAX_PARTS: usize = 2000;

/// Keywords that constrain the value itself, not its contents or alternatives.
const OWN: &[&str] = &[
    "$schema",
    "type",
    "enum",
    "const",
    "required",
    "pattern",
    "format",
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "dependentRequired",
];

/// The parts of a schema, compiled, by their JSON pointers.
#[derive(Debug)]
pub(super) struct SchemaParts {
    whole: ValidatorMap,
    /// For each part, only the keywords that constrain the value itself.
    own: HashMap<String, Validator>,
}

impl SchemaParts {
    /// Returns `None` for a schema with too many parts, and for one that the library compiles only as a whole.
    pub(super) fn of(schema: &Value) -> Option<Self> {
        let mut pointers = Vec::new();
        collect_parts(schema, "", &mut pointers);
        if pointers.len() > MAX_PARTS {
            return None;
        }
        let whole = compiled().build_map(schema).ok()?;
        let root = schema.as_object()?;
        let own = pointers.into_iter().filter_map(|(at, part)| {
            let validator = compiled().build(&own_keywords(part, root)).ok()?;
            Some((at, validator))
        });
        Some(Self { own: own.collect(), whole })
    }

    /// Describes how `answer` violates the schema, in one line.
    pub(super) fn explain(&self, schema: &Value, answer: &Value) -> String {
        let deepest = (MAX_WORK / size(answer)).clamp(4, DEEPEST);
        let mut walk = ViolationWalk { parts: self, schema, deepest, message: String::new(), full: false };
        walk.part("", answer, "", 0);
        walk.message
    }

    fn is_met(&self, at: &str, value: &Value) -> bool {
        // A part that is not in the map is skipped: its constraints belong to the part above it.
        self.whole.get(&format!("#{at}")).is_none_or(|validator| validator.is_valid(value))
    }
}

/// Collects every object in the schema that may be a schema itself, with its pointer.
fn collect_parts<'a>(value: &'a Value, at: &str, found: &mut Vec<(String, &'a Map<String, Value>)>) {
    match value {
        Value::Object(object) if found.len() <= MAX_PARTS => {
            found.push((at.to_owned(), object));
            for (key, inner) in
                object.iter().filter(|(key, _)| !["enum", "const", "default", "examples"].contains(&&***key))
            {
                collect_parts(inner, &format!("{at}/{}", escaped(key)), found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                collect_parts(inner, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Returns the number of values in a value, including itself.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Object(object) => object.values().map(size).sum(),
        Value::Array(items) => items.iter().map(size).sum(),
        _ => 0,
    }
}

fn own_keywords(part: &Map<String, Value>, root: &Map<String, Value>) -> Value {
    let mut own: Map<String, Value> = part.clone();
    own.retain(|key, _| OWN.contains(&key.as_str()));
    if let Some(draft) = root.get("$schema") {
        own.insert("$schema".to_owned(), draft.clone());
    }
    if part.get("additionalProperties") == Some(&Value::Bool(false)) {
        own.insert("additionalProperties".to_owned(), false.into());
        for key in ["properties", "patternProperties"] {
            let names = part.get(key).and_then(Value::as_object).into_iter().flatten();
            let any = names.map(|(name, _)| (name.clone(), Value::Bool(true)));
            own.insert(key.to_owned(), Value::Object(any.collect()));
        }
    }
    Value::Object(own)
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

struct ViolationWalk<'a> {
    parts: &'a SchemaParts,
    schema: &'a Value,
    deepest: usize,
    message: String,
    full: bool,
}

impl ViolationWalk<'_> {
    /// Describes how `value` violates the part at `at`; `place` is its path in the answer.
    fn part(&mut self, at: &str, value: &Value, place: &str, depth: usize) {
        if self.full {
            return;
        }
        let said = self.message.len();
        let schema = self.schema;
        let part = schema.pointer(at).and_then(Value::as_object);
        if let (Some(part), true) = (part, depth < self.deepest) {
            self.own(at, value, place);
            self.properties(part, at, value, place, depth);
            self.items(part, at, value, place, depth);
            self.others(part, at, value, place, depth);
        }
        if self.message.len() == said {
            self.say(place, "this does not meet the schema");
        }
    }

    fn own(&mut self, at: &str, value: &Value, place: &str) {
        let Some(own) = self.parts.own.get(at) else { return };
        for error in own.iter_errors(value).take(MAX_OF_ONE) {
            self.say(place, &what(&error));
        }
    }

    fn properties(&mut self, part: &Map<String, Value>, at: &str, value: &Value, place: &str, depth: usize) {
        let Some(object) = value.as_object() else { return };
        let declared = part.get("properties").and_then(Value::as_object);
        for name in declared.into_iter().flatten().map(|(name, _)| name) {
            let Some(inner) = object.get(name) else { continue };
            self.inner(&format!("{at}/properties/{}", escaped(name)), inner, place, name, depth);
        }
        if part.get("additionalProperties").is_some_and(Value::is_object) {
            let others =
                object.iter().filter(|(name, _)| !declared.is_some_and(|names| names.contains_key(*name)));
            for (name, inner) in others {
                self.inner(&format!("{at}/additionalProperties"), inner, place, name, depth);
                if self.full {
                    return;
                }
            }
        }
    }

    fn items(&mut self, part: &Map<String, Value>, at: &str, value: &Value, place: &str, depth: usize) {
        let Some(items) = value.as_array() else { return };
        let first = part.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
        for (index, inner) in items.iter().enumerate() {
            let at = if index < first { format!("{at}/prefixItems/{index}") } else { format!("{at}/items") };
            self.inner(&at, inner, place, &index.to_string(), depth);
            if self.full {
                return;
            }
        }
    }

    fn inner(&mut self, at: &str, value: &Value, place: &str, name: &str, depth: usize) {
        if !self.parts.is_met(at, value) {
            let place = if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
            self.part(at, value, &place, depth + 1);
        }
    }

    /// Describes violations of other schemas that apply to the same value: `$ref`, `allOf`, `anyOf`, `oneOf`.
    fn others(&mut self, part: &Map<String, Value>, at: &str, value: &Value, place: &str, depth: usize) {
        let target = part.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        if let Some(target) = target.filter(|target| !self.parts.is_met(target, value)) {
            self.part(target, value, place, depth + 1);
        }
        let count = |key: &str| part.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        for index in 0..count("allOf") {
            let at = format!("{at}/allOf/{index}");
            if !self.parts.is_met(&at, value) {
                self.part(&at, value, place, depth + 1);
            }
        }
        for key in ["anyOf", "oneOf"] {
            let all: Vec<String> = (0..count(key)).map(|index| format!("{at}/{key}/{index}")).collect();
            let met = all.iter().filter(|at| self.parts.is_met(at, value)).count();
            if all.is_empty() || met == 1 || (met > 1 && key == "anyOf") {
                continue;
            }
            if met > 1 {
                self.say(place, "this meets more than one of the forms of `oneOf`");
                continue;
            }
            let mut meant = all.iter().filter(|at| self.is_meant(at, value));
            match (meant.next(), meant.next()) {
                (Some(at), None) => self.part(at, value, place, depth + 1),
                _ => self.say(place, &format!("this meets none of the {} forms of `{key}`", all.len())),
            }
        }
    }

    /// Whether a value was likely meant as this alternative: it has its type and constants.
    fn is_meant(&self, at: &str, value: &Value) -> bool {
        let mut at = at.to_owned();
        // References may be circular.
        for _ in 0..8 {
            let target = self.schema.pointer(&at).and_then(|part| part.get("$ref")).and_then(Value::as_str);
            match target.and_then(|target| target.strip_prefix('#')) {
                Some(target) => target.clone_into(&mut at),
                None => break,
            }
        }
        let Some(part) = self.schema.pointer(&at) else { return false };
        let kind = part.get("type").and_then(Value::as_str);
        if kind.is_some_and(|kind| kind != super::kind_of(value) && (kind != "integer" || !value.is_number()))
        {
            return false;
        }
        let properties = part.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut told =
            properties.filter(|(_, inner)| inner.get("const").is_some() || inner.get("enum").is_some());
        told.all(|(name, _)| {
            let at = format!("{at}/properties/{}", escaped(name));
            value.get(name).is_some_and(|inner| self.parts.is_met(&at, inner))
        })
    }

    /// Appends to the message, if there is room.
    fn say(&mut self, place: &str, what: &str) {
        if self.full {
            return;
        }
        let place: String = place.chars().take(100).collect();
        let part = if place.is_empty() { what.to_owned() } else { format!("{place}: {what}") };
        if self.message.len() + part.len() + 2 > LONGEST {
            self.full = true;
            if self.message.is_empty() {
                self.message.extend(part.chars().take(LONGEST / 4));
            }
            self.message.push_str("; ...");
            return;
        }
        if !self.message.is_empty() {
            self.message.push_str("; ");
        }
        self.message.push_str(&part);
    }
}
