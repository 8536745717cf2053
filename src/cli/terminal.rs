//! The capabilities of the terminal: colours and line width.
//!
//! The usual variables are respected: `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` and `TERM=dumb`.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use crate::printable::printable;

/// The assumed width if it is unknown.
const WIDTH: usize = 100;
/// The largest line width, since long lines are hard to read.
const WIDEST: usize = 120;

/// Whether stderr supports colours.
pub(super) fn colour_on_stderr() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

/// Returns the line width for text on stdout, if that is a terminal.
pub(super) fn width_of_stdout() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let width = terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
    Some(width.unwrap_or(WIDTH).min(WIDEST))
}

/// Writes text for people to stdout, with terminal control characters escaped. A closed pipe is not an error.
pub(super) fn print(text: &str) {
    write(&printable(text));
}

/// Writes JSON or other data for programs to stdout, unchanged.
pub(super) fn print_data(text: &str) {
    write(text);
}

fn write(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes an error to stderr, with its keywords and marks coloured if stderr supports colours.
pub(super) fn print_error(text: &str) {
    let text = printable(text);
    let shown = if colour_on_stderr() { coloured(&text) } else { text };
    let _ = io::stderr().write_all(shown.as_bytes());
}

/// Colours the keywords `error:`, `because:`, `hint:` and `expected:`, and the marks under a source position.
fn coloured(text: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let (blank, rest) = line.split_at(indent);
        out.push_str(blank);
        let style = PAINTED.iter().find(|(word, _)| rest.starts_with(word));
        if let Some((word, style)) = style {
            out.push_str(&format!("{style}{word}{style:#}{}", &rest[word.len()..]));
        } else if rest.starts_with('|') && rest.trim_end().ends_with(['^', '-']) {
            let marks = rest.find('^').unwrap_or(0);
            let (before, after) = rest.split_at(marks);
            let (marks, end) = after.split_at(after.trim_end().len());
            out.push_str(&format!("{before}{RED}{marks}{RED:#}{end}"));
        } else {
            out.push_str(rest);
        }
    }
    Cow::Owned(out)
}

const RED: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
const CYAN: anstyle::Style = anstyle::AnsiColor::Cyan.on_default().bold();
const PAINTED: [(&str, anstyle::Style); 4] =
    [("error:", RED), ("because:", RED), ("hint:", CYAN), ("expected:", CYAN)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_and_marks_are_coloured_and_no_text_is_lost() {
        let text = "error: no\np.yaml:1:2: bad\n  |\n3 |   - sink: x\n  |     ^^^\n    hint: try\n";
        let shown = coloured(text);
        assert!(shown.contains(&format!("{RED}^^^{RED:#}")), "{shown:?}");
        assert!(shown.contains(&format!("{CYAN}hint:{CYAN:#} try")), "{shown:?}");
        assert_eq!(anstream::adapter::strip_str(&shown).to_string(), text);
    }
}
