//! Command-line overrides of a pipeline: `--set`, `--var` and the options for the only model.
//!
//! Applied to the document before anything is checked, so that an override is checked like what it replaces; its
//! problems carry the option as their location.

use serde_json::Value;

use crate::nearest::{did_you_mean, listed, one_of};
use crate::pipeline::document::{Document, parse_value};
use crate::pipeline::problem::{Problem, ProblemLocation};
use crate::pipeline::stage_ids::stage_ids;

/// The overrides as given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// `path=value` each; the value is parsed as YAML. `stages.ID.FIELD` names a stage by id, type or number,
    /// `stages.BLOCK.stages.ID.FIELD` one in a block.
    pub sets: Vec<String>,
    /// `name=value` each; the value is text.
    pub vars: Vec<String>,
    /// The run's seed.
    pub seed: Option<u64>,
    /// The server's name of the only model.
    pub model: Option<String>,
    /// Where the only model is served.
    pub base_url: Option<String>,
    /// The only model's `max_tokens`.
    pub max_tokens: Option<u64>,
    /// The only model's `temperature`.
    pub temperature: Option<f64>,
    /// Replaces every model by the heuristic.
    pub no_llm: bool,
    /// Replaces every model by a mock, with its own script if it has one.
    pub mock: bool,
}

impl Overrides {
    /// For each of several pipelines, given as texts, returns the overrides that apply to it. An override that
    /// applies to none is kept for all, so that each reports what it has instead.
    #[must_use]
    pub fn shared_among(&self, texts: &[String]) -> Vec<Self> {
        let parsed = texts.iter().map(|text| Document::parse(text, &mut Vec::new()).ok());
        let documents: Vec<Option<Document>> = parsed.collect();
        let fits_any = |fits: &dyn Fn(&Document) -> bool| documents.iter().flatten().any(fits);
        let mut shared = Vec::with_capacity(documents.len());
        for document in &documents {
            let takes =
                |fits: &dyn Fn(&Document) -> bool| document.as_ref().is_none_or(fits) || !fits_any(fits);
            let mut own = self.clone();
            own.sets.retain(|set| takes(&|document| applies_to(document, set)));
            own.vars.retain(|var| {
                let name = var.split('=').next().unwrap_or_default();
                takes(&|document| known_var(document, name).is_ok())
            });
            if !takes(&|document| !model_names(document).is_empty()) {
                (own.model, own.base_url, own.max_tokens, own.temperature) = (None, None, None, None);
            }
            shared.push(own);
        }
        shared
    }
}

/// The name that a pipeline's text declares, even if the rest of it is invalid.
#[must_use]
pub fn pipeline_name(text: &str) -> Option<String> {
    let document = Document::parse(text, &mut Vec::new()).ok()?;
    document.value.get("name")?.as_str().map(str::to_owned)
}

/// Whether the pipeline has the stage, model or variable that a `path=value` names; paths that name none of these
/// apply to every pipeline.
fn applies_to(document: &Document, set: &str) -> bool {
    let path = set.split('=').next().unwrap_or_default();
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    match head {
        "models" => model_path(document, rest).is_ok(),
        "stages" if rest.contains('.') => stage_path(document, rest).is_ok(),
        "vars" => known_var(document, rest.split('.').next().unwrap_or(rest)).is_ok(),
        _ => true,
    }
}

/// Applies the overrides to the document; those that cannot be applied are problems.
pub(super) fn apply(document: &mut Document, overrides: &Overrides, problems: &mut Vec<Problem>) {
    for set in &overrides.sets {
        if let Err(problem) = apply_set(document, set) {
            problems.push(*problem);
        }
    }
    for var in &overrides.vars {
        if let Err(problem) = apply_var(document, var) {
            problems.push(*problem);
        }
    }
    if let Some(seed) = overrides.seed {
        assign(document, "--seed", &["seed"], Value::from(seed), problems);
    }
    let for_model = [
        ("--model", &["model"][..], overrides.model.clone().map(Value::from)),
        ("--base-url", &["base_urls"], overrides.base_url.clone().map(|url| Value::from(vec![url]))),
        ("--max-tokens", &["params", limit_of_tokens(document)], overrides.max_tokens.map(Value::from)),
        ("--temperature", &["params", "temperature"], overrides.temperature.map(Value::from)),
    ];
    for (option, path, value) in for_model {
        let Some(value) = value else { continue };
        match only_model(document, option, path) {
            Ok(model) => {
                let path: Vec<&str> = ["models", &model].into_iter().chain(path.iter().copied()).collect();
                assign(document, option, &path, value, problems);
            }
            Err(problem) => problems.push(*problem),
        }
    }
    for (option, given, provider) in
        [("--no-llm", overrides.no_llm, "heuristic"), ("--mock", overrides.mock, "mock")]
    {
        for model in model_names(document).iter().filter(|_| given) {
            assign(document, option, &["models", model, "provider"], Value::from(provider), problems);
        }
    }
}

