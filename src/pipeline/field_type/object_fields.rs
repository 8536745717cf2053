//! The names in an object or a record, with the types of their values.

use super::{FieldType, MOST_NAMES};

/// The names in an object or a record, with their types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectFields {
    /// In the order in which they were added.
    pub(super) known: Vec<(String, FieldType)>,
    /// Whether there may be names that are not known.
    pub(crate) open: bool,
}

impl ObjectFields {
    pub(crate) fn get(&self, name: &str) -> Option<&FieldType> {
        self.known.iter().find(|(known, _)| known == name).map(|(_, kind)| kind)
    }

    /// The names, in the order in which they were added.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &FieldType)> {
        self.known.iter().map(|(name, kind)| (name.as_str(), kind))
    }

    /// Adds a name, or replaces its type; its position stays.
    pub(crate) fn set(&mut self, name: &str, kind: FieldType) {
        match self.known.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = kind,
            None => self.known.push((name.to_owned(), kind)),
        }
    }

    /// Adds a name; a dotted name is added inside the object that it leads to. Objects created on the way contain
    /// nothing else.
    pub(crate) fn put(&mut self, name: &str, kind: FieldType) {
        let Some((first, rest)) = name.split_once('.') else {
            self.set(name, kind);
            return;
        };
        let mut outer = match self.get(first) {
            Some(known) if known.inside().is_some() => known.clone(),
            _ => FieldType::object_of(Vec::new(), false),
        };
        if let Some(inside) = outer.inside_mut() {
            inside.put(rest, kind);
        }
        self.set(first, outer);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.known.retain(|(known, _)| known != name);
    }

    pub(crate) fn or(self, other: Self) -> Self {
        let open = self.open || other.open;
        let mut known = Vec::with_capacity(self.known.len());
        for (name, kind) in &self.known {
            known.push((
                name.clone(),
                match other.get(name) {
                    Some(others) => kind.clone().or(others.clone()),
                    None if other.open => FieldType::any(),
                    None => kind.clone(),
                },
            ));
        }
        for (name, kind) in other.known {
            if self.get(&name).is_none() {
                known.push((name, if self.open { FieldType::any() } else { kind }));
            }
        }
        if known.len() > MOST_NAMES { Self { known: Vec::new(), open: true } } else { Self { known, open } }
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.open &= other.open;
        for (name, kind) in other.known {
            match self.known.iter_mut().find(|(known, _)| *known == name) {
                Some((_, mine)) => *mine = mine.clone().and(kind),
                None => self.known.push((name, kind)),
            }
        }
        self
    }

    pub(crate) fn could_be(&self, wanted: &Self) -> bool {
        wanted.known.iter().all(|(name, wanted)| match self.get(name) {
            Some(found) => found.could_be(wanted),
            None => self.open || wanted.could_be(&FieldType::null()),
        })
    }
}
