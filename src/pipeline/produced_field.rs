//! The fields that a stage makes, one table row each.
//!
//! `check` derives the fields of a stage from its table, and the stage reference prints it.

use super::FieldType;

/// A field that a stage makes. The stage's reference page prints the table, and its check declares the fields in
/// it.
#[derive(Debug, Clone, Copy)]
pub struct ProducedField {
    /// Its name, dotted if it is inside another field; capitals are placeholders for names that come from a file
    /// or schema.
    pub name: &'static str,
    /// The option that can rename it.
    pub option: Option<&'static str>,
    /// The type of its values.
    pub kind: fn() -> FieldType,
    /// What the values mean.
    pub meaning: &'static str,
}

impl ProducedField {
    /// A field with a fixed name.
    #[must_use]
    pub const fn new(name: &'static str, kind: fn() -> FieldType, meaning: &'static str) -> Self {
        Self { name, option: None, kind, meaning }
    }

    /// A field that has this name unless the option renames it.
    #[must_use]
    pub const fn named_by(
        option: &'static str,
        name: &'static str,
        kind: fn() -> FieldType,
        meaning: &'static str,
    ) -> Self {
        Self { name, option: Some(option), kind, meaning }
    }
}
