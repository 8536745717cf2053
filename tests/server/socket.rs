//! A connection of the server that can break, close or go silent as a reply or the script says.
//!
//! Every connection is a `Socket`, made by `listener`; its `Connection` is what a reply holds of it.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

/// A handle to a connection, for replies.
#[derive(Debug, Clone)]
pub(crate) struct Connection(Arc<ConnectionState>);

#[derive(Debug)]
struct ConnectionState {
    number: u64,
    questions: AtomicUsize,
    busy: AtomicUsize,
    end: Mutex<Option<(usize, ConnectionEnd)>>,
}

/// How a connection ends.
#[derive(Debug)]
pub(super) enum ConnectionEnd {
    Reset,
    Close,
    Hang,
    /// Closed after these bytes, which replace the response.
    Raw(Vec<u8>),
}

impl Connection {
    pub(super) fn new(number: u64) -> Self {
        Self(Arc::new(ConnectionState {
            number,
            questions: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            end: Mutex::default(),
        }))
    }

    pub(super) fn number(&self) -> u64 {
        self.0.number
    }

    /// Counts a question; returns the number of earlier ones on this connection.
    pub(super) fn count(&self) -> usize {
        self.0.questions.fetch_add(1, Ordering::SeqCst)
    }

    /// Returns a guard that keeps the connection from counting as idle.
    pub(super) fn busy(&self) -> BusyGuard {
        self.0.busy.fetch_add(1, Ordering::SeqCst);
        BusyGuard(self.clone())
    }

    /// Ends the connection after this many further bytes.
    pub(super) fn end_after(&self, bytes: usize, end: ConnectionEnd) {
        *self.end() = Some((bytes, end));
    }

    fn end(&self) -> MutexGuard<'_, Option<(usize, ConnectionEnd)>> {
        self.0.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct BusyGuard(Connection);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The stream of a connection that can be broken.
pub(crate) struct Socket {
    stream: Stream,
    connection: Connection,
    idle: Option<Duration>,
    asleep: Option<Pin<Box<Sleep>>>,
}

pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    pub(super) fn new(stream: Stream, connection: Connection, idle: Option<Duration>) -> Self {
        Self { stream, connection, idle, asleep: None }
    }
}

impl Stream {
    fn reading(&mut self) -> Pin<&mut (dyn AsyncRead + Send + Unpin)> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(stream),
        }
    }

    fn writing(&mut self) -> Pin<&mut (dyn AsyncWrite + Send + Unpin)> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(stream),
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let read = self.stream.reading().poll_read(context, buffer);
        let Some(idle) = self.idle else { return read };
        if read.is_ready() || self.connection.0.busy.load(Ordering::SeqCst) > 0 {
            self.asleep = None;
            return read;
        }
        // Without input and without a question in progress, the connection ends after a while.
        self.asleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle))).as_mut().poll(context).map(Ok)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let connection = self.connection.clone();
        let mut end = connection.end();
        let (left, how) = match &mut *end {
            None => return self.stream.writing().poll_write(context, bytes),
            Some((left, how)) => (left, how),
        };
        if *left > 0 {
            let some = bytes.len().min(*left);
            let written = ready!(self.stream.writing().poll_write(context, &bytes[..some]))?;
            *left -= written;
            return Poll::Ready(Ok(written));
        }
        match how {
            ConnectionEnd::Hang => Poll::Pending,
            ConnectionEnd::Reset | ConnectionEnd::Close => {
                Poll::Ready(Err(Error::from(ErrorKind::ConnectionReset)))
            }
            ConnectionEnd::Raw(words) => {
                while !words.is_empty() {
                    let written = ready!(self.stream.writing().poll_write(context, words))?;
                    words.drain(..written);
                }
                Poll::Ready(Err(Error::from(ErrorKind::ConnectionReset)))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.stream.writing().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.stream.writing().poll_shutdown(context)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if matches!(&*self.connection.end(), Some((_, ConnectionEnd::Reset))) {
            let _ = self.stream.tcp().set_zero_linger();
        }
    }
}
