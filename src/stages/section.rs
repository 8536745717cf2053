//! `section`: splits each document at its headings and extracts the facts of every section.
//!
//! In the source part, after `ingest`: takes the field `text` and makes one record per section. Headings and
//! facts are found by `markdown`, image files by `images`; this file has the options, the filter, and the
//! record's fields.

mod images;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::images::{DocumentImages, ImageResolver};
use super::{Role, StageDescription};
use crate::markdown::front_matter::{self, FrontMatter};
use crate::markdown::pieces::Pieces;
use crate::markdown::sections::{HeadingPath, OutlineSection, SplitPoints, trim_blank_lines};
use crate::markdown::{Outline, Syntax, facts, sections};
use crate::pipeline::ProducedField;
use crate::pipeline::{CheckContext, FieldType};
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Processor, SourceTransform, StageConfig, StageError, UnitRecords,
};

/// Cuts documents into sections with heading paths and facts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    /// The markup of the text. `auto` treats documents whose name ends in `.txt` as plain text and all others as
    /// Markdown.
    #[serde(default)]
    pub format: SectionFormat,
    /// Sections with a shorter body, in characters, are left out; empty ones always are.
    #[serde(default)]
    pub min_chars: usize,
    /// A longer body is split into several sections with the same title: between blocks where possible, otherwise
    /// between list items or sentences.
    #[serde(default = "max_chars")]
    pub max_chars: usize,
    /// Sections that contain this text, in the heading or the body, are left out; an empty text leaves out none.
    #[serde(default = "drop_marker")]
    pub drop_marker: String,
    /// Whether the local images of a section are listed in `section.images`, each with `path`, `alt`, `media_type`,
    /// `bytes` and `hash`; the `images` option of `prompt` sends them. Each file is read and hashed once per
    /// document, which `false` avoids.
    #[serde(default = "images")]
    pub images: bool,
    /// The folder to which image paths that begin with `/` are relative. Images must be inside it, the working
    /// directory or the document's folder. May name `vars`.
    #[serde(default)]
    pub image_root: Option<String>,
}

/// How a text is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SectionFormat {
    /// By the extension of the document's name.
    #[default]
    Auto,
    /// Markdown.
    Markdown,
    /// Plain text, without headings.
    Text,
}

fn max_chars() -> usize {
    8000
}

fn images() -> bool {
    true
}

fn drop_marker() -> String {
    "NO_CONTENT_HERE".to_owned()
}

/// The field of the images, which an option disables.
const IMAGES: &str = "section.images";

fn images_type() -> FieldType {
    let known = |(name, kind): (&str, FieldType)| (name.to_owned(), kind);
    let text = || FieldType::text();
    let fields = [
        ("path", text()),
        ("alt", text()),
        ("media_type", text()),
        ("bytes", FieldType::integer()),
        ("hash", text()),
    ];
    FieldType::list(FieldType::object_of(fields.map(known).into(), false))
}

