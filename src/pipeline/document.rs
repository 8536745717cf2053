//! A YAML document as a JSON value with the location of each key and each value.
//!
//! `load` parses the file into a `Document`; environment values and overrides change its value, checks refer to a
//! value by its JSON pointer, and `location` returns where that pointer was written. Knows nothing about what a
//! pipeline may contain.

use std::collections::HashMap;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Location, Spanned};

use super::problem::{Problem, ProblemLocation};

/// The maximum nesting depth; the parser is recursive.
const MAX_DEPTH: usize = 64;
/// The maximum number of events that aliases may replay: enough for any real file, too few for an alias bomb.
const MAX_REPLAYED: usize = 20_000;

/// A file's content and the locations of its parts.
#[derive(Debug)]
pub(crate) struct Document {
    /// The text into which the locations point, without a byte order mark.
    pub(crate) source: String,
    /// The content of the file.
    pub(crate) value: Value,
    locations: HashMap<String, EntryLocation>,
}

/// Where one value, and its key, is written.
#[derive(Debug, Clone)]
struct EntryLocation {
    key: Option<ProblemLocation>,
    value: ProblemLocation,
}

impl Document {
    /// Parses `text`. `Err` contains the single problem that kept it from being parsed; duplicate keys are added
    /// to `problems`, and the last one wins.
    pub(crate) fn parse(text: &str, problems: &mut Vec<Problem>) -> Result<Self, Box<Problem>> {
        let source = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut duplicates = Vec::new();
        let root = match read(source, DuplicateKeyPolicy::Error) {
            Ok(root) => root,
            Err(first) => {
                let root = read(source, DuplicateKeyPolicy::LastWins)
                    .map_err(|error| Box::new(syntax_problem(source, &error)))?;
                duplicates.push(syntax_problem(source, &first));
                root
            }
        };
        let mut document = Self { source: source.to_owned(), value: Value::Null, locations: HashMap::new() };
        let mut repeated = Vec::new();
        document.value = document.take(root, None, "", &mut repeated);
        problems.append(if repeated.is_empty() { &mut duplicates } else { &mut repeated });
        Ok(document)
    }

    /// Removes the top-level keys that begin with `x-`: what they contain is there for its anchors, and matters
    /// only where an alias repeats it.
    pub(crate) fn remove_extension_keys(&mut self) {
        if let Value::Object(map) = &mut self.value {
            map.retain(|key, _| !key.starts_with("x-"));
        }
    }

    /// Converts a node to JSON and records the locations of all its parts.
    fn take(
        &mut self,
        node: Spanned<Node>,
        key: Option<ProblemLocation>,
        at: &str,
        repeated: &mut Vec<Problem>,
    ) -> Value {
        let value = location_of(&self.source, node.defined);
        self.locations.insert(at.to_owned(), EntryLocation { key, value });
        match node.value {
            Node::Scalar(value) => value,
            Node::List(items) => {
                let items = items.into_iter().enumerate();
                items.map(|(i, item)| self.take(item, None, &format!("{at}/{i}"), repeated)).collect()
            }
            Node::Map(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    let location = location_of(&self.source, key.defined);
                    let at = join(at, &key.value);
                    if map.contains_key(&key.value) {
                        let mut problem = Problem { location: Some(location.clone()), ..Problem::default() };
                        problem.message = format!("`{}` is written twice", key.value);
                        problem.hint = Some("keep one of the two".to_owned());
                        repeated.push(problem);
                    }
                    let value = self.take(value, Some(location), &at, repeated);
                    map.insert(key.value, value);
                }
                Value::Object(map)
            }
        }
    }

    /// Returns where the value at the pointer `at` is written, or its key; for a value that is not written
    /// anywhere, the location of its parent.
    pub(crate) fn location(&self, at: &str, key: bool) -> Option<ProblemLocation> {
        if let Some(written) = self.locations.get(at) {
            // A block map or an empty value has no text of its own to point at; its key has.
            let bare = matches!(written.value, ProblemLocation::File { len: 0, .. });
            let of_key = written.key.clone().filter(|_| key || bare);
            return Some(of_key.unwrap_or_else(|| written.value.clone()));
        }
        let (parent, _) = at.rsplit_once('/')?;
        self.location(parent, true)
    }

    /// Assigns `value` to `path`, creating intermediate maps; `location` is where the value comes from. `Err`
    /// describes which part of the path does not exist.
    pub(crate) fn assign(
        &mut self,
        path: &[&str],
        value: Value,
        location: &ProblemLocation,
    ) -> Result<(), String> {
        let mut here = &mut self.value;
        let mut at = String::new();
        for step in path {
            let written = join(&at, step);
            here = match here {
                Value::Object(map) => map.entry(*step).or_insert(Value::Null),
                Value::Null => {
                    *here = Value::Object(Map::new());
                    self.locations.insert(at, EntryLocation { key: None, value: location.clone() });
                    let Value::Object(map) = here else { return Err(String::new()) };
                    map.entry(*step).or_insert(Value::Null)
                }
                Value::Array(items) => {
                    let count = items.len();
                    let item = step.parse().ok().and_then(|index: usize| items.get_mut(index));
                    item.ok_or_else(|| format!("`{step}` is no item of this list of {count} (from 0)"))?
                }
                _ => return Err(format!("there is nothing inside a plain value, so no `{step}`")),
            };
            at = written;
        }
        *here = value;
        let inside = format!("{at}/");
        self.locations.retain(|pointer, _| *pointer != at && !pointer.starts_with(&inside));
        self.locations.insert(at, EntryLocation { key: None, value: location.clone() });
        Ok(())
    }
}

