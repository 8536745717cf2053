//! Answers that come as server-sent events: asking for them, and reading one from a response.
//!
//! `remote` uses it for models with `stream: true`. `sse` takes the events out of the bytes, `dialect::stream` puts the
//! answer together. A server that passes over the setting sends a plain body, which is read as ever. The whole attempt
//! stays under the model's time limit, so a stream that drips ends too; memory is bounded by what an answer may have.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Response;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::Completion;
use super::classify::{self, Failure, Verdict};
use super::dialect::{Dialect, Streamed};
use super::http::{self, LARGEST_BODY};
use super::sse::Decoder;
use crate::pipeline::{Mode, ModelConfig};

/// How long the end of a response is waited for once the answer is whole: a connection that has been read to its end
/// serves the next request.
const END: Duration = Duration::from_millis(200);

/// What the lines of events begin with, as far as servers send them first.
const FIELDS: [&[u8]; 6] = [b"data:", b"event:", b"error:", b"id:", b"retry:", b":"];
/// The longest of them.
const LONGEST_FIELD: usize = 6;
/// The request's field that asks for tokens at the end of a stream, which not every server knows.
const OPTIONS: &str = "stream_options";

/// Whether a model's answers are asked for as events.
#[derive(Debug, Default)]
pub(super) struct Streaming {
    is_on: bool,
    /// Whether tokens have to be asked for: OpenAI's streams tell none otherwise.
    with_usage: AtomicBool,
}

impl Streaming {
    pub(super) fn new(config: &ModelConfig, dialect: Dialect) -> Self {
        let is_on = config.stream && config.mode() == Mode::Direct;
        Self { is_on, with_usage: AtomicBool::new(dialect != Dialect::Anthropic) }
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Asks for events in the body of a request; options that the user wrote stay.
    pub(super) fn ask(&self, body: &mut Map<String, Value>) {
        if !self.is_on {
            return;
        }
        body.insert("stream".to_owned(), Value::Bool(true));
        if self.with_usage.load(Ordering::Relaxed) {
            body.entry(OPTIONS).or_insert_with(|| json!({"include_usage": true}));
        }
    }

    /// Whether a server refuses to be asked for tokens, where the user did not: it is not asked from then on.
    pub(super) fn refuses_usage(&self, names: &[String], failure: &Failure) -> bool {
        let of_request = matches!(
            &*failure.class,
            "status_400" | "status_404" | "status_415" | "status_422" | "status_500" | "error_in_200"
        );
        let said = failure.said.as_deref().filter(|_| self.is_on && of_request);
        let is_named = said.is_some_and(|said| said.any(&[OPTIONS, "include_usage"]));
        let is_refusal = is_named && !names.iter().any(|name| name == OPTIONS);
        if is_refusal {
            self.with_usage.store(false, Ordering::Relaxed);
        }
        is_refusal
    }
}

/// Whether a setting that a server names is this client's own, and not the user's to change.
pub(super) fn is_own_setting(name: &str) -> bool {
    name == OPTIONS
}

/// Reads an answer from a response with a success status, to a request that was sent at `sent` and asked for events,
/// of so many `choices`.
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
    let mut reading = Reading::new(dialect, choices, shown, sent);
    let read = reading.read(&mut response, &opening).await;
    let Reading { streamed, first_token, .. } = reading;
    let wrote = streamed.wrote();
    let completion = read.and_then(|()| dialect.read_value(streamed.into_body()?));
    match completion {
        Ok(completion) => Ok(Completion { first_token, ..completion }),
        Err(failure) if wrote => Err(broke_off(failure)),
        Err(failure) => Err(failure),
    }
}

/// Whose events a stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamDialect {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's raw completions.
    Completions,
    /// Anthropic's messages.
    Anthropic,
}

/// Reads an answer from the bytes of an event stream, in whatever pieces they come. The error says why it is none.
pub fn read_stream<'a>(
    of: StreamDialect,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Completion, String> {
    let dialect = match of {
        StreamDialect::Chat => Dialect::Chat,
        StreamDialect::Completions => Dialect::Completions,
        StreamDialect::Anthropic => Dialect::Anthropic,
    };
    let read = || {
        let mut reading = Reading::new(dialect, 1, "the server", Instant::now());
        let mut pieces = pieces.into_iter();
        loop {
            match pieces.next() {
                Some(piece) if reading.take(piece)? => break,
                Some(_) => {}
                None => {
                    reading.take_rest();
                    break;
                }
            }
        }
        dialect.read_value(reading.streamed.into_body()?)
    };
    read().map_err(|failure: Failure| failure.message)
}

/// The first bytes of a response, less the white space before them, and whether they are of events. What a server says
/// of its body is not asked: some call events JSON, or JSON events.
async fn opening(response: &mut Response, shown: &str) -> Result<(Vec<u8>, bool), Failure> {
    let mut opening = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify::transport(&error, shown))? {
        opening.extend_from_slice(&chunk);
        let text = without_mark(&opening).trim_ascii_start();
        if text.len() >= LONGEST_FIELD {
            return Ok((text.to_vec(), begins_events(text)));
        }
        // Keep-alives of plain bodies are white space, of any length.
        if text.is_empty() && opening.len() > LONGEST_FIELD {
            opening.clear();
        }
    }
    let text = without_mark(&opening).trim_ascii_start();
    Ok((text.to_vec(), begins_events(text)))
}

/// The failure of an answer that had begun: the server was at work, nobody knows for how much, and is no gateway with
/// nothing behind it, whatever status it names. A refusal, which costs no attempt, it is not any more: what was written
/// is paid for, and has to end somewhere.
fn broke_off(failure: Failure) -> Failure {
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

/// A stream that is being read.
struct Reading<'a> {
    shown: &'a str,
    sent: Instant,
    decoder: Decoder,
    streamed: Streamed,
    first_token: Option<Duration>,
}

impl<'a> Reading<'a> {
    fn new(dialect: Dialect, choices: u64, shown: &'a str, sent: Instant) -> Self {
        let (decoder, streamed) = (Decoder::new(LARGEST_BODY), Streamed::new(dialect, choices));
        Self { shown, sent, decoder, streamed, first_token: None }
    }

    /// Reads a response, of which these bytes have come, up to its last event or its end.
    async fn read(&mut self, response: &mut Response, opening: &[u8]) -> Result<(), Failure> {
        let mut is_over = self.take(opening)?;
        while !is_over {
            let chunk = response.chunk().await;
            match chunk.map_err(|error| classify::transport(&error, self.shown))? {
                Some(chunk) => is_over = self.take(&chunk)?,
                None => {
                    self.take_rest();
                    return Ok(());
                }
            }
        }
        read_to_end(response).await;
        Ok(())
    }

    /// Takes the events that these bytes complete; true if the last one is among them.
    fn take(&mut self, mut bytes: &[u8]) -> Result<bool, Failure> {
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

    /// Takes the event that the end leaves unfinished. Half of one says no more than that the stream broke off.
    fn take_rest(&mut self) {
        if let Some(event) = self.decoder.rest() {
            let _ = self.streamed.take(event);
        }
    }
}

/// Reads what is left, for a little while.
async fn read_to_end(response: &mut Response) {
    let end = async { while let Ok(Some(_)) = response.chunk().await {} };
    let _ = tokio::time::timeout(END, end).await;
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn begins_events(text: &[u8]) -> bool {
    FIELDS.iter().any(|field| text.starts_with(field))
}
