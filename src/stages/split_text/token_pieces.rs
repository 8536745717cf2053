//! Splits a text into pieces with a maximum number of tokens: as many sentences as fit, or as many words of a
//! sentence that does not fit.

use unicode_segmentation::UnicodeSegmentation;

use super::borders;
use crate::token_count;

/// The maximum average length of a token, in bytes. A longer text does not fit and is not counted.
const BYTES_PER_TOKEN: u64 = 16;

/// The offsets of the pieces after the first.
pub(super) fn borders(text: &str, most: u64) -> Vec<usize> {
    let mut sentence_ends = borders::without_blanks(text, borders::sentences(text));
    sentence_ends.push(text.len());
    let mut found = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let ends = &sentence_ends[sentence_ends.partition_point(|end| *end <= start)..];
        start = longest(text, start, ends, most)
            .or_else(|| longest(text, start, &word_ends(text, start, ends[0], most), most))
            .or_else(|| longest(text, start, &character_ends(text, start, most), most))
            .unwrap_or(text.len());
        found.push(start);
    }
    found.pop();
    found
}

/// The last of `ends` up to which the text from `start` fits into `most` tokens; `None` if none does.
fn longest(text: &str, start: usize, ends: &[usize], most: u64) -> Option<usize> {
    let fits = |end: usize| {
        (end - start) as u64 <= most.saturating_mul(BYTES_PER_TOKEN)
            && token_count::count(&text[start..end]) <= most
    };
    if !ends.first().is_some_and(|end| fits(*end)) {
        return None;
    }
    let (mut good, mut step) = (0, 1);
    while good + step < ends.len() && fits(ends[good + step]) {
        good += step;
        step *= 2;
    }
    let mut bad = ends.len().min(good + step);
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        match fits(ends[middle]) {
            true => good = middle,
            false => bad = middle,
        }
    }
    Some(ends[good])
}

/// The ends of the words from `start` on, each including the space after it, as far as a piece may extend.
fn word_ends(text: &str, start: usize, end: usize, most: u64) -> Vec<usize> {
    let part = &text[start..end.min(reach(text, start, most))];
    let words = part.split_word_bound_indices().skip(1).filter(|(_, word)| !word.trim().is_empty());
    words.map(|(at, _)| start + at).chain([start + part.len()]).collect()
}

fn character_ends(text: &str, start: usize, most: u64) -> Vec<usize> {
    let part = &text[start..reach(text, start, most)];
    part.char_indices().skip(1).map(|(at, _)| start + at).chain([start + part.len()]).collect()
}

/// The maximum offset up to which a piece may extend.
fn reach(text: &str, start: usize, most: u64) -> usize {
    let bytes = usize::try_from(most.saturating_mul(BYTES_PER_TOKEN)).unwrap_or(usize::MAX);
    text.floor_char_boundary(start.saturating_add(bytes).min(text.len()))
}
