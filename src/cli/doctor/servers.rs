//! The servers of a model: whether they answer, accept the key, and offer the model.

use std::time::Duration;

use super::{Finding, FindingLevel};
use crate::cli::exit::Exit;
use crate::llm::{ListingFailure, ModelListing, list_models};
use crate::nearest::{did_you_mean, listed};
use crate::pipeline::ModelConfig;

/// The time that a server has to list its models.
const LIMIT: Duration = Duration::from_secs(5);
/// Models shown of a server that offers more.
const SHOWN: usize = 8;
/// The exit code if a model cannot be used.
const FAILING: FindingLevel = FindingLevel::Failing(Exit::Model);

/// What is found about a model of the pipeline.
pub(super) async fn findings(name: &str, config: &ModelConfig) -> Vec<Finding> {
    let subject = format!("model {name}");
    if !config.provider.is_remote() {
        let provider = format!("{:?}", config.provider).to_lowercase();
        let message = format!("`provider: {provider}` needs no server");
        return vec![Finding::new(FindingLevel::Fine, subject, message)];
    }
    let mut findings = vec![key(&subject, config)];
    match list_models(name, config, LIMIT).await {
        Ok(listings) => {
            findings.extend(listings.into_iter().map(|listing| of_server(&subject, &config.model, listing)));
        }
        Err(problem) => findings.push(Finding::new(FAILING, subject, problem.to_string())),
    }
    findings
}

/// Where the key comes from. Its value is not looked at.
fn key(subject: &str, config: &ModelConfig) -> Finding {
    let (level, message) = match (&config.api_key_env, &config.api_key_file) {
        (Some(variable), _) => match std::env::var_os(variable).is_some_and(|value| !value.is_empty()) {
            true => (FindingLevel::Fine, format!("the key is in `{variable}`")),
            false => (FindingLevel::Doubtful, format!("`{variable}` is not set: no key is sent")),
        },
        (None, Some(path)) => (FindingLevel::Fine, format!("the key is in the file `{path}`")),
        (None, None) => (FindingLevel::Fine, "no key is sent".to_owned()),
    };
    Finding::new(level, subject, message)
}

fn of_server(subject: &str, model: &str, listing: ModelListing) -> Finding {
    let ModelListing { url, models } = listing;
    let models = match models {
        Ok(models) => models,
        Err(ListingFailure { message, hint, is_reached }) => {
            let level = if is_reached { FindingLevel::Doubtful } else { FAILING };
            let mut finding = Finding::new(level, subject, message);
            finding.hint = hint.map(str::to_owned);
            return finding;
        }
    };
    if models.iter().any(|offered| offered == model) {
        return Finding::new(FindingLevel::Fine, subject, format!("`{url}` offers `{model}`"));
    }
    let mut offered = listed(models.iter().take(SHOWN).map(String::as_str));
    if models.is_empty() {
        offered = "no models".to_owned();
    } else if models.len() > SHOWN {
        offered = format!("{offered} and {} more", models.len() - SHOWN);
    }
    // Gateways serve models that they do not list.
    let message = format!("`{url}` lists {offered}, not `{model}`");
    let mut finding = Finding::new(FindingLevel::Doubtful, subject, message);
    finding.hint = did_you_mean(model, models.iter().map(String::as_str));
    finding
}
