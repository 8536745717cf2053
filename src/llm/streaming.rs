//! Streamed answers: requests server-sent events, and reads an answer from them.
//!
//! `remote` uses it for models with `stream: true`. `sse` decodes the events, `dialect::stream` assembles the answer. A
//! server that ignores the setting sends a plain body, which is read as usual. The whole attempt is subject to the
//! model's time limit, so a stream that trickles ends too; memory is bounded by the size of an answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Response;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::Completion;
use super::classify::{self, Failure, Verdict};
use super::dialect::{Dialect, StreamedAnswer};
use super::http::{self, LARGEST_BODY};
use super::sse::EventDecoder;
use crate::pipeline::{ModelConfig, RequestMode};

/// How long to wait for the end of a response once the answer is complete: a connection that has been read to its end
/// can be reused.
const END: Duration = Duration::from_millis(200);

/// The prefixes of event lines that servers send first.
const FIELDS: [&[u8]; 6] = [b"data:", b"event:", b"error:", b"id:", b"retry:", b":"];
/// The longest of them.
const LONGEST_FIELD: usize = 6;
/// The request field that asks for usage at the end of a stream, which not every server supports.
const OPTIONS: &str = "stream_options";

/// The streaming settings of a model.
#[derive(Debug, Default)]
pub(super) struct Streaming {
    is_on: bool,
    /// Whether usage has to be asked for: OpenAI's streams do not report it otherwise.
    asks_usage: AtomicBool,
}

impl Streaming {
    pub(super) fn new(config: &ModelConfig, dialect: Dialect) -> Self {
        let is_on = config.stream && config.mode() == RequestMode::Direct;
        Self { is_on, asks_usage: AtomicBool::new(dialect != Dialect::Anthropic) }
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Asks for a stream in the body of a request; options that the user set are kept.
    pub(super) fn ask(&self, body: &mut Map<String, Value>) {
        if !self.is_on {
            return;
        }
        body.insert("stream".to_owned(), Value::Bool(true));
        if self.asks_usage.load(Ordering::Relaxed) {
            body.entry(OPTIONS).or_insert_with(|| json!({"include_usage": true}));
        }
    }

    /// Whether a server refuses our request for usage; it is not asked for it from then on.
    pub(super) fn refuses_usage(&self, names: &[String], failure: &Failure) -> bool {
        let of_request = matches!(
            &*failure.class,
            "status_400" | "status_404" | "status_415" | "status_422" | "status_500" | "error_in_200"
        );
        let error = failure.error_body.as_deref().filter(|_| self.is_on && of_request);
        let is_named = error.is_some_and(|error| error.contains_any(&[OPTIONS, "include_usage"]));
        let is_refusal = is_named && !names.iter().any(|name| name == OPTIONS);
        if is_refusal {
            self.asks_usage.store(false, Ordering::Relaxed);
        }
        is_refusal
    }
}

/// Whether a setting that a server names is set by this client rather than the user.
pub(super) fn is_own_setting(name: &str) -> bool {
    name == OPTIONS
}

/// Reads an answer from a response with a success status to a streaming request, which was sent at `sent` and asked for
/// this number of `choices`.
pub(super) async fn answer(
    mut response: Response,
    dialect: Dialect,
    choices: u64,
    shown: &str,
    sent: Instant,
) -> Result<Completion, Failure> {
    let (opening, has_events) = opening(&mut response, shown).await?;
    if !has_events {
        return dialect.read(&http::rest_of_body(opening, response, shown).await?);
    }
    let mut reader = StreamReader::new(dialect, choices, shown, sent);
    let read = reader.read(&mut response, &opening).await;
    let StreamReader { streamed, first_token, .. } = reader;
    let wrote = streamed.wrote();
    let completion = read.and_then(|()| dialect.read_value(streamed.into_body()?));
    match completion {
        Ok(completion) => Ok(Completion { first_token, ..completion }),
        Err(failure) if wrote => Err(interrupted(failure)),
        Err(failure) => Err(failure),
    }
}

/// The API whose events a stream contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamDialect {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's raw completions.
    Completions,
    /// Anthropic's messages.
    Anthropic,
}

