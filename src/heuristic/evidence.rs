//! Evidence: verbatim quotes from the section for the sentences that support an answer.
//!
//! The sentences of a draft have lost their markup, and those of table rows have column names added, so that the quote is
//! the longest run of words that the section's own text contains. Called once per pair, by `question`.

use super::words::Script;

/// The maximum number of quotes of a pair.
const MOST: usize = 3;
/// The maximum length of a quote, in characters.
const LONGEST: usize = 160;

/// Up to three quotes of `texts`, one for each of the sentences; where none of them can be found, the first
/// line of the first text that has words. Empty for texts without a word.
pub(super) fn evidence(sentences: &[String], texts: &[&str]) -> Vec<String> {
    let texts: Vec<String> = texts.iter().map(|text| one_line(text)).collect();
    let mut quotes: Vec<String> = Vec::new();
    for sentence in sentences {
        let found = texts.iter().filter_map(|text| longest_run(sentence, text));
        let Some(quote) = found.max_by_key(|quote| quote.len()).map(|quote| beginning(quote, LONGEST)) else {
            continue;
        };
        // A quote that a longer one contains adds nothing.
        if !quotes.iter().any(|known| known.contains(quote)) {
            quotes.push(quote.to_owned());
        }
        if quotes.len() == MOST {
            return quotes;
        }
    }
    if quotes.is_empty() {
        quotes.extend(
            texts.iter().find(|text| !text.is_empty()).map(|text| beginning(text, LONGEST).to_owned()),
        );
    }
    quotes
}

/// `text` with every run of white space as one space.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The longest run of the sentence's words that occurs in `text`; nothing if that is less than two words.
fn longest_run<'s>(sentence: &'s str, text: &str) -> Option<&'s str> {
    let bounds = bounds(sentence);
    let (mut best, mut end) = ("", 1);
    for start in 0..bounds.len() {
        end = end.max(start + 1);
        // A run that occurs also occurs without its first word, so the end never moves back.
        while end < bounds.len() && text.contains(sentence[bounds[start]..bounds[end]].trim()) {
            let run = sentence[bounds[start]..bounds[end]].trim();
            best = if run.len() > best.len() { run } else { best };
            end += 1;
        }
    }
    let several = best.contains(' ') || best.chars().filter(|c| c.is_alphanumeric()).nth(3).is_some();
    several.then_some(best)
}

/// Where a quote of `text` may begin or end: at spaces and, in scripts without them, at every letter.
fn bounds(text: &str) -> Vec<usize> {
    let mut bounds = vec![0];
    let mut before = Script::Spaced;
    for (at, c) in text.char_indices().skip(1) {
        let script = Script::of(c);
        if c == ' ' || script != Script::Spaced || before != Script::Spaced {
            bounds.push(at);
        }
        before = script;
    }
    bounds.push(text.len());
    bounds
}

/// The beginning of a quote, of at most `most` characters, cut where a word ends.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    let Some((limit, _)) = text.char_indices().nth(most) else { return text };
    let end = bounds(text).into_iter().take_while(|at| *at <= limit).last().unwrap_or(0);
    text[..if end == 0 { limit } else { end }].trim_end()
}

/// Makes two quotes of the longest; says whether that was possible.
pub(super) fn halve_longest(quotes: &mut Vec<String>) -> bool {
    let Some(longest) = (0..quotes.len()).max_by_key(|index| quotes[*index].len()) else { return false };
    let half = quotes[longest].chars().count().div_ceil(2);
    let first = beginning(&quotes[longest], half).to_owned();
    let second = quotes[longest][first.len()..].trim_start().to_owned();
    if first.is_empty() || second.is_empty() {
        return false;
    }
    quotes[longest] = first;
    quotes.insert(longest + 1, second);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sentence: &str, text: &str, expected: &str) {
        assert_eq!(evidence(&[sentence.to_owned()], &[text]), [expected], "{sentence}");
    }

    #[test]
    fn quotes_are_words_of_the_text_as_they_stand() {
        check(
            "The dough rests for an hour.",
            "# Dough\n\nThe dough\nrests for an hour.",
            "The dough rests for an hour.",
        );
        check(
            "V-Brake: two long arms sit on posts.",
            "- **V-Brake:** two long arms sit on posts.",
            "two long arms sit on posts.",
        );
        check(
            "word: commit; meaning: an item becomes durable",
            "| commit | an item becomes durable |",
            "an item becomes durable",
        );
        check(
            "緑茶は、チャノキ(学名 Camellia sinensis)の葉を発酵させずに作る。",
            "緑茶は、チャノキ(学名 *Camellia sinensis*)の葉を発酵させずに作る。",
            "の葉を発酵させずに作る。",
        );
        check("nothing of it", "One line.\nAnother.", "One line. Another.");
        assert!(evidence(&["a sentence".to_owned()], &[""]).is_empty());
    }

    #[test]
    fn a_pair_has_few_short_quotes_and_none_twice() {
        let text = "one two. three four. five six. seven eight. ".repeat(20);
        let sentences: Vec<String> = text.split_inclusive(". ").map(|one| one.trim().to_owned()).collect();
        assert_eq!(evidence(&sentences, &[&text]), ["one two.", "three four.", "five six."]);
        let long = evidence(&[one_line(&text)], &[&text]);
        assert!(long[0].chars().count() <= LONGEST && long[0].ends_with("four. five"), "{long:?}");
        assert!(evidence(&["あ".repeat(300)], &[&"あ".repeat(300)])[0].chars().count() == LONGEST);
    }

    #[test]
    fn the_second_text_is_looked_at_too() {
        let sentences = ["The kettle boils.", "The pot is warm."].map(str::to_owned);
        let texts = ["The kettle boils.", "Here *the* lid: The pot is warm."];
        assert_eq!(evidence(&sentences, &texts), sentences);
    }
}