/// The parameter for the token limit that the pipeline uses: models refuse one or the other, and both at once.
fn limit_of_tokens(document: &Document) -> &'static str {
    const NEWER: &str = "max_completion_tokens";
    let models = document.value.get("models").and_then(Value::as_object);
    let models = models.into_iter().flat_map(|models| models.values());
    let has_newer = |part: &Value| part.pointer("/params").is_some_and(|params| params.get(NEWER).is_some());
    let in_stages = list_of_stages(&document.value).iter().any(|stage| any_body(stage, &has_newer));
    if in_stages || models.into_iter().any(has_newer) { NEWER } else { "max_tokens" }
}

/// Whether the body of a stage, or of one inside it, satisfies the predicate.
fn any_body(stage: &Value, asked: &dyn Fn(&Value) -> bool) -> bool {
    let Some(body) = stage.as_object().and_then(|stage| stage.values().next()) else { return false };
    asked(body) || list_of_stages(body).iter().any(|inner| any_body(inner, asked))
}

/// The `stages` of a file or of a block.
fn list_of_stages(of: &Value) -> &[Value] {
    of.get("stages").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn assign(document: &mut Document, option: &str, path: &[&str], value: Value, problems: &mut Vec<Problem>) {
    if let Err(message) = document.assign(path, value, &ProblemLocation::Option(option.to_owned())) {
        problems.push(*option_problem(option, message));
    }
}

fn apply_set(document: &mut Document, set: &str) -> Result<(), Box<Problem>> {
    let Some((path, text)) = set.split_once('=') else {
        return Err(malformed("--set", &format!("`{set}` has no `=`"), "`path=value`"));
    };
    let option = format!("--set {path}");
    let value =
        parse_value(text).ok_or_else(|| malformed(&option, "the value is not YAML", "a YAML value"))?;
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    let steps = match head {
        "models" => model_path(document, rest).map_err(|problem| at_option(problem, &option))?,
        "stages" => stage_path(document, rest).map_err(|problem| at_option(problem, &option))?,
        "vars" => {
            known_var(document, rest.split('.').next().unwrap_or(rest))
                .map_err(|problem| at_option(problem, &option))?;
            path.split('.').map(str::to_owned).collect()
        }
        _ => path.split('.').map(str::to_owned).collect::<Vec<_>>(),
    };
    if steps.iter().any(String::is_empty) {
        return Err(malformed(&option, "a part of the path is empty", "names joined by `.`"));
    }
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    document
        .assign(&steps, value, &ProblemLocation::Option(option.clone()))
        .map_err(|message| option_problem(&option, message))
}

fn apply_var(document: &mut Document, var: &str) -> Result<(), Box<Problem>> {
    let Some((name, text)) = var.split_once('=') else {
        return Err(malformed("--var", &format!("`{var}` has no `=`"), "`name=value`"));
    };
    let option = format!("--var {name}");
    known_var(document, name).map_err(|problem| at_option(problem, &option))?;
    let place = ProblemLocation::Option(option.clone());
    document
        .assign(&["vars", name], Value::from(text), &place)
        .map_err(|message| option_problem(&option, message))
}

fn known_var(document: &Document, name: &str) -> Result<(), Box<Problem>> {
    let vars = document.value.get("vars").and_then(Value::as_object);
    let known: Vec<&str> = vars.into_iter().flat_map(|vars| vars.keys().map(String::as_str)).collect();
    if known.contains(&name) {
        return Ok(());
    }
    Err(unknown(&format!("no variable `{name}` is declared"), name, &known, "the file declares no `vars`"))
}

/// The path of `models.NAME...`; a model's name may itself contain dots, so the longest matching name wins.
fn model_path(document: &Document, rest: &str) -> Result<Vec<String>, Box<Problem>> {
    let names = model_names(document);
    let mut fitting: Vec<&String> = names.iter().filter(|name| begins_with(rest, name)).collect();
    fitting.sort_by_key(|name| name.len());
    let Some(name) = fitting.pop() else {
        let given = rest.split('.').next().unwrap_or(rest);
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let message = format!("no model named `{given}` is declared");
        return Err(unknown(&message, given, &known, "the file declares no `models`"));
    };
    let mut steps = vec!["models".to_owned(), name.clone()];
    let inside = &rest[name.len()..];
    steps.extend(inside.split('.').skip(1).map(str::to_owned));
    Ok(steps)
}

/// The path of `stages.ID...`, through the stage's type to its body; a stage in a block is named by
/// `stages.BLOCK.stages.ID` or by its path, `stages.BLOCK/ID`.
fn stage_path(document: &Document, rest: &str) -> Result<Vec<String>, Box<Problem>> {
    let mut steps = Vec::new();
    let mut block = None;
    let mut here = &document.value;
    let mut rest = rest;
    loop {
        let (name, inside) = rest.split_once('.').unwrap_or((rest, ""));
        for given in name.split('/') {
            here = step_to_stage(list_of_stages(here), given, block, &mut steps)?;
            block = Some(given);
        }
        match inside.strip_prefix("stages.") {
            Some(inner) if here.get("stages").is_some() => rest = inner,
            _ if inside.is_empty() => {
                return Err(malformed("", "names a stage, not a field of it", "`stages.ID.FIELD`"));
            }
            _ => {
                steps.extend(inside.split('.').map(str::to_owned));
                return Ok(steps);
            }
        }
    }
}

/// Appends the path to the body of the stage that `given` names, by id, type or number; returns the body.
fn step_to_stage<'v>(
    stages: &'v [Value],
    given: &str,
    block: Option<&str>,
    steps: &mut Vec<String>,
) -> Result<&'v Value, Box<Problem>> {
    let ids = stage_ids(stages);
    let found = ids.iter().position(|stage| stage.id == given);
    let number = given.parse::<usize>().ok().filter(|index| *index < ids.len());
    let Some(index) = found.or(number) else {
        let known: Vec<&str> = ids.iter().map(|stage| stage.id.as_str()).collect();
        return Err(match block {
            None => unknown(&format!("no stage `{given}`"), given, &known, "the file has no stages"),
            Some(block) => {
                let message = format!("no stage `{given}` in `{block}`");
                unknown(&message, given, &known, "a stage that holds others")
            }
        });
    };
    let kind = ids[index].kind.clone();
    let body = stages[index].get(&kind).unwrap_or(&Value::Null);
    steps.extend(["stages".to_owned(), index.to_string(), kind]);
    Ok(body)
}

