//! `preview`: prints a few records, stage by stage; writes nothing.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::exit::Exit;
use super::{PipelineArgs, print, print_data, run};
use crate::engine::{self, BuiltPipeline, ItemSelection, Preview};
use crate::image::Image;
use crate::record::{Record, RecordId};

/// The fields that `repeat` adds to a record during a pass: the pass itself, and the fields before it.
const PASS_FIELDS: [&str; 2] = ["repeat", "previous"];
/// Characters shown of a field, unless it is shown whole.
const FIELD_CHARS: usize = 600;

/// The arguments of `preview`.
#[derive(Debug, Args)]
pub(super) struct PreviewArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// How many items are shown.
    #[arg(short = 'n', long = "items", default_value_t = 3, value_name = "K")]
    items: u64,
    /// Shows the item with this number, counted from 0.
    #[arg(long, value_name = "N", conflicts_with_all = ["items", "sample"])]
    item: Option<u64>,
    /// Draws the items from the first 10,000 of the source instead of showing the first ones.
    #[arg(long)]
    sample: bool,
    /// Shows the rendered prompts, whole, and asks no model.
    #[arg(long)]
    prompts_only: bool,
}

impl PreviewArgs {
    fn choice(&self, seed: u64) -> ItemSelection {
        match self.item {
            Some(item) => ItemSelection::Item(item),
            None if self.sample => ItemSelection::Sample { count: self.items, seed },
            None => ItemSelection::First(self.items),
        }
    }
}

/// How an item is printed.
#[derive(Debug, Clone, Copy)]
struct PreviewStyle {
    prompts_only: bool,
    /// Whether long texts are shown whole.
    whole: bool,
}

pub(super) fn run(args: &PreviewArgs, json: bool, verbose: bool) -> anyhow::Result<Exit> {
    let plan = run::load(&args.pipeline.pipeline, &args.pipeline.changes.overrides())?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let style = PreviewStyle { prompts_only: args.prompts_only, whole: verbose || args.prompts_only };
    let mut any = false;
    let show = |preview: Preview| {
        any = true;
        match json {
            true => print_data(&format!("{}\n", as_json(&preview))),
            false => print(&text(&preview, style)),
        }
    };
    let choice = args.choice(plan.seed);
    let result = runtime.block_on(async {
        let pipeline = BuiltPipeline::build(&plan, &run::connect_direct(&plan)?, "now")?;
        anyhow::Ok(engine::preview(pipeline, choice, args.prompts_only, show).await)
    })?;
    match result {
        Ok(failures) => {
            for failure in failures {
                tracing::warn!("cannot read {failure}");
            }
            match (any, args.item) {
                (true, _) => {}
                (false, Some(item)) => tracing::warn!("the source ended before item {item}"),
                (false, None) => tracing::warn!("the source holds no item"),
            }
            Ok(Exit::Complete)
        }
        Err(error) => {
            tracing::error!("stage `{}`: {error}", error.stage);
            Ok(Exit::Model)
        }
    }
}

fn as_json(preview: &Preview) -> Value {
    let record = |record: &Record| json!({"id": record.id.to_string(), "fields": record.fields});
    let steps = preview.steps.iter().map(|step| {
        let records: Vec<Value> = step.records.iter().map(record).collect();
        json!({"stage": step.stage, "id": step.id.to_string(), "records": records, "note": step.note})
    });
    json!({"item": record(&preview.item), "steps": steps.collect::<Vec<_>>()})
}

fn text(preview: &Preview, style: PreviewStyle) -> String {
    let mut text = format!("== item {} ==\n", preview.item.id);
    if !style.prompts_only {
        fields(&mut text, &preview.item.fields, &Map::new(), style);
    }
    let mut known = ShownFields { item: &preview.item.fields, records: HashMap::new() };
    for step in &preview.steps {
        let mut step_text = String::new();
        let _ = writeln!(step_text, "-- {} -- {}", step.stage, step.id);
        for record in &step.records {
            let before = known.before(&record.id);
            if step.records.len() > 1 {
                let _ = writeln!(step_text, "   > {}", record.id);
            }
            fields(&mut step_text, &record.fields, before, style);
        }
        // If no stage asks a model, a sink's line would repeat everything.
        if let Some(note) = step.note.as_ref().filter(|_| !style.prompts_only || step.records.is_empty()) {
            let _ = writeln!(step_text, "   {}", shortened(note, style).replace('\n', "\n   "));
        }
        text.push_str(&indented_step(&step_text, step.stage.matches('/').count()));
        step.records.iter().for_each(|record| known.note(record));
    }
    text.push('\n');
    text
}

