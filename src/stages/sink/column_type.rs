//! The declared type of a column: which values it accepts, and how they are written so that all have the same type.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::line::LineValue;
use crate::pipeline::FieldType;
use crate::stage::StageError;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ColumnType {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// A number, written with a fraction: `4.0`.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list of texts.
    Texts,
    /// A list.
    List,
    /// An object.
    Object,
    /// Any value, written as JSON text.
    Json,
}

impl ColumnType {
    /// The field types that it accepts.
    pub(super) fn field_type(self) -> FieldType {
        let kind = match self {
            Self::Text => FieldType::text(),
            Self::Integer => FieldType::integer(),
            Self::Number => FieldType::number(),
            Self::Boolean => FieldType::boolean(),
            Self::Texts => FieldType::texts(),
            Self::List => FieldType::any_list(),
            Self::Object => FieldType::object(),
            Self::Json => FieldType::any(),
        };
        kind.or_null()
    }

    /// The value as written in `column`, or why it is refused.
    pub(super) fn of<'r>(self, column: &str, value: &'r Value) -> Result<LineValue<'r>, StageError> {
        let fits = match (self, value) {
            (Self::Json, Value::Null) => true,
            (Self::Json, value) => return Ok(LineValue::Made(value.to_string().into())),
            (Self::Number, Value::Number(number)) => match number.as_f64() {
                Some(number) => return Ok(LineValue::Made(number.into())),
                None => false,
            },
            (_, Value::Null) | (Self::Text, Value::String(_)) | (Self::Boolean, Value::Bool(_)) => true,
            (Self::Integer, Value::Number(number)) => number.is_i64() || number.is_u64(),
            (Self::Texts, Value::Array(list)) => list.iter().all(Value::is_string),
            (Self::List, Value::Array(_)) | (Self::Object, Value::Object(_)) => true,
            _ => false,
        };
        if fits {
            return Ok(LineValue::Field(value));
        }
        let (found, wanted) = (FieldType::of_value(value), self.field_type());
        Err(StageError::new("column", format!("column `{column}` is {found}, where all rows have {wanted}")))
    }
}
