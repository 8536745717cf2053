//! Assembles a sampler from the options and the files, or reports everything that is wrong with them.
//!
//! Used both by the check of a pipeline and by the building of the stage, so that nothing can be built that was
//! not checked. Paths are rendered already.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::SampleInjections;
use super::drawn::{Draw, Law};
use super::entries::folded;
use super::files::InjectionFolder;
use super::groups;
use super::length::Length;
use super::sampler::{AttributeKind, SampledAttribute, Sampler, SingleValue};
use super::settings::AttributeSettings;
use super::settle;
use super::tables;
use super::weighted::WeightedValues;
use crate::draw::Draws;
use crate::nearest::nearest;
use crate::text_file;

/// A problem with one option.
#[derive(Debug, Default)]
pub(super) struct SettingProblem {
    /// JSON pointer inside the stage's body.
    pub(super) at: String,
    pub(super) message: String,
    pub(super) expected: Option<String>,
    pub(super) hint: Option<String>,
}

/// The options' paths, with variables substituted.
#[derive(Debug, Default)]
pub(super) struct Paths {
    pub(super) folder: Option<String>,
    pub(super) length: Option<String>,
    /// Paths of attributes with `rows`, by attribute name.
    pub(super) rows: BTreeMap<String, String>,
}

/// The result of assembling.
#[derive(Debug)]
pub(super) struct Assembled {
    /// Valid only if `wrong` is empty.
    pub(super) sampler: Sampler,
    pub(super) wrong: Vec<SettingProblem>,
    /// The files read.
    pub(super) files: Vec<String>,
    /// Files of the folder that are not injection files.
    pub(super) left_out: Vec<String>,
}

impl SettingProblem {
    pub(super) fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into(), ..Self::default() }
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// The problem of an unknown name.
    pub(super) fn unknown(at: String, what: &str, name: &str, known: &[String]) -> Self {
        let shown = |one: &String| if one.is_empty() { "`''`".to_owned() } else { format!("`{one}`") };
        let listed: Vec<String> = known.iter().take(12).map(shown).collect();
        let more = if known.len() > 12 { ", ..." } else { "" };
        let near = nearest(name, known.iter().map(String::as_str).filter(|one| !one.is_empty()));
        Self {
            at,
            message: format!("no {what} `{name}`"),
            expected: Some(format!("one of {}{more}", listed.join(", "))),
            hint: near.map(|near| format!("did you mean `{near}`?")),
        }
    }
}

