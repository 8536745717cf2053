//! Checks of a pipeline file's global settings, all but its stages: schema, models, limits.
//!
//! Invalid settings still yield what can be known, such as which models are declared, so that the stages are
//! checked too.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::nearest::{did_you_mean, listed};
use crate::pipeline::Concurrency;
use crate::pipeline::Pipeline;
use crate::pipeline::check_tests;
use crate::pipeline::document::{Document, each_text, join};
use crate::pipeline::environment::is_name;
use crate::pipeline::mock_check;
use crate::pipeline::problem::Problem;
use crate::pipeline::schema_check::{self, SchemaCheckContext};
use crate::pipeline::secrets::is_secret;
use crate::pipeline::{Api, Limits, ModelConfig, Provider};

/// The global settings.
pub(in crate::config) struct Globals {
    /// All settings, if they match the schema.
    pub(in crate::config) pipeline: Option<Pipeline>,
    /// The declared models; one that is invalid has default settings.
    pub(in crate::config) models: BTreeMap<String, ModelConfig>,
}

impl Globals {
    /// Deserializes the settings and reports what is wrong with them.
    pub(in crate::config) fn load(
        document: &mut Document,
        context: &SchemaCheckContext<'_>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        render_model_texts(document, context, problems);
        let before = problems.len();
        let value = schema_check::check(document, "", &[], &pipeline_schema(), context, problems);
        let pipeline = value.and_then(|value| {
            let read: Result<Pipeline, _> = serde_path_to_error::deserialize(value);
            read.map_err(|error| problems.push(schema_check::from_serde_error("", &error))).ok()
        });
        let wrong: Vec<String> = problems[before..].iter().map(|problem| problem.at.clone()).collect();
        let models = models(document, &wrong);
        for (name, model) in &models {
            let at = join("/models", name);
            let inside = format!("{at}/");
            if !wrong.iter().any(|place| *place == at || place.starts_with(&inside)) {
                check_model(&at, name, model, problems);
                check_pool(&at, model, document, problems);
                mock_check::check(&at, model, context.vars, problems);
            }
        }
        if let Some(pipeline) = &pipeline {
            check_tests(&pipeline.tests, context.vars, problems);
        }
        check_values(document, problems);
        Self { pipeline, models }
    }
}

/// The JSON schema of the whole file, stages left open; without references, so that the location of an error in
/// it is a plain pointer.
pub(in crate::config) fn pipeline_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Pipeline>().to_value()
}

/// Renders `{{ vars.x }}` in the texts of models. Parameters are open, so no schema says which of them are
/// numbers: a computed one gets the type that its text parses as.
fn render_model_texts(
    document: &mut Document,
    context: &SchemaCheckContext<'_>,
    problems: &mut Vec<Problem>,
) {
    let Some(models) = document.value.get("models") else { return };
    let mut changes = Vec::new();
    each_text(models, "/models", &mut |at, text| {
        let parameter = at.split('/').nth(3) == Some("params");
        let computed = text.contains("{{") || (parameter && context.computed.contains(at));
        // A mock's templates are rendered for each record.
        if !computed || at.split('/').nth(3) == Some("mock") {
            return;
        }
        match schema_check::render_scalar(at, text, context.vars) {
            Ok(value @ Value::String(_)) => changes.push((at.to_owned(), value)),
            Ok(value) if parameter => changes.push((at.to_owned(), value)),
            // A number or truth value: where one is expected, the schema check substitutes it; where text is
            // expected it stays text.
            Ok(value) if at.split('/').nth(3) == Some("model") => {
                changes.push((at.to_owned(), Value::String(value.to_string())));
            }
            Ok(_) => {}
            Err(problem) => problems.push(*problem),
        }
    });
    for (at, value) in changes {
        if let Some(place) = document.value.pointer_mut(&at) {
            *place = value;
        }
    }
}

fn models(document: &Document, wrong: &[String]) -> BTreeMap<String, ModelConfig> {
    let mut models = BTreeMap::new();
    let declared = document.value.get("models").and_then(Value::as_object);
    for (name, value) in declared.into_iter().flatten() {
        let inside = format!("{}/", join("/models", name));
        let fine = !wrong.iter().any(|place| place.starts_with(&inside));
        let body = if fine { value.clone() } else { Value::Object(serde_json::Map::new()) };
        let read = serde_json::from_value(body);
        let default = || serde_json::from_value(Value::Object(serde_json::Map::new()));
        if let Ok(model) = read.or_else(|_| default()) {
            models.insert(name.clone(), model);
        }
    }
    models
}

