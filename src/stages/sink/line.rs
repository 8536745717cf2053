//! One line of a sink. Most of its values are borrowed from the record, so that they are not copied.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::record::RecordId;

/// The keys and values of a line, in order.
#[derive(Default)]
pub(super) struct Line<'r>(Vec<(Cow<'r, str>, LineValue<'r>)>);

/// The value of a key.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum LineValue<'r> {
    Field(&'r Value),
    Fields(&'r Map<String, Value>),
    Id(&'r RecordId),
    Text(&'r str),
    Count(u64),
    Object(Line<'r>),
    Made(Value),
}

impl<'r> Line<'r> {
    /// Sets the value of a key; a key that exists keeps its position.
    pub(super) fn insert(&mut self, key: impl Into<Cow<'r, str>>, value: LineValue<'r>) {
        let key = key.into();
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => self.0.push((key, value)),
        }
    }
}

impl From<Map<String, Value>> for Line<'_> {
    fn from(made: Map<String, Value>) -> Self {
        Self(made.into_iter().map(|(key, value)| (key.into(), LineValue::Made(value))).collect())
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}
