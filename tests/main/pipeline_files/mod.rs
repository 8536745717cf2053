//! What a pipeline file may say, and what is reported of one that is wrong.

mod bad_pipelines;
mod expressions;
mod types;