/// The fields of each record as they were last shown.
struct ShownFields<'a> {
    item: &'a Map<String, Value>,
    records: HashMap<RecordId, &'a Map<String, Value>>,
}

impl<'a> ShownFields<'a> {
    /// Returns the fields of a record before a step. The first stage of a pass or an element starts from what
    /// entered the block, one behind a fan-out from the record that was split.
    fn before(&self, id: &RecordId) -> &'a Map<String, Value> {
        let mut id = id.clone();
        loop {
            match self.records.get(&id) {
                Some(fields) => return fields,
                None if id.path.pop().is_none() => return self.item,
                None => {}
            }
        }
    }

    fn note(&mut self, record: &'a Record) {
        let mut id = record.id.clone();
        self.records.insert(id.clone(), &record.fields);
        // The next pass, and whatever follows the block, start from the last one.
        while let Some(branch) = id.path.pop_if(|branch| branch.is_pass) {
            let began = self.before(&id);
            self.records.entry(id.pass(&branch.stage, 0)).or_insert(began);
            self.records.insert(id.clone(), &record.fields);
        }
    }
}

/// Indents a step by the number of blocks it is in.
fn indented_step(step_text: &str, blocks: usize) -> String {
    let margin = "     ".repeat(blocks);
    let lines = step_text.lines().map(|line| match line.is_empty() {
        true => "\n".to_owned(),
        false => format!("{margin}{line}\n"),
    });
    lines.collect()
}

/// Prints the fields that a stage made or changed. The fields before a pass were shown when they were made.
fn fields(text: &mut String, fields: &Map<String, Value>, known: &Map<String, Value>, style: PreviewStyle) {
    let removed: BTreeSet<&String> = known.keys().filter(|key| !fields.contains_key(*key)).collect();
    for (name, value) in fields.iter().filter(|(name, value)| known.get(*name) != Some(value)) {
        if name == PASS_FIELDS[1] {
            continue;
        }
        if let Some(messages) = messages(value) {
            let _ = writeln!(text, "   {name}:");
            for (role, content) in messages {
                let _ = writeln!(text, "   [{role}]\n{}\n", indented(&shortened(content, style)));
            }
            images(text, value);
            continue;
        }
        let shown = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let _ = writeln!(text, "   {name}: {}", shortened(&shown, style).replace('\n', "\n      "));
        images(text, value);
    }
    for name in removed.into_iter().filter(|name| !PASS_FIELDS.contains(&name.as_str())) {
        let _ = writeln!(text, "   {name}: (removed)");
    }
}

/// Returns role and content of the messages of a conversation, if the value is one.
fn messages(value: &Value) -> Option<Vec<(&str, &str)>> {
    let turns = value.as_array().filter(|turns| !turns.is_empty())?;
    turns.iter().map(|turn| Some((turn.get("role")?.as_str()?, turn.get("content")?.as_str()?))).collect()
}

fn indented(text: &str) -> String {
    let lines =
        text.lines().map(|line| if line.is_empty() { String::new() } else { format!("      {line}") });
    lines.collect::<Vec<_>>().join("\n")
}

/// Lists the images of messages. They come last, since long texts are cut.
fn images(text: &mut String, value: &Value) {
    for message in value.as_array().into_iter().flatten() {
        let Some(Value::Array(images)) = message.get("images") else { continue };
        for image in images.iter().filter_map(|image| Image::deserialize(image).ok()) {
            let (path, kind) = (&image.path, image.media_type.as_str());
            let _ = writeln!(text, "      with image {path} ({kind}, {} bytes)", image.bytes);
        }
    }
}

fn shortened(text: &str, style: PreviewStyle) -> String {
    match text.char_indices().nth(FIELD_CHARS).filter(|_| !style.whole) {
        Some((end, _)) => format!("{} [... {} more characters]", &text[..end], text[end..].chars().count()),
        None => text.to_owned(),
    }
}
