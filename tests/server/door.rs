//! Where connections come in: `axum` accepts through `Door`, which makes a `Socket` of each.
//!
//! TLS handshakes are made beside the accepting, since one may never end. In an outage nobody listens.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

use super::certificates::Tls;
use super::log::Log;
use super::script::Script;
use super::socket::{Line, Socket, Stream};

/// Where connections come in.
pub(crate) struct Door {
    come: mpsc::Receiver<(Socket, Line)>,
    address: SocketAddr,
    _porter: JoinSet<()>,
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
            let line = Line::new(self.next);
            self.next += 1;
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
                let socket = Socket::new(stream, line.clone(), idle);
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
