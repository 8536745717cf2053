//! The time from the start of the program to its first request, of a new run and of one that has many done items.

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use crate::server::Server;
use crate::{Arguments, child, median, user_inputs};

/// Both figures; the resumed run has one item left.
pub(crate) fn first_requests(arguments: &Arguments, folder: &Path) {
    let out = folder.join("start");
    let new = (0..arguments.times).map(|_| {
        let _ = std::fs::remove_dir_all(&out);
        first_request(arguments, arguments.rows + 1, &out)
    });
    println!("start to the first request: {:.0} ms", 1e3 * median(new));

    let _ = std::fs::remove_dir_all(&out);
    let server = Server::start(None);
    let rows = arguments.rows + 1;
    let mut first = user_inputs::command(&arguments.program, &server.url, 64, rows, &out);
    child::measure(first.args(["--limit", &arguments.rows.to_string()]));
    let resumed = (0..arguments.times).map(|_| first_request(arguments, rows, &out));
    println!("the same, {} items of the run being done: {:.0} ms", arguments.rows, 1e3 * median(resumed));
    let _ = std::fs::remove_dir_all(&out);
}

/// Returns the seconds until the first request arrives; the program is killed while it waits for the answer.
fn first_request(arguments: &Arguments, rows: u64, out: &Path) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let mut command = user_inputs::command(&arguments.program, &url, 64, rows, out);
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    child.kill().unwrap();
    child.wait().unwrap();
    seconds
}
