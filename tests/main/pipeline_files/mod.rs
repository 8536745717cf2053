//! What a pipeline file may contain, and which problems are reported in a wrong one.

mod bad_pipelines;
mod expressions;
mod types;
