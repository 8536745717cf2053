//! A test of a pipeline as its author writes it: input records, the models' answers, and the expected output.
//!
//! Part of `declaration`, or in files beside the pipeline; `synthmill test` runs the tests.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document::join;
use super::mock::{MockConfig, MockRule};
use super::mock_check;
use super::model::{ModelConfig, Provider};
use super::problem::Problem;
use crate::template::Expression;

/// A test of the pipeline.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineTest {
    /// What the test checks, for people.
    pub name: String,
    /// The records that the stages process, as they would leave the source part (`ingest` or `generate`, `section`,
    /// `plan_questions`), which does not run.
    pub input: Vec<Map<String, Value>>,
    /// The answer of every model: a text, or a map or list, which becomes JSON. Texts are templates, as in a mock's
    /// rules.
    #[serde(default)]
    pub answer: Option<Value>,
    /// Mock scripts by the names of models, in the form of `models.NAME.mock`, which they replace.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Map<String, Value>>")]
    pub mock: BTreeMap<String, MockConfig>,
    /// The expected lines by the ids of sinks, complete and in order. Of each line, only the given keys are compared.
    #[serde(default)]
    pub expect: BTreeMap<String, Vec<Map<String, Value>>>,
    /// Expressions by the ids of sinks that must be true for every line; they can use its keys.
    #[serde(default)]
    pub check: BTreeMap<String, Vec<String>>,
    /// The reasons of the dropped records, in order; not compared unless given.
    #[serde(default)]
    pub dropped: Option<Vec<String>>,
    /// The error classes of the rejected records, in order; none unless given.
    #[serde(default)]
    pub rejected: Vec<String>,
}

/// A file of tests beside a pipeline.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// The tests, as in a pipeline file.
    pub tests: Vec<PipelineTest>,
}

/// Reports what is wrong with the scripts and expressions of tests, whose list is at `/tests`.
pub(crate) fn check_tests(tests: &[PipelineTest], vars: &Map<String, Value>, problems: &mut Vec<Problem>) {
    for (index, test) in tests.iter().enumerate() {
        let at = format!("/tests/{index}");
        for (name, script) in &test.mock {
            mock_check::check_script(&join(&format!("{at}/mock"), name), script, 1, vars, problems);
        }
        for (sink, conditions) in &test.check {
            for (index, condition) in conditions.iter().enumerate() {
                if let Err(error) = Expression::new(condition, vars) {
                    let at = format!("{}/{index}", join(&format!("{at}/check"), sink));
                    problems.push(Problem::new(at, error.to_string()));
                }
            }
        }
        if test.input.is_empty() {
            let problem = Problem::new(format!("{at}/input"), "the test has no record to begin with");
            problems.push(problem.with_expected("at least one record"));
        }
    }
}

impl PipelineTest {
    /// The models with the answers of this test. Delays of the models' own scripts are left out.
    #[must_use]
    pub fn models(&self, models: &BTreeMap<String, ModelConfig>) -> BTreeMap<String, ModelConfig> {
        let mut scripted = models.clone();
        for (name, model) in &mut scripted {
            model.provider = Provider::Mock;
            let own = model.mock.take().map(|own| MockConfig { delay: None, limit: None, ..own });
            model.mock = match (self.mock.get(name), &self.answer) {
                (Some(script), _) => Some(script.clone()),
                (None, Some(answer)) => {
                    let rule = MockRule { answer: Some(answer.clone()), ..MockRule::default() };
                    Some(MockConfig { rules: vec![rule], ..MockConfig::default() })
                }
                (None, None) => own,
            };
        }
        scripted
    }
}
