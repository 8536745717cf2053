//! Measures the agreement of two fields of the same records: a table of their values, Cohen's kappa, the records that
//! differ.

use std::collections::BTreeMap;
use std::path::Path;

use super::ReportError;
use super::sample::text;
use crate::nearest::listed;
use crate::report::findings::{DifferingRecord, FieldAgreement, Proportion, RecoveredGap};
use crate::report::read::{
    FieldGap, FieldPair, PairOfValues, field_pair_files, for_each_joined_pair, for_each_pair,
};
use crate::report::statistics::kappa::kappa;
use crate::report::statistics::recovered_gap::recovered;

/// The maximum number of values of a field; one with more is a measure rather than a judgement.
const MOST_VALUES: usize = 100;
/// The maximum number of records that are listed.
const MOST_LISTED: usize = 50;
/// The maximum number of characters of a listed record's text.
const LONGEST_TEXT: usize = 300;

/// Returns the agreement of two fields of an input: of the first of its files that has both, or of two files of a run.
pub(super) fn agreement(path: &Path, pair: &FieldPair) -> Result<FieldAgreement, ReportError> {
    let fail = |message: String| ReportError::Agree { path: path.to_owned(), message };
    let files = field_pair_files(path)?;
    let name = |file: &Path| {
        let name = file.strip_prefix(path).unwrap_or(file);
        let name = if name.as_os_str().is_empty() { file } else { name };
        name.display().to_string()
    };
    for file in &files {
        let mut counter = PairCounter::default();
        let left_out = for_each_pair(file, pair, |values| counter.add(values))?;
        if !counter.counts.is_empty() {
            return counter.agreement(pair, name(file), left_out).map_err(fail);
        }
    }
    if path.is_dir() {
        let mut counter = PairCounter::default();
        let joined = for_each_joined_pair(path, &files, pair, |values| counter.add(values))?;
        if let Some(([first, second], left_out)) = joined.filter(|_| !counter.counts.is_empty()) {
            let names = format!("{} and {}", name(&first), name(&second));
            return counter.agreement(pair, names, left_out).map_err(fail);
        }
    }
    Err(fail(format!("no record has both `{}` and `{}`", pair.first, pair.second)))
}

/// Returns how much of a gap is recovered.
pub(super) fn recovered_gap(path: &Path, gap: &FieldGap) -> Result<RecoveredGap, ReportError> {
    let right = |field: &String| -> Result<(String, Proportion), ReportError> {
        let pair = FieldPair { first: field.clone(), second: gap.truth.clone() };
        Ok((field.clone(), agreement(path, &pair)?.equal))
    };
    let (weak, student, ceiling) = (right(&gap.weak)?, right(&gap.student)?, right(&gap.ceiling)?);
    let share = |(_, part): &(String, Proportion)| part.count as f64 / part.of.max(1) as f64;
    let recovered = recovered(share(&weak), share(&student), share(&ceiling));
    Ok(RecoveredGap { weak, student, ceiling, truth: gap.truth.clone(), recovered })
}

#[derive(Default)]
struct PairCounter {
    /// The values so far; one more than is allowed at most.
    values: Vec<String>,
    counts: BTreeMap<(usize, usize), u64>,
    differing: Vec<DifferingRecord>,
}

impl PairCounter {
    fn add(&mut self, pair: PairOfValues) {
        let (Some(first), Some(second)) = (self.place(&pair.first), self.place(&pair.second)) else { return };
        *self.counts.entry((first, second)).or_default() += 1;
        if first != second && self.differing.len() < MOST_LISTED {
            let (first, second) = (pair.first.clone(), pair.second.clone());
            let (id, turns) = pair.shown();
            let text: String = text(&turns).chars().take(LONGEST_TEXT).collect();
            self.differing.push(DifferingRecord { id, first, second, text });
        }
    }

    fn place(&mut self, value: &str) -> Option<usize> {
        let known = self.values.iter().position(|known| known == value);
        if known.is_none() && self.values.len() <= MOST_VALUES {
            self.values.push(value.to_owned());
            return Some(self.values.len() - 1);
        }
        known
    }

