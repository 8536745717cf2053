//! Finds the borders of lines, paragraphs, sentences and numbered steps in a text.
//!
//! All functions return the byte offsets at which the pieces after the first begin, in order.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::markdown::sentences;

/// The characters that a fence consists of.
const FENCES: [char; 2] = ['`', '~'];
/// A line that begins with a word for "step": the indentation, and the number after or before the word.
static NAMED_STEP: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?i)^([ \t]*)(?:#{1,6}[ \t]+)?[*_]{0,3}(?:(?:step|schritt|étape|etape|paso|passo|etapa|stap|krok|шаг|步骤|ステップ|단계)[ \t]*#?(\d{1,3})|第[ \t]*(\d{1,3})[ \t]*步)",
    )
});
/// A line of a numbered list: the indentation, and the number.
static LIST_STEP: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"^([ \t]*)(?:#{1,6}[ \t]+)?[*_]{0,3}(\d{1,3})(?:[.)][*_]{0,3}(?:[ \t]|$)|、)"));

fn pattern(source: &str) -> Option<Regex> {
    Regex::new(source).ok()
}

/// Removes borders so that pieces of white space only become part of the piece before, or of the first piece.
pub(super) fn without_blanks(text: &str, borders: Vec<usize>) -> Vec<usize> {
    let is_blank = |range: Range<usize>| text[range].trim().is_empty();
    let mut kept: Vec<usize> = Vec::with_capacity(borders.len());
    let mut start = 0;
    for border in borders.into_iter().filter(|border| *border < text.len()) {
        match (is_blank(start..border), kept.last_mut()) {
            (false, _) => kept.push(border),
            (true, Some(last)) => *last = border,
            (true, None) => continue,
        }
        start = border;
    }
    if is_blank(start..text.len()) {
        kept.pop();
    }
    kept
}

pub(super) fn lines(text: &str) -> Vec<usize> {
    line_ranges(text).skip(1).map(|line| line.start).collect()
}

pub(super) fn paragraphs(text: &str) -> Vec<usize> {
    let fences = fences(text);
    let mut borders = Vec::new();
    let mut after_blank = false;
    for line in line_ranges(text) {
        let is_blank = text[line.clone()].trim().is_empty();
        if after_blank && !is_blank && !is_within(&fences, line.start) {
            borders.push(line.start);
        }
        after_blank = is_blank;
    }
    borders
}

pub(super) fn sentences(text: &str) -> Vec<usize> {
    let mut solid = fences(text);
    let fenced = solid.len();
    for line in line_ranges(text) {
        if !is_within(&solid[..fenced], line.start) {
            solid.extend(
                code_spans(&text[line.clone()]).map(|span| line.start + span.start..line.start + span.end),
            );
        }
    }
    let mut borders: Vec<usize> =
        sentences::split(text, &solid).into_iter().skip(1).map(|sentence| sentence.start).collect();
    borders.extend(paragraphs(text));
    // A code block is not part of the sentence before or after it.
    borders.extend(solid[..fenced].iter().flat_map(|fence| [fence.start, fence.end]));
    borders.sort_unstable();
    borders.dedup();
    borders
}

pub(super) fn steps(text: &str) -> Vec<usize> {
    let fences = fences(text);
    let named = numbered(text, &fences, NAMED_STEP.as_ref());
    if named.is_empty() { numbered(text, &fences, LIST_STEP.as_ref()) } else { named }
}

/// The lines that begin with the numbers 1, 2, ... (or 0, 1, ...) in order, except the first.
fn numbered(text: &str, fences: &[Range<usize>], pattern: Option<&Regex>) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut next: Option<(u32, usize)> = None;
    for line in line_ranges(text).filter(|line| !is_within(fences, line.start)) {
        let Some(found) = pattern.and_then(|pattern| pattern.captures(&text[line.clone()])) else { continue };
        let number: Option<u32> =
            found.get(2).or(found.get(3)).and_then(|digits| digits.as_str().parse().ok());
        let (Some(number), indentation) = (number, found[1].len()) else { continue };
        let fits = match next {
            None => number <= 1,
            Some((next, most)) => number == next && indentation <= most,
        };
        if fits {
            let most = next.map_or(indentation, |(_, most)| most);
            next = Some((number + 1, most));
            starts.push(line.start);
        }
    }
    // Text before the first step belongs to it.
    starts.into_iter().skip(1).collect()
}

fn line_ranges(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.split_inclusive('\n').scan(0, |end, line| {
        let start = *end;
        *end += line.len();
        Some(start..*end)
    })
}

fn is_within(ranges: &[Range<usize>], at: usize) -> bool {
    let next = ranges.partition_point(|range| range.end <= at);
    ranges.get(next).is_some_and(|range| range.start < at)
}

/// The fenced code blocks, from the beginning of their first line to the end of their last line or of the text.
fn fences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, &str)> = None;
    for line in line_ranges(text) {
        let content = text[line.clone()].trim();
        let Some(mark) = content.chars().next().filter(|first| FENCES.contains(first)) else { continue };
        let length = content.len() - content.trim_start_matches(mark).len();
        match open {
            None if length >= 3 && !(mark == '`' && content[length..].contains('`')) => {
                open = Some((line.start, &content[..length]));
            }
            Some((start, fence)) if content.starts_with(fence) && content.len() == length => {
                found.push(start..line.end);
                open = None;
            }
            _ => {}
        }
    }
    found.extend(open.map(|(start, _)| start..text.len()));
    found
}

/// The code spans in a line: the text between two runs of the same number of backticks.
fn code_spans(line: &str) -> impl Iterator<Item = Range<usize>> {
    let ticks = |from: usize| {
        let start = from + line[from..].find('`')?;
        let length = line[start..].bytes().take_while(|byte| *byte == b'`').count();
        Some(start..start + length)
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let open = ticks(at)?;
            let mut from = open.end;
            while let Some(close) = ticks(from) {
                if close.len() == open.len() {
                    at = close.end;
                    return Some(open.start..close.end);
                }
                from = close.end;
            }
            at = open.end;
        }
    })
}
