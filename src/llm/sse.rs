//! Decodes server-sent events from bytes in chunks of any size.
//!
//! `streaming` passes it a server's bytes; `dialect::stream` interprets the events. The format is that of the HTML
//! standard: lines that end in LF, CR or both, `data` of several lines, comments, a byte order mark. The bytes need not
//! be UTF-8, and the size of an unfinished event is bounded.

/// Decodes events from the chunks of a stream.
#[derive(Debug)]
pub(super) struct EventDecoder {
    limit: usize,
    /// The current line so far.
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// Whether the last line ended in CR, so that a following LF belongs to it.
    after_cr: bool,
    /// Whether a line has ended: only the first may start with a byte order mark.
    begun: bool,
    /// Whether the current event has been returned.
    taken: bool,
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event<'a> {
    /// Its type; empty if the server sends none.
    pub(super) name: &'a [u8],
    /// Its data, lines joined by LF.
    pub(super) data: &'a [u8],
}

/// An event, or a line, that is longer than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {limit} bytes")]
pub(super) struct EventTooLong {
    /// The limit, in bytes.
    pub(super) limit: usize,
}

impl EventDecoder {
    /// Creates a decoder that buffers at most `limit` bytes of an event.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            begun: false,
            taken: false,
        }
    }

    /// Returns the next event that `bytes` complete, and advances `bytes` past what was read. `None` once all are read.
    pub(super) fn next<'a>(&'a mut self, bytes: &mut &[u8]) -> Result<Option<Event<'a>>, EventTooLong> {
        self.forget_taken();
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                *bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + self.name.len() + self.data.len() + part.len() > self.limit {
                return Err(EventTooLong { limit: self.limit });
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else {
                *bytes = &[];
                break;
            };
            self.after_cr = bytes[end] == b'\r';
            *bytes = &bytes[end + 1..];
            if self.end_line() {
                return Ok(Some(self.event()));
            }
        }
        Ok(None)
    }

    /// Returns the last event if the stream ends without the empty line after it. The standard drops such an event, but
    /// servers end with `data: [DONE]` and one line end, or none.
    pub(super) fn rest(&mut self) -> Option<Event<'_>> {
        self.forget_taken();
        if !self.line.is_empty() {
            self.end_line();
        }
        self.has_data.then(|| self.event())
    }

    /// Processes the current line. Returns whether it ends an event.
    fn end_line(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        let is_first = !std::mem::replace(&mut self.begun, true);
        let text = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| is_first).unwrap_or(&line);
        let is_end = text.is_empty();
        if is_end && !self.has_data {
            self.name.clear();
        }
        let colon = text.iter().position(|byte| *byte == b':');
        let (field, value) = text.split_at(colon.unwrap_or(text.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        // llama.cpp's server used to send errors in a field of their own.
        if field == b"error" {
            self.name.clear();
            self.name.extend_from_slice(field);
        }
        match field {
            b"data" | b"error" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            // A comment, `id`, `retry`, or an unknown field.
            _ => {}
        }
        // Reuse the buffer for the next line.
        self.line = line;
        self.line.clear();
        is_end && self.has_data
    }

    fn event(&mut self) -> Event<'_> {
        self.taken = true;
        Event { name: &self.name, data: &self.data }
    }

    fn forget_taken(&mut self) {
        if std::mem::take(&mut self.taken) {
            self.name.clear();
            self.data.clear();
            self.has_data = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns all events of a stream in these chunks, including an unfinished last one.
    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String)> {
        let mut decoder = EventDecoder::new(1 << 20);
        let mut all = Vec::new();
        let owned = |event: Event<'_>| {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            (text(event.name), text(event.data))
        };
        for mut piece in pieces {
            while let Some(event) = decoder.next(&mut piece).unwrap() {
                all.push(owned(event));
            }
        }
        all.extend(decoder.rest().map(owned));
        all
    }

    #[track_caller]
    fn check(stream: &str, expected: &[(&str, &str)]) {
        let expected: Vec<(String, String)> =
            expected.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect();
        let bytes = stream.as_bytes();
        assert_eq!(events([bytes]), expected, "{stream:?}");
        assert_eq!(events(bytes.chunks(1)), expected, "{stream:?}, byte by byte");
    }

    #[test]
    fn events_are_told_apart() {
        check("data: one\n\ndata: two\n\n", &[("", "one"), ("", "two")]);
        check("data: one\r\n\r\ndata: two\r\n\r\n", &[("", "one"), ("", "two")]);
        check("data: one\r\rdata: two\r\r", &[("", "one"), ("", "two")]);
        check("event: error\ndata: one\n\ndata: two\n\n", &[("error", "one"), ("", "two")]);
        check("data: one\ndata:two\ndata\ndata:  three\n\n", &[("", "one\ntwo\n\n three")]);
        check(": OPENROUTER PROCESSING\n\n: again\ndata: one\n:\nid: 7\nretry: 10\nodd\n\n", &[("", "one")]);
        check("\u{feff}data: one\n\n\u{feff}data: two\n\n", &[("", "one")]);
        check("event: ping\n\ndata: one\n\n", &[("", "one")]);
        check("data:\n\n", &[("", "")]);
        check("error: one\n\ndata: two\n\n", &[("error", "one"), ("", "two")]);
        check("data: \u{1f600}\n\n", &[("", "\u{1f600}")]);
        check("\n\n\n", &[]);
        check("", &[]);
    }

    #[test]
    fn an_end_without_an_empty_line_ends_the_last_event() {
        check("data: one\n\ndata: [DONE]\n", &[("", "one"), ("", "[DONE]")]);
        check("data: one\n\ndata: [DONE]", &[("", "one"), ("", "[DONE]")]);
        check("data: one\n\nevent: x", &[("", "one")]);
    }

    #[test]
    fn buffered_bytes_are_bounded() {
        let check = |stream: &str, fits: bool| {
            let mut decoder = EventDecoder::new(20);
            let held = stream.as_bytes().chunks(7).try_for_each(|mut piece| {
                while decoder.next(&mut piece)?.is_some() {}
                Ok::<_, EventTooLong>(())
            });
            assert_eq!(held.is_ok(), fits, "{stream}");
        };
        check(&"data: twelve bytes\n\n".repeat(100), true);
        check(&": a comment of 20 b.\n".repeat(100), true);
        check(&"data: 1\n".repeat(100), false);
        check(&"x".repeat(21), false);
        check("event: fifteen_letters\ndata: and more\n\n", false);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            lines in prop::collection::vec("(data: ?|event:|:|id: |\u{feff}|)[a-zä€\u{1f600}:\r\n ]{0,12}(\n|\r|\r\n)", 0..12),
            cuts in prop::collection::vec(1_usize..9, 1..200),
        ) {
            let stream = lines.concat();
            let mut rest = stream.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, then) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = then;
            }
            prop_assert_eq!(events(pieces), events([stream.as_bytes()]));
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(events(bytes.chunks(3)), events([&*bytes]));
        }
    }
}
