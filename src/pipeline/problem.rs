//! The problems of a pipeline file, each with its location, all printed at once.
//!
//! Checks report a `Problem` with a JSON pointer; `Problems` resolves the locations once all are collected, sorts
//! the problems and prints them with the source line. Secrets in source lines and messages are masked.

use std::fmt::{self, Display, Formatter};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::document::Document;
use super::secrets;
use crate::template::TemplateError;

/// The maximum number of problems printed for one file; a file in which everything is wrong has one cause.
const MOST_PRINTED: usize = 100;

/// One problem.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer to the value, from the file's root, such as `/stages/2/split/ratios`.
    pub at: String,
    /// Whether the key at `at` is wrong rather than its value.
    pub key: bool,
    /// A word of the value to point at, if the problem is not with the whole value.
    pub word: Option<String>,
    /// A line of the value to point at, from 1; it can be located only in a literal block scalar (`|`).
    pub row: Option<usize>,
    /// What is wrong, as a lowercase fragment with the user's values in backticks.
    pub message: String,
    /// What was expected there.
    pub expected: Option<String>,
    /// What to write instead, such as a nearest known name.
    pub hint: Option<String>,
    /// Its location; resolved from `at` unless it is known already.
    pub location: Option<ProblemLocation>,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemLocation {
    /// In the pipeline file.
    File {
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// The byte offset in the text (without a byte order mark) at which it begins.
        start: usize,
        /// Its length in bytes; 0 if it has no text of its own.
        len: usize,
    },
    /// On the command line: the option and what it sets, such as `--set seed`.
    Option(String),
}

impl Problem {
    /// A problem with the value at the pointer `at`.
    pub(crate) fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into(), ..Self::default() }
    }

    /// Returns the problem with what was expected.
    pub(crate) fn with_expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Sets what was expected.
    pub fn expected(&mut self, expected: impl Into<String>) -> &mut Self {
        self.expected = Some(expected.into());
        self
    }

    /// Sets what to write instead.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Marks the key as wrong, not its value.
    pub fn on_key(&mut self) -> &mut Self {
        self.key = true;
        self
    }

    /// Fills the problem from a template error.
    pub(crate) fn of_template(&mut self, error: &TemplateError) {
        let line = error.line.filter(|line| *line > 1);
        let location = line.map_or_else(String::new, |line| format!(" (line {line} of the text)"));
        self.message = format!("{}{location}", error.message);
        self.expected("a Jinja template or expression");
        self.row = error.line;
        self.word.clone_from(&error.word);
        self.hint.clone_from(&error.hint);
    }

    /// Sets which word of the value is wrong.
    pub fn on_word(&mut self, word: impl Into<String>) -> &mut Self {
        self.word = Some(word.into());
        self
    }
}

/// All problems of one file. `Display` prints each as `file:line:column: message` with the source line below it,
/// and ends with their number.
#[derive(Debug, Default)]
pub struct Problems {
    /// The file's name, as the user wrote it.
    pub file: String,
    /// The file's text, without a byte order mark.
    pub source: String,
    /// The problems, in the order of the file; those of the command line come last.
    pub list: Vec<Problem>,
}

impl Problems {
    /// Resolves the location of each problem and sorts the problems by it.
    pub(crate) fn locate(file: &str, document: &Document, mut list: Vec<Problem>) -> Self {
        for problem in &mut list {
            if problem.location.is_none() {
                problem.location = document.location(&problem.at, problem.key);
            }
            narrow_location(problem, &document.source);
            problem.message = secrets::mask_urls(&problem.message);
        }
        Self::sorted(file, &document.source, list)
    }

    /// The single problem because of which the file could not be parsed.
    pub(crate) fn unreadable(file: &str, text: &str, problem: Problem) -> Self {
        Self::sorted(file, text.strip_prefix('\u{feff}').unwrap_or(text), vec![problem])
    }

    fn sorted(file: &str, source: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by(|a, b| (&a.location, &a.message).cmp(&(&b.location, &b.message)));
        list.dedup_by(|a, b| a.location == b.location && a.message == b.message);
        Self { file: file.to_owned(), source: source.to_owned(), list }
    }
}

/// Narrows a problem's location to the line it is about, if its value is a literal block scalar.
fn narrow_to_row(problem: &mut Problem, source: &str) {
    let Some(row) = problem.row.filter(|row| *row > 1) else { return };
    let Some(ProblemLocation::File { line, start, len, .. }) = problem.location else { return };
    if !source[..start].trim_end().trim_end_matches(['-', '+']).ends_with('|') {
        return;
    }
    let value = &source[start..start + len];
    let Some((newline, _)) = value.match_indices('\n').nth(row - 2) else { return };
    let text = value[newline + 1..].lines().next().unwrap_or_default();
    let blank = text.len() - text.trim_start().len();
    problem.location = Some(ProblemLocation::File {
        line: line + row - 1,
        column: blank + 1,
        start: start + newline + 1 + blank,
        len: len - newline - 1 - blank,
    });
}

