//! The fenced code blocks of an answer, as models write them.
//!
//! Not a Markdown parser: answers are cut off within a block, indent their fences too far for Markdown, and nest blocks
//! without longer fences. `extraction.rs` chooses among the blocks.

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FencedCode {
    /// Its label in lower case: `python` of `Python title="a.py"` or `{.python}`; empty if it has none.
    pub(super) label: String,
    /// Its lines, without the indentation of the fence.
    pub(super) code: String,
}

/// An opening fence.
struct Fence<'a> {
    /// What precedes it: white space, or the mark of a quotation.
    indent: &'a str,
    char: char,
    length: usize,
    label: String,
}

/// Labels of blocks that show Markdown, whose inner blocks count.
const MARKDOWN: [&str; 3] = ["markdown", "md", "mdx"];

/// The blocks of an answer, in order.
pub(super) fn find(text: &str) -> Vec<FencedCode> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    let all: Vec<&str> = text.lines().collect();
    while let Some((number, line)) = lines.next() {
        let Some(fence) = Fence::opens(line) else { continue };
        if MARKDOWN.contains(&&*fence.label) {
            continue;
        }
        let (code, taken) = fence.content(&all[number + 1..]);
        blocks.push(FencedCode { label: fence.label, code });
        for _ in 0..taken {
            lines.next();
        }
    }
    blocks
}

impl<'a> Fence<'a> {
    /// The fence that a line opens.
    fn opens(line: &'a str) -> Option<Self> {
        let inner = line.trim_start_matches([' ', '\t', '>']);
        // A list item may begin with a fence.
        let inner = match inner.split_once(' ') {
            Some((mark, rest)) if is_list_mark(mark) => rest.trim_start(),
            _ => inner,
        };
        let char = inner.chars().next().filter(|char| matches!(char, '`' | '~'))?;
        let label = inner.trim_start_matches(char);
        let length = inner.len() - label.len();
        // Backticks after the fence make it a piece of code within a line.
        if length < 3 || (char == '`' && label.contains('`')) {
            return None;
        }
        let indent = &line[..line.len() - inner.len()];
        Some(Self { indent, char, length, label: normal_label(label) })
    }

    /// The content of the block that begins with these lines, and how many of them it takes.
    fn content(&self, lines: &[&str]) -> (String, usize) {
        let closing = lines.iter().position(|line| self.is_closed_by(line));
        if let Some(end) = closing {
            return (self.joined(&lines[..end]), end + 1);
        }
        // The fence may stand at the end of the last line of code; or the answer was cut off.
        let mark = self.char.to_string().repeat(3);
        let glued = lines.iter().position(|line| {
            line.trim_end().strip_suffix(&mark).is_some_and(|code| !code.contains(self.char))
        });
        match glued {
            Some(end) => {
                let mut code = self.joined(&lines[..end]);
                let last = self.dedented(lines[end]).trim_end().trim_end_matches(self.char);
                code.push_str(last);
                code.push('\n');
                (code, end + 1)
            }
            None => (self.joined(lines), lines.len()),
        }
    }

    fn is_closed_by(&self, line: &str) -> bool {
        let line = line.trim_start_matches([' ', '\t', '>']).trim_end();
        line.len() >= self.length && line.chars().all(|char| char == self.char)
    }

    fn joined(&self, lines: &[&str]) -> String {
        let mut code = String::new();
        for line in lines {
            code.push_str(self.dedented(line));
            code.push('\n');
        }
        code
    }

    /// A line without the indentation that the fence has, or as much of it as the line has.
    fn dedented<'b>(&self, line: &'b str) -> &'b str {
        let marks = self.indent.chars().zip(line.chars());
        // The mark of a list item counts as space.
        let is_same = |(mark, char): &(char, char)| match mark {
            '>' => *char == '>',
            _ => matches!(char, ' ' | '\t'),
        };
        let same: usize = marks.take_while(is_same).map(|(_, char)| char.len_utf8()).sum();
        &line[same..]
    }
}

fn is_list_mark(mark: &str) -> bool {
    let digits = mark.trim_end_matches(['.', ')']);
    matches!(mark, "-" | "*" | "+")
        || (digits.len() + 1 == mark.len()
            && !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The language that the text after a fence names.
fn normal_label(text: &str) -> String {
    let text = text.trim().trim_start_matches('{').trim_end_matches('}').trim();
    let text = text.strip_prefix("lang=").or_else(|| text.strip_prefix("language=")).unwrap_or(text);
    let ends = |char: char| char.is_whitespace() || matches!(char, ',' | ':' | '{' | ';' | '(' | '=');
    let word = text.split(ends).next().unwrap_or_default();
    word.trim_matches(['.', '"', '\'']).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let found: Vec<(String, String)> =
            find(text).into_iter().map(|block| (block.label, block.code)).collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(label, code)| (&**label, &**code)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_block_ends_with_its_own_fence() {
        check("```py\na\n```\ntext\n~~~\nb\n~~~", &[("py", "a\n"), ("", "b\n")]);
        check("````py\n```\na\n```\n````", &[("py", "```\na\n```\n")]);
        check("~~~py\n```\na\n~~~", &[("py", "```\na\n")]);
        check("```py\na\n\nb", &[("py", "a\n\nb\n")]);
        check("```py\nreturn 1```\nDone.", &[("py", "return 1\n")]);
        check("```markdown\nText\n```py\na\n```\n```", &[("py", "a\n"), ("", "")]);
        check("Use ```x``` here\n```py x```", &[]);
    }

    #[test]
    fn the_indentation_of_the_fence_is_removed() {
        check("1. So:\n   ```py\n   if x:\n       y\n   ```", &[("py", "if x:\n    y\n")]);
        check("      ```py\n      if x:\n        y\n  z\n      ```", &[("py", "if x:\n  y\nz\n")]);
        check("- ```py\n  a\n  ```", &[("py", "a\n")]);
        check("> ```py\n> if x:\n>     y\n> ```", &[("py", "if x:\n    y\n")]);
        check("\t```py\n\ta\n\t\tb\n\t```", &[("py", "a\n\tb\n")]);
    }

    #[test]
    fn a_label_is_the_first_word_after_the_fence() {
        for text in [
            "python",
            " Python ",
            "python:a.py",
            "{.python .numberLines}",
            "python title=\"x\"",
            "python,ignore",
            "{python}",
            "lang=python",
            "python{1,3}",
            "python (solution)",
        ] {
            assert_eq!(normal_label(text), "python", "{text}");
        }
        assert_eq!(normal_label("c++"), "c++");
        assert_eq!(normal_label("node.js"), "node.js");
    }

    proptest! {
        #[test]
        fn any_text_has_blocks_of_its_own_lines(text in "(```|~~~|`|py|\n|\r\n| |\t|>|- |1\\. |é|x=1|\\PC){0,40}") {
            for block in find(&text) {
                for line in block.code.lines() {
                    prop_assert!(text.contains(line.trim()), "{:?}: {:?}", text, line);
                }
            }
        }
    }
}
