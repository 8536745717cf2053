//! A reply: what is sent, when, and what goes wrong on the way.
//!
//! One of the fields from `answer` to `wire` determines the body; without any, the question is answered with JSON that
//! conforms to its schema, or with a sentence. `content` makes the bytes.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::Value;

use super::content::{self, Content};
use super::handler::Question;
use super::socket::{Connection, ConnectionEnd};

/// Bytes of the head that are sent before it breaks off.
const PART_OF_HEAD: usize = 20;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Reply {
    /// 200 by default.
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
    /// Sends `Retry-After` as a date this many seconds ahead.
    pub(crate) retry_date: Option<i64>,
    /// Seconds before anything is sent.
    pub(crate) delay: f64,
    /// An answer with this text; `{prompt}` is replaced by the question.
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
    /// A body in pieces, as in event streams: texts, and between them seconds of silence.
    pub(crate) pieces: Option<Vec<Piece>>,
    /// Whether an answer is streamed if the question requests it; false for a server without streaming.
    pub(crate) stream: Option<bool>,
    /// A prefix, and a text that is repeated this many times.
    pub(crate) repeat: Option<(String, String, u64)>,
    /// This many MiB of zeros, compressed by gzip.
    pub(crate) gzip_bomb: Option<u64>,
    /// Bytes sent in place of a response; the connection is then closed.
    pub(crate) wire: Option<String>,
    /// The `Content-Length` of a repeated body, which has none by default.
    pub(crate) content_length: Option<u64>,
    /// Seconds between the bytes of the body.
    pub(crate) trickle: Option<f64>,
    /// Where and how the connection breaks.
    pub(crate) fault: Option<Fault>,
}

/// A piece of a body.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Piece {
    Text(String),
    /// Seconds before the next piece.
    Silence(f64),
}

/// Keeps an explicit null apart from an absent field.
fn some<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// Where and how a connection breaks.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) at: FaultPoint,
    pub(crate) by: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultPoint {
    BeforeHeaders,
    InHeaders,
    /// After half of the body, or after all pieces of one in pieces.
    InBody,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultKind {
    /// The connection is reset, as by a crash.
    Reset,
    /// The connection is closed properly.
    Close,
    /// Nothing more is sent.
    Hang,
}

impl Reply {
    /// Returns a reply with OpenAI's error object.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let error = Some((code.to_owned(), message.to_owned()));
        Self { status: Some(status), error, ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the response; if it breaks, registers that with the connection.
    pub(super) async fn into_response(self, question: &Question, connection: &Connection) -> Response {
        match self.fault {
            Some(Fault { at: FaultPoint::BeforeHeaders, by: FaultKind::Hang }) => {
                std::future::pending().await
            }
            Some(Fault { at: FaultPoint::BeforeHeaders, by }) => connection.end_after(0, end(by)),
            Some(Fault { at: FaultPoint::InHeaders, by }) => connection.end_after(PART_OF_HEAD, end(by)),
            Some(Fault { at: FaultPoint::InBody, .. }) | None => {}
        }
        if let Some(wire) = self.wire {
            connection.end_after(0, ConnectionEnd::Raw(wire.into_bytes()));
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
            (Content::Whole { bytes, .. }, Some(Fault { at: FaultPoint::InBody, by }), _) => {
                response = response.header("content-length", bytes.len());
                broken(&bytes, by, connection)
            }
            (Content::Whole { bytes, .. }, None, Some(seconds)) => trickling(bytes, seconds),
            (Content::Pieces(pieces), fault, _) => in_pieces(pieces, fault.map(|fault| fault.by), connection),
            (content, ..) => content.into_body(),
        };
        response.body(body).unwrap()
    }
}

fn end(then: FaultKind) -> ConnectionEnd {
    match then {
        FaultKind::Reset => ConnectionEnd::Reset,
        FaultKind::Close => ConnectionEnd::Close,
        FaultKind::Hang => ConnectionEnd::Hang,
    }
}

/// Sends half of the body, then breaks.
fn broken(bytes: &[u8], by: FaultKind, connection: &Connection) -> Body {
    let start = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
    Body::from_stream(stream::iter([Ok(start)]).chain(stream::once(breaking(by, connection.clone()))))
}

async fn breaking(by: FaultKind, connection: Connection) -> Result<Bytes, std::io::Error> {
    if by == FaultKind::Hang {
        std::future::pending::<()>().await;
    }
    // Yielding lets the server send what it has.
    tokio::task::yield_now().await;
    connection.end_after(0, end(by));
    Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
}

/// Sends the pieces, then breaks if there is a fault.
fn in_pieces(pieces: Vec<Piece>, by: Option<FaultKind>, connection: &Connection) -> Body {
    let pieces = stream::iter(pieces).filter_map(|piece| async move {
        match piece {
            Piece::Text(text) => Some(Ok(Bytes::from(text))),
            Piece::Silence(seconds) => {
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                None
            }
        }
    });
    let connection = connection.clone();
    let end = stream::iter(by).then(move |by| breaking(by, connection.clone()));
    Body::from_stream(pieces.chain(end))
}

fn trickling(bytes: Vec<u8>, seconds: f64) -> Body {
    Body::from_stream(stream::iter(bytes).then(move |byte| async move {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        Ok::<_, std::io::Error>(Bytes::copy_from_slice(&[byte]))
    }))
}