/// Narrows a problem's location to the word it is about, if the text of its value contains the word.
fn narrow_location(problem: &mut Problem, source: &str) {
    narrow_to_row(problem, source);
    let Some(word) = &problem.word else { return };
    let Some(ProblemLocation::File { line, column, start, len }) = problem.location else { return };
    let Some(found) = find_word(&source[start..start + len], word) else { return };
    let before = &source[start..start + found];
    let line_start = before.rfind('\n').map(|newline| newline + 1);
    let column = match line_start {
        Some(begin) => before[begin..].chars().count() + 1,
        None => column + before.chars().count(),
    };
    let line = line + before.matches('\n').count();
    problem.location = Some(ProblemLocation::File { line, column, start: start + found, len: word.len() });
}

/// Finds `word` in `text` as a whole word, not as a part of a longer name.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    for (at, _) in text.match_indices(word) {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let free = !before.is_some_and(|c| in_name(c) || c == '.') && !after.is_some_and(in_name);
        if free || !word.starts_with(in_name) {
            return Some(at);
        }
    }
    None
}

impl std::error::Error for Problems {}

impl Display for Problems {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let masked = secrets::mask(&self.source);
        // Masking preserves the number of characters, not of bytes; if the lengths differ the locations would not
        // fit.
        let source = if masked.len() == self.source.len() { masked } else { String::new() };
        for problem in self.list.iter().take(MOST_PRINTED) {
            print_one(f, &self.file, &source, problem)?;
        }
        let count = self.list.len();
        if count > MOST_PRINTED {
            writeln!(f, "... and {} more like these\n", count - MOST_PRINTED)?;
        }
        writeln!(f, "{count} problem{}", if count == 1 { "" } else { "s" })
    }
}

fn print_one(f: &mut Formatter<'_>, file: &str, source: &str, problem: &Problem) -> fmt::Result {
    let message = problem.message.trim_end();
    match &problem.location {
        Some(ProblemLocation::File { line, column, start, len }) => {
            writeln!(f, "{file}:{line}:{column}: {message}")?;
            if let Some(snippet) = snippet(source, *start, *len) {
                writeln!(f, "{}", snippet.trim_end())?;
            }
        }
        Some(ProblemLocation::Option(option)) => writeln!(f, "{option}: {message}")?,
        None => writeln!(f, "{file}: {message}")?,
    }
    if let Some(expected) = &problem.expected {
        writeln!(f, "    expected: {expected}")?;
    }
    if let Some(hint) = &problem.hint {
        writeln!(f, "    hint: {hint}")?;
    }
    writeln!(f)
}

/// The source line with a marker under the location.
fn snippet(source: &str, start: usize, len: usize) -> Option<String> {
    let rest = source.get(start..)?;
    let in_line = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let end = start + len.min(in_line);
    source.get(start..end)?;
    let annotation = AnnotationKind::Primary.span(start..end);
    let group = Group::with_level(Level::ERROR).element(Snippet::source(source).annotation(annotation));
    Some(Renderer::plain().render(&[group]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_place_line_marker_expectation_and_hint() {
        let source = "name: x\nstages:\n  - sink: {pth: a.jsonl}\n";
        let mut problems = Vec::new();
        let document = Document::parse(source, &mut problems).unwrap();
        let mut problem = Problem::new("/stages/0/sink/pth", "unknown field `pth`");
        problem.on_key().expected("`path`").hint("did you mean `path`?");
        let printed = Problems::locate("p.yaml", &document, vec![problem]).to_string();
        let expected = "\
p.yaml:3:12: unknown field `pth`
  |
3 |   - sink: {pth: a.jsonl}
  |            ^^^
    expected: `path`
    hint: did you mean `path`?

1 problem
";
        assert_eq!(printed, expected);
    }

    #[test]
    fn a_word_is_found_inside_a_block_of_text() {
        let source = "a: |\n  first\n  {{ questions }} {{ question }}\n";
        let document = Document::parse(source, &mut Vec::new()).unwrap();
        let mut problem = Problem::new("/a", "m");
        problem.on_word("question");
        let problems = Problems::locate("p.yaml", &document, vec![problem]);
        let Some(ProblemLocation::File { line, column, .. }) = problems.list[0].location else { panic!() };
        assert_eq!((line, column), (3, 22));
    }
}
