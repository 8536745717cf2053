//! Checks the quotes of a CSV file while it is read: quotes left open, and text after a closing quote.
//!
//! The csv crate accepts any text: it reads a quote left open as a field that extends to the end of the file or
//! to the next quote, and text after a closing quote as more of the field. Both swallow rows.

use std::collections::VecDeque;

/// Scans the bytes of a file and records the rows with misplaced quotes.
#[derive(Debug)]
pub(super) struct QuoteChecker {
    delimiter: u8,
    /// `None` if quotes are ordinary characters.
    quote: Option<u8>,
    state: QuoteState,
    /// The current row; the header is row 0.
    row: u64,
    line: u64,
    /// The line in which the quote of this field opens.
    opened: u64,
    /// Whether the last byte was a carriage return.
    carriage: bool,
    found: VecDeque<(u64, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QuoteState {
    /// Before a row. Blank lines are not rows.
    Row,
    /// Before a field of a row.
    Field,
    Bare,
    Quoted,
    /// After a quote in a quoted field: it either ended the field, or a second one follows.
    Closed,
}

impl QuoteChecker {
    pub(super) fn new(delimiter: u8, quote: Option<u8>) -> Self {
        let (row, line, opened) = (0, 1, 1);
        Self {
            delimiter,
            quote,
            state: QuoteState::Row,
            row,
            line,
            opened,
            carriage: false,
            found: VecDeque::new(),
        }
    }

    /// Returns what is wrong with the quotes of a row. Rows are requested in order.
    pub(super) fn take(&mut self, row: u64) -> Option<String> {
        while self.found.front().is_some_and(|(found, _)| *found < row) {
            self.found.pop_front();
        }
        self.found.pop_front_if(|(found, _)| *found == row).map(|(_, message)| message)
    }

    /// Scans the next bytes of the file.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }

    /// Marks the end of the file.
    pub(super) fn end(&mut self) {
        if self.state == QuoteState::Quoted {
            let message = format!(
                "the quote that opens in line {} is never closed: all that follows is in it",
                self.opened
            );
            self.note(message);
        }
        self.state = QuoteState::Row;
    }

    fn byte(&mut self, byte: u8) {
        let ends_line = matches!(byte, b'\r' | b'\n');
        let second_half = byte == b'\n' && self.carriage;
        self.carriage = byte == b'\r';
        match self.state {
            QuoteState::Row if ends_line => {}
            QuoteState::Row | QuoteState::Field if Some(byte) == self.quote => {
                self.opened = self.line;
                self.state = QuoteState::Quoted;
            }
            QuoteState::Quoted if Some(byte) == self.quote => self.state = QuoteState::Closed,
            QuoteState::Quoted => {}
            QuoteState::Closed if Some(byte) == self.quote => self.state = QuoteState::Quoted,
            _ if ends_line => {
                self.state = QuoteState::Row;
                self.row += 1;
            }
            _ if byte == self.delimiter => self.state = QuoteState::Field,
            QuoteState::Closed => {
                let message = format!(
                    "text follows the closing quote in line {}; the quote opens in line {}: is one left open or \
                     not doubled?",
                    self.line, self.opened
                );
                self.note(message);
                self.state = QuoteState::Bare;
            }
            _ => self.state = QuoteState::Bare,
        }
        if ends_line && !second_half {
            self.line += 1;
        }
    }

    /// Records the first problem of a row.
    fn note(&mut self, message: String) {
        if self.found.back().is_none_or(|(row, _)| *row != self.row) {
            self.found.push_back((self.row, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(u64, &str)]) {
        let mut quotes = QuoteChecker::new(b',', Some(b'"'));
        quotes.read(text.as_bytes());
        quotes.end();
        let found: Vec<(u64, &str)> =
            quotes.found.iter().map(|(row, message)| (*row, message.as_str())).collect();
        assert_eq!(found.len(), expected.len(), "{text:?}: {found:?}");
        for ((row, message), (in_row, part)) in found.iter().zip(expected) {
            assert!(row == in_row && message.contains(part), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn correct_quotes_are_not_reported() {
        check("a,b\n\"x\",\"y \"\"z\"\"\n\"\n\"\",\"\"\"\"\n", &[]);
        check("a\r\n\r\n\"x\ny\"\r\n5\" disk,say \"x\"\n\"end\"", &[]);
        check("", &[]);
    }

    #[test]
    fn open_quotes_and_text_after_closing_ones_are_reported_with_row_and_line() {
        check("id,text\n1,fine\n2,\"He said\n3,next\n", &[(2, "opens in line 3 is never closed")]);
        check("id,text\r\n\r\n1,\"He\r\n2,\"bye\r\n3,x\r\n", &[(1, "in line 4; the quote opens in line 3")]);
        check("a\n\"x\" \n\"y\"z\"\n", &[(1, "in line 2"), (2, "in line 3; the quote opens in line 3")]);
        check("\"a\n", &[(0, "opens in line 1 is never closed")]);
    }
}
