//! Field types: what is known about a field's values before a run.
//!
//! `check` keeps one for each field, derived from what stages make, schemas declare and rows of files contain,
//! and compares it with what a stage needs. A type is the set of possible kinds of values: unknown means any, so
//! that nothing is refused that could be valid.

mod object_fields;

use std::fmt;

use serde_json::Value;

pub use self::object_fields::ObjectFields;

/// Objects with more names than this count as objects with unknown names.
const MOST_NAMES: usize = 256;

const NULL: u8 = 1;
const BOOLEAN: u8 = 2;
const INTEGER: u8 = 4;
const FRACTION: u8 = 8;
const NUMBER: u8 = INTEGER | FRACTION;
const TEXT: u8 = 16;
const LIST: u8 = 32;
const OBJECT: u8 = 64;
const ANY: u8 = 127;

/// The type of a field's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldType {
    /// The possible kinds of values; none for what never occurs, such as the elements of an empty list.
    kinds: u8,
    /// The type of list elements; any if unknown.
    items: Option<Box<FieldType>>,
    /// The names in objects; any if unknown.
    inside: Option<ObjectFields>,
    /// Whether it was inferred from the first rows of a file: other rows may differ, but most likely do not.
    presumed: bool,
}

impl FieldType {
    const fn of(kinds: u8) -> Self {
        Self { kinds, items: None, inside: None, presumed: false }
    }

    /// Any value: nothing is known.
    #[must_use]
    pub const fn any() -> Self {
        Self::of(ANY)
    }

    /// No value at all.
    #[must_use]
    pub const fn never() -> Self {
        Self::of(0)
    }

    /// A text.
    #[must_use]
    pub const fn text() -> Self {
        Self::of(TEXT)
    }

    /// A whole number.
    #[must_use]
    pub const fn integer() -> Self {
        Self::of(INTEGER)
    }

    /// A number, whole or not.
    #[must_use]
    pub const fn number() -> Self {
        Self::of(NUMBER)
    }

    /// `true` or `false`.
    #[must_use]
    pub const fn boolean() -> Self {
        Self::of(BOOLEAN)
    }

    /// Null.
    #[must_use]
    pub const fn null() -> Self {
        Self::of(NULL)
    }

    /// An object with unknown names.
    #[must_use]
    pub const fn object() -> Self {
        Self::of(OBJECT)
    }

    /// An object with these names, and others if it is `open`.
    #[must_use]
    pub fn object_of(known: Vec<(String, Self)>, open: bool) -> Self {
        Self { inside: Some(ObjectFields { known, open }), ..Self::object() }
    }

    /// A list of anything.
    #[must_use]
    pub const fn any_list() -> Self {
        Self::of(LIST)
    }

    /// A list of values of this type.
    #[must_use]
    pub fn list(items: Self) -> Self {
        Self { items: Some(Box::new(items)), ..Self::of(LIST) }
    }

    /// A list of texts.
    #[must_use]
    pub fn texts() -> Self {
        Self::list(Self::text())
    }

    /// The messages of a conversation.
    #[must_use]
    pub fn messages() -> Self {
        let content = Self::text().or(Self::list(Self::object())).or(Self::null());
        let known = vec![("role".to_owned(), Self::text()), ("content".to_owned(), content)];
        Self::list(Self::object_of(known, true))
    }

    /// This type or null.
    #[must_use]
    pub fn or_null(self) -> Self {
        self.or(Self::null())
    }

