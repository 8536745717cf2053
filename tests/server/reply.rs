//! A reply: what a question gets, when, and what goes wrong on the way.
//!
//! One of the fields from `answer` to `wire` says what its body is; without any, the question is answered
//! with JSON that conforms to its schema, or with a sentence. `content` makes the bytes.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::Value;

use super::content::{self, Content};
use super::desk::Question;
use super::socket::{End, Line};

/// Bytes of a head that is broken off within.
const PART_OF_HEAD: usize = 20;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Reply {
    /// 200 if it is not said.
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
    /// Sends `Retry-After` as a date so many seconds ahead.
    pub(crate) retry_date: Option<i64>,
    /// Seconds before anything is sent.
    pub(crate) delay: f64,
    /// An answer of this text; `{prompt}` stands for the question.
    pub(crate) answer: Option<String>,
    /// The `usage` of an answer; null for none.
    #[serde(deserialize_with = "some")]
    pub(crate) usage: Option<Value>,
    pub(crate) finish_reason: Option<String>,
    /// An error with OpenAI's error object: code and message.
    pub(crate) error: Option<(String, String)>,
    /// A body of this JSON.
    pub(crate) json: Option<Value>,
    /// A body of this text.
    pub(crate) text: Option<String>,
    /// A body of these bytes.
    pub(crate) bytes: Option<Vec<u8>>,
    /// A body that comes piece by piece, as event streams do: texts, and between them seconds of silence.
    pub(crate) pieces: Option<Vec<Piece>>,
    /// Whether an answer comes as events where the question asks for them; a server that knows no streams says false.
    pub(crate) stream: Option<bool>,
    /// A text before, a text so many times, and no end.
    pub(crate) repeat: Option<(String, String, u64)>,
    /// So many MiB of zeros, packed by gzip.
    pub(crate) gzip_bomb: Option<u64>,
    /// What stands on the connection instead of a response; it is closed after it.
    pub(crate) wire: Option<String>,
    /// Says the length of a body that is repeated, which is not told otherwise.
    pub(crate) content_length: Option<u64>,
    /// Seconds from one byte of the body to the next.
    pub(crate) trickle: Option<f64>,
    /// Where the connection breaks, and how.
    pub(crate) fault: Option<Break>,
}

/// A piece of a body.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Piece {
    Text(String),
    /// Seconds before what follows.
    Silence(f64),
}

/// A null that stands there is something else than nothing.
fn some<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// Where a connection breaks, and how.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Break {
    pub(crate) at: Place,
    pub(crate) by: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    BeforeHeaders,
    InHeaders,
    /// After half of the body; of one that comes in pieces, after all of them.
    InBody,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Then {
    /// The connection is reset, as by a crash.
    Reset,
    /// It is closed in order.
    Close,
    /// Nothing more comes.
    Hang,
}

impl Reply {
    /// An error with OpenAI's error object.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let error = Some((code.to_owned(), message.to_owned()));
        Self { status: Some(status), error, ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The response; where it breaks, `line` is told.
    pub(super) async fn into_response(self, question: &Question, line: &Line) -> Response {
        match self.fault {
            Some(Break { at: Place::BeforeHeaders, by: Then::Hang }) => std::future::pending().await,
            Some(Break { at: Place::BeforeHeaders, by }) => line.end_after(0, end(by)),
            Some(Break { at: Place::InHeaders, by }) => line.end_after(PART_OF_HEAD, end(by)),
            Some(Break { at: Place::InBody, .. }) | None => {}
        }
        if let Some(wire) = self.wire {
            line.end_after(0, End::Say(wire.into_bytes()));
            return Response::default();
        }
        let content = content::of(&self, question);
        let status = StatusCode::from_u16(self.status.unwrap_or(200)).unwrap();
        let mut response = Response::builder().status(status).header("content-type", content.kind());
        if matches!(content, Content::Packed(_)) {
            response = response.header("content-encoding", "gzip");
        }
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        if let Some(seconds) = self.retry_date {
            let date = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
            response = response.header("retry-after", date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        }
        if let Some(length) = self.content_length {
            response = response.header("content-length", length);
        }
        let body = match (content, self.fault, self.trickle) {
            (Content::Whole { bytes, .. }, Some(Break { at: Place::InBody, by }), _) => {
                response = response.header("content-length", bytes.len());
                broken(&bytes, by, line)
            }
            (Content::Whole { bytes, .. }, None, Some(seconds)) => trickling(bytes, seconds),
            (Content::Pieces(pieces), fault, _) => in_pieces(pieces, fault.map(|fault| fault.by), line),
            (content, ..) => content.into_body(),
        };
        response.body(body).unwrap()
    }
}

fn end(then: Then) -> End {
    match then {
        Then::Reset => End::Reset,
        Then::Close => End::Close,
        Then::Hang => End::Hang,
    }
}

/// Half of the body, then the break.
fn broken(bytes: &[u8], by: Then, line: &Line) -> Body {
    let start = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
    Body::from_stream(stream::iter([Ok(start)]).chain(stream::once(breaking(by, line.clone()))))
}

async fn breaking(by: Then, line: Line) -> Result<Bytes, std::io::Error> {
    if by == Then::Hang {
        std::future::pending::<()>().await;
    }
    // The server sends what it has when it is made to wait.
    tokio::task::yield_now().await;
    line.end_after(0, end(by));
    Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
}

/// Piece by piece, then the break, if there is one; else the end, in order.
fn in_pieces(pieces: Vec<Piece>, by: Option<Then>, line: &Line) -> Body {
    let pieces = stream::iter(pieces).filter_map(|piece| async move {
        match piece {
            Piece::Text(text) => Some(Ok(Bytes::from(text))),
            Piece::Silence(seconds) => {
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                None
            }
        }
    });
    let line = line.clone();
    let end = stream::iter(by).then(move |by| breaking(by, line.clone()));
    Body::from_stream(pieces.chain(end))
}

fn trickling(bytes: Vec<u8>, seconds: f64) -> Body {
    Body::from_stream(stream::iter(bytes).then(move |byte| async move {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        Ok::<_, std::io::Error>(Bytes::copy_from_slice(&[byte]))
    }))
}
