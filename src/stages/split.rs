//! `split`: assigns each record to a data set.
//!
//! By ratio, with a hash of the record's group, so that records of one group (a section, a document) are never on
//! both sides; by the item's number, so that the shares are exact (`exact`); or by ordered rules. Comes anywhere before
//! the sinks that use the field.

mod exact;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use self::exact::ExactShares;
use super::{Role, StageDescription};
use crate::draw::Draws;
use crate::pipeline::ProducedField;
use crate::pipeline::{CheckContext, FieldType};
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Processor, StageConfig, StageError, Transform, TransformOutput,
};
use crate::template::Expression;

/// Puts each record into one of several data sets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Split {
    /// The data sets with their shares, such as `{train: 0.9, validation: 0.1}`: positive numbers, whose proportions
    /// count.
    #[serde(default)]
    ratios: BTreeMap<String, f64>,
    /// What stays together: an expression whose value is a text or a list of texts. `group` is the source section (or
    /// row) a record comes from; `source.path` keeps whole documents together. A record whose keys belong to
    /// different data sets is dropped as `crosses_split`.
    #[serde(default = "by")]
    by: String,
    /// `exact` meets the ratios exactly instead of drawing a data set for each group: after any number of items, the
    /// count of each data set is within one of its share (within two if there are three or more). Items are counted,
    /// so items of one group may be separated, and what is filtered out before this stage counts too.
    #[serde(default)]
    quota: Option<SplitQuota>,
    /// Rules that are applied before the ratios, in order; the first whose `when` is true decides.
    #[serde(default)]
    rules: Vec<SplitRule>,
    /// The field in which the data set's name is stored.
    #[serde(default = "output")]
    output: String,
}

/// How ratios are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SplitQuota {
    /// To within one item.
    Exact,
}

/// One rule of a split.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SplitRule {
    /// The condition; a rule without one applies to every record.
    #[serde(default)]
    when: Option<String>,
    /// The data set.
    to: String,
}

fn by() -> String {
    "group".into()
}

fn output() -> String {
    "split".into()
}

const SPLIT: ProducedField =
    ProducedField::named_by("output", "split", FieldType::text, "The name of the record's data set.");

impl StageDescription for Split {
    const NAME: &'static str = "split";
    const ROLE: Role = Role::Transform;
    // A record's data set must neither change from pass to pass, nor differ between the elements of one record.
    const IN_BLOCKS: bool = false;
    const PURPOSE: &'static str =
        "Assigns each record to a data set, by ratio over groups that stay together, or by rules.";
    const MAKES: &'static [ProducedField] = &[SPLIT];
    const EXAMPLE: &'static str = r#"name: split-example
seed: 7
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - split: {ratios: {train: 0.8, test: 0.2}, by: source.path}
  - sink: {path: train.jsonl, format: raw, when: split == 'train'}
  - sink: {path: test.jsonl, format: raw, when: split == 'test'}
"#;
}

impl StageConfig for Split {
    fn check(&self, context: &mut CheckContext<'_>) {
        if self.ratios.is_empty() && self.rules.is_empty() {
            context.problem("", "`split` has neither `ratios` nor `rules`").expected("one of them");
        }
        for (name, share) in &self.ratios {
            if !share.is_finite() || *share <= 0.0 {
                context
                    .problem(&format!("/ratios/{name}"), format!("the share of `{name}` is {share}"))
                    .expected("a number above 0");
            }
        }
        if self.quota.is_some() {
            self.check_quota(context);
        } else if !self.ratios.is_empty() {
            self.check_key(context);
        } else if self.rules.last().is_some_and(|rule| rule.when.is_some()) {
            context.may_drop();
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let at = format!("/rules/{index}");
            match &rule.when {
                Some(when) => {
                    context.expression(&format!("{at}/when"), when);
                }
                None if index + 1 < self.rules.len() => {
                    context.problem(
                        &at,
                        "a rule without `when` takes every record, so those after it never apply",
                    );
                }
                None => {}
            }
        }
        context.makes_named(&SPLIT, &self.output);
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let mut rules = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            let when = rule.when.as_deref().map(|when| context.expression(when)).transpose()?;
            rules.push((when, rule.to.clone()));
        }
        let exact =
            self.quota.map(|_| ExactShares::new(self.ratios.values().copied(), context.draws.clone()));
        Ok(Processor::Transform(Box::new(SplitAssigner {
            rules,
            exact,
            sum: self.ratios.values().sum(),
            ratios: self.ratios.iter().map(|(name, share)| (name.clone(), *share)).collect(),
            by: context.expression(&self.by)?,
            draws: context.draws.clone(),
            output: self.output.clone(),
        })))
    }
}

impl Split {
    /// Checks what exact shares go with.
    fn check_quota(&self, context: &mut CheckContext<'_>) {
        if self.ratios.is_empty() {
            context.problem("/quota", "there are no `ratios` to meet").on_key();
        }
        if self.by != by() {
            context
                .problem("/by", "`quota: exact` counts items, which may tear `by` apart")
                .on_key()
                .expected("either `by` or `quota`");
        }
    }

    /// Checks the expression by which records are grouped.
    fn check_key(&self, context: &mut CheckContext<'_>) {
        if context.expression("/by", &self.by).is_none() {
            return;
        }
        let kind = context.type_of_expression(&self.by);
        let one = FieldType::text().or(FieldType::number());
        if !kind.could_be(&one.clone().or(FieldType::list(one))) {
            let message = format!("`{}` is {kind}", self.by);
            context.problem("/by", message).expected("a text, a number or a list of them");
        }
    }
}

