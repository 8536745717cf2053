//! `repeat`: passes a record through the stages inside it, several times.
//!
//! For iterative improvement: evolving an instruction, refining an answer until a judge is satisfied. Allowed
//! anywhere after the source part; the engine runs the passes and assigns their ids.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Role, StageDescription};
use crate::pipeline::{CheckContext, FieldType, NumberOrExpression, ProducedField};
use crate::record::Record;
use crate::stage::{
    BlockConfig, BuildContext, BuildError, OnFail, Processor, RepeatBlock, StageConfig, StageError,
};
use crate::template::Expression;

/// The field with the number of the pass.
const REPEAT: &str = "repeat";
/// The field with the record as it was when the pass began.
const PREVIOUS: &str = "previous";
/// The maximum length of a quoted text in a message, in characters.
const LONGEST_QUOTE: usize = 60;

/// Runs its stages on a record several times.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Repeat {
    /// The maximum number of passes: a number of at least 1, or an expression over the incoming record whose value is
    /// a number of at least 0.
    times: NumberOrExpression,
    /// A condition that is evaluated before every pass, including the first; the passes end when it is false. It may
    /// use only fields that exist before the block.
    #[serde(default, rename = "while")]
    goes_on: Option<String>,
    /// Which records leave the block.
    #[serde(default)]
    keep: KeptRecords,
    /// What happens if the record is dropped or rejected in a pass.
    #[serde(default)]
    on_fail: OnFail,
    /// The stages of a pass, in order, each a map with one key, its type. They can use `repeat.pass` and `previous`.
    #[schemars(with = "Vec<Value>")]
    #[expect(dead_code, reason = "read stage by stage, where each has its place in the file")]
    stages: IgnoredAny,
}

/// Which records leave a `repeat`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum KeptRecords {
    /// The result of the last pass.
    #[default]
    Last,
    /// The incoming record and the result of each pass, as records of their own with `pass` and `parent`.
    All,
}

const PASS: ProducedField =
    ProducedField::new("repeat.pass", FieldType::integer, "In the block: the number of the pass, from 1.");
const KEPT_PASS: ProducedField = ProducedField::new(
    "pass",
    FieldType::integer,
    "After the block, with `keep: all`: the pass that produced the record; 0 for the incoming record.",
);
const PARENT: ProducedField = ProducedField::new(
    "parent",
    parent_type,
    "After the block, with `keep: all`: the id of the record that the pass began with; null for the \
     incoming record.",
);

fn parent_type() -> FieldType {
    FieldType::text().or_null()
}

impl StageDescription for Repeat {
    const NAME: &'static str = "repeat";
    const ROLE: Role = Role::Block;
    const PURPOSE: &'static str =
        "Runs its stages on a record several times, each pass on the result of the previous one.";
    const MAKES: &'static [ProducedField] = &[
        PASS,
        ProducedField::new(
            PREVIOUS,
            FieldType::object,
            "In the block: the fields of the record before the pass.",
        ),
        KEPT_PASS,
        PARENT,
    ];
    const EXAMPLE: &'static str = r#"name: repeat-example
models:
  teacher: {provider: heuristic}
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - plan_questions: {}
  - prompt: {output: draft, user: "Ask and answer one question about: {{ section.text }}"}
  - llm: {model: teacher, input: draft, output: answer}
  - repeat:
      id: refine
      times: 2
      stages:
        - prompt: {user: "Draft {{ repeat.pass }}: {{ previous.answer }} Write it anew, clearer."}
        - llm: {model: teacher, output: answer}
  - sink: {path: answers.jsonl, format: raw, fields: [answer]}
"#;
}

impl StageConfig for Repeat {
    fn check(&self, context: &mut CheckContext<'_>) {
        let NumberOrExpression::Computed(times) = &self.times else { return };
        if context.expression("/times", times).is_none() {
            return;
        }
        let kind = context.type_of_expression(times);
        if !kind.could_be(&FieldType::number()) {
            let message = format!("`{times}` is {kind}");
            context.problem("/times", message).expected("a whole number of 0 or more");
        }
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        Ok(Processor::Repeat(Box::new(Repeater {
            times: match &self.times {
                NumberOrExpression::Fixed(times) => Times::Fixed(*times),
                NumberOrExpression::Computed(times) => {
                    Times::Computed(context.expression(times)?, times.clone())
                }
            },
            goes_on: self.goes_on.as_deref().map(|goes_on| context.expression(goes_on)).transpose()?,
            keeps_all: self.keep == KeptRecords::All,
            on_fail: self.on_fail,
        })))
    }

    fn fans_out(&self) -> bool {
        self.keep == KeptRecords::All
    }

    fn block(&self) -> Option<&dyn BlockConfig> {
        Some(self)
    }
}

impl BlockConfig for Repeat {
    fn enter(&self, context: &mut CheckContext<'_>) {
        for name in [REPEAT, PREVIOUS] {
            context.hides(name, "`while` is looked at between the passes, where there is none");
        }
        if let Some(goes_on) = &self.goes_on {
            // Here the fields may already be as the previous pass left them.
            context.expression("/while", goes_on);
        }
        let fields = context.fields();
        context.makes_in_block(PREVIOUS, fields);
        context.makes_in_block(
            REPEAT,
            FieldType::object_of(vec![("pass".to_owned(), FieldType::integer())], false),
        );
    }

