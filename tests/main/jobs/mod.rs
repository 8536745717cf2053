//! Whole pipelines, shipped or written by a user, judged by the data that they make.

mod choosing;
mod cues;
mod docs_to_qa;
mod formats;
mod own_pipeline;
mod shipped;
mod source_mentions;
mod tools;
mod unrolled;
mod user_inputs;
