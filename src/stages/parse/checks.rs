//! The checks of `parse`: conditions on an answer beyond its schema.
//!
//! Evaluated after the answer's properties have become fields, so that a condition can compare them with earlier
//! fields. The engine handles a failed check like an answer that violates its schema.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::pipeline::CheckContext;
use crate::record::Record;
use crate::stage::{AnswerError, BuildContext, BuildError, StageError};
use crate::template::{Expression, Patterns, Template};

/// The name of the file's patterns in checks.
const PATTERNS: &str = Patterns::NAME;
/// The maximum length of a name, in characters: summaries count by it, so it is a word, not a sentence.
const LONGEST_NAME: usize = 40;
/// Error classes with other meanings.
const OTHER_CLASSES: [&str; 18] = [
    "json",
    "schema",
    "input",
    "template",
    "panic",
    "fields",
    "heuristic",
    "no_content",
    "timeout",
    "unreachable",
    "content_filter",
    "context_length",
    "budget",
    "stopped",
    "later",
    "unrouted",
    "format",
    "quota",
];

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    /// The condition: an expression over the record's fields, including those of the answer.
    require: String,
    /// The message if it is false, for the model when it is asked again and for `rejected.jsonl`: a template over the
    /// same fields.
    message: String,
}

/// The conditions, in the order in which they are written; null removes one, as `--set` can.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<(String, Check)>);

impl<'de> Deserialize<'de> for Checks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ChecksVisitor)
    }
}

struct ChecksVisitor;

impl<'de> Visitor<'de> for ChecksVisitor {
    type Value = Checks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names, each with `require` and `message`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Checks, A::Error> {
        let mut checks = Vec::new();
        while let Some((name, check)) = map.next_entry::<String, Option<Check>>()? {
            checks.extend(check.map(|check| (name, check)));
        }
        Ok(Checks(checks))
    }
}

impl JsonSchema for Checks {
    fn schema_name() -> Cow<'static, str> {
        "Checks".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <std::collections::BTreeMap<String, Option<Check>>>::json_schema(generator)
    }
}

impl Checks {
    /// Reports what is wrong; `patterns` are those of the stage's file, if it has one.
    pub(super) fn check(&self, patterns: Option<&Patterns>, context: &mut CheckContext<'_>) {
        if patterns.is_some_and(|patterns| !context.makes_patterns("/patterns", patterns)) {
            return;
        }
        let mut named = false;
        for (name, check) in &self.0 {
            let at = format!("/checks/{}", name.replace('~', "~0").replace('/', "~1"));
            check_name(context, &at, name);
            let require = context.expression(&format!("{at}/require"), &check.require);
            let names = require.map(|require| require.variables()).unwrap_or_default();
            let names_them = names.iter().any(|name| name.split('.').next() == Some(PATTERNS));
            named |= names_them;
            if patterns.is_none() && !context.has(PATTERNS) && names_them {
                context
                    .problem(
                        &format!("{at}/require"),
                        format!("`{PATTERNS}` is not known: the stage names no file"),
                    )
                    .on_word(PATTERNS)
                    .expected("`patterns: FILE` beside `checks`");
            }
            if check.message.trim().is_empty() {
                context
                    .problem(&format!("{at}/message"), "`message` is empty")
                    .expected("what the model is to change");
            }
            context.template(&format!("{at}/message"), &check.message);
        }
        if patterns.is_some() {
            context.removes(&[PATTERNS]);
            if !named {
                context.problem("/patterns", "no check names the patterns").expected(format!(
                    "a check such as `answer is not search({PATTERNS})`, or no `patterns`"
                ));
            }
        }
    }

    pub(super) fn build(
        &self,
        patterns: Option<&Patterns>,
        context: &BuildContext,
    ) -> Result<Vec<Condition>, BuildError> {
        let mut conditions = Vec::with_capacity(self.0.len());
        for (name, check) in &self.0 {
            let mut require = context.expression(&check.require)?;
            let mut message = context.template(&check.message)?;
            if let Some(patterns) = patterns {
                require = require.with_patterns(PATTERNS, patterns);
                message = message.with_patterns(PATTERNS, patterns);
            }
            conditions.push(Condition { name: name.clone(), require, message });
        }
        Ok(conditions)
    }
}

fn check_name(context: &mut CheckContext<'_>, at: &str, name: &str) {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
        context
            .problem(at, format!("`{name}` is no short word"))
            .on_key()
            .expected(format!("lower-case letters, digits, `_` and `-`, at most {LONGEST_NAME}"));
    } else if OTHER_CLASSES.contains(&name) {
        context
            .problem(at, format!("`{name}` is what records are rejected with for another reason"))
            .on_key()
            .expected("a name of its own");
    }
}

/// A compiled condition.
pub(super) struct Condition {
    name: String,
    require: Expression,
    message: Template,
}

/// Evaluates the conditions on a record whose fields contain the answer. The error has the class of the first
/// condition that is false and the messages of all, so that the model can fix everything at once.
pub(super) fn judge(conditions: &[Condition], record: &Record) -> Result<(), AnswerError> {
    let mut unmet: Option<StageError> = None;
    for condition in conditions {
        let failed = |error| {
            let error = StageError::from(error);
            AnswerError::Undecidable(StageError::new(
                error.class,
                format!("check `{}`: {}", condition.name, error.message),
            ))
        };
        if condition.require.is_true(record).map_err(failed)? {
            continue;
        }
        let message = condition.message.render(record).map_err(failed)?;
        match &mut unmet {
            None => unmet = Some(StageError::new(condition.name.clone(), message)),
            Some(first) => first.message = format!("{} {message}", first.message),
        }
    }
    unmet.map_or(Ok(()), |error| Err(AnswerError::Invalid(error)))
}
