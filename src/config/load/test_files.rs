//! Reads the tests of a pipeline from the files in the folder beside it, and checks them like the `tests` of a
//! pipeline file.

use std::path::{Path, PathBuf};

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::config::plan::{LoadError, read_pipeline_file};
use crate::pipeline::document::Document;
use crate::pipeline::environment;
use crate::pipeline::schema_check::{self, SchemaCheckContext};
use crate::pipeline::{PipelineTest, Problems, TestFile, check_tests};

/// Reads the tests in every `.yaml` file of a folder, in the order of the files' names. `vars` are the pipeline's.
pub fn read_tests(folder: &Path, vars: &Map<String, Value>) -> Result<Vec<PipelineTest>, LoadError> {
    let failed = |source| LoadError::Read { path: folder.display().to_string(), source, near: String::new() };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            files.push(path);
        }
    }
    files.sort();
    let mut tests = Vec::new();
    for file in files {
        tests.extend(read_file(&file, vars)?);
    }
    Ok(tests)
}

fn read_file(path: &Path, vars: &Map<String, Value>) -> Result<Vec<PipelineTest>, LoadError> {
    let text = read_pipeline_file(path)?;
    let file = path.display().to_string();
    let mut problems = Vec::new();
    let mut document = Document::parse(&text, &mut problems)
        .map_err(|problem| LoadError::Problems(Problems::unreadable(&file, &text, *problem)))?;
    document.remove_extension_keys();
    let lookup = |name: &str| std::env::var(name).ok();
    let computed = environment::substitute(&mut document, &lookup, &mut problems);
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<TestFile>().to_value();
    let context = SchemaCheckContext { vars, computed: &computed };
    let value = schema_check::check(&mut document, "", &[], &schema, &context, &mut problems);
    let read = value.and_then(|value| {
        let read: Result<TestFile, _> = serde_path_to_error::deserialize(value);
        read.map_err(|error| problems.push(schema_check::from_serde_error("", &error))).ok()
    });
    if let Some(read) = &read {
        check_tests(&read.tests, vars, &mut problems);
    }
    match read {
        Some(read) if problems.is_empty() => Ok(read.tests),
        _ => Err(LoadError::Problems(Problems::locate(&file, &document, problems))),
    }
}
