//! Prepares the values for the templates and the script: findings with their charts, and the records to browse.
//!
//! Selects and sorts, but writes no text of the page. Templates format numbers with the filters of `format`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use minijinja::{Value, context};
use serde_json::json;

use super::{PageError, charts, remarks, serialized};
use crate::report::findings::{Attribute, Findings, PartLengths, SampleRecord, TextMap};

/// Most values of an attribute with a filter; an attribute with more is left to the search.
const FILTER_VALUES: usize = 60;
/// Attributes whose filters come first, if records have them.
const FIRST_FILTERS: &[&str] = &["split", "question_type"];

/// Prepares one set of findings: `f` has the findings, the rest is derived from them.
/// `longest` is the longest length of all scatter plots.
pub(super) fn run(number: usize, name: &str, findings: &Findings, longest: u64) -> Result<Value, PageError> {
    let scatter = match &findings.lengths.asked {
        Some(asked) if !asked.pairs.is_empty() => Some(charts::scatter(&asked.pairs, longest)?),
        _ => None,
    };
    let map = match &findings.map {
        Some(map) => Some(map_chart(map)?),
        None => None,
    };
    Ok(context! {
        number,
        name,
        suffix => if number == 0 { String::new() } else { format!("-{}", number + 1) },
        f => serialized(findings),
        started => findings.source.started.as_deref().map(readable_time),
        remarks => serialized(&remarks::remarks(findings)),
        scatter => scatter.map(Value::from_safe_string),
        attributes => findings.attributes.iter().map(attribute).collect::<Vec<Value>>(),
        map => map.map(Value::from_safe_string),
    })
}

/// Returns the longest length in any of the scatter plots.
pub(super) fn longest(findings: &[Findings]) -> u64 {
    let pairs =
        findings.iter().filter_map(|findings| findings.lengths.asked.as_ref()).flat_map(|asked| &asked.pairs);
    pairs.flat_map(|pair| [pair.0, pair.1]).max().unwrap_or(1)
}

/// Draws a chart for each part and unit with lengths: a single data set as bars with requested lengths, several as
/// overlaid outlines.
pub(super) fn lengths(findings: &[Findings]) -> Result<Vec<Value>, PageError> {
    let mut kinds: Vec<(&str, &str)> = Vec::new();
    for part in findings.iter().flat_map(|findings| &findings.lengths.parts) {
        if !kinds.contains(&(&part.part, &part.unit)) {
            kinds.push((&part.part, &part.unit));
        }
    }
    let mut drawings = Vec::new();
    for (part, unit) in kinds {
        let of = |findings: &&Findings| {
            findings
                .lengths
                .parts
                .iter()
                .find(|lengths| lengths.part == part && lengths.unit == unit)
                .cloned()
        };
        let lengths: Vec<(usize, PartLengths)> = findings
            .iter()
            .enumerate()
            .filter_map(|(number, findings)| Some((number, of(&findings)?)))
            .collect();
        let drawn = match (findings, &lengths[..]) {
            ([_], [(_, alone)]) => charts::histogram(&alone.histogram, unit)?,
            _ => {
                let histograms = lengths.iter().map(|(number, lengths)| (*number, &lengths.histogram));
                charts::outlines(&histograms.collect::<Vec<_>>(), unit)?
            }
        };
        drawings.push(context! {
            part,
            unit,
            drawings => drawn.map(Value::from_safe_string).to_vec(),
            has_asked => lengths.iter().any(|(_, lengths)| lengths.histogram.asked.is_some()),
            longest => lengths.iter().map(|(_, lengths)| lengths.actual.max).max(),
            sets => lengths.iter().map(|(number, lengths)| context! {number, lengths => serialized(lengths)}).collect::<Vec<_>>(),
        });
    }
    Ok(drawings)
}

/// Returns the measures of variety of all findings, one row per measure.
pub(super) fn measures(findings: &[Findings]) -> Vec<Value> {
    let mut keys: Vec<&str> = Vec::new();
    for measure in findings.iter().flat_map(|findings| &findings.variety.measures) {
        if !keys.contains(&measure.key.as_str()) {
            keys.push(&measure.key);
        }
    }
    let of = |key: &str| {
        let found = |findings: &Findings| {
            findings.variety.measures.iter().find(|measure| measure.key == key).cloned()
        };
        findings.iter().map(found).collect::<Vec<_>>()
    };
    let row = |key: &str| {
        let cells = of(key);
        let any = cells.iter().flatten().next().cloned();
        context! { any => serialized(&any), cells => serialized(&cells) }
    };
    keys.into_iter().map(row).collect()
}