/// Returns the pointer of `key` inside `at`.
pub(crate) fn join(at: &str, key: &str) -> String {
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Calls `visit` with the pointer of each text in `value`, and the text.
pub(crate) fn each_text<'v>(value: &'v Value, at: &str, visit: &mut dyn FnMut(&str, &'v str)) {
    match value {
        Value::String(text) => visit(at, text),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                each_text(item, &format!("{at}/{i}"), visit);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                each_text(value, &join(at, key), visit);
            }
        }
        _ => {}
    }
}

/// Parses a text as a YAML value, for `--set` and for templates in place of numbers.
pub(crate) fn parse_value(text: &str) -> Option<Value> {
    let root = read(text, DuplicateKeyPolicy::Error).ok()?;
    let mut document = Document { source: String::new(), value: Value::Null, locations: HashMap::new() };
    Some(document.take(root, None, "", &mut Vec::new()))
}

fn read(source: &str, duplicate_keys: DuplicateKeyPolicy) -> Result<Spanned<Node>, serde_saphyr::Error> {
    let mut options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        duplicate_keys: duplicate_keys,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
    };
    options.alias_limits.max_total_replayed_events = MAX_REPLAYED;
    serde_saphyr::from_str_with_options(source, options)
}

fn syntax_problem(source: &str, error: &serde_saphyr::Error) -> Problem {
    let location = error.location().map(|location| location_of(source, location));
    let full = error.to_string();
    // The location is printed in front of every problem, so the library's own wording of it is removed.
    let message = match full.rfind(" at line ") {
        Some(end) if error.location().is_some() => full[..end].to_owned(),
        _ => full,
    };
    Problem {
        location: location.or(Some(ProblemLocation::File { line: 1, column: 1, start: 0, len: 0 })),
        message,
        expected: Some("YAML".to_owned()),
        ..Problem::default()
    }
}

fn location_of(source: &str, location: Location) -> ProblemLocation {
    let line = usize::try_from(location.line()).unwrap_or(1).max(1);
    let column = usize::try_from(location.column()).unwrap_or(1).max(1);
    let bytes = |count: Option<u64>| count.and_then(|count| usize::try_from(count).ok());
    let span = location.span();
    let (start, len) = match (bytes(span.byte_offset()), bytes(span.byte_len())) {
        (Some(start), Some(len)) if source.get(start..start + len).is_some() => (start, len),
        _ => (offset(source, line, column), 0),
    };
    let len = source[start..start + len].trim_end().len();
    ProblemLocation::File { line, column, start, len }
}

/// Returns the byte offset of a line and column (in characters, both from 1).
fn offset(source: &str, line: usize, column: usize) -> usize {
    let start: usize = source.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = &source[start..];
    start + rest.char_indices().nth(column - 1).map_or(rest.len(), |(byte, _)| byte)
}

/// A parsed YAML value, each part with its location.
enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(Value::from(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(Value::from(value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Node::Scalar(Value::Number(number)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(Value::from(value)))
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key()? {
            entries.push((key, access.next_value()?));
        }
        Ok(Node::Map(entries))
    }
}
