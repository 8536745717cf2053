//! What a program reads: fields of the record, or values computed from it, as one JSON object.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::pipeline::{CheckContext, FieldType};
use crate::record::Record;
use crate::stage::{BuildContext, BuildError, StageError};
use crate::template::{Expression, Template};

/// The names and values of a program's input.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ExecInput {
    /// Fields of the record, under their own names.
    Fields(Vec<String>),
    /// Names and their values.
    Values(BTreeMap<String, InputValue>),
}

/// A value of a program's input.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum InputValue {
    /// A template, rendered to text.
    Template(String),
    /// The value of an expression.
    Expression(ExpressionValue),
}

/// The value of an expression, with its type.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpressionValue {
    /// The expression.
    expr: String,
}

impl ExecInput {
    pub(super) fn check(&self, context: &mut CheckContext<'_>) {
        match self {
            Self::Fields(fields) => {
                for (index, field) in fields.iter().enumerate() {
                    context.needs_type(&format!("/input/{index}"), field, &FieldType::any());
                }
            }
            Self::Values(values) => {
                for (name, value) in values {
                    let at = format!("/input/{}", name.replace('~', "~0").replace('/', "~1"));
                    match value {
                        InputValue::Template(source) => drop(context.template(&at, source)),
                        InputValue::Expression(value) => {
                            drop(context.expression(&format!("{at}/expr"), &value.expr));
                        }
                    }
                }
            }
        }
    }

    pub(super) fn build(&self, context: &BuildContext) -> Result<BuiltInput, BuildError> {
        let mut values = Vec::new();
        match self {
            Self::Fields(fields) => {
                values.extend(fields.iter().map(|field| (field.clone(), BuiltValue::Field)));
            }
            Self::Values(named) => {
                for (name, value) in named {
                    let value = match value {
                        InputValue::Template(source) => BuiltValue::Template(context.template(source)?),
                        InputValue::Expression(value) => {
                            BuiltValue::Expression(context.expression(&value.expr)?)
                        }
                    };
                    values.push((name.clone(), value));
                }
            }
        }
        Ok(BuiltInput(values))
    }
}

/// The input of a program, ready to be computed.
pub(super) struct BuiltInput(Vec<(String, BuiltValue)>);

enum BuiltValue {
    Field,
    Template(Template),
    Expression(Expression),
}

impl BuiltInput {
    /// The input for one record.
    pub(super) fn object(&self, record: &Record) -> Result<Map<String, Value>, StageError> {
        let mut object = Map::new();
        for (name, value) in &self.0 {
            let value = match value {
                BuiltValue::Field => record.get(name).cloned().unwrap_or(Value::Null),
                BuiltValue::Template(template) => Value::String(template.render(record)?),
                BuiltValue::Expression(expression) => expression.value(record)?,
            };
            object.insert(name.clone(), value);
        }
        Ok(object)
    }
}
