//! The connections of the server: where a script has them refused, broken, closed or left to idle.
//!
//! `axum` accepts through `Door`; every connection is a `Socket`, and its `Line` is what a reply holds of it.
//! TLS handshakes are made beside the accepting, since one may never end.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use super::certificates::Tls;
use super::log::Log;
use super::script::Script;

/// Where connections come in.
pub(crate) struct Door {
    come: mpsc::Receiver<(Socket, Line)>,
    address: SocketAddr,
    _porter: JoinSet<()>,
}

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

impl Door {
    pub(crate) fn new(
        listener: std::net::TcpListener,
        tls: Option<Tls>,
        script: &Script,
        log: Arc<Log>,
    ) -> Self {
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (inside, come) = mpsc::channel(64);
        let idle = script.idle.map(Duration::from_secs_f64);
        let porter = Porter { inside, tls: tls.map(Arc::new), idle, log, next: 0, start: Instant::now() };
        let mut tasks = JoinSet::new();
        let outages = script.outages.clone();
        tasks.spawn(async move { porter.work(listener, address, outages).await });
        Self { come, address, _porter: tasks }
    }
}

impl Listener for Door {
    type Io = Socket;
    type Addr = Line;

    async fn accept(&mut self) -> (Socket, Line) {
        match self.come.recv().await {
            Some(come) => come,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> Result<Line> {
        Err(Error::other(format!("{} is where the door is", self.address)))
    }
}

impl Connected<IncomingStream<'_, Door>> for Line {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Takes connections and brings them to the door.
struct Porter {
    inside: mpsc::Sender<(Socket, Line)>,
    tls: Option<Arc<Tls>>,
    idle: Option<Duration>,
    log: Arc<Log>,
    next: u64,
    start: Instant,
}

impl Porter {
    async fn work(mut self, listener: std::net::TcpListener, at: SocketAddr, outages: Vec<(f64, f64)>) {
        let mut guests = JoinSet::new();
        let mut listener = Some(TcpListener::from_std(listener).unwrap());
        for (from, to) in outages.into_iter().chain([(f64::MAX, f64::MAX)]) {
            let open = match listener.take() {
                Some(open) => open,
                None => TcpListener::bind(at).await.unwrap(),
            };
            let shut = Duration::try_from_secs_f64(from).unwrap_or(Duration::from_hours(1_000_000));
            tokio::select! {
                () = tokio::time::sleep(shut.saturating_sub(self.start.elapsed())) => {}
                () = self.receive(&open, &mut guests) => {}
            }
            drop(open);
            tokio::time::sleep(Duration::from_secs_f64(to).saturating_sub(self.start.elapsed())).await;
        }
    }

    async fn receive(&mut self, listener: &TcpListener, guests: &mut JoinSet<()>) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let shared = Shared {
                number: self.next,
                questions: AtomicUsize::new(0),
                busy: AtomicUsize::new(0),
                end: Mutex::default(),
            };
            self.next += 1;
            let line = Line(Arc::new(shared));
            let (inside, tls, idle) = (self.inside.clone(), self.tls.clone(), self.idle);
            let log = Arc::clone(&self.log);
            while guests.try_join_next().is_some() {}
            guests.spawn(async move {
                let stream = match &tls {
                    None => Stream::Plain(stream),
                    Some(tls) => match shake_hands(tls, stream).await {
                        Ok(stream) => Stream::Tls(stream),
                        Err((why, received)) => return log.connection(line.number(), &why, &received),
                    },
                };
                let socket = Socket { stream, line: line.clone(), idle, asleep: None };
                let _ = inside.send((socket, line)).await;
            });
        }
    }
}

/// The stream when TLS is agreed on, or why not and what the client said.
async fn shake_hands(
    tls: &Tls,
    mut stream: TcpStream,
) -> std::result::Result<Box<TlsStream<TcpStream>>, (String, Vec<u8>)> {
    match tls {
        Tls::Certificate(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err((error.to_string(), Vec::new())),
        },
        Tls::Garbage => {
            let mut received = vec![0; 16 << 10];
            let count = stream.read(&mut received).await.unwrap_or_default();
            received.truncate(count);
            let _ = stream.write_all(b"220 mail.example.org ESMTP\r\n").await;
            Err(("spoke no TLS".to_owned(), received))
        }
    }
}

impl Line {
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

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
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
