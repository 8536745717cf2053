//! A client for any server with a `/v1/embeddings` endpoint.
//!
//! Deliberately small: a report embeds a few hundred texts, in batches, and fails at the first error, since it can be made
//! again. Runs ask models through `llm`, with retries and limits.

use serde::Deserialize;
use serde_json::json;

/// Texts per request.
const BATCH: usize = 64;
/// Characters of a text that are sent: models read a few thousand tokens at most.
const LONGEST: usize = 6_000;

/// An endpoint that turns texts into vectors.
#[derive(Debug, Clone)]
pub struct EmbeddingEndpoint {
    /// The address that `/embeddings` is added to, such as `http://127.0.0.1:8000/v1`.
    pub base_url: String,
    /// The model's name at the server.
    pub model: String,
    /// The environment variable that holds the key; without it, or unset, no Authorization header is sent.
    pub key_env: Option<String>,
}

/// Why texts could not be embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddingError {
    /// The runtime for the requests cannot be started.
    #[error("cannot ask for embeddings: {0}")]
    Runtime(std::io::Error),
    /// The request failed.
    #[error("cannot get embeddings from `{url}`: {source}")]
    Request {
        /// The address.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The server refused the request.
    #[error("cannot get embeddings from `{url}`: it answers {status}: {body}")]
    Refused {
        /// The address.
        url: String,
        /// The status code.
        status: u16,
        /// The beginning of the response.
        body: String,
    },
    /// The response does not have one vector per text.
    #[error("`{url}` answers with {found} vectors for {asked} texts")]
    Count {
        /// The address.
        url: String,
        /// Vectors in the response.
        found: usize,
        /// Texts sent.
        asked: usize,
    },
    /// The response is not a list of vectors.
    #[error("`{url}` answers with no list of embeddings: {message}")]
    Shape {
        /// The address.
        url: String,
        /// What is wrong.
        message: String,
    },
}

#[derive(Deserialize)]
struct EmbeddingResponse {
    data: Vec<EmbeddingItem>,
}

#[derive(Deserialize)]
struct EmbeddingItem {
    index: Option<usize>,
    embedding: Vec<f32>,
}

impl EmbeddingEndpoint {
    /// Returns one vector per text, in the order of the texts.
    pub(super) fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(EmbeddingError::Runtime)?;
        runtime.block_on(async {
            let client = reqwest::Client::new();
            let mut vectors = Vec::with_capacity(texts.len());
            for batch in texts.chunks(BATCH) {
                vectors.extend(self.embed_batch(&client, batch).await?);
            }
            Ok(vectors)
        })
    }

    async fn embed_batch(
        &self,
        client: &reqwest::Client,
        texts: &[String],
    ) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        let url = format!("{}/embeddings", self.base_url.trim_end_matches('/'));
        let failed = |source: reqwest::Error| EmbeddingError::Request { url: url.clone(), source };
        // Servers refuse empty texts.
        let input: Vec<String> =
            texts
                .iter()
                .map(|text| {
                    if text.trim().is_empty() {
                        " .".to_owned()
                    } else {
                        text.chars().take(LONGEST).collect()
                    }
                })
                .collect();
        let body = json!({"model": self.model, "input": input}).to_string();
        let mut request = client.post(&url).header("content-type", "application/json").body(body);
        if let Some(key) = self.key_env.as_ref().and_then(|name| std::env::var(name).ok()) {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let body = response.bytes().await.map_err(failed)?;
        if !status.is_success() {
            let body = String::from_utf8_lossy(&body).chars().take(200).collect();
            return Err(EmbeddingError::Refused { url, status: status.as_u16(), body });
        }
        read(&url, &body, texts.len())
    }
}

fn read(url: &str, body: &[u8], asked: usize) -> Result<Vec<Vec<f32>>, EmbeddingError> {
    let mut answer: EmbeddingResponse = serde_json::from_slice(body)
        .map_err(|error| EmbeddingError::Shape { url: url.to_owned(), message: error.to_string() })?;
    if answer.data.len() != asked {
        return Err(EmbeddingError::Count { url: url.to_owned(), found: answer.data.len(), asked });
    }
    answer.data.sort_by_key(|vector| vector.index.unwrap_or_default());
    Ok(answer.data.into_iter().map(|vector| vector.embedding).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_put_in_order() {
        let body = br#"{"data":[{"index":1,"embedding":[2.0]},{"index":0,"embedding":[1.0]}]}"#;
        assert_eq!(read("u", body, 2).unwrap(), [[1.0], [2.0]]);
        assert!(matches!(read("u", body, 3), Err(EmbeddingError::Count { found: 2, asked: 3, .. })));
        assert!(matches!(read("u", b"{}", 3), Err(EmbeddingError::Shape { .. })));
    }
}