    fn leave(&self, context: &mut CheckContext<'_>) {
        match self.why_not_made() {
            None => {}
            Some(why) => context.may_leave_unmade(why),
        }
        if self.keep == KeptRecords::All {
            context.makes_named(&KEPT_PASS, KEPT_PASS.name);
            context.makes_named(&PARENT, PARENT.name);
        }
    }

    fn is_loop(&self) -> bool {
        true
    }

    fn takes_several(&self) -> bool {
        false
    }
}

impl Repeat {
    /// Why a record may leave the block without what a pass makes; `None` if it cannot.
    fn why_not_made(&self) -> Option<&'static str> {
        match (&self.times, self.on_fail) {
            (NumberOrExpression::Computed(_), _) => Some("`times` may be 0"),
            _ if self.goes_on.is_some() => Some("`while` may be false before the first pass"),
            (_, OnFail::Skip) => Some("a pass may fail (`on_fail: skip`)"),
            (_, OnFail::Stop) => Some("the first pass may fail (`on_fail: stop`)"),
            _ if self.keep == KeptRecords::All => Some("the record as it came in goes on too (`keep: all`)"),
            _ => None,
        }
    }
}

struct Repeater {
    times: Times,
    goes_on: Option<Expression>,
    keeps_all: bool,
    on_fail: OnFail,
}

enum Times {
    Fixed(u32),
    /// The compiled expression and its source.
    Computed(Expression, String),
}

impl RepeatBlock for Repeater {
    fn times(&self, record: &Record) -> Result<u32, StageError> {
        let (expression, written) = match &self.times {
            Times::Fixed(times) => return Ok(*times),
            Times::Computed(expression, written) => (expression, written),
        };
        let value = expression.value(record)?;
        NumberOrExpression::whole(&value).and_then(|whole| u32::try_from(whole).ok()).ok_or_else(|| {
            let found: String = value.to_string().chars().take(LONGEST_QUOTE).collect();
            let message =
                format!("`times` is `{found}`, not a whole number from 0 to {}: `{written}`", u32::MAX);
            StageError::new("repeat", message)
        })
    }

    fn should_continue(&self, record: &Record) -> Result<bool, StageError> {
        match &self.goes_on {
            Some(goes_on) => Ok(goes_on.is_true(record)?),
            None => Ok(true),
        }
    }

    fn keeps_all(&self) -> bool {
        self.keeps_all
    }

    fn on_fail(&self) -> OnFail {
        self.on_fail
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::{build, record};
    use serde_json::json;

    fn passes(mut config: Value) -> Box<dyn RepeatBlock> {
        config["stages"] = json!([]);
        let Processor::Repeat(part) = build::<Repeat>(config) else { panic!("not a `repeat`") };
        part
    }

    #[track_caller]
    fn check_times(times: Value, fields: Value, expected: Result<u32, &str>) {
        match (passes(json!({ "times": times })).times(&record(fields)), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{times}"),
            (Err(error), Err(expected)) => {
                assert_eq!((&*error.class, error.message.as_str()), ("repeat", expected), "{times}");
            }
            (found, _) => panic!("{times} gives {found:?}"),
        }
    }

    #[test]
    fn times_are_a_number_or_the_value_of_an_expression() {
        check_times(json!(4), json!({}), Ok(4));
        check_times(json!("n"), json!({"n": 0}), Ok(0));
        check_times(json!("n / 2"), json!({"n": 6}), Ok(3));
        check_times(json!("tags | length + 1"), json!({"tags": ["a", "b"]}), Ok(3));
        let wrong = |found: &str, written: &str| {
            format!("`times` is `{found}`, not a whole number from 0 to 4294967295: `{written}`")
        };
        for (written, value, found) in [
            ("n", json!(-1), "-1"),
            ("n", json!(2.5), "2.5"),
            ("n", json!("3"), "\"3\""),
            ("n", json!(null), "null"),
            ("n", json!(5_000_000_000_u64), "5000000000"),
            ("n", json!("x".repeat(200)), &format!("\"{}", "x".repeat(59))),
        ] {
            check_times(json!(written), json!({ "n": value }), Err(&wrong(found, written)));
        }
    }

    #[test]
    fn goes_on_while_the_condition_is_true() {
        let part = passes(json!({"times": 3, "while": "score < 4"}));
        assert!(part.should_continue(&record(json!({"score": 3}))).unwrap());
        assert!(!part.should_continue(&record(json!({"score": 4}))).unwrap());
        assert_eq!(part.should_continue(&record(json!({"score": "bad"}))).unwrap_err().class, "template");
        assert!(passes(json!({"times": 3})).should_continue(&record(json!({}))).unwrap());
    }

    #[test]
    fn defaults_are_the_last_pass_and_to_end() {
        let part = passes(json!({"times": 3}));
        assert_eq!((part.keeps_all(), part.on_fail()), (false, OnFail::End));
        let part = passes(json!({"times": 3, "keep": "all", "on_fail": "stop"}));
        assert_eq!((part.keeps_all(), part.on_fail()), (true, OnFail::Stop));
    }
}
