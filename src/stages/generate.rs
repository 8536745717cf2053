//! `generate`: numbered records without other fields, so that a pipeline can start from nothing.
//!
//! The first stage of a run that makes its own material: `sample_injections` draws each record's attributes after
//! it. On resume, completed rows are skipped by number.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Role, StageDescription};
use crate::pipeline::ProducedField;
use crate::pipeline::{CheckContext, FieldType};
use crate::record::Record;
use crate::stage::{BuildContext, BuildError, Processor, Source, SourceFailure, SourceUnit, StageConfig};

/// The number of records made at a time.
const BATCH: u64 = 256;

/// Makes numbered records.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Generate {
    /// The number of records; without it there is no end, and a run needs `--limit`.
    #[serde(default)]
    count: Option<u64>,
}

impl StageDescription for Generate {
    const NAME: &'static str = "generate";
    const ROLE: Role = Role::Source;
    const PURPOSE: &'static str =
        "Creates numbered records, for a pipeline without input; the field `row` counts from 0.";
    const MAKES: &'static [ProducedField] = &[
        ProducedField::new("row", FieldType::integer, "The record's number, from 0."),
        ProducedField::new(
            "group",
            FieldType::texts,
            "The record alone, so that `split` may assign each record independently.",
        ),
    ];
    const EXAMPLE: &'static str = "\
name: generate-example
vars: {rows: 20}
stages:
  - generate: {count: \"{{ vars.rows }}\"}
  - sink: {path: rows.jsonl, format: raw}
";
}

impl StageConfig for Generate {
    fn check(&self, context: &mut CheckContext<'_>) {
        if self.count == Some(0) {
            context.problem("/count", "`count` is 0").expected("at least 1, or no `count` for no end");
        }
        if let Some(count) = self.count {
            context.set_item_count(count);
        }
        context.makes_table(Self::MAKES);
    }

    fn build(&self, _context: &BuildContext) -> Result<Processor, BuildError> {
        Ok(Processor::Source(Box::new(NumberedRows { next: 0, count: self.count })))
    }
}

/// The processor: the number of the next record.
struct NumberedRows {
    next: u64,
    count: Option<u64>,
}

impl NumberedRows {
    fn end(&self) -> u64 {
        self.count.unwrap_or(u64::MAX)
    }
}

impl Source for NumberedRows {
    fn next(&mut self) -> Option<Result<SourceUnit, SourceFailure>> {
        let (begin, end) = (self.next, self.end().min(self.next.saturating_add(BATCH)));
        if begin >= end {
            return None;
        }
        self.next = end;
        Some(Ok(SourceUnit { name: format!("row {begin}"), records: (begin..end).map(row).collect() }))
    }

    fn records(&self) -> Option<u64> {
        self.count
    }

    fn is_endless(&self) -> bool {
        self.count.is_none()
    }

    fn skip(&mut self, records: u64) -> u64 {
        let skipped = records.min(self.end() - self.next);
        self.next += skipped;
        skipped
    }
}

fn row(number: u64) -> Record {
    let mut record = Record::default();
    record.set("row", number);
    record.set("group", json!([format!("row-{number}")]));
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::build;
    use serde_json::Value;

    fn source(config: Value) -> Box<dyn Source> {
        match build::<Generate>(config) {
            Processor::Source(source) => source,
            _ => panic!("not a source"),
        }
    }

    /// The numbers of all remaining records of a source that ends.
    fn numbers(source: &mut dyn Source) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Some(unit) = source.next() {
            numbers.extend(
                unit.unwrap().records.iter().map(|record| record.get("row").unwrap().as_u64().unwrap()),
            );
        }
        numbers
    }

    #[test]
    fn rows_are_numbered_and_end_at_the_count() {
        for count in [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH] {
            let mut source = source(json!({"count": count}));
            assert!(!source.is_endless());
            assert_eq!(numbers(&mut *source), (0..count).collect::<Vec<_>>());
        }
        let unit = source(json!({"count": 1})).next().unwrap().unwrap();
        assert_eq!(Value::Object(unit.records[0].fields.clone()), json!({"row": 0, "group": ["row-0"]}));
    }

    #[test]
    fn completed_rows_are_skipped() {
        let mut ending = source(json!({"count": 1000}));
        assert_eq!(ending.skip(990), 990);
        assert_eq!(numbers(&mut *ending), (990..1000).collect::<Vec<_>>());
        assert_eq!(source(json!({"count": 10})).skip(1_000_000_000_000), 10);
        let mut endless = source(json!({}));
        assert!(endless.is_endless());
        assert_eq!(endless.skip(1_000_000_000_000), 1_000_000_000_000);
        let first = &endless.next().unwrap().unwrap().records[0];
        assert_eq!(first.get("row"), Some(&json!(1_000_000_000_000_u64)));
    }
}
