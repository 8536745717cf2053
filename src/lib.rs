//! synthmill makes training and evaluation data with language models, from a pipeline declared in YAML.
//!
//! The way of one record, file by file, is told in `docs/architecture.md`. In short:
//!
//! ```text
//! pipeline.yaml -> config: load, check, plan
//! source part (ingest, section, ...) -> engine: admission -> one task per stage -> storage
//!                                                  |
//!                                                  llm: the model client
//! ```

pub mod cli;
pub mod config;
pub mod draw;
pub mod engine;
pub mod journal;
pub mod llm;
pub mod markdown;
pub mod record;
pub mod report;
pub mod stage;
pub mod stages;
pub mod template;
