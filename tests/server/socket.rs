//! A connection of the server, which breaks, closes or goes silent where a reply or the script says so.
//!
//! Every connection is a `Socket`, made by `door`; its `Line` is what a reply holds of it.

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

/// A connection, as far as a reply has to do with it.
#[derive(Debug, Clone)]
pub(crate) struct Line(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    number: u64,
    questions: AtomicUsize,
    busy: AtomicUsize,
    end: Mutex<Option<(usize, End)>>,
}

/// How a connection ends.
#[derive(Debug)]
pub(super) enum End {
    Reset,
    Close,
    Hang,
    /// Closed after these bytes, which take the place of the response.
    Say(Vec<u8>),
}

impl Line {
    pub(super) fn new(number: u64) -> Self {
        Self(Arc::new(Shared {
            number,
            questions: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            end: Mutex::default(),
        }))
    }

    pub(super) fn number(&self) -> u64 {
        self.0.number
    }

    /// How many questions came before on this connection; one more from now on.
    pub(super) fn count(&self) -> usize {
        self.0.questions.fetch_add(1, Ordering::SeqCst)
    }

    /// Keeps the connection from being idle until it is dropped.
    pub(super) fn busy(&self) -> Busy {
        self.0.busy.fetch_add(1, Ordering::SeqCst);
        Busy(self.clone())
    }

    /// Ends the connection once so many further bytes are sent on it.
    pub(super) fn end_after(&self, bytes: usize, end: End) {
        *self.end() = Some((bytes, end));
    }

    fn end(&self) -> MutexGuard<'_, Option<(usize, End)>> {
        self.0.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Busy(Line);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connection that may be broken.
pub(crate) struct Socket {
    stream: Stream,
    line: Line,
    idle: Option<Duration>,
    asleep: Option<Pin<Box<Sleep>>>,
}

pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    pub(super) fn new(stream: Stream, line: Line, idle: Option<Duration>) -> Self {
        Self { stream, line, idle, asleep: None }
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
        if read.is_ready() || self.line.0.busy.load(Ordering::SeqCst) > 0 {
            self.asleep = None;
            return read;
        }
        // Nothing comes and nothing is under way: after a while that reads as the end.
        self.asleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle))).as_mut().poll(context).map(Ok)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let line = self.line.clone();
        let mut end = line.end();
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
            End::Hang => Poll::Pending,
            End::Reset | End::Close => Poll::Ready(Err(Error::from(ErrorKind::ConnectionReset))),
            End::Say(words) => {
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
        if matches!(&*self.line.end(), Some((_, End::Reset))) {
            let _ = self.stream.tcp().set_zero_linger();
        }
    }
}
