//! The syntax of `on_error` of `parse`: one step, or a list of steps.
//!
//! Deserialized by hand, since an untagged enum would lose the location of an error in the file. The engine
//! executes the steps.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::stage::OnError;

/// The steps of `on_error`, written as one step or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::stages) struct OnErrorSteps(pub(in crate::stages) Vec<OnError>);

impl Default for OnErrorSteps {
    fn default() -> Self {
        Self(vec![OnError::Retry(2), OnError::Reject])
    }
}

impl OnErrorSteps {
    /// Returns what is wrong with their order or numbers.
    pub(in crate::stages) fn problems(&self) -> Vec<&'static str> {
        let mut problems = Vec::new();
        if self.0.is_empty() {
            problems.push("the list of steps is empty; `reject` gives a record up at once");
        }
        if self.0.contains(&OnError::Retry(0)) {
            problems.push("`{retry: 0}` does nothing; leave it out");
        }
        let reject = self.0.iter().position(|step| *step == OnError::Reject);
        if reject.is_some_and(|at| at + 1 < self.0.len()) {
            problems.push("what stands after `reject` is never reached");
        }
        problems
    }
}

const STEPS: &str = "`{retry: N}`, `heuristic` or `reject`";

impl<'de> Deserialize<'de> for OnErrorSteps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnErrorStepsVisitor)
    }
}

struct OnErrorStepsVisitor;

impl<'de> Visitor<'de> for OnErrorStepsVisitor {
    type Value = OnErrorSteps;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STEPS}, or a list of them")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<OnErrorSteps, E> {
        Ok(OnErrorSteps(vec![OnErrorStepVisitor.visit_str(name)?.0]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OnErrorSteps, A::Error> {
        Ok(OnErrorSteps(vec![OnErrorStepVisitor.visit_map(map)?.0]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OnErrorSteps, A::Error> {
        let mut steps = Vec::new();
        while let Some(OnErrorStep(step)) = list.next_element()? {
            steps.push(step);
        }
        Ok(OnErrorSteps(steps))
    }
}

struct OnErrorStep(OnError);

impl<'de> Deserialize<'de> for OnErrorStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnErrorStepVisitor)
    }
}

struct OnErrorStepVisitor;

impl<'de> Visitor<'de> for OnErrorStepVisitor {
    type Value = OnErrorStep;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STEPS)
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<OnErrorStep, E> {
        match name {
            "heuristic" => Ok(OnErrorStep(OnError::Heuristic)),
            "reject" => Ok(OnErrorStep(OnError::Reject)),
            other => Err(E::custom(format!("unknown step `{other}`, expected {STEPS}"))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OnErrorStep, A::Error> {
        let wrong = |what: &str| de::Error::custom(format!("{what}, expected {STEPS}"));
        match map.next_key::<String>()? {
            Some(key) if key == "retry" => {}
            Some(key) => return Err(wrong(&format!("unknown step `{key}`"))),
            None => return Err(wrong("empty step")),
        }
        let times = map.next_value()?;
        match map.next_key::<String>()? {
            None => Ok(OnErrorStep(OnError::Retry(times))),
            Some(key) => Err(wrong(&format!("`{key}` beside `retry`"))),
        }
    }
}

impl JsonSchema for OnErrorSteps {
    fn schema_name() -> Cow<'static, str> {
        "OnError".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let step = json_schema!({
            "anyOf": [
                {"type": "string", "enum": ["heuristic", "reject"]},
                {
                    "type": "object",
                    "properties": {"retry": {"type": "integer", "minimum": 1, "maximum": u32::MAX}},
                    "required": ["retry"],
                    "additionalProperties": false,
                },
            ],
        });
        json_schema!({
            "anyOf": [step, {"type": "array", "items": step, "minItems": 1}],
            "default": [{"retry": 2}, "reject"],
        })
    }
}
