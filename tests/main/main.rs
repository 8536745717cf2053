//! The integration tests: one binary, a folder for each subject, a module for each property.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod answers;
mod batches;
mod blocks;
mod cli;
mod client;
mod docs;
mod durability;
mod engine;
mod harness;
mod inputs;
mod jobs;
mod pipeline_files;
mod programs;
mod real_model;
mod recipes;
mod report;
#[cfg(target_os = "linux")]
mod sandboxes;
#[path = "../server/mod.rs"]
mod server;
mod source_tree;