impl StageDescription for Section {
    const NAME: &'static str = "section";
    const ROLE: Role = Role::SourceTransform;
    // 2: dialects of Markdown, formulas, short sentences of other scripts, prose above a line of hyphens.
    const VERSION: u32 = 2;
    const PURPOSE: &'static str =
        "Splits a document at its headings into one record per section, with heading path, text and facts.";
    const MAKES: &'static [ProducedField] = &[
        ProducedField::new(
            "document.title",
            FieldType::text,
            "The document's title: the declared one, its first heading, or its file's name.",
        ),
        ProducedField::new("front_matter", FieldType::object, "What the document's front matter declares."),
        ProducedField::new(
            "group",
            FieldType::texts,
            "The section's key; `split` keeps records with the same key together.",
        ),
        ProducedField::new("section.key", FieldType::text, "The document and the section's number in it."),
        ProducedField::new("section.number", FieldType::integer, "Its number in the document, from 1."),
        ProducedField::new("section.title", FieldType::text, "Its heading, or the document's title."),
        ProducedField::new(
            "section.heading_path",
            FieldType::text,
            "The headings above it and its own, with ` > ` between them.",
        ),
        ProducedField::new(
            "section.level",
            FieldType::integer,
            "The level of its heading; 0 before the first.",
        ),
        ProducedField::new("section.text", FieldType::text, "Its body; the field `text` is removed."),
        ProducedField::new("section.facts", FieldType::texts, "Its sentences, list items and table rows."),
        ProducedField::new(IMAGES, images_type, "Its local images, unless `images` is `false`."),
    ];
    const EXAMPLE: &'static str = "\
name: section-example
stages:
  - ingest: {paths: [\"markdown_docs/*.md\"]}
  - section:
      min_chars: 40
      max_chars: 4000
  - sink: {path: sections.jsonl, format: raw}
";
}

impl StageConfig for Section {
    fn check(&self, context: &mut CheckContext<'_>) {
        context.needs_type("", "text", &FieldType::text());
        if self.max_chars == 0 {
            context.problem("/max_chars", "`max_chars` is 0").expected("at least 1");
        } else if self.min_chars > self.max_chars {
            let message =
                format!("`min_chars` ({}) is above `max_chars` ({})", self.min_chars, self.max_chars);
            context.problem("/min_chars", message);
        }
        if let Some(root) = &self.image_root
            && let Some(root) = context.render("/image_root", root)
            && !Path::new(&root).is_dir()
        {
            context.problem("/image_root", format!("`{root}` is not a folder"));
        }
        context.removes(&["text"]);
        let shown = |made: &&ProducedField| self.images || made.name != IMAGES;
        context.makes_table(&Self::MAKES.iter().filter(shown).copied().collect::<Vec<_>>());
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let root = self.image_root.as_ref().map(|root| context.render(root)).transpose()?;
        let images = self.images.then(|| ImageResolver::new(root.as_deref()));
        Ok(Processor::SourceTransform(Box::new(SectionSplitter { config: self.clone(), images })))
    }
}

/// The processor: splits documents into sections.
struct SectionSplitter {
    config: Section,
    /// `None` if images are disabled.
    images: Option<ImageResolver>,
}

impl SourceTransform for SectionSplitter {
    fn transform<'a>(&'a self, records: UnitRecords<'a>) -> UnitRecords<'a> {
        Box::new(records.flat_map(|record| -> UnitRecords<'a> {
            match record.and_then(|record| DocumentSections::new(self, record)) {
                Ok(sections) => Box::new(sections.flatten().map(Ok)),
                Err(error) => Box::new(std::iter::once(Err(error))),
            }
        }))
    }
}

/// The sections of one document, those of a piece of its text made at a time.
struct DocumentSections<'a> {
    splitter: &'a SectionSplitter,
    /// What every section's record has.
    record: Record,
    key: String,
    title: String,
    /// The text after the front matter.
    text: String,
    pieces: Pieces,
    /// The next piece: its start, its outline and its end; `None` after the last.
    next: Option<(usize, Outline, usize)>,
    /// The headings above it.
    above: HeadingPath,
    images: Option<DocumentImages<'a>>,
    /// The number of the last section.
    number: u64,
}

