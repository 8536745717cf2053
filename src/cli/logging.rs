//! Logs: tracing events as lines on stderr, held back while the progress line is drawn.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressDrawTarget};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Starts logging and returns the progress line that log lines step around. Hidden unless stderr is a
/// terminal and nobody asked for quiet or JSON. `SYNTHMILL_LOG` takes a filter such as `synthmill=debug`.
pub(super) fn start(verbose: u8, quiet: bool, json: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if quiet || json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "synthmill=info,warn",
        (false, 1) => "synthmill=debug,info",
        (false, _) => "synthmill=trace,debug",
    };
    let filter = EnvFilter::try_from_env("SYNTHMILL_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let writer = Around { bar: bar.clone() };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    // Fails only when logging was started before, by a program that embeds this library.
    let _ = if json {
        logs.json().try_init()
    } else {
        let colour = io::IsTerminal::is_terminal(&io::stderr());
        logs.with_ansi(colour).compact().try_init()
    };
    bar
}

/// Writes log lines around the progress line.
struct Around {
    bar: ProgressBar,
}

struct Line {
    bar: ProgressBar,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Around {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { bar: self.bar.clone(), bytes: Vec::new() }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.bytes);
        self.bar.suspend(|| io::stderr().write_all(&bytes))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}