/// Returns a distinct name for each set of findings: its name, or else its directory (as for two runs of one pipeline),
/// or else its whole path.
pub(super) fn names(findings: &[Findings]) -> Vec<String> {
    let names = findings.iter().map(|one| one.name.clone());
    let directories = findings.iter().map(|one| match Path::new(&one.source.path).file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => one.source.path.clone(),
    });
    for candidate in [names.collect::<Vec<_>>(), directories.collect()] {
        if candidate.iter().collect::<HashSet<_>>().len() == findings.len() {
            return candidate;
        }
    }
    findings.iter().map(|one| one.source.path.clone()).collect()
}

/// Formats `2026-01-02_03-04-05` as `2026-01-02 03:04:05`.
fn readable_time(stamp: &str) -> String {
    match stamp.split_once('_') {
        Some((day, time)) => format!("{day} {}", time.replace('-', ":")),
        None => stamp.to_owned(),
    }
}

/// Prepares an attribute, with the columns that are worth showing.
fn attribute(attribute: &Attribute) -> Value {
    let values = &attribute.values;
    context! {
        a => serialized(attribute),
        has_configured => values.iter().any(|value| value.configured.is_some()),
        has_kept => values.iter().any(|value| value.rejected_share > 0.0 || value.kept != value.drawn),
        stands_out => attribute.differs || attribute.rejects,
    }
}

fn map_chart(map: &TextMap) -> Result<String, PageError> {
    let palette = palette(map);
    let Some(name) = map.attributes.first() else { return charts::map(map, |_| 0) };
    let places: HashMap<&str, usize> = match palette.get(name.as_str()) {
        Some(values) => values.iter().enumerate().map(|(place, value)| (*value, place)).collect(),
        None => HashMap::new(),
    };
    charts::map(map, |number| {
        let value = map.points[number].attributes.get(name);
        let place = value.and_then(|value| places.get(value.as_str()));
        place.and_then(|place| u8::try_from(*place).ok()).unwrap_or(charts::POINT_COLOURS)
    })
}

/// Returns the values of each attribute that have their own colour on the map, most frequent first.
fn palette(map: &TextMap) -> BTreeMap<&str, Vec<&str>> {
    let mut palette = BTreeMap::new();
    for name in &map.attributes {
        let values = map.points.iter().filter_map(|point| point.attributes.get(name));
        let mut values = most_frequent(values.map(String::as_str));
        values.truncate(usize::from(charts::POINT_COLOURS));
        palette.insert(name.as_str(), values);
    }
    palette
}

fn most_frequent<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let mut counted: Vec<(&str, usize)> = counts.into_iter().collect();
    counted.sort_by(|(_, here), (_, there)| there.cmp(here));
    counted.into_iter().map(|(value, _)| value).collect()
}

/// Returns the filters of the sample: attributes that distinguish its records, with their values.
pub(super) fn filters(findings: &[Findings]) -> Vec<Value> {
    let records: Vec<&SampleRecord> = findings.iter().flat_map(|findings| &findings.sample).collect();
    let mut names = FIRST_FILTERS.to_vec();
    let listed =
        findings.iter().flat_map(|findings| &findings.attributes).map(|attribute| attribute.name.as_str());
    let found = records.iter().flat_map(|record| record.attributes.keys()).map(String::as_str);
    for name in listed.chain(found) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut filters = Vec::new();
    for name in names {
        let values = records.iter().filter_map(|record| record.attributes.get(name));
        let values = most_frequent(values.map(String::as_str));
        if (2..=FILTER_VALUES).contains(&values.len()) {
            filters.push(context! { name, values => serialized(&values) });
        }
    }
    filters
}

/// Returns the data of the script: the points of the maps and the sampled records.
pub(super) fn script_data(names: &[String], findings: &[Findings]) -> serde_json::Value {
    let runs = findings.iter().zip(names).map(|(findings, name)| {
        let map = findings.map.as_ref().map(|map| {
            let points = map.points.iter().map(|point| json!([point.text, point.attributes]));
            json!({"palette": palette(map), "points": points.collect::<Vec<_>>()})
        });
        json!({"name": name, "map": map, "records": findings.sample})
    });
    json!({"colours": charts::POINT_COLOURS, "runs": runs.collect::<Vec<_>>()})
}
