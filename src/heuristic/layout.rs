//! Block structure of a section's Markdown: code blocks, numbered steps, lines that introduce a list.
//!
//! Facts arrive without their position in the text; `passage` locates them by what is collected here. Lines are examined one
//! by one, as the `section` stage has already parsed the Markdown.

use super::sentences::{Sentence, plain};

/// A code block with its fences, after the end of the line before it.
pub(super) type CodeBlock = (String, String);

/// Whether a short section's only fact is its words and its code run together.
pub(super) fn holds_code(sentence: &Sentence, blocks: &[CodeBlock]) -> bool {
    let first = blocks.first().and_then(|(_, block)| block.lines().nth(1)).map(str::trim);
    first.is_some_and(|line| sentence.text.contains(&line.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The fenced code blocks of a text, each at most 30 lines, with the end of the line before it; and whether
/// there are words outside of them.
pub(super) fn code_blocks(text: &str) -> (Vec<CodeBlock>, bool) {
    let mut blocks = Vec::new();
    let mut words = false;
    let mut before = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let open = line.trim();
        let fence = ["```", "~~~"].into_iter().find(|fence| open.starts_with(fence));
        let Some(fence) = fence else {
            words |= open.contains(char::is_alphabetic);
            before = if open.is_empty() { before } else { plain(open) };
            continue;
        };
        let body: Vec<&str> =
            lines.by_ref().take_while(|line| !line.trim_start().starts_with(fence)).collect();
        if body.iter().any(|line| !line.trim().is_empty()) {
            let shown = &body[..body.len().min(30)];
            let tail: String = last_words(&before, 6);
            blocks.push((tail, format!("{open}\n{}\n{fence}", shown.join("\n").trim_end())));
        }
        before.clear();
    }
    (blocks, words)
}

fn last_words(line: &str, count: usize) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    words[words.len().saturating_sub(count)..].join(" ")
}

/// The lines that start with a number like list items, without it.
pub(super) fn numbered_lines(text: &str) -> Vec<String> {
    let numbered = |line: &&str| {
        let digits = line.chars().take_while(char::is_ascii_digit).count();
        (1..=2).contains(&digits) && (line[digits..].starts_with(". ") || line[digits..].starts_with(") "))
    };
    text.lines().map(str::trim_start).filter(numbered).map(plain).filter(|line| !line.is_empty()).collect()
}

/// The items of lists that a line ending in a colon introduces, each with that line.
pub(super) fn introduced(text: &str) -> Vec<(String, String)> {
    let mut items = Vec::new();
    let mut intro: Option<String> = None;
    for line in text.lines().map(str::trim) {
        let digits = line.chars().take_while(char::is_ascii_digit).count();
        let numbered = digits > 0 && (line[digits..].starts_with(". ") || line[digits..].starts_with(") "));
        if numbered || ["- ", "* ", "+ "].iter().any(|marker| line.starts_with(marker)) {
            let item = plain(line);
            items.extend(intro.as_ref().filter(|_| !item.is_empty()).map(|intro| (item, intro.clone())));
        } else if !line.is_empty() {
            intro = Some(plain(line))
                .filter(|line| line.ends_with(':') && line.contains(' ') && line.len() < 160);
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Install it with:\n\n```sh\nmake all\n```\n\nYou need these:\n\n- flour\n- salt\n\n1. Mix.\n2) Bake.\n";

    #[test]
    fn blocks_steps_and_introductions_are_found() {
        let (blocks, words) = code_blocks(TEXT);
        assert_eq!(blocks, [("Install it with:".to_owned(), "```sh\nmake all\n```".to_owned())]);
        assert!(words && !code_blocks("~~~\nx\n~~~").1);
        assert_eq!(numbered_lines(TEXT), ["Mix.", "Bake."]);
        assert_eq!(introduced(TEXT)[1], ("salt".to_owned(), "You need these:".to_owned()));
    }
}