/// Reads an answer from the bytes of an event stream in chunks of any size. The error describes why it is not one.
pub fn read_stream<'a>(
    dialect: StreamDialect,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Completion, String> {
    let dialect = match dialect {
        StreamDialect::Chat => Dialect::Chat,
        StreamDialect::Completions => Dialect::Completions,
        StreamDialect::Anthropic => Dialect::Anthropic,
    };
    let read = || {
        let mut reader = StreamReader::new(dialect, 1, "the server", Instant::now());
        let mut chunks = chunks.into_iter();
        loop {
            match chunks.next() {
                Some(chunk) if reader.push(chunk)? => break,
                Some(_) => {}
                None => {
                    reader.push_rest();
                    break;
                }
            }
        }
        dialect.read_value(reader.streamed.into_body()?)
    };
    read().map_err(|failure: Failure| failure.message)
}

/// Reads the first bytes of a response without leading white space, and whether they are events. The content type is
/// ignored: some servers declare events as JSON, or JSON as events.
async fn opening(response: &mut Response, shown: &str) -> Result<(Vec<u8>, bool), Failure> {
    let mut opening = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify::transport(&error, shown))? {
        opening.extend_from_slice(&chunk);
        let text = strip_bom(&opening).trim_ascii_start();
        if text.len() >= LONGEST_FIELD {
            return Ok((text.to_vec(), begins_events(text)));
        }
        // Keep-alives of plain bodies are white space of any length.
        if text.is_empty() && opening.len() > LONGEST_FIELD {
            opening.clear();
        }
    }
    let text = strip_bom(&opening).trim_ascii_start();
    Ok((text.to_vec(), begins_events(text)))
}

/// Returns the failure of an answer that had begun: the server was working, with unknown usage, so it is not a gateway
/// without a server behind it, whatever status it names. Nor is it throttling, which costs no attempt: what was written
/// is paid for, so retries have to be limited.
fn interrupted(failure: Failure) -> Failure {
    let usage = failure.usage.or_else(|| Some(Box::default()));
    let class = match &*failure.class {
        status if status.starts_with("status_") && failure.verdict == Verdict::Retry => {
            "unfinished".to_owned()
        }
        _ => failure.class,
    };
    let verdict = match failure.verdict {
        Verdict::Throttled => Verdict::Retry,
        other => other,
    };
    Failure { usage, class, verdict, ..failure }
}

/// Reads an event stream.
struct StreamReader<'a> {
    shown: &'a str,
    sent: Instant,
    decoder: EventDecoder,
    streamed: StreamedAnswer,
    first_token: Option<Duration>,
}

impl<'a> StreamReader<'a> {
    fn new(dialect: Dialect, choices: u64, shown: &'a str, sent: Instant) -> Self {
        let (decoder, streamed) = (EventDecoder::new(LARGEST_BODY), StreamedAnswer::new(dialect, choices));
        Self { shown, sent, decoder, streamed, first_token: None }
    }

    /// Reads a response after its first bytes `opening`, up to its last event or its end.
    async fn read(&mut self, response: &mut Response, opening: &[u8]) -> Result<(), Failure> {
        let mut is_over = self.push(opening)?;
        while !is_over {
            let chunk = response.chunk().await;
            match chunk.map_err(|error| classify::transport(&error, self.shown))? {
                Some(chunk) => is_over = self.push(&chunk)?,
                None => {
                    self.push_rest();
                    return Ok(());
                }
            }
        }
        drain(response).await;
        Ok(())
    }

    /// Processes the events that these bytes complete. Returns whether the last one is among them.
    fn push(&mut self, mut bytes: &[u8]) -> Result<bool, Failure> {
        while let Some(event) = self.decoder.next(&mut bytes).map_err(|_| http::too_large(self.shown))? {
            let is_last = self.streamed.take(event)?;
            if self.streamed.wrote() && self.first_token.is_none() {
                self.first_token = Some(self.sent.elapsed());
            }
            if self.streamed.size() > LARGEST_BODY {
                return Err(http::too_large(self.shown));
            }
            if is_last {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Processes the event that the end of the stream leaves unfinished. An error in it means only that the stream
    /// broke off.
    fn push_rest(&mut self) {
        if let Some(event) = self.decoder.rest() {
            let _ = self.streamed.take(event);
        }
    }
}

/// Reads the rest of a response, for a short time.
async fn drain(response: &mut Response) {
    let end = async { while let Ok(Some(_)) = response.chunk().await {} };
    let _ = tokio::time::timeout(END, end).await;
}

fn strip_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn begins_events(text: &[u8]) -> bool {
    FIELDS.iter().any(|field| text.starts_with(field))
}
