//! The fields of records at a stage: their names and types.
//!
//! Stages declare what they make (`makes`) and what they need (`needs`), both with types. A field of unknown type
//! fits everywhere; one whose type excludes what a stage needs is a problem before anything runs.

use std::collections::BTreeSet;

use super::{BUILT_IN, CheckContext};
use crate::nearest::{did_you_mean, one_of};
use crate::pipeline::ProducedField;
use crate::pipeline::field_type::{FieldType, ObjectFields};

impl CheckContext<'_> {
    /// Declares that records have these fields from here on, of unknown types; a dotted name describes the inside
    /// of a field. Previous values of the fields are replaced.
    pub fn makes(&mut self, names: &[&str]) {
        let mut inside = ObjectFields::default();
        names.iter().for_each(|name| inside.put(name, FieldType::any()));
        self.makes_inside(&inside);
    }

    /// Declares that records have the fields of these table rows from here on. Previous values of the fields are
    /// replaced.
    pub fn makes_table(&mut self, table: &[ProducedField]) {
        let mut inside = ObjectFields::default();
        table.iter().for_each(|made| inside.put(made.name, (made.kind)()));
        self.makes_inside(&inside);
    }

    /// Declares that records have the field of this table row from here on, under the name that an option gives
    /// it.
    pub fn makes_named(&mut self, made: &ProducedField, name: &str) {
        self.makes_as(name, (made.kind)());
    }

    fn makes_inside(&mut self, inside: &ObjectFields) {
        for (name, kind) in inside.fields() {
            self.makes_as(name, kind.clone());
        }
    }

    /// Declares that records have the field `name` of this type from here on.
    pub fn makes_as(&mut self, name: &str, kind: FieldType) {
        self.declared_fields += 1;
        let kind = match self.record.get(name) {
            // Records that bypass the stage keep their value.
            Some(before) if self.conditional => before.clone().or(kind),
            _ => kind,
        };
        self.absent_fields.remove(name);
        self.record.set(name, kind);
    }

    /// Declares that some records have the field `name` of this type from here on; others keep their value.
    pub fn makes_for_some(&mut self, name: &str, kind: FieldType) {
        let before = self.record.get(name).cloned().unwrap_or(FieldType::never());
        self.declared_fields += 1;
        self.absent_fields.remove(name);
        self.record.set(name, before.or(kind));
    }

    /// Declares that records may have further fields whose names are not known in advance.
    pub fn may_have_other_fields(&mut self) {
        self.declared_fields += 1;
        self.record.open = true;
    }

    /// Declares that records no longer have these fields, nor anything inside them.
    pub fn removes(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.record.remove(name));
    }

    /// Declares that the stage may drop records: those that remain need not resemble the first rows of a file.
    pub fn may_drop(&mut self) {
        self.samples_hold = false;
    }

    /// The known fields.
    #[cfg(test)]
    pub(crate) fn record(&self) -> &ObjectFields {
        &self.record
    }

    /// The names of the known fields, in the order in which they were made.
    pub(crate) fn field_names(&self) -> Vec<String> {
        self.record.names().map(str::to_owned).collect()
    }

    /// Whether records have a field of this name, as far as is known. A dotted name is followed as far as the
    /// insides of its fields are known.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        let (top, rest) = name.split_once('.').unwrap_or((name, ""));
        if BUILT_IN.contains(&top) || self.record.get(name).is_some() {
            return true;
        }
        let Some(mut kind) = self.record.get(top).cloned() else { return self.record.open };
        for part in rest.split('.').filter(|part| !part.is_empty()) {
            let presumed = kind.is_presumed();
            // A value that is not an object is checked by its type.
            match kind.get(part) {
                Some(inner) => kind = if presumed { inner.presumed() } else { inner },
                None => return false,
            }
        }
        true
    }

    /// Whether records have a field of exactly this name, not something inside a field, as far as is known.
    #[must_use]
    pub fn is_field(&self, name: &str) -> bool {
        self.record.get(name).is_some() || self.record.open && !name.contains('.')
    }

    /// Whether an earlier stage made the field or something inside it.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let (top, rest) = name.split_once('.').unwrap_or((name, ""));
        if self.record.get(name).is_some() {
            return true;
        }
        let Some(kind) = self.record.get(top) else { return false };
        let mut inside = kind.inside();
        for part in rest.split('.').filter(|part| !part.is_empty()) {
            let Some(inner) = inside.and_then(|inside| inside.get(part)) else { return false };
            inside = inner.inside();
        }
        true
    }

    /// The type of the field `name`; any if it is not known or depends on the record.
    #[must_use]
    pub fn type_of(&self, name: &str) -> FieldType {
        let (top, rest) = name.split_once('.').unwrap_or((name, ""));
        if self.tested.contains(top) {
            return FieldType::any();
        }
        let found = match self.record.get(name).or_else(|| self.record.get(top)) {
            None if name == "id" => return FieldType::text(),
            None => return FieldType::any(),
            Some(found) if found.is_presumed() && (self.conditional || !self.samples_hold) => {
                return FieldType::any();
            }
            Some(found) => found,
        };
        if rest.is_empty() || self.record.get(name).is_some() {
            return found.clone();
        }
        let mut kind = found.clone();
        for part in rest.split('.') {
            kind = kind.get(part).unwrap_or(FieldType::any());
        }
        kind
    }

    /// Reports at `at` if no earlier stage makes the field `name`.
    pub fn needs(&mut self, at: &str, name: &str) {
        if !self.knows(name) {
            self.unknown_name(at, name);
        }
    }

    /// Reports at `at` if no earlier stage makes the field `name`, or if its value can never be of type `wanted`.
    pub fn needs_type(&mut self, at: &str, name: &str, wanted: &FieldType) {
        if !self.knows(name) {
            self.unknown_name(at, name);
            return;
        }
        let found = self.type_of(name);
        if let Some((outer, kind)) = self.non_object_parent(name) {
            self.problem(at, format!("`{outer}` is {kind}: nothing stands in it"))
                .on_word(name)
                .expected(wanted.to_string());
        } else if !found.could_be(wanted) {
            self.problem(at, format!("`{name}` is {found}")).on_word(name).expected(wanted.to_string());
        }
    }

    /// The first field along a dotted name that cannot be an object, and its type.
    fn non_object_parent(&self, name: &str) -> Option<(String, FieldType)> {
        if self.record.get(name).is_some() {
            return None;
        }
        let dots = name.match_indices('.').map(|(dot, _)| dot);
        dots.map(|dot| &name[..dot])
            .map(|outer| (outer.to_owned(), self.type_of(outer)))
            .find(|(_, kind)| !kind.may_be_object())
    }

    pub(super) fn unknown_name(&mut self, at: &str, name: &str) {
        // Names are compared level by level: `section.titel` with the names known inside `section`.
        let mut parent = name;
        while let Some((shorter, _)) = parent.rsplit_once('.') {
            parent = shorter;
            if self.has(parent) && self.type_of(parent).has_names() {
                break;
            }
        }
        let inside = parent != name && self.has(parent) && self.type_of(parent).has_names();
        let prefix = if inside { format!("{parent}.") } else { String::new() };
        let mut known = BTreeSet::new();
        match inside {
            true => {
                let kind = self.type_of(parent);
                known.extend(
                    kind.inside()
                        .into_iter()
                        .flat_map(ObjectFields::names)
                        .map(|field| format!("{prefix}{field}")),
                );
            }
            false => known.extend(self.record.names().map(str::to_owned)),
        }
        let every = known.iter().map(String::as_str).chain(["id"].into_iter().filter(|_| prefix.is_empty()));
        let end = name[prefix.len()..].find('.').map_or(name.len(), |dot| prefix.len() + dot);
        let near = || did_you_mean(&name[..end], every);
        let hint = self.why_absent(name).or_else(near).or_else(|| self.hint_at_nested(name));
        let problem = self.problem(at, format!("no earlier stage makes `{name}`"));
        problem.on_word(name);
        if !known.is_empty() {
            problem.expected(one_of(known.iter().map(String::as_str)));
        }
        problem.hint = hint;
    }

    /// The hint for a name that exists inside exactly one field, such as `pass` in `repeat`.
    fn hint_at_nested(&self, name: &str) -> Option<String> {
        let holds =
            |kind: &FieldType| kind.inside().is_some_and(|inside| inside.names().any(|own| own == name));
        let mut holders = self.record.fields().filter(|(_, kind)| holds(kind)).map(|(field, _)| field);
        let (holder, None) = (holders.next()?, holders.next()) else { return None };
        Some(format!("did you mean `{holder}.{name}`?"))
    }
}