fn begins_with(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn model_names(document: &Document) -> Vec<String> {
    let models = document.value.get("models").and_then(Value::as_object);
    models.into_iter().flat_map(|models| models.keys().cloned()).collect()
}

fn only_model(document: &Document, option: &str, path: &[&str]) -> Result<String, Box<Problem>> {
    let mut names = model_names(document);
    if names.len() == 1 {
        return names.pop().ok_or_else(|| option_problem(option, "the pipeline declares no model"));
    }
    let Some(first) = names.first() else {
        return Err(option_problem(option, "the pipeline declares no model"));
    };
    let listed = listed(names.iter().map(String::as_str));
    let mut problem = option_problem(option, format!("the pipeline has several models: {listed}"));
    problem.hint(format!("say which: `--set models.{first}.{}=...`", path.join(".")));
    Err(problem)
}

fn option_problem(option: &str, message: impl Into<String>) -> Box<Problem> {
    at_option(Box::new(Problem::new("", message)), option)
}

fn malformed(option: &str, message: &str, expected: &str) -> Box<Problem> {
    let mut problem = option_problem(option, message);
    problem.expected(expected);
    problem
}

fn at_option(mut problem: Box<Problem>, option: &str) -> Box<Problem> {
    problem.location = Some(ProblemLocation::Option(option.to_owned()));
    problem
}

fn unknown(message: &str, name: &str, known: &[&str], none: &str) -> Box<Problem> {
    let mut problem = Box::new(Problem::new("", message));
    problem.expected(match known.is_empty() {
        true => none.to_owned(),
        false => one_of(known.iter().copied()),
    });
    problem.hint = did_you_mean(name, known.iter().copied());
    problem
}
