//! `sample_injections`: draws attributes for each record (topic, tone, language, ...) and a length.
//!
//! Comes after `generate`, or wherever records are to be varied; `prompt` puts the drawn values into words. This
//! file has the options and the effect on the record. `files` reads the folder, `assemble` makes a sampler from
//! options and files, `sampler` draws, `explain` shows the shares before a run.

mod assemble;
mod drawn;
mod entries;
mod explain;
mod files;
mod fill;
mod groups;
mod length;
mod quota;
mod sampler;
mod settings;
mod settle;
mod shares;
mod tables;
mod weighted;
mod written;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::assemble::{Assembled, Paths, assemble};
use self::drawn::Law;
use self::sampler::{AttributeKind, Sampler};
use self::settings::AttributeSettings;
use self::weighted::WeightedValues;
use super::{Role, StageDescription};
use crate::pipeline::ProducedField;
use crate::pipeline::{CheckContext, FieldType};
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Explanation, Processor, StageConfig, StageError, Transform, TransformOutput,
};

/// Draws attributes by frequency, and a length.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SampleInjections {
    /// A folder of injection files (JSON, YAML or CSV), each of which defines an attribute. `tone.json` is a list of
    /// objects with a value under `tone` and its weight under `frequency score`, `frequency`, `score`, `weight`,
    /// `share` or `probability`; or an object that maps values to weights; or a list of values, which are drawn
    /// equally often. A value is drawn in proportion to its weight; an empty value means that the attribute is
    /// absent. May name `vars`.
    #[serde(default)]
    folder: Option<String>,
    /// Settings for each attribute: how an attribute of the folder is drawn, or the values of one that has no file
    /// there.
    #[serde(default)]
    attributes: BTreeMap<String, AttributeSettings>,
    /// Combinations that are never drawn, such as `{topic: late fees, tone: [friendly, formal]}`. The remaining
    /// combinations keep their proportions, so the shares of the values named become smaller; `validate` shows them.
    #[serde(default)]
    exclude: Vec<BTreeMap<String, Value>>,
    /// A JSON file with `mean`, `sigma` and `shift` of the target length in words: `shift` plus a log-normal number
    /// with `mean` and `sigma`, rounded down. May name `vars`.
    #[serde(default)]
    length: Option<String>,
}

/// The fields this stage makes.
const INJECTIONS: &str = "injections";
const LIST: &str = "injection_list";
const TARGET_WORDS: &str = "target_words";

impl StageDescription for SampleInjections {
    const NAME: &'static str = "sample_injections";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str =
        "Draws attributes such as topic, tone and language by their frequency, and a target length.";
    const MAKES: &'static [ProducedField] = &[
        ProducedField::new(
            "injections.NAME",
            FieldType::any,
            "The value of each attribute as in its file; a list with `sample`; with `draw` a number, or a \
             date as text.",
        ),
        ProducedField::new(
            LIST,
            FieldType::text,
            "The attributes that are not empty, one per line: `- tone: friendly`.",
        ),
        ProducedField::new(TARGET_WORDS, FieldType::integer, "The target length, with `length`."),
    ];
    const EXAMPLE: &'static str = r#"name: sample-injections-example
stages:
  - generate: {count: 50}
  - sample_injections:
      folder: config/injections
      length: config/response_length_distribution.json
      attributes:
        language: {quota: exact}
        tone:
          given:
            topic:
              late fees and how to pay them: {impatient and annoyed: 40, friendly and chatty: 0}
        age: {draw: {normal: {mean: 40, sigma: 15, min: 12, max: 95}}}
        visited_on: {draw: {date: {from: 2025-01-01, to: 2025-12-31}}}
        channel: {draw: {choice: {website: 3, terminal: 1}}}
        interests:
          draw: {choice: [history, cooking, travel, crime novels, comics]}
          sample: 2
      exclude:
        - {topic: school classes and tours of the library, channel: terminal}
  - prompt:
      user: |
        Ask the library's assistant one question of about {{ target_words }} words:
        {{ injection_list }}
  - sink: {path: prompts.jsonl, format: raw, fields: [id, injections, target_words, prompt]}
"#;
}

impl StageConfig for SampleInjections {
    fn check(&self, context: &mut CheckContext<'_>) {
        if self.folder.is_none() && self.attributes.is_empty() && self.length.is_none() {
            context.problem("", "nothing is drawn").expected("`folder`, `attributes` or `length`");
        }
        let paths = self.checked_paths(context);
        // The draws themselves do not matter to a check.
        let draws = crate::draw::Draws::new(0, "check".into());
        let assembled = assemble(self, &paths, context.items(), draws);
        for wrong in &assembled.wrong {
            let problem = context.problem(&wrong.at, &wrong.message);
            problem.expected.clone_from(&wrong.expected);
            problem.hint.clone_from(&wrong.hint);
            let path = match wrong.at.as_str() {
                "/folder" => paths.folder.as_deref(),
                "/length" => paths.length.as_deref(),
                _ => None,
            };
            path.into_iter().for_each(|path| context.hint_if_missing(path));
        }
        assembled.files.iter().for_each(|file| context.depends_on(file));
        if !assembled.left_out.is_empty() {
            let left_out = assembled.left_out.join(", ");
            tracing::warn!("left out, no injection files (`.json`, `.yaml`, `.csv`): {left_out}");
        }
        self.declare_fields(context, &assembled);
        context.keeps_items();
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let sampler = self.sampler(context)?;
        Ok(Processor::Transform(Box::new(Injector { sampler, stage: Arc::clone(context.draws.stage()) })))
    }

