//! The integration tests, one module for each property, in one binary.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod another_run;
mod bad_pipelines;
mod batch_script;
mod batch_server;
mod batches;
mod batches_killed;
mod batches_trouble;
mod blocks;
mod blocks_in_flight;
mod browser;
mod budgets;
mod child;
mod command_line;
mod docs_to_qa;
mod documents;
mod exits;
mod expressions;
mod extent;
mod fallback;
mod faulty_disk;
mod forwarder;
mod gates;
mod generated;
mod harmed;
mod harness;
mod images;
mod invariants;
mod killed;
#[cfg(target_os = "linux")]
mod memory;
mod mock;
mod model_server;
mod outcomes;
mod own_pipeline;
mod protocol;
mod reading;
mod real_model;
mod real_model_run;
mod reasoning;
mod replies;
mod report_data;
mod report_page;
mod reuse;
mod running;
mod sampling;
mod secrets;
#[path = "../server/mod.rs"]
mod server;
mod server_process;
mod server_table;
mod several;
mod shipped;
mod status;
mod stopped;
mod storage_faults;
mod surroundings;
mod tampered;
mod terminal;
mod tidy;
mod tls;
mod types;
mod users_files;
mod vllm;
mod weather;
