//! Asks a model's servers which models they offer, as `doctor` does before a run. Costs nothing.

use std::time::Duration;

use serde_json::Value;

use super::classify::Failure;
use super::connect::ConnectProblem;
use super::dialect::RequestEncoder;
use super::endpoints::Address;
use super::http::{self, HttpClient};
use crate::pipeline::ModelConfig;

/// What a server says of the models that it offers.
#[derive(Debug, Clone)]
pub struct ModelListing {
    /// The server's base URL without secrets.
    pub url: String,
    /// The names of its models, or why they are unknown.
    pub models: Result<Vec<String>, ListingFailure>,
}

/// Why a server did not list its models.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ListingFailure {
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
    /// Whether the server was reached and accepts the key, but has no such list.
    pub is_reached: bool,
}

/// Asks each server of a model for its list, one after the other; each has the time `limit`.
///
/// # Errors
///
/// The model cannot be connected as it is declared.
pub async fn list_models(
    name: &str,
    config: &ModelConfig,
    limit: Duration,
) -> Result<Vec<ModelListing>, ConnectProblem> {
    let client = HttpClient::new(name, config, RequestEncoder::new(config).dialect)?;
    let mut listings = Vec::new();
    for base in &config.base_urls {
        let Address { url, shown, .. } = Address::new(base, &["models"])?;
        let exchange = async {
            let response = http::send(client.get(url), &shown).await?;
            http::body(response, &shown).await
        };
        let models = match client.with_limit(limit, &shown, exchange).await {
            Ok(body) => names(&body).ok_or_else(|| ListingFailure {
                message: format!("`{shown}` answers, but with no list of models"),
                hint: None,
                is_reached: true,
            }),
            Err(failure) => Err(client.redact(failure).into()),
        };
        listings.push(ModelListing { url: shown, models });
    }
    Ok(listings)
}

/// The names in a list as OpenAI's API and Anthropic's have it.
fn names(body: &[u8]) -> Option<Vec<String>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let models = body.get("data").unwrap_or(&body).as_array()?;
    Some(models.iter().filter_map(|model| model.get("id")?.as_str().map(str::to_owned)).collect())
}

impl From<Failure> for ListingFailure {
    fn from(failure: Failure) -> Self {
        let is_reached = matches!(&*failure.class, "not_found" | "model_not_found");
        Self { message: failure.message, hint: failure.hint, is_reached }
    }
}
