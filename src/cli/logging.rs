//! Logging: tracing events as lines on stderr, written without breaking the progress line.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::terminal;
use crate::printable::{printable, printable_line};

/// Starts logging and returns the progress line, which is hidden unless stderr is a terminal and neither quiet nor
/// JSON output was requested. `SYNTHMILL_LOG` sets a filter such as `synthmill=debug`.
pub(super) fn start(verbose: u8, quiet: bool, json: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // A dumb terminal cannot redraw its line, and would print a new one for each tick.
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if quiet || json || dumb {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "synthmill=info,warn",
        (false, 1) => "synthmill=debug,info",
        (false, _) => "synthmill=trace,debug",
    };
    let filter = EnvFilter::try_from_env("SYNTHMILL_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let writer = LogWriter { bar: bar.clone() };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    // Fails only if logging was already started, by a program that embeds this library.
    let _ = if json {
        logs.json().try_init()
    } else {
        let line = LineFormat { colour: terminal::colour_on_stderr(), people: io::stderr().is_terminal() };
        logs.event_format(line).try_init()
    };
    bar
}

/// Formats an event as one line: time, level, message, fields.
struct LineFormat {
    colour: bool,
    /// Whether people read along, who know the day; a file is read later, and elsewhere.
    people: bool,
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut words = EventText::default();
        event.record(&mut words);
        let time = match self.people {
            true => jiff::Zoned::now().strftime("%H:%M:%S").to_string(),
            false => jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        };
        let level = *event.metadata().level();
        let (dim, style) = match self.colour {
            true => (Style::new().dimmed(), style(level)),
            false => (Style::new(), Style::new()),
        };
        // Further lines, such as a hint, are indented, so that none can pass for an event.
        let message = printable(&words.message).replace('\n', "\n    ");
        write!(writer, "{dim}{time}{dim:#} {style}{level:>5}{style:#} {message}")?;
        writeln!(writer, "{dim}{}{dim:#}", printable_line(&words.fields))
    }
}

fn style(level: Level) -> Style {
    match level {
        Level::ERROR => AnsiColor::Red.on_default().bold(),
        Level::WARN => AnsiColor::Yellow.on_default().bold(),
        Level::INFO => AnsiColor::Green.on_default(),
        _ => AnsiColor::Blue.on_default(),
    }
}

/// The text of an event: its message, and its fields as ` name=value`.
#[derive(Default)]
struct EventText {
    message: String,
    fields: String,
}

impl Visit for EventText {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// Writes log lines while the progress line is suspended.
struct LogWriter {
    bar: ProgressBar,
}

struct BufferedLines {
    bar: ProgressBar,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = BufferedLines;

    fn make_writer(&'a self) -> BufferedLines {
        BufferedLines { bar: self.bar.clone(), bytes: Vec::new() }
    }
}

impl Write for BufferedLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.bytes);
        self.bar.suspend(|| io::stderr().write_all(&bytes))
    }
}

impl Drop for BufferedLines {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}