struct SplitAssigner {
    rules: Vec<(Option<Expression>, String)>,
    exact: Option<ExactShares>,
    ratios: Vec<(String, f64)>,
    sum: f64,
    by: Expression,
    draws: Draws,
    output: String,
}

impl Transform for SplitAssigner {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        for (when, to) in &self.rules {
            let applies = match when {
                Some(when) => when.is_true(record)?,
                None => true,
            };
            if applies {
                record.set(&self.output, to.as_str());
                return Ok(TransformOutput::Pass);
            }
        }
        if self.ratios.is_empty() {
            return Ok(TransformOutput::Drop("no_rule".into()));
        }
        if let Some(exact) = &self.exact {
            let (name, _) = &self.ratios[exact.side(record.id.item)];
            record.set(&self.output, name.as_str());
            return Ok(TransformOutput::Pass);
        }
        let mut side = None;
        for key in self.keys(record)? {
            let drawn = self.side_of(&key);
            if side.is_some_and(|side| side != drawn) {
                return Ok(TransformOutput::Drop("crosses_split".into()));
            }
            side = Some(drawn);
        }
        let Some(side) = side else { return Err(StageError::new("split", "`by` is an empty list")) };
        let side = side.to_owned();
        record.set(&self.output, side);
        Ok(TransformOutput::Pass)
    }
}

impl SplitAssigner {
    fn keys(&self, record: &Record) -> Result<Vec<String>, StageError> {
        let wrong = |value: &Value| {
            StageError::new(
                "split",
                format!("`by` is `{value}`, neither a text, a number nor a list of them"),
            )
        };
        let one = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(wrong(other)),
        };
        match self.by.value(record)? {
            Value::Array(list) => list.iter().map(one).collect(),
            value => Ok(vec![one(&value)?]),
        }
    }

    fn side_of(&self, key: &str) -> &str {
        let mut at = self.draws.fraction("side", key) * self.sum;
        for (name, share) in &self.ratios {
            if at < *share {
                return name;
            }
            at -= share;
        }
        // Rounding can leave a remainder past the last share.
        self.ratios.last().map_or("", |(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::{build, record};
    use serde_json::json;

    fn splitter(config: Value) -> Box<dyn Transform> {
        let Processor::Transform(part) = build::<Split>(config) else { panic!("not a transform") };
        part
    }

    fn side(part: &dyn Transform, fields: Value) -> Option<String> {
        let mut record = record(fields);
        match part.process(&mut record).unwrap() {
            TransformOutput::Pass => Some(record.text("split").unwrap().to_owned()),
            _ => None,
        }
    }

    #[test]
    fn shares_are_met_and_groups_stay_together() {
        let part = splitter(json!({"ratios": {"train": 9, "validation": 1}}));
        let mut train = 0;
        for key in 0..5000 {
            let first = side(&*part, json!({"group": [key.to_string()], "n": 1}));
            assert_eq!(first, side(&*part, json!({"group": [key.to_string()], "n": 2})));
            train += u32::from(first.as_deref() == Some("train"));
        }
        assert!((4436..=4564).contains(&train), "{train} of 5000 are three deviations off 4500");
    }

    #[test]
    fn a_record_over_two_sides_is_dropped() {
        let part = splitter(json!({"ratios": {"a": 1, "b": 1}}));
        let of = |key: &str| side(&*part, json!({"group": [key]})).unwrap();
        let mut met = (false, false);
        for key in 1..40 {
            let (one, two) = (of("0"), of(&key.to_string()));
            let both = side(&*part, json!({"group": ["0", key.to_string()]}));
            if one == two {
                met.0 = true;
                assert_eq!(both, Some(one));
            } else {
                met.1 = true;
                assert_eq!(both, None);
            }
        }
        assert_eq!(met, (true, true));
    }

    #[test]
    fn exact_shares_count_items_and_take_no_key() {
        let part = splitter(json!({"ratios": {"first": 1, "second": 1}, "quota": "exact"}));
        let sides = (0..101).map(|item| {
            let mut record = record(json!({"group": ["all of one"]}));
            record.id = crate::record::RecordId::item(item);
            part.process(&mut record).unwrap();
            record.text("split").unwrap().to_owned()
        });
        let first = sides.filter(|side| side == "first").count();
        assert!((50..=51).contains(&first), "{first} of 101");
        for (config, expected) in [
            (json!({"ratios": {"a": 1, "b": 1}, "quota": "exact"}), ""),
            (json!({"rules": [{"to": "a"}], "quota": "exact"}), "there are no `ratios` to meet"),
            (json!({"ratios": {"a": 1, "b": 1}, "quota": "exact", "by": "id"}), "counts items"),
        ] {
            let (vars, models) = Default::default();
            let mut context = CheckContext::new(&vars, &models);
            serde_json::from_value::<Split>(config).unwrap().check(&mut context);
            let messages: Vec<&str> = context.problems().iter().map(|one| one.message.as_str()).collect();
            assert!(
                messages.concat().contains(expected) && messages.len() == usize::from(!expected.is_empty())
            );
        }
    }

    #[test]
    fn rules_come_first_and_can_restate_the_seeds_split() {
        let part = splitter(json!({"rules": [
            {"when": "question_type == 'SECTION_SUMMARY'", "to": "validation"}, {"to": "train"}
        ]}));
        assert_eq!(side(&*part, json!({"question_type": "SECTION_SUMMARY"})).unwrap(), "validation");
        assert_eq!(side(&*part, json!({"question_type": "INFERENCE"})).unwrap(), "train");
    }
}
