//! The checks of a pipeline file, from its parts to the whole.
//!
//! `globals` and `stages` validate what is written against the schemas and deserialize it, `stage_order` checks
//! where stages are allowed, and `pipeline_check` passes one check context through all stages. Each reports every
//! problem that it finds, unless that problem follows from one reported before.

mod globals;
mod pipeline_check;
mod stage_order;
mod stages;

pub(super) use self::globals::{Globals, pipeline_schema};
pub(super) use self::pipeline_check::{CheckedPipeline, PipelineCheckInput, check_pipeline, vars_in_texts};
pub(super) use self::stages::{COMMON_KEYS, DeclaredStage, allow_common_keys, declare_stages};