/// Appends `key` to a JSON pointer.
pub(super) fn inside(at: &str, key: &str) -> String {
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Makes a sampler from the options; `items` is the number of items, if known.
pub(super) fn assemble(
    declared: &SampleInjections,
    paths: &Paths,
    items: Option<u64>,
    draws: Draws,
) -> Assembled {
    let mut wrong = Vec::new();
    let folder = paths.folder.as_deref().map(InjectionFolder::read).unwrap_or_default();
    wrong.extend(folder.problems.into_iter().map(|problem| SettingProblem::new("/folder", problem)));
    let mut files = folder.files;
    let mut kinds = BTreeMap::new();
    for (name, (_, values)) in folder.attributes {
        kinds.insert(
            name,
            AttributeKind::SingleValue(Box::new(SingleValue { values, given: None, quota: None })),
        );
    }
    // If a file is invalid, a name that seems unknown may be that file's.
    let complete = wrong.is_empty();
    for (declared_name, settings) in &declared.attributes {
        let at = inside("/attributes", declared_name);
        let name = folded(declared_name);
        let rows = paths.rows.get(declared_name);
        files.extend(rows.cloned());
        match own_kind(settings, rows, &at) {
            Ok(Some(_)) if kinds.contains_key(&name) => {
                let message = format!("`{name}` has a file in the folder too");
                wrong.push(SettingProblem::new(at, message).expected("one origin for each attribute"));
            }
            Ok(Some(kind)) => drop(kinds.insert(name, kind)),
            Ok(None) if complete && !kinds.contains_key(&name) => {
                let known: Vec<String> = kinds.keys().cloned().collect();
                wrong.push(SettingProblem::unknown(at, "injection file for the attribute", &name, &known));
            }
            Ok(None) => {}
            Err(problem) => wrong.push(problem),
        }
    }
    let attributes = kinds.into_iter().map(|(name, kind)| SampledAttribute { name, kind }).collect();
    let length = length(paths, &mut files, &mut wrong);
    let mut sampler = Sampler { attributes, groups: Vec::new(), length, draws };
    if wrong.is_empty() {
        settle::settle(declared, items, &mut sampler, &mut wrong);
    }
    if wrong.is_empty() {
        groups::join(&declared.exclude, &mut sampler, &mut wrong);
    }
    Assembled { sampler, wrong, files, left_out: folder.left_out }
}

/// The attribute that the pipeline itself declares, if it does.
fn own_kind(
    settings: &AttributeSettings,
    rows: Option<&String>,
    at: &str,
) -> Result<Option<AttributeKind>, SettingProblem> {
    let one = |values| AttributeKind::SingleValue(Box::new(SingleValue { values, given: None, quota: None }));
    match (&settings.draw, &settings.rows) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err(SettingProblem::new(at, "`draw` and `rows` are both given").expected("one of them"))
        }
        (None, Some(table)) => {
            // The path is missing only if it could not be rendered, which is reported elsewhere.
            let Some(path) = rows else { return Ok(None) };
            let read = tables::read(path, table.field.as_deref(), table.score.as_deref());
            let wrong = |problem| SettingProblem::new(inside(at, "rows"), format!("`{path}`: {problem}"));
            read.map(|values| Some(one(values))).map_err(wrong)
        }
        (Some(Draw::Choice(values)), None) => {
            let wrong = |problem| SettingProblem::new(format!("{at}/draw/choice"), problem);
            choice(values).map(|values| Some(one(values))).map_err(wrong)
        }
        (Some(draw), None) => {
            let wrong = |problem| SettingProblem::new(inside(at, "draw"), problem);
            Law::new(draw).map(|law| law.map(AttributeKind::Law)).map_err(wrong)
        }
    }
}

/// The values of `choice`: a list, or a map from values to scores.
fn choice(declared: &Value) -> Result<WeightedValues, String> {
    let (values, scores): (Vec<Value>, Vec<f64>) = match declared {
        Value::Array(list) => list.iter().map(|value| (value.clone(), 1.0)).unzip(),
        Value::Object(map) => {
            let score = |value: &Value| value.as_f64().filter(|score| *score >= 0.0);
            if let Some((name, wrong)) = map.iter().find(|(_, value)| score(value).is_none()) {
                return Err(format!("`{name}` has the score {wrong}, expected a number of 0 or more"));
            }
            map.iter().map(|(name, value)| (Value::from(name.as_str()), score(value).unwrap_or(0.0))).unzip()
        }
        _ => return Err("expected a list of values, or a map from values to scores".to_owned()),
    };
    if let Some(value) = values.iter().find(|value| value.is_array() || value.is_object() || value.is_null())
    {
        return Err(format!("{value} is no text or number"));
    }
    let weighted = WeightedValues::new(values, &scores).map_err(|error| error.to_string())?;
    let mut seen = BTreeSet::new();
    match weighted.texts().into_iter().find(|text| !seen.insert(text.clone())) {
        Some(twice) => Err(format!("`{twice}` stands there twice")),
        None => Ok(weighted),
    }
}

fn length(paths: &Paths, files: &mut Vec<String>, wrong: &mut Vec<SettingProblem>) -> Option<Length> {
    let path = paths.length.as_ref()?;
    files.push(path.clone());
    let read = text_file::read(path)
        .map_err(|error| format!("cannot read `{path}`: {error}"))
        .and_then(|text| Length::parse(&text).map_err(|error| format!("`{path}`: {error}")));
    match read {
        Ok(length) => Some(length),
        Err(problem) => {
            wrong.push(SettingProblem::new("/length", problem));
            None
        }
    }
}
