//! `times: 4` or `times: "scores | length"`: a number, or an expression that evaluates to one.
//!
//! Deserialized by hand, since an untagged enum would lose the location of an error in the file. A text with `{{ }}`
//! is not an expression but replaced by a number, as everywhere else in a pipeline.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A number that is written in the file or computed for each record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumberOrExpression {
    /// A constant.
    Fixed(u32),
    /// An expression.
    Computed(String),
}

impl NumberOrExpression {
    /// The value as a non-negative whole number, if it is one; 3.0 counts too, since division in Jinja always
    /// returns a float.
    #[must_use]
    pub fn whole(value: &Value) -> Option<u64> {
        let fraction = || value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0);
        value.as_u64().or_else(|| fraction().map(|number| number as u64))
    }
}

impl<'de> Deserialize<'de> for NumberOrExpression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrExpressionVisitor)
    }
}

struct NumberOrExpressionVisitor;

impl Visitor<'_> for NumberOrExpressionVisitor {
    type Value = NumberOrExpression;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, or an expression")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<NumberOrExpression, E> {
        u32::try_from(number).map(NumberOrExpression::Fixed).map_err(|_| E::custom("this is too much"))
    }

    /// JSON Schema counts 4.0 as a whole number.
    fn visit_f64<E: Error>(self, number: f64) -> Result<NumberOrExpression, E> {
        match NumberOrExpression::whole(&Value::from(number)) {
            Some(whole) => self.visit_u64(whole),
            None => Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
    }

    fn visit_str<E: Error>(self, expression: &str) -> Result<NumberOrExpression, E> {
        Ok(NumberOrExpression::Computed(expression.to_owned()))
    }
}

impl JsonSchema for NumberOrExpression {
    fn schema_name() -> Cow<'static, str> {
        "NumberOrExpression".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": u32::MAX},
                {"type": "string", "not": {"pattern": r"\{\{"}},
            ],
        })
    }
}
