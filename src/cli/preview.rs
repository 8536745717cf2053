//! `preview`: a few records, stage by stage, to the terminal; nothing is written.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::exit::Exit;
use super::{PipelineArgs, print, run};
use crate::engine::{self, Parts, Preview};
use crate::image::Image;
use crate::record::Record;

/// Characters shown of a field.
const SHOWN: usize = 600;

/// The arguments of `preview`.
#[derive(Debug, Args)]
pub(super) struct PreviewArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// How many items are shown.
    #[arg(short = 'n', long = "items", default_value_t = 3, value_name = "K")]
    items: u64,
    /// Shows the rendered prompts and asks no model.
    #[arg(long)]
    prompts_only: bool,
}

pub(super) fn run(args: &PreviewArgs) -> anyhow::Result<Exit> {
    let plan = run::load(&args.pipeline.pipeline, &args.pipeline.changes)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let result = runtime.block_on(async {
        let parts = Parts::build(&plan, &run::providers(&plan)?, "now")?;
        let shown = engine::preview(parts, args.items, args.prompts_only, |preview| print(&text(&preview)));
        anyhow::Ok(shown.await)
    })?;
    match result {
        Ok(failures) => {
            for failure in failures {
                tracing::warn!("cannot read {failure}");
            }
            Ok(Exit::Complete)
        }
        Err(error) => {
            tracing::error!("stage `{}`: {error}", error.stage);
            Ok(Exit::Model)
        }
    }
}

fn text(preview: &Preview) -> String {
    let mut text = format!("== item {} ==\n", preview.item.id);
    fields(&mut text, &preview.item.fields, &Map::new());
    let mut known = preview.item.fields.clone();
    for step in &preview.steps {
        let _ = writeln!(text, "-- {} -- {}", step.stage, step.id);
        for record in &step.records {
            if step.records.len() > 1 {
                let _ = writeln!(text, "   > {}", record.id);
            }
            fields(&mut text, &record.fields, &known);
        }
        if let Some(note) = &step.note {
            let _ = writeln!(text, "   {}", shortened(note));
        }
        if let [Record { fields, .. }] = step.records.as_slice() {
            known.clone_from(fields);
        }
    }
    text.push('\n');
    text
}

/// The fields that a stage made or changed.
fn fields(text: &mut String, fields: &Map<String, Value>, known: &Map<String, Value>) {
    let gone: BTreeSet<&String> = known.keys().filter(|key| !fields.contains_key(*key)).collect();
    for (name, value) in fields.iter().filter(|(name, value)| known.get(*name) != Some(value)) {
        let shown = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let _ = writeln!(text, "   {name}: {}", shortened(&shown).replace('\n', "\n      "));
        images(text, value);
    }
    for name in gone {
        let _ = writeln!(text, "   {name}: (removed)");
    }
}

/// The images that go along with messages; these stand behind long texts, which are cut.
fn images(text: &mut String, value: &Value) {
    for message in value.as_array().into_iter().flatten() {
        let Some(Value::Array(images)) = message.get("images") else { continue };
        for image in images.iter().filter_map(|image| Image::deserialize(image).ok()) {
            let (path, kind) = (&image.path, image.media_type.as_str());
            let _ = writeln!(text, "      with image {path} ({kind}, {} bytes)", image.bytes);
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} [... {} more characters]", &text[..end], text[end..].chars().count()),
        None => text.to_owned(),
    }
}
