//! `filter`: keeps the records for which an expression is true, and drops the others with a reason.
//!
//! Allowed anywhere after the source part, most often after a stage that judges or measures records. A dropped
//! record is not an error: it is counted by its reason, in the summary and in `provenance/`.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Role, StageDescription};
use crate::pipeline::CheckContext;
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Processor, StageConfig, StageError, Transform, TransformOutput,
};
use crate::template::{Expression, Patterns};

/// The maximum length of a reason, in characters: summaries count by it, so it is a word, not a sentence.
const LONGEST_REASON: usize = 40;
/// Words that describe how other records ended.
const OTHER_ENDS: [&str; 3] = ["ok", "rejected", "unrouted"];

/// Drops the records for which an expression is false.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// The condition: an expression over the record's fields, such as `score >= 4`. Records for which it is true are
    /// kept; a record for which it has no value is rejected.
    keep_if: String,
    /// The reason under which the other records are counted as dropped: a short word such as `low_score`.
    #[serde(default = "reason")]
    reason: String,
    /// A YAML file of named lists of regular expressions, available to the condition as `patterns`: `answer is not
    /// search(patterns)`, or `search(patterns.en)` for one list. They match without regard to case. May name `vars`.
    #[serde(default)]
    patterns: Option<String>,
}

fn reason() -> String {
    "filtered".into()
}

impl StageDescription for Filter {
    const NAME: &'static str = "filter";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str = "Keeps the records for which an expression is true.";
    const EXAMPLE: &'static str = r#"name: filter-example
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - filter: {keep_if: "section.text | wordcount >= 50", reason: short}
  - sink: {path: sections.jsonl, format: raw}
"#;
}

impl StageConfig for Filter {
    fn check(&self, context: &mut CheckContext<'_>) {
        self.check_condition(context);
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        if self.reason.is_empty() || self.reason.len() > LONGEST_REASON || !self.reason.chars().all(is_plain)
        {
            context
                .problem("/reason", format!("`{}` is no short word", self.reason))
                .expected(format!("lower-case letters, digits, `_` and `-`, at most {LONGEST_REASON}"));
        } else if OTHER_ENDS.contains(&self.reason.as_str()) {
            context
                .problem("/reason", format!("`{}` says how other records end", self.reason))
                .expected("a word that says why these are dropped");
        }
        context.may_drop();
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let mut keep_if = context.expression(&self.keep_if)?;
        if let Some(path) = &self.patterns {
            keep_if = keep_if.with_patterns(Patterns::NAME, &context.read_patterns(path)?);
        }
        Ok(Processor::Transform(Box::new(RecordFilter { keep_if, reason: self.reason.clone() })))
    }
}

impl Filter {
    fn check_condition(&self, context: &mut CheckContext<'_>) {
        let Some(path) = &self.patterns else {
            context.expression("/keep_if", &self.keep_if);
            return;
        };
        // If the file cannot be used, its own problem is enough.
        let Some(patterns) = context.read_patterns("/patterns", path) else { return };
        if !context.makes_patterns("/patterns", &patterns) {
            return;
        }
        let name = Patterns::NAME;
        let is_named = |variable: &String| variable.split('.').next() == Some(name);
        if let Some(keep_if) = context.expression("/keep_if", &self.keep_if)
            && !keep_if.variables().iter().any(is_named)
        {
            context
                .problem("/patterns", "the condition does not name the patterns")
                .expected(format!("a condition such as `answer is not search({name})`, or no `patterns`"));
        }
        context.removes(&[name]);
    }
}

/// The processor: drops the records for which `keep_if` is false.
struct RecordFilter {
    keep_if: Expression,
    reason: String,
}