impl<'a> DocumentSections<'a> {
    fn new(splitter: &'a SectionSplitter, mut record: Record) -> Result<Self, StageError> {
        let Some(Value::String(text)) = record.fields.shift_remove("text") else {
            return Err(StageError::new("section", "the field `text` is missing or no text"));
        };
        let mut text =
            if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text };
        let syntax = splitter.syntax(&record);
        let front_matter = match syntax {
            Syntax::Markdown => front_matter::split(&text),
            Syntax::Plain => FrontMatter { rest: &text, ..FrontMatter::default() },
        };
        let key = document_key(&record, front_matter.rest);
        if let Some(problem) = &front_matter.problem {
            tracing::warn!(
                "`{key}`: its front matter cannot be read as a whole, only line by line: {problem}"
            );
        }
        let declared = front_matter.title();
        let start = text.len() - front_matter.rest.len();
        let fields = front_matter.fields;
        text.drain(..start);
        let pieces = Pieces::new(&text, syntax);
        let (outline, end) = pieces.read(&text, 0);
        let title = declared
            .or_else(|| pieces.first_title(&text, &outline, end))
            .or_else(|| record.text("source.stem").map(str::to_owned))
            .unwrap_or_else(|| key.clone());
        let images = splitter.images.as_ref().map(|finder| finder.of_document(&record));
        record.set("document", json!({"title": title}));
        record.set("front_matter", fields);
        let (next, above) = (Some((0, outline, end)), HeadingPath::new());
        Ok(Self { splitter, record, key, title, text, pieces, next, above, images, number: 0 })
    }
}

impl Iterator for DocumentSections<'_> {
    type Item = Vec<Record>;

    fn next(&mut self) -> Option<Vec<Record>> {
        let (start, outline, end) = self.next.take()?;
        let text = &self.text[start..end];
        let points = SplitPoints::new(text, &outline, self.splitter.config.max_chars);
        let mut records = Vec::new();
        for cut in sections::split_below(text, &outline, &self.title, &mut self.above) {
            if !self.splitter.keeps(text, &cut, &outline) {
                continue;
            }
            // The first part also shows the images of the heading.
            let mut shown_from = cut.whole.start;
            for part in points.parts(cut.body.clone()) {
                let readable = outline.readable(text, &part);
                let body = trim_blank_lines(&readable);
                if body.is_empty() {
                    continue;
                }
                self.number += 1;
                let key = format!("{}#{}", self.key, self.number);
                let mut record = self.record.clone();
                record.set("group", vec![key.clone()]);
                let fields = [
                    ("key", Value::from(key)),
                    ("number", self.number.into()),
                    ("title", cut.title.clone().into()),
                    ("heading_path", cut.path.join(" > ").into()),
                    ("level", cut.level.into()),
                    ("text", body.into()),
                    ("facts", facts::of(text, &outline, &part).into()),
                ];
                let mut section: Map<String, Value> =
                    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
                if let Some(images) = &mut self.images {
                    let images = images.of(outline.images_in(&(shown_from..part.end)));
                    section.insert("images".to_owned(), images);
                }
                record.set("section", section);
                shown_from = part.end;
                records.push(record);
            }
        }
        if end < self.text.len() {
            let (outline, next_end) = self.pieces.read(&self.text, end);
            self.next = Some((end, outline, next_end));
        }
        Some(records)
    }
}

impl SectionSplitter {
    fn syntax(&self, record: &Record) -> Syntax {
        match self.config.format {
            SectionFormat::Markdown => Syntax::Markdown,
            SectionFormat::Text => Syntax::Plain,
            SectionFormat::Auto => {
                let name = record.text("source.name").unwrap_or_default().to_lowercase();
                if name.ends_with(".txt") { Syntax::Plain } else { Syntax::Markdown }
            }
        }
    }

    fn keeps(&self, text: &str, cut: &OutlineSection, outline: &Outline) -> bool {
        let marker = &self.config.drop_marker;
        if !marker.is_empty() && text[cut.whole.clone()].contains(marker.as_str()) {
            return false;
        }
        let body = cut.body.clone();
        outline.is_readable(&body) && text[body].trim().chars().count() >= self.config.min_chars
    }
}

/// The document in its sections' keys: its path, with the row if it is one.
fn document_key(record: &Record, text: &str) -> String {
    let Some(path) = record.text("source.path") else {
        // A row with its own field `source`.
        return format!("text-{}", &blake3::hash(text.as_bytes()).to_hex()[..16]);
    };
    match record.get("source.row").and_then(Value::as_u64) {
        Some(row) => format!("{path}:{row}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
