//! Accepts connections: `axum` accepts through `ConnectionListener`, which makes a `Socket` of each.
//!
//! TLS handshakes run in tasks of their own, since one may never end. During an outage the port is closed.

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
use super::socket::{Connection, Socket, Stream};

/// Accepts connections for `axum`.
pub(crate) struct ConnectionListener {
    accepted: mpsc::Receiver<(Socket, Connection)>,
    address: SocketAddr,
    _acceptor: JoinSet<()>,
}

impl ConnectionListener {
    pub(crate) fn new(
        listener: std::net::TcpListener,
        tls: Option<Tls>,
        script: &Script,
        log: Arc<Log>,
    ) -> Self {
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, accepted) = mpsc::channel(64);
        let idle = script.idle.map(Duration::from_secs_f64);
        let acceptor = Acceptor { sender, tls: tls.map(Arc::new), idle, log, next: 0, start: Instant::now() };
        let mut tasks = JoinSet::new();
        let outages = script.outages.clone();
        tasks.spawn(async move { acceptor.run(listener, address, outages).await });
        Self { accepted, address, _acceptor: tasks }
    }
}

impl Listener for ConnectionListener {
    type Io = Socket;
    type Addr = Connection;

    async fn accept(&mut self) -> (Socket, Connection) {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> Result<Connection> {
        Err(Error::other(format!("{} is the address of the listener", self.address)))
    }
}

impl Connected<IncomingStream<'_, ConnectionListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, ConnectionListener>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Accepts connections and passes them to the listener.
struct Acceptor {
    sender: mpsc::Sender<(Socket, Connection)>,
    tls: Option<Arc<Tls>>,
    idle: Option<Duration>,
    log: Arc<Log>,
    next: u64,
    start: Instant,
}

impl Acceptor {
    async fn run(mut self, listener: std::net::TcpListener, at: SocketAddr, outages: Vec<(f64, f64)>) {
        let mut handshakes = JoinSet::new();
        let mut listener = Some(TcpListener::from_std(listener).unwrap());
        for (from, to) in outages.into_iter().chain([(f64::MAX, f64::MAX)]) {
            let open = match listener.take() {
                Some(open) => open,
                None => TcpListener::bind(at).await.unwrap(),
            };
            let shut = Duration::try_from_secs_f64(from).unwrap_or(Duration::from_hours(1_000_000));
            tokio::select! {
                () = tokio::time::sleep(shut.saturating_sub(self.start.elapsed())) => {}
                () = self.accept(&open, &mut handshakes) => {}
            }
            drop(open);
            tokio::time::sleep(Duration::from_secs_f64(to).saturating_sub(self.start.elapsed())).await;
        }
    }

    async fn accept(&mut self, listener: &TcpListener, handshakes: &mut JoinSet<()>) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let connection = Connection::new(self.next);
            self.next += 1;
            let (sender, tls, idle) = (self.sender.clone(), self.tls.clone(), self.idle);
            let log = Arc::clone(&self.log);
            while handshakes.try_join_next().is_some() {}
            handshakes.spawn(async move {
                let stream = match &tls {
                    None => Stream::Plain(stream),
                    Some(tls) => match handshake(tls, stream).await {
                        Ok(stream) => Stream::Tls(stream),
                        Err((why, received)) => return log.connection(connection.number(), &why, &received),
                    },
                };
                let socket = Socket::new(stream, connection.clone(), idle);
                let _ = sender.send((socket, connection)).await;
            });
        }
    }
}

/// Returns the stream after the TLS handshake, or why it failed and what the client had sent.
async fn handshake(
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