fn check_model(at: &str, name: &str, model: &ModelConfig, problems: &mut Vec<Problem>) {
    if !is_plain_name(name) {
        let mut problem = Problem::new(at, format!("`{name}` cannot be the name of a model"));
        problem.on_key().expected("letters, digits, `.`, `-` and `_`");
        problems.push(problem);
    }
    let mut wrong = |field: &str, message: String, expected: &str| {
        problems.push(Problem::new(format!("{at}/{field}"), message).with_expected(expected));
    };
    let remote = model.provider.is_remote();
    if remote && model.model.trim().is_empty() {
        wrong("model", "`model` is missing".to_owned(), "the name the server knows the model by");
    }
    if remote && model.base_urls.is_empty() {
        let expected = "where the model is served, such as `http://127.0.0.1:8000/v1`";
        wrong("base_urls", "`base_urls` is missing".to_owned(), expected);
    }
    for (index, url) in model.base_urls.iter().enumerate() {
        if let Some(message) = wrong_url(url) {
            let expected = "an http or https URL, such as `http://127.0.0.1:8000/v1`";
            wrong(&format!("base_urls/{index}"), message, expected);
        }
    }
    // The value is not quoted: it may be the key itself.
    if model.api_key_env.as_ref().is_some_and(|name| !is_name(name)) {
        let message = "this is not the name of an environment variable".to_owned();
        let expected = "the name of the variable that holds the key, such as `LLM_API_KEY`; never the key";
        wrong("api_key_env", message, expected);
    }
    if model.api_key_env.is_some() && model.api_key_file.is_some() {
        let message = "the model has an `api_key_env` and an `api_key_file` too".to_owned();
        wrong("api_key_file", message, "one of the two");
    }
    if model.provider == Provider::Anthropic && model.api != Api::Chat {
        wrong("api", "Anthropic's API has no raw completions".to_owned(), "`chat`");
    }
    if model.provider == Provider::Openai && model.prompt_cache {
        let expected = "no such setting: servers with OpenAI's API keep what requests begin with by themselves, where \
                        it stands first in the prompt";
        wrong("prompt_cache", "`prompt_cache` is for `provider: anthropic`".to_owned(), expected);
    }
    // Not quoted either.
    for (header, _) in model.headers.iter().filter(|(name, value)| is_secret(name) && !value.contains("${")) {
        let message = format!("the value of `{header}` is written in the file");
        wrong(&format!("headers/{header}"), message, "a value from the environment: `${NAME}`");
    }
    let none = [
        ("concurrency", model.concurrency == Concurrency::Fixed(0)),
        ("max_attempts", model.max_attempts == 0),
    ];
    for (field, _) in none.iter().filter(|(_, none)| *none) {
        wrong(field, "found the number `0`".to_owned(), "1 or more");
    }
    if model.timeout <= 0.0 {
        wrong("timeout", format!("found the number `{}`", model.timeout), "seconds, more than 0");
    }
    crate::pipeline::check_batch(at, model, problems);
    crate::pipeline::params::check(at, model, problems);
}

/// A model takes its limits from one place, and the pool it names must be declared.
fn check_pool(at: &str, model: &ModelConfig, document: &Document, problems: &mut Vec<Problem>) {
    let Some(pool) = &model.pool else { return };
    let pools = document.value.get("pools").and_then(Value::as_object);
    let known: Vec<&str> = pools.into_iter().flat_map(|pools| pools.keys().map(String::as_str)).collect();
    if !known.contains(&pool.as_str()) {
        let mut problem = Problem::new(format!("{at}/pool"), format!("no pool named `{pool}` is declared"));
        problem.hint = did_you_mean(pool, known.iter().copied());
        problem.expected(match known.is_empty() {
            true => "a name under `pools:`, of which the file has none".to_owned(),
            false => listed(known.iter().copied()),
        });
        problems.push(problem);
    }
    if model.limits != Limits::default() {
        let mut problem = Problem::new(format!("{at}/limits"), "the model has limits and a `pool` too");
        problem.on_key().expected("the limits in the pool, where all models that share it have them");
        problems.push(problem);
    }
}

fn wrong_url(url: &str) -> Option<String> {
    let shown = crate::pipeline::secrets::mask_urls(url);
    let parsed = match reqwest::Url::parse(url) {
        Ok(parsed) => parsed,
        Err(error) => return Some(format!("`{shown}` is not a URL: {error}")),
    };
    match parsed.scheme() {
        "http" | "https" => None,
        scheme => Some(format!("`{shown}` is no http URL but one of `{scheme}`")),
    }
}

/// Checks values individually, so that an invalid one elsewhere hides none.
fn check_values(document: &Document, problems: &mut Vec<Problem>) {
    let name = document.value.get("name").and_then(Value::as_str);
    if let Some(name) = name.filter(|name| !is_plain_name(name) || name.starts_with('.')) {
        let message = format!("`{name}` cannot be the name of a pipeline");
        problems.push(Problem::new("/name", message).with_expected(
            "letters, digits, `.`, `-` and `_`, not beginning with `.`; it names the run directory",
        ));
    }
    check_limits(document, problems);
    let bounds = [
        ("/error_budget/share", 0.0..=1.0, "a share from 0 to 1, such as 0.05 for 5 %"),
        ("/drain_timeout", 0.0..=f64::INFINITY, "seconds, 0 or more"),
        ("/max_in_flight", 1.0..=f64::INFINITY, "1 or more"),
    ];
    for (at, bounds, expected) in bounds {
        let Some(found) = document.value.pointer(at).filter(|value| value.is_number()) else { continue };
        // The schema check reports a negative number where none is allowed.
        let known = problems.iter().any(|problem| problem.at == at);
        if !known && found.as_f64().is_some_and(|number| !bounds.contains(&number)) {
            problems.push(Problem::new(at, format!("found the number `{found}`")).with_expected(expected));
        }
    }
}

/// No limit may be 0: it would never let anything through.
fn check_limits(document: &Document, problems: &mut Vec<Problem>) {
    let each = |kind: &'static str| {
        let map = document.value.get(kind).and_then(Value::as_object);
        map.into_iter().flatten().map(move |(name, value)| (join(&format!("/{kind}"), name), value))
    };
    let own = each("models").filter_map(|(at, model)| Some((format!("{at}/limits"), model.get("limits")?)));
    for (at, limits) in own.chain(each("pools")) {
        for (field, value) in limits.as_object().into_iter().flatten() {
            if value.as_u64() == Some(0) {
                let problem = Problem::new(join(&at, field), "found the number `0`");
                problems.push(problem.with_expected("1 or more"));
            }
        }
    }
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}
