//! A server that answers chat completions at once, on one thread, with as little CPU as it can: what is left of the two
//! cores is the client's. It knows of HTTP/1.1 only what both clients send: requests with a length, on open connections.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Different replies, so that what is compressed is not always the same.
const REPLIES: usize = 1024;
/// The length of each text in bytes.
const TEXT: usize = 540;
/// Connections that may wait to be accepted: if there are more, the system drops their packets for a second.
const BACKLOG: u32 = 4096;
/// Words of the texts.
const WORDS: &str = "how do I tell whether the sourdough starter in my kitchen is ready to bake with since it rises well \
    by noon but smells of vinegar when the evening comes and a friend says that colder water or another flour might help \
    should I feed it twice before each loaf can you explain what happens to yeast at these temperatures please keep short";

/// A server in another process, killed on drop.
pub(crate) struct Server {
    pub(crate) url: String,
    child: Child,
}

impl Server {
    /// Starts this benchmark once more, as a server; it stores the body of each request in a line of `record`.
    pub(crate) fn start(record: Option<&Path>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("serve").args(record).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { url: url.trim().to_owned(), child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Replies {
    texts: Vec<Vec<u8>>,
    next: AtomicUsize,
    record: Option<File>,
}

/// Prints the base URL, and serves until the process is killed.
#[tokio::main(flavor = "current_thread")]
#[expect(clippy::disallowed_methods, reason = "the server is no part of a run")]
pub(crate) async fn serve(record: Option<PathBuf>) {
    let record = record.map(|path| File::create(path).unwrap());
    let replies = Arc::new(Replies { texts: texts(), next: AtomicUsize::new(0), record });
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(BACKLOG).unwrap();
    println!("http://{}/v1", listener.local_addr().unwrap());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        // A connection ends with an error when the client ends, which is all right.
        tokio::spawn(converse(stream, Arc::clone(&replies)));
    }
}

async fn converse(mut stream: TcpStream, replies: Arc<Replies>) -> io::Result<()> {
    let mut received = Vec::with_capacity(16 << 10);
    while stream.read_buf(&mut received).await? > 0 {
        while let Some((body, end)) = request(&received) {
            if let Some(mut file) = replies.record.as_ref() {
                file.write_all(&[&received[body..end], b"\n"].concat())?;
            }
            received.drain(..end);
            let number = replies.next.fetch_add(1, Ordering::Relaxed);
            stream.write_all(&replies.texts[number % REPLIES]).await?;
        }
    }
    Ok(())
}

/// Returns where the body of the first request begins and ends, once all of it has arrived.
fn request(received: &[u8]) -> Option<(usize, usize)> {
    let body = received.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&received[..body]).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let end = body + length.map_or(0, |length| length.trim().parse().unwrap());
    (received.len() >= end).then_some((body, end))
}

/// Returns whole HTTP responses, each with another text.
fn texts() -> Vec<Vec<u8>> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let reply = |_| {
        let mut text = String::new();
        while text.len() < TEXT {
            text += words.choose(&mut random).unwrap();
            text += " ";
        }
        text.truncate(TEXT);
        let body = json!({
            "id": format!("chatcmpl-{:032x}", random.random::<u128>()),
            "object": "chat.completion",
            "created": 1_795_910_400,
            "model": "OpenGVLab/InternVL2-8B",
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": text.trim()},
                "logprobs": null,
                "finish_reason": "stop",
            }],
            "usage": {"prompt_tokens": 431, "completion_tokens": 118, "total_tokens": 549},
        });
        let body = body.to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
        format!("{head}{}\r\n\r\n{body}", body.len()).into_bytes()
    };
    (0..REPLIES).map(reply).collect()
}
