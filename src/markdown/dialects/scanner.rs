//! One pass over a text: at each character that may begin markup of a dialect, the rules are tried.

use std::collections::HashSet;
use std::ops::Range;

use super::super::html;
use super::rewrite_buffer::RewriteBuffer;
use super::{math, mdx, obsidian, tags, templates};

/// The maximum length of markup, in bytes.
const MOST: usize = 4 * 1024;

/// The bytes at which a rule may apply, and the end of a line.
const MARKS: [bool; 256] = {
    let mut marks = [false; 256];
    let bytes = b"\n\\$%[!=^{:<";
    let mut index = 0;
    while index < bytes.len() {
        marks[bytes[index] as usize] = true;
        index += 1;
    }
    marks
};

/// A pass over one text.
pub(super) struct DialectScanner<'d, 'a, 't> {
    pub(super) draft: &'d mut RewriteBuffer<'a>,
    /// The text as the parser would see it now.
    pub(super) text: &'t str,
    /// The ranges of code, in order.
    code: Vec<Range<usize>>,
    /// Closing strings that were searched for in vain: they do not occur further on either.
    missing: Vec<&'static str>,
    /// The names of the tags that are closed somewhere.
    pub(super) closed: HashSet<&'t str>,
    /// Whether `\(x\)` is a formula, like others in this text.
    pub(super) brackets_are_math: bool,
}

impl<'d, 'a, 't> DialectScanner<'d, 'a, 't> {
    /// Creates a scanner of `text`, the current state of `draft`, with these ranges of code.
    pub(super) fn new(draft: &'d mut RewriteBuffer<'a>, text: &'t str, code: Vec<Range<usize>>) -> Self {
        let brackets_are_math = math::has_brackets(text);
        Self { draft, text, code, missing: Vec::new(), closed: html::closed(text), brackets_are_math }
    }

    /// Rewrites the text; returns whether markup was left open.
    pub(super) fn run(mut self) -> bool {
        let bytes = self.text.as_bytes();
        let (mut at, mut line) = (0, true);
        let mut code = self.code.clone().into_iter().peekable();
        while at < bytes.len() {
            if !line {
                let rest = &bytes[at..];
                at += rest.iter().position(|byte| MARKS[usize::from(*byte)]).unwrap_or(rest.len());
            }
            let Some(byte) = bytes.get(at).copied() else { break };
            while code.next_if(|code| code.end <= at).is_some() {}
            if let Some(code) = code.next_if(|code| code.start <= at) {
                at = code.end;
                line = false;
                continue;
            }
            let next = if line { self.at_line_start(at) } else { None };
            let next = next.or_else(|| self.rule(byte, at));
            line = byte == b'\n' || line && next.is_none() && matches!(byte, b' ' | b'>' | b'\t');
            // Rules return the offset after what they read.
            at = next.filter(|next| *next > at).unwrap_or(at + 1);
            if next.is_some() {
                line = bytes.get(at - 1) == Some(&b'\n');
            }
        }
        !self.missing.is_empty()
    }

    /// The end of a rule that applies at the beginning of a line.
    fn at_line_start(&mut self, at: usize) -> Option<usize> {
        match self.text.as_bytes()[at] {
            b'i' | b'e' => mdx::statement(self, at),
            b':' => templates::directive(self, at),
            b'[' => obsidian::callout(self, at).or_else(|| templates::contents(self, at)),
            b'*' | b'-' | b'{' => templates::contents(self, at),
            _ => None,
        }
    }

    /// The end of the rule that begins with `byte`, if one applies here.
    fn rule(&mut self, byte: u8, at: usize) -> Option<usize> {
        match byte {
            b'\\' => math::brackets(self, at).or(Some(at + 2)),
            b'$' => math::dollars(self, at),
            b'%' => obsidian::comment(self, at),
            b'[' | b'!' => obsidian::link(self, at),
            b'=' => obsidian::highlight(self, at),
            b'^' => obsidian::block_id(self, at),
            b'{' => templates::braces(self, at),
            b':' => templates::icon(self, at),
            b'<' => tags::tag(self, at).or_else(|| mdx::tag(self, at)),
            _ => None,
        }
    }

    /// The end of the code around `at`.
    pub(super) fn code_at(&self, at: usize) -> Option<usize> {
        let after = self.code.partition_point(|code| code.start <= at);
        let code = self.code.get(after.checked_sub(1)?)?;
        (at < code.end).then_some(code.end)
    }

    /// The end of the element `name` that begins at `at`.
    pub(super) fn element(&mut self, at: usize, name: &'static str) -> Option<usize> {
        if self.missing.contains(&name) {
            return None;
        }
        let length = tags::element(&self.text[at..], name);
        if length.is_none() {
            self.missing.push(name);
        }
        length.map(|length| at + length)
    }

    /// The next offset of `wanted` outside of code.
    pub(super) fn find(&mut self, from: usize, wanted: &'static str) -> Option<usize> {
        if self.missing.contains(&wanted) {
            return None;
        }
        let mut at = from;
        while let Some(found) = self.text.get(at..).and_then(|rest| rest.find(wanted)) {
            match self.code_at(at + found) {
                Some(code) => at = code,
                None => return Some(at + found),
            }
        }
        self.missing.push(wanted);
        None
    }

    /// The text from `at` to the end of its line, within the maximum length of markup.
    pub(super) fn line(&self, at: usize) -> &'t str {
        let rest = self.near(at);
        &rest[..rest.find('\n').unwrap_or(rest.len())]
    }

    /// The text from `at` on, within the maximum length of markup: longer constructs are text, so that a long
    /// text is read in one pass.
    pub(super) fn near(&self, at: usize) -> &'t str {
        let rest = &self.text[at..];
        &rest[..rest.floor_char_boundary(MOST)]
    }

    /// The text from `at` to the next blank line.
    pub(super) fn paragraph(&self, at: usize) -> &'t str {
        let rest = self.near(at);
        let mut end = 0;
        for line in rest.split_inclusive('\n') {
            if line.trim_matches(['>', ' ', '\t', '\n']).is_empty() && end > 0 {
                break;
            }
            end += line.len();
        }
        &rest[..end]
    }

    /// The character before `at`.
    pub(super) fn before(&self, at: usize) -> Option<char> {
        self.text[..at].chars().next_back()
    }

    /// Whether only indentation and quote marks precede `at` in its line.
    pub(super) fn begins_line(&self, at: usize) -> bool {
        let before = self.text[..at].trim_end_matches([' ', '>', '\t']);
        before.is_empty() || before.ends_with('\n')
    }
}