    /// What was counted; the error says why it cannot be told.
    fn agreement(self, pair: &FieldPair, file: String, left_out: u64) -> Result<FieldAgreement, String> {
        if self.values.len() > MOST_VALUES {
            let shown = listed(self.values.iter().take(3).map(String::as_str));
            return Err(format!(
                "`{}` and `{}` have more than {MOST_VALUES} different values, such as {shown}",
                pair.first, pair.second
            ));
        }
        let mut values = self.values.clone();
        values.sort_by(|one, other| match (one.parse::<f64>(), other.parse::<f64>()) {
            (Ok(one), Ok(other)) => one.total_cmp(&other),
            (Ok(_), Err(_)) => std::cmp::Ordering::Less,
            (Err(_), Ok(_)) => std::cmp::Ordering::Greater,
            (Err(_), Err(_)) => one.cmp(other),
        });
        let place = |index: usize| values.iter().position(|value| *value == self.values[index]).unwrap_or(0);
        let mut matrix = vec![vec![0; values.len()]; values.len()];
        for ((first, second), count) in &self.counts {
            matrix[place(*first)][place(*second)] = *count;
        }
        let equal = self.counts.iter().filter(|((first, second), _)| first == second);
        Ok(FieldAgreement {
            first: pair.first.clone(),
            second: pair.second.clone(),
            file,
            equal: Proportion { count: equal.map(|(_, count)| count).sum(), of: self.counts.values().sum() },
            left_out,
            kappa: kappa(&matrix),
            values,
            matrix,
            differing: self.differing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::gather::{Options, findings};

    fn agreement_of(lines: &[(serde_json::Value, serde_json::Value)]) -> Result<FieldAgreement, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        let line = |(judged, human): &(serde_json::Value, serde_json::Value)| {
            format!("{}\n", serde_json::json!({"text": "a text", "judged": judged, "human": human}))
        };
        std::fs::write(&path, lines.iter().map(line).collect::<String>()).unwrap();
        let agree = vec![FieldPair { first: "judged".into(), second: "human".into() }];
        let found = findings(&[path], &Options { agree, ..Options::default() });
        found.map(|mut found| found.remove(0).agreement.remove(0)).map_err(|error| error.to_string())
    }

    fn times(count: usize, judged: &str, human: &str) -> Vec<(serde_json::Value, serde_json::Value)> {
        vec![(judged.into(), human.into()); count]
    }

    #[test]
    fn two_raters_of_fifty_items_agree_as_published() {
        let lines =
            [times(20, "yes", "yes"), times(5, "yes", "no"), times(10, "no", "yes"), times(15, "no", "no")];
        let found = agreement_of(&lines.concat()).unwrap();
        assert!((found.kappa.unwrap() - 0.4).abs() < 1e-9, "{found:?}");
        assert_eq!(found.equal, Proportion { count: 35, of: 50 });
        assert_eq!(
            (found.values, found.matrix),
            (vec!["no".into(), "yes".into()], vec![vec![15, 10], vec![5, 20]])
        );
        assert_eq!(found.differing.len(), 15);
        let first = &found.differing[0];
        assert_eq!((&*first.id, &*first.first, &*first.second), ("rows.jsonl:21", "yes", "no"));
        assert_eq!(first.text, "a text");
    }

    #[test]
    fn numbers_are_in_order_and_records_without_a_value_are_left_out() {
        let one = |judged: serde_json::Value, human: serde_json::Value| (judged, human);
        let found = agreement_of(&[
            one(10.into(), 10.0.into()),
            one(2.into(), "N/A".into()),
            one(2.into(), 2.into()),
            one(serde_json::Value::Null, 2.into()),
        ])
        .unwrap();
        assert_eq!((found.values, found.left_out), (vec!["2".into(), "10".into(), "N/A".into()], 1));
        assert_eq!(found.matrix, [vec![1, 0, 1], vec![0, 1, 0], vec![0, 0, 0]]);
        // Agreement 2/3; by chance (2 · 1 + 1 · 1 + 0 · 1) / 9 = 1/3.
        assert!((found.kappa.unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn fields_that_nothing_can_be_said_of_are_errors() {
        let none = agreement_of(&[(1.into(), serde_json::Value::Null)]).unwrap_err();
        assert!(none.contains("no record has both `judged` and `human`"), "{none}");
        let measured: Vec<_> = (0..101).map(|n| (n.into(), n.into())).collect();
        let error = agreement_of(&measured).unwrap_err();
        assert!(error.contains("more than 100 different values"), "{error}");
    }
}
