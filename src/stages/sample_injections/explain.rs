//! The expected outcome of the draws, for `validate`: each value's probability and expected count, the length's
//! percentiles.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::sampler::{AttributeKind, SampledAttribute, Sampler};
use super::shares::{Shares, shares};
use super::weighted::{WeightedValues, text_of};
use crate::stage::Explanation;

/// The maximum number of values shown per attribute.
const MOST_SHOWN: usize = 40;
/// The maximum number of joint shares of two attributes that are listed; nobody reads a larger table.
const MOST_JOINT: usize = 10_000;
/// The maximum number of characters shown of a value.
const LONGEST: usize = 60;
/// The number of records for expected counts if the real one is unknown.
const USUAL_ITEMS: u64 = 1000;

/// The shares of every attribute and the distribution of the length; `items` is the number of records, if known.
pub(super) fn explain(sampler: &Sampler, items: Option<u64>) -> Explanation {
    let of = items.unwrap_or(USUAL_ITEMS);
    let shares = shares(sampler);
    let mut lines = Vec::new();
    let mut attributes = Map::new();
    for (place, attribute) in sampler.attributes.iter().enumerate() {
        lines.push(heading(sampler, attribute, shares.estimated[place]));
        let mut data = Map::new();
        match &attribute.kind {
            AttributeKind::SingleValue(one) => {
                values(&one.values, place, &shares, of, &mut lines, &mut data);
                if let Some(given) = &one.given
                    && let Some(joint) = joint(sampler, given.on, shares.joint.get(&place))
                {
                    data.insert("given".into(), joint);
                }
            }
            AttributeKind::Several(list, _) => values(list, place, &shares, of, &mut lines, &mut data),
            AttributeKind::Law(law) => {
                data.insert("law".into(), law.line().into());
            }
        }
        data.insert("estimated".into(), shares.estimated[place].into());
        attributes.insert(attribute.name.clone(), Value::Object(data));
    }
    let mut data = json!({"of": of, "attributes": attributes});
    for (group, left) in sampler.groups.iter().zip(&shares.left).filter(|(group, _)| !group.rules.is_empty())
    {
        let names: Vec<&str> =
            group.members.iter().map(|place| sampler.attributes[*place].name.as_str()).collect();
        lines.push(format!(
            "exclude: {} rules over {} take {:.2} % of the combinations away",
            group.rules.len(),
            names.join(", "),
            (1.0 - left) * 100.0
        ));
    }
    if let Some(length) = &sampler.length {
        lines.push(length.line());
        data["target_words"] = length.data();
    }
    if items.is_none() {
        lines.push(format!("expected counts are of {of} records"));
    }
    Explanation { lines, data }
}

fn heading(sampler: &Sampler, attribute: &SampledAttribute, estimated: bool) -> String {
    let mut heading = attribute.name.clone();
    match &attribute.kind {
        AttributeKind::SingleValue(one) => {
            if let Some(given) = &one.given {
                let _ = write!(heading, ", given {}", sampler.attributes[given.on].name);
            }
            if one.quota.is_some() {
                heading.push_str(", quota exact");
            }
        }
        AttributeKind::Several(_, count) => {
            let _ = write!(heading, ", {count} values a record");
        }
        AttributeKind::Law(law) => return format!("{heading}: {}", law.line()),
    }
    if estimated {
        heading.push_str(" (shares estimated by drawing)");
    }
    heading
}

/// The joint shares of an attribute and the one it depends on: a row for each value of the latter, with shares in
/// the order of the attribute's own values.
fn joint(sampler: &Sampler, on: usize, rows: Option<&Vec<Vec<f64>>>) -> Option<Value> {
    let SampledAttribute { name, kind: AttributeKind::SingleValue(other) } = &sampler.attributes[on] else {
        return None;
    };
    let rows = rows?;
    if rows.iter().map(Vec::len).sum::<usize>() > MOST_JOINT {
        return None;
    }
    let rows = other.values.values.iter().zip(rows);
    let rows: Vec<Value> = rows.map(|(value, shares)| json!({"value": value, "shares": shares})).collect();
    Some(json!({"on": name, "rows": rows}))
}

/// Lists how often each value is expected.
fn values(
    list: &WeightedValues,
    place: usize,
    shares: &Shares,
    of: u64,
    lines: &mut Vec<String>,
    data: &mut Map<String, Value>,
) {
    let mut all = Vec::with_capacity(list.values.len());
    for (index, value) in list.values.iter().enumerate() {
        let share = shares.values[place].get(index).copied().unwrap_or_default();
        let expected = share * of as f64;
        if index < MOST_SHOWN {
            lines.push(format!("  {:>8.4} %  {expected:>10.1}  {}", share * 100.0, shown(value)));
        }
        all.push(json!({"value": value, "share": share, "expected": expected}));
    }
    if all.len() > MOST_SHOWN {
        lines.push(format!("  and {} more values", all.len() - MOST_SHOWN));
    }
    data.insert("values".into(), Value::Array(all));
}

fn shown(value: &Value) -> String {
    let text = text_of(value).replace('\n', " ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None if text.is_empty() => "(empty)".to_owned(),
        None => text,
    }
}