impl Transform for RecordFilter {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        match self.keep_if.is_true(record)? {
            true => Ok(TransformOutput::Pass),
            false => Ok(TransformOutput::Drop(Cow::Owned(self.reason.clone()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::{build, record};
    use serde_json::{Value, json};

    /// How a filter ends a record: `kept`, the reason of a drop, or the class of an error.
    fn outcome(config: Value, fields: Value) -> String {
        let Processor::Transform(part) = build::<Filter>(config) else { panic!("not a transform") };
        let mut record = record(fields.clone());
        let outcome = part.process(&mut record);
        assert_eq!(Value::Object(record.fields), fields, "a filter changes nothing");
        match outcome {
            Ok(TransformOutput::Pass) => "kept".to_owned(),
            Ok(TransformOutput::Drop(reason)) => reason.into_owned(),
            Ok(TransformOutput::Many(_)) => panic!("a filter makes no records"),
            Err(error) => error.class.into_owned(),
        }
    }

    #[test]
    fn what_is_false_is_dropped_with_the_reason() {
        for (keep_if, fields, expected) in [
            ("score >= 4", json!({"score": 4}), "kept"),
            ("score >= 4", json!({"score": 3.9}), "low_score"),
            ("score", json!({"score": 0}), "low_score"),
            ("tags", json!({"tags": []}), "low_score"),
            ("text | wordcount > 1", json!({"text": "two words"}), "kept"),
            // An expression without a value is neither true nor false.
            ("score >= 4", json!({}), "template"),
            ("score >= 4", json!({"score": "high"}), "template"),
            ("score >= 4", json!({"score": null}), "template"),
            ("score.first", json!({"score": {"second": 1}}), "template"),
        ] {
            let config = json!({"keep_if": keep_if, "reason": "low_score"});
            assert_eq!(outcome(config, fields.clone()), expected, "{keep_if} of {fields}");
        }
        assert_eq!(outcome(json!({"keep_if": "score >= 4"}), json!({"score": 1})), "filtered");
    }

    #[test]
    fn patterns_of_a_file_are_searched() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("patterns.yaml");
        std::fs::write(&path, "refusals: ['\\bas an AI\\b']\nempty: ['^\\W+$']\n").unwrap();
        let path = path.to_str().unwrap();
        for (keep_if, text, expected) in [
            ("text is not search(patterns)", "As an AI, I cannot.", "filtered"),
            ("text is not search(patterns)", "Basic", "kept"),
            ("text is not search(patterns.empty)", "As an AI, I cannot.", "kept"),
            ("text is not search(patterns.empty)", "...", "filtered"),
        ] {
            let config = json!({"keep_if": keep_if, "patterns": path});
            assert_eq!(outcome(config, json!({"text": text})), expected, "{keep_if} of {text}");
        }
        for (keep_if, patterns, fields, expected) in [
            ("text is not search(patterns.empty)", Some(path), vec!["text"], ""),
            ("text != ''", Some(path), vec!["text"], "the condition does not name the patterns"),
            ("text is search(patterns)", None, vec!["text"], "no earlier stage makes `patterns`"),
            ("text is search(patterns)", Some("none.yaml"), vec!["text"], "cannot read `none.yaml`"),
            ("text is search(patterns)", Some(path), vec!["text", "patterns"], "which would hide them"),
            ("text is search(patterns.fr)", Some(path), vec!["text"], "`patterns.fr`"),
        ] {
            let (vars, models) = Default::default();
            let mut context = CheckContext::new(&vars, &models);
            context.makes(&fields);
            let patterns = patterns.map(str::to_owned);
            Filter { keep_if: keep_if.into(), reason: reason(), patterns }.check(&mut context);
            let messages: Vec<&str> = context.problems().iter().map(|one| one.message.as_str()).collect();
            assert!(messages.concat().contains(expected), "{keep_if}: {messages:?}");
            assert_eq!(messages.len(), usize::from(!expected.is_empty()), "{keep_if}: {messages:?}");
        }
    }

    #[test]
    fn a_reason_is_a_short_word_of_its_own() {
        for (reason, expected) in [
            ("low_score", ""),
            ("below-4", ""),
            ("", "no short word"),
            ("Low score", "no short word"),
            ("zu_niedrig_ä", "no short word"),
            (&"x".repeat(41), "no short word"),
            ("rejected", "says how other records end"),
        ] {
            let (vars, models) = Default::default();
            let mut context = CheckContext::new(&vars, &models);
            context.makes(&["score"]);
            Filter { keep_if: "score >= 4".into(), reason: reason.into(), patterns: None }
                .check(&mut context);
            let messages: Vec<&str> = context.problems().iter().map(|one| one.message.as_str()).collect();
            assert!(messages.concat().contains(expected), "{reason}: {messages:?}");
            assert_eq!(messages.len(), usize::from(!expected.is_empty()), "{reason}");
        }
    }
}
