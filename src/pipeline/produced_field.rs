//! The fields that a stage makes: a row of a table for each.
//!
//! `check` reads what a stage makes from its table, and the reference of stages prints it.

use super::FieldType;

/// A field that a stage makes. The table of a stage's fields is what its page shows, and what its check tells of.
#[derive(Debug, Clone, Copy)]
pub struct ProducedField {
    /// Its name, dotted where it stands inside another; capitals stand for names that a file or schema gives.
    pub name: &'static str,
    /// The option that may give it another name.
    pub option: Option<&'static str>,
    /// What its values can be.
    pub kind: fn() -> FieldType,
    /// What they mean.
    pub meaning: &'static str,
}

impl ProducedField {
    /// A field of this name.
    #[must_use]
    pub const fn new(name: &'static str, kind: fn() -> FieldType, meaning: &'static str) -> Self {
        Self { name, option: None, kind, meaning }
    }

    /// A field that has this name unless the option gives it another.
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