    /// The union of two types.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            kinds: self.kinds | other.kinds,
            items: match (self.kinds & LIST, other.kinds & LIST) {
                (0, _) => other.items,
                (_, 0) => self.items,
                _ => self.items.zip(other.items).map(|(one, other)| Box::new(one.or(*other))),
            },
            inside: match (self.kinds & OBJECT, other.kinds & OBJECT) {
                (0, _) => other.inside,
                (_, 0) => self.inside,
                _ => self.inside.zip(other.inside).map(|(one, other)| one.or(other)),
            },
            presumed: self.presumed || other.presumed,
        }
    }

    /// The intersection of two types, as far as it is known.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            kinds: self.kinds & other.kinds,
            items: self.items.or(other.items),
            inside: match (self.inside, other.inside) {
                (Some(one), Some(other)) => Some(one.and(other)),
                (one, other) => one.or(other),
            },
            presumed: self.presumed || other.presumed,
        }
    }

    /// The type of one value.
    #[must_use]
    pub fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::null(),
            Value::Bool(_) => Self::boolean(),
            Value::Number(number) if number.is_f64() => Self::of(FRACTION),
            Value::Number(_) => Self::integer(),
            Value::String(_) => Self::text(),
            Value::Array(list) => Self::list(list.iter().map(Self::of_value).fold(Self::never(), Self::or)),
            Value::Object(map) if map.len() > MOST_NAMES => Self::object(),
            Value::Object(map) => {
                let known = map.iter().map(|(name, value)| (name.clone(), Self::of_value(value)));
                Self::object_of(known.collect(), false)
            }
        }
    }

    /// The same type, inferred from a sample. A sample that is null alone does not restrict other values.
    #[must_use]
    pub fn presumed(self) -> Self {
        match self.kinds {
            NULL => Self::any(),
            _ => Self { presumed: true, ..self },
        }
    }

    pub(crate) fn is_presumed(&self) -> bool {
        self.presumed
    }

    /// Whether a value of this type can be one of `wanted`.
    #[must_use]
    pub fn could_be(&self, wanted: &Self) -> bool {
        let common = self.kinds & wanted.kinds;
        if self.kinds == 0 || wanted.kinds == 0 || common & !(LIST | OBJECT) != 0 {
            return true;
        }
        let items = self.items.as_deref().zip(wanted.items.as_deref());
        if common & LIST != 0 && items.is_none_or(|(items, wanted)| items.could_be(wanted)) {
            return true;
        }
        let inside = self.inside.as_ref().zip(wanted.inside.as_ref());
        common & OBJECT != 0 && inside.is_none_or(|(inside, wanted)| inside.could_be(wanted))
    }

    /// The type of `name` in its objects; `None` if its objects cannot contain the name.
    pub(crate) fn get(&self, name: &str) -> Option<Self> {
        if self.kinds & OBJECT == 0 {
            return Some(Self::never());
        }
        match &self.inside {
            None => Some(Self::any()),
            Some(inside) => match inside.get(name) {
                Some(found) => Some(found.clone()),
                None if inside.open || self.presumed => Some(Self::any()),
                None => None,
            },
        }
    }

    /// The type of its elements: of a list, or the characters of a text.
    pub(crate) fn item(&self) -> Self {
        match self.kinds & !NULL {
            LIST => self.items.as_deref().filter(|items| items.kinds != 0).cloned().unwrap_or(Self::any()),
            TEXT | OBJECT => Self::text(),
            _ => Self::any(),
        }
    }

    /// The type of its elements for `for_each`: those of a list, or the numbers below a number.
    #[must_use]
    pub fn elements(&self) -> Self {
        match (self.is_list(), self.is_number()) {
            (true, _) if self.presumed => self.item().presumed(),
            (true, _) => self.item(),
            (_, true) => Self::integer(),
            _ => Self::any(),
        }
    }

    /// The same object type with `name` added.
    #[must_use]
    pub fn with(mut self, name: &str, kind: Self) -> Self {
        if let Some(inside) = &mut self.inside {
            inside.set(name, kind);
        }
        self
    }

    /// The known names of its objects, with their types.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.inside.iter().flat_map(ObjectFields::fields)
    }

    pub(crate) fn inside(&self) -> Option<&ObjectFields> {
        self.inside.as_ref()
    }

    pub(crate) fn inside_mut(&mut self) -> Option<&mut ObjectFields> {
        self.inside.as_mut()
    }

    /// Whether it may be an object whose names are known.
    pub(crate) fn has_names(&self) -> bool {
        self.inside.as_ref().is_some_and(|inside| !inside.known.is_empty())
    }

    /// The only kind of its values; `None` if there are several, or null among others.
    pub(crate) fn only_kind(&self) -> Option<u8> {
        match self.kinds {
            NULL | BOOLEAN | TEXT | LIST | OBJECT => Some(self.kinds),
            INTEGER | FRACTION | NUMBER => Some(NUMBER),
            _ => None,
        }
    }

    /// Whether its only value is null.
    pub(crate) fn is_null(&self) -> bool {
        self.kinds == NULL
    }

    /// Whether every value that is not null is a text.
    pub(crate) fn is_text(&self) -> bool {
        self.kinds & !NULL == TEXT
    }

    /// Whether every value that is not null is a number.
    pub(crate) fn is_number(&self) -> bool {
        self.kinds & !(NULL | NUMBER) == 0 && self.kinds & NUMBER != 0
    }

    /// Whether every value that is not null is a list.
    pub(crate) fn is_list(&self) -> bool {
        self.kinds & !NULL == LIST
    }

    /// Whether every value that is not null is `true` or `false`.
    pub(crate) fn is_boolean(&self) -> bool {
        self.kinds & !NULL == BOOLEAN
    }

    /// Whether every value that is not null is an object.
    pub(crate) fn is_object(&self) -> bool {
        self.kinds & !NULL == OBJECT
    }

    /// Whether no value has this type.
    #[must_use]
    pub fn is_impossible(&self) -> bool {
        self.kinds == 0
    }

    /// Whether it may be an object.
    #[must_use]
    pub fn may_be_object(&self) -> bool {
        self.kinds & OBJECT != 0
    }

    fn is_message(&self) -> bool {
        let has = |name: &str| self.inside.as_ref().is_some_and(|inside| inside.get(name).is_some());
        self.kinds == OBJECT && has("role") && has("content")
    }

    /// The kinds in words, in the singular ("a text") or the plural ("texts").
    fn words(&self, several: bool) -> Vec<String> {
        let mut words = Vec::new();
        let mut say = |kind: u8, one: &str, many: &str| {
            if self.kinds & kind == kind {
                words.push(if several { many } else { one }.to_owned());
            }
        };
        say(TEXT, "a text", "texts");
        match self.kinds & NUMBER {
            FRACTION | NUMBER => say(FRACTION, "a number", "numbers"),
            _ => say(INTEGER, "a whole number", "whole numbers"),
        }
        say(BOOLEAN, "`true` or `false`", "truth values");
        match (self.is_message(), several) {
            (true, _) => say(OBJECT, "a message", "messages"),
            (false, _) => say(OBJECT, "an object", "objects"),
        }
        if self.kinds & LIST != 0 {
            let list = if several { "lists" } else { "a list" };
            words.push(match self.items.as_deref() {
                Some(items) if items.kinds != 0 && items.kinds != ANY => {
                    format!("{list} of {}", joined(&items.words(true)))
                }
                _ => list.to_owned(),
            });
        }
        if self.kinds & NULL != 0 {
            words.push(if several { "nulls" } else { "null" }.to_owned());
        }
        words
    }
}

impl fmt::Display for FieldType {
    /// Describes the type in words: "a text", "a list of messages or null".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kinds {
            0 | ANY => f.write_str("any value"),
            _ => f.write_str(&joined(&self.words(false))),
        }
    }
}

fn joined(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests;
