//! Measures texts in words and tokens; equal pieces are measured once.
//!
//! A text is cut before each space that follows another character. Words and tokens of o200k_base contain such a
//! space only at their start, so the lengths of the pieces add up exactly to that of the text. Most pieces of a large
//! data set recur.

use std::collections::HashMap;
use std::ops::Add;

use super::ngrams;
use crate::token_count;

/// The maximum size of a piece that is cached, in bytes; a text without spaces is one piece.
const LONGEST_PIECE: usize = 32;
/// The maximum number of cached pieces, about 5 MB.
const PIECES: usize = 1 << 16;

/// Measures texts and caches the lengths of their pieces.
#[derive(Debug, Default)]
pub(crate) struct TextMeasurer {
    pieces: HashMap<Box<str>, TextLength>,
}

/// The length of a text.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct TextLength {
    pub(crate) words: u64,
    /// `None` if the vocabulary is not built in.
    pub(crate) tokens: Option<u64>,
}

impl TextMeasurer {
    /// Returns the length of a text.
    pub(crate) fn measure(&mut self, text: &str) -> TextLength {
        let empty = self.piece("");
        TextPieces(text).fold(empty, |sum, piece| sum + self.piece(piece))
    }

    fn piece(&mut self, piece: &str) -> TextLength {
        if piece.len() > LONGEST_PIECE {
            return length(piece);
        }
        if let Some(known) = self.pieces.get(piece) {
            return *known;
        }
        let found = length(piece);
        if self.pieces.len() < PIECES {
            self.pieces.insert(piece.into(), found);
        }
        found
    }
}

impl Add for TextLength {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let tokens = self.tokens.zip(other.tokens).map(|(a, b)| a + b);
        Self { words: self.words + other.words, tokens }
    }
}

fn length(text: &str) -> TextLength {
    TextLength { words: ngrams::count_words(text), tokens: token_count::counted(text) }
}

/// Iterates over the pieces of a text.
struct TextPieces<'a>(&'a str);

impl<'a> Iterator for TextPieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let mut before = self.0.chars().next()?;
        let mut cut = self.0.len();
        for (at, c) in self.0.char_indices() {
            if c == ' ' && !before.is_whitespace() {
                cut = at;
                break;
            }
            before = c;
        }
        let (piece, rest) = self.0.split_at(cut);
        self.0 = rest;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) {
        let mut measurer = TextMeasurer::default();
        let pieces: Vec<&str> = TextPieces(text).collect();
        assert_eq!(pieces.concat(), text);
        // Measured twice, the second time from the cache.
        assert_eq!(measurer.measure(text), length(text), "{pieces:?}");
        assert_eq!(measurer.measure(text), length(text), "{pieces:?}");
    }

    #[test]
    fn a_text_is_cut_before_single_spaces() {
        let pieces = |text| TextPieces(text).collect::<Vec<_>>();
        assert_eq!(pieces("How do I?  \n So"), ["How", " do", " I?", "  \n So"]);
        assert_eq!(pieces(" a b"), [" a", " b"]);
        assert_eq!(pieces(""), [""; 0]);
    }

    #[test]
    fn pieces_add_up_to_the_text() {
        check(
            "I can't, won\u{2019}t  and DON'T renew 12,345.67 cards \u{2014} \n\n  at www.example.org/a b !",
        );
        check(
            "Verl\u{e4}ngern Sie  \u{a0} bitte \u{56f3}\u{66f8}\u{9928} \u{306e} \u{30ab}\u{30fc}\u{30c9} \u{1f468}\u{200d}\u{1f469} \u{308}x ' s",
        );
        check("fn main() { println!(\"{}\", a  +  b); }   // \t end ");
    }

    proptest::proptest! {
        #[test]
        fn pieces_of_any_text_add_up(text in "[a-zA-Z0-9 \u{a0}\t\n'.,:/\u{e4}\u{308}\u{200d}\u{56f3}\u{30ab}\u{5d0}\u{1f468}\u{1f1e6}_-]{0,40}", any in ".{0,20}") {
            check(&text);
            check(&any);
        }
    }
}
