//! synthmill makes training and evaluation data with language models, from a pipeline declared in YAML.
//!
//! `docs/architecture.md` follows one record from file to file. In short:
//!
//! ```text
//! pipeline.yaml -> config: load, check -> Plan -> engine::BuiltPipeline
//! source thread (ingest, section, plan_questions): reads documents, makes records
//!   -> admission: numbers the items, lets them into the run; first chain: prompt
//!   -> a task per record: llm + parse, split, cot_expand, sink
//!   -> ledger: collects the lines of an item, decides how it ended
//!   -> writer thread (journal): outputs first, then the commit that names them
//! events of the ledger -> run: progress line, summary
//! ```
//!
//! To read the code, take the modules in this order: [`record`], [`stage`], one of the [`stages`] (`split`),
//! [`engine`], [`journal`], [`llm`], [`pipeline`], [`config`]. [`template`], [`draw`] and [`markdown`] are used by others
//! and use little; [`run`], [`report`] and [`cli`] face the user.
//!
//! The program is a thin layer over the library. This loads a pipeline and previews its first item without writing
//! anything:
//!
//! ```
//! use synthmill::config::{Overrides, Plan};
//! use synthmill::engine::{BuiltPipeline, ConnectedModels, ItemSelection, preview};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let yaml = "
//! name: titles
//! stages:
//!   - ingest: {paths: [markdown_docs/tides.md]}
//!   - section: {}
//!   - sink: {path: titles.jsonl, format: raw, fields: [section.title]}
//! ";
//! let plan = Plan::load_text("titles.yaml", yaml, &Overrides::default())?;
//! let models = ConnectedModels::connect_direct(&plan)?;
//! let pipeline = BuiltPipeline::build(&plan, &models, "2026-01-31_12-00-00")?;
//! let mut notes = Vec::new();
//! let first = ItemSelection::First(1);
//! let shown = preview(pipeline, first, false, |shown| notes.extend(shown.steps.into_iter().map(|step| step.note)));
//! tokio::runtime::Runtime::new()?.block_on(shown)?;
//! assert_eq!(notes, [Some(r#"titles.jsonl <- {"section.title":"How tides work"}"#.to_owned())]);
//! # Ok(())
//! # }
//! ```

pub mod cli;
pub mod config;
pub mod draw;
pub mod engine;
mod formats;
pub mod heuristic;
pub mod image;
pub mod journal;
mod language;
pub mod llm;
pub mod markdown;
mod nearest;
mod number;
pub mod pipeline;
pub mod printable;
pub mod rational;
pub mod record;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod stage;
pub mod stages;
pub mod template;
pub mod text_file;
mod token_count;