    fn explain(&self, context: &BuildContext) -> Result<Option<Explanation>, BuildError> {
        Ok(Some(explain::explain(&self.sampler(context)?, context.items)))
    }
}

impl SampleInjections {
    fn checked_paths(&self, context: &mut CheckContext<'_>) -> Paths {
        let mut paths = Paths::default();
        if let Some(folder) = &self.folder {
            paths.folder = context.render("/folder", folder);
        }
        if let Some(length) = &self.length {
            paths.length = context.render("/length", length);
        }
        for (name, settings) in &self.attributes {
            if let Some(table) = &settings.rows {
                let at = assemble::inside("/attributes", name) + "/rows/path";
                let path = context.render(&at, &table.path);
                paths.rows.extend(path.map(|path| (name.clone(), path)));
            }
        }
        paths
    }

    fn sampler(&self, context: &BuildContext) -> Result<Sampler, BuildError> {
        let render = |path: &Option<String>| path.as_ref().map(|path| context.render(path)).transpose();
        let mut paths =
            Paths { folder: render(&self.folder)?, length: render(&self.length)?, ..Paths::default() };
        for (name, settings) in &self.attributes {
            if let Some(table) = &settings.rows {
                paths.rows.insert(name.clone(), context.render(&table.path)?);
            }
        }
        let assembled = assemble(self, &paths, context.items, context.draws.clone());
        match assembled.wrong.is_empty() {
            true => Ok(assembled.sampler),
            false => {
                let texts: Vec<&str> = assembled.wrong.iter().map(|wrong| wrong.message.as_str()).collect();
                Err(BuildError::Other(texts.join("; ")))
            }
        }
    }

    /// Declares which fields records have from here on, and which of them a prompt must use.
    fn declare_fields(&self, context: &mut CheckContext<'_>, assembled: &Assembled) {
        let attributes = &assembled.sampler.attributes;
        let given = attributes.iter().filter_map(|attribute| match &attribute.kind {
            AttributeKind::SingleValue(one) => one.given.as_ref().map(|given| given.on),
            _ => None,
        });
        let shapes_others: Vec<usize> = given.collect();
        let mut drawn = FieldType::object_of(Vec::new(), false);
        let mut must_be_read = Vec::new();
        for (place, attribute) in attributes.iter().enumerate() {
            drawn = drawn.with(&attribute.name, type_of(&attribute.kind));
            if !shapes_others.contains(&place) {
                must_be_read.push(format!("{INJECTIONS}.{}", attribute.name));
            }
        }
        // Values drawn by an earlier stage of this type stay.
        let before = context.type_of(INJECTIONS);
        for (name, kind) in before.fields().filter(|_| context.has(INJECTIONS)) {
            if drawn.fields().all(|(known, _)| known != name) {
                drawn = drawn.with(name, kind.clone());
            }
        }
        context.makes_as(INJECTIONS, drawn);
        context.makes_as(LIST, FieldType::text());
        if self.length.is_some() {
            context.makes_as(TARGET_WORDS, FieldType::integer());
            must_be_read.push(TARGET_WORDS.to_owned());
        }
        // The values of an invalid file are unknown.
        if assembled.wrong.is_empty() {
            context.require_in_prompt(must_be_read, &[LIST]);
        } else {
            context.may_have_other_fields();
        }
    }
}

/// The type of an attribute's values.
fn type_of(kind: &AttributeKind) -> FieldType {
    let one_of = |weighted: &WeightedValues| {
        weighted.values.iter().map(FieldType::of_value).fold(FieldType::never(), FieldType::or)
    };
    match kind {
        AttributeKind::SingleValue(one) => one_of(&one.values),
        AttributeKind::Several(weighted, _) => FieldType::list(one_of(weighted)),
        AttributeKind::Law(Law::Days { .. }) => FieldType::text(),
        AttributeKind::Law(_) => FieldType::number(),
    }
}

/// The processor: draws attributes and the target length for a record.
struct Injector {
    sampler: Sampler,
    stage: Arc<str>,
}

impl Transform for Injector {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        let key = record.id.to_string();
        let drawn = self.sampler.draw(record.id.item, &key)?;
        let mut noted = Map::new();
        noted.insert(INJECTIONS.into(), Value::Object(drawn.clone()));
        if let Some(words) = self.sampler.draw_length(&key) {
            record.set(TARGET_WORDS, words);
            noted.insert(TARGET_WORDS.into(), json!(words));
        }
        record.provenance.draws.insert(self.stage.to_string(), Value::Object(noted));
        // What an earlier stage of this kind drew stays.
        let mut injections = match record.fields.remove(INJECTIONS) {
            Some(Value::Object(before)) => before,
            _ => Map::new(),
        };
        injections.extend(drawn);
        record.set(LIST, fill::list(&injections));
        record.set(INJECTIONS, injections);
        Ok(TransformOutput::Pass)
    }
}
