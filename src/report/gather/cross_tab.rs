//! Cross-tabulates attributes whose shares depend on another one: drawn against configured.
//!
//! Counts only pairs that the configuration makes dependent, over the values it names, which bounds memory.

use std::collections::HashMap;

use crate::report::findings::{CrossTab, CrossTabCell, CrossTabRow};
use crate::report::read::{DataRecord, JointShares};
use crate::report::statistics::shares;

/// Rows and columns that are listed.
const MAX_ROWS: usize = 40;
const MAX_COLUMNS: usize = 16;
/// The significance level: the probability of a false positive in a whole table.
const SIGNIFICANCE: f64 = 0.001;
/// A cell with fewer items is never flagged.
const MIN_ITEMS: f64 = 5.0;

/// Items by the values of two attributes.
#[derive(Debug)]
pub(super) struct CrossTabCounter {
    joint: JointShares,
    rows: HashMap<String, usize>,
    columns: HashMap<String, usize>,
    /// By row, then by column.
    items: Vec<Vec<f64>>,
}

impl CrossTabCounter {
    /// Starts counting for a pair that the configuration makes dependent.
    pub(super) fn new(joint: JointShares) -> Self {
        let places = |values: &mut dyn Iterator<Item = &String>| values.cloned().zip(0..).collect();
        Self {
            rows: places(&mut joint.rows.iter().map(|(value, _)| value)),
            columns: places(&mut joint.values.iter()),
            items: vec![vec![0.0; joint.values.len()]; joint.rows.len()],
            joint,
        }
    }

    /// Counts a record that has the share `weight` of its item.
    pub(super) fn add(&mut self, record: &DataRecord, weight: f64) {
        let place = |name: &str, places: &HashMap<String, usize>| {
            let drawn = record.attributes.iter().find(|drawn| drawn.by_sampler && drawn.name == name)?;
            places.get(&drawn.value).copied()
        };
        let row = place(&self.joint.on, &self.rows);
        let column = place(&self.joint.attribute, &self.columns);
        if let (Some(row), Some(column)) = (row, column) {
            self.items[row][column] += weight;
        }
    }

    /// Returns the table, with its most frequent rows and columns first.
    pub(super) fn table(&self) -> CrossTab {
        let of_rows: Vec<f64> = self.items.iter().map(|row| row.iter().sum()).collect();
        let of_columns: Vec<f64> = (0..self.joint.values.len())
            .map(|column| self.items.iter().map(|row| row[column]).sum())
            .collect();
        let (rows, columns) = (largest(&of_rows, MAX_ROWS), largest(&of_columns, MAX_COLUMNS));
        let sure = shares::critical_z(SIGNIFICANCE / (rows.len() * columns.len()).max(1) as f64);
        let row = |place: &usize| {
            let (value, configured) = &self.joint.rows[*place];
            let of: f64 = configured.iter().sum();
            let cell = |column: &usize| {
                let share = (of > 0.0).then(|| configured[*column] / of);
                cell(self.items[*place][*column], of_rows[*place], share, sure)
            };
            CrossTabRow {
                value: value.clone(),
                items: of_rows[*place],
                cells: columns.iter().map(cell).collect(),
            }
        };
        CrossTab {
            attribute: self.joint.attribute.clone(),
            on: self.joint.on.clone(),
            values: columns.iter().map(|column| self.joint.values[*column].clone()).collect(),
            rows: rows.iter().map(row).collect(),
            items: of_rows.iter().sum(),
            left_out: (of_rows.len() - rows.len() + of_columns.len() - columns.len()) as u64,
        }
    }
}

fn cell(items: f64, of: f64, configured: Option<f64>, sure: f64) -> CrossTabCell {
    let share = if of > 0.0 { items / of } else { 0.0 };
    let differs = configured.is_some_and(|configured| match configured <= 0.0 {
        true => items >= MIN_ITEMS,
        false => {
            let z = shares::one_sample_z(share, configured, of);
            configured * of >= MIN_ITEMS && z.is_some_and(|z| z.abs() > sure)
        }
    });
    CrossTabCell { items, share, configured, differs }
}

/// Returns the indexes of the largest counts in descending order; ties keep their order.
fn largest(counts: &[f64], most: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..counts.len()).collect();
    places.sort_by(|a, b| counts[*b].total_cmp(&counts[*a]));
    places.truncate(most);
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::read::RecordAttribute;

    fn record(topic: &str, tone: &str) -> DataRecord {
        let drawn = |name: &str, value: &str| RecordAttribute {
            name: name.into(),
            value: value.into(),
            by_sampler: true,
            number: false,
        };
        DataRecord { attributes: vec![drawn("topic", topic), drawn("tone", tone)], ..DataRecord::default() }
    }

    #[test]
    fn configured_joint_shares_are_compared_with_drawn_ones() {
        let joint = JointShares {
            attribute: "tone".into(),
            on: "topic".into(),
            values: vec!["".into(), "angry".into()],
            rows: vec![("books".into(), vec![0.6, 0.15]), ("fees".into(), vec![0.05, 0.2])],
        };
        let mut counts = CrossTabCounter::new(joint);
        for n in 0..400 {
            let topic = if n % 4 == 0 { "fees" } else { "books" };
            counts.add(&record(topic, if n % 5 == 0 { "angry" } else { "" }), 1.0);
        }
        let table = counts.table();
        let shown: Vec<_> = table
            .rows
            .iter()
            .map(|row| {
                let angry = &row.cells[1];
                let percent = (angry.configured.unwrap() * 100.0).round();
                (row.value.as_str(), row.items, angry.items, percent, angry.differs)
            })
            .collect();
        assert_eq!(table.values, ["", "angry"]);
        assert_eq!(shown, [("books", 300.0, 60.0, 20.0, false), ("fees", 100.0, 20.0, 80.0, true)]);
        assert_eq!(table.items, 400.0);
    }
}
