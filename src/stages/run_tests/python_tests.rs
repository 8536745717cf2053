//! Cuts a text of Python tests into its tests, each with the setup that it needs.
//!
//! A test is a statement at the top level that checks something: an `assert`, a test function, a method of a test class, a
//! loop or call in which something is asserted. Every other statement is setup, which each test gets, in place. Only the
//! borders of statements are found here, by brackets, strings and indentation; a text that cannot be cut is one test.

use std::sync::LazyLock;

use regex::Regex;

use super::languages::compiled;

/// A test with its setup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PythonTest {
    /// The statements.
    pub(super) text: String,
    /// The function, or `Class.method`, that is the test; `None` if it is a statement.
    pub(super) only: Option<String>,
}

/// What a statement is.
enum Kind {
    Setup,
    /// A statement that checks something.
    Check,
    /// A definition that holds these tests.
    Tests(Vec<String>),
    /// It runs tests that are run anyway.
    Runner,
}

/// The expressions that classify statements.
struct PythonPatterns {
    checks: Regex,
    function: Regex,
    class: Regex,
    method: Regex,
    call: Regex,
    runner: Regex,
}

static PATTERNS: LazyLock<PythonPatterns> = LazyLock::new(patterns);

fn patterns() -> PythonPatterns {
    PythonPatterns {
        checks: compiled(r"\b(?:assert\w*|raises|fail)\b"),
        function: compiled(r"(?m)^(?:async[ \t]+)?def[ \t]+(\w+)[ \t]*\(([^)]*)\)"),
        class: compiled(r"(?m)^class[ \t]+(\w+)[ \t]*(?:\(([^)]*)\))?[ \t]*:"),
        method: compiled(r"(?m)^[ \t]+(?:async[ \t]+)?def[ \t]+(test\w*)[ \t]*\("),
        call: compiled(r"^(?:await[ \t]+)?(\w+)[ \t]*\("),
        runner: compiled(r"^(?:if[ \t]+__name__\b|(?:unittest|pytest)\.main[ \t]*\()"),
    }
}

/// The tests of a text, in order; the whole text if it has none that can be told apart.
pub(super) fn split(text: &str) -> Vec<PythonTest> {
    let text = dedented(text);
    let statements = statements(&text);
    let kinds = classified(&statements);
    let with_setup = |own: usize| -> String {
        let is_used = |at: &usize| *at == own || matches!(kinds[*at], Kind::Setup);
        (0..statements.len()).filter(is_used).map(|at| statements[at]).collect()
    };
    let mut tests = Vec::new();
    for (at, kind) in kinds.iter().enumerate() {
        match kind {
            Kind::Setup | Kind::Runner => {}
            Kind::Check => tests.push(PythonTest { text: with_setup(at), only: None }),
            Kind::Tests(names) => {
                let test = |name: &String| PythonTest { text: with_setup(at), only: Some(name.clone()) };
                tests.extend(names.iter().map(test));
            }
        }
    }
    if tests.is_empty() {
        tests.push(PythonTest { text, only: None });
    }
    tests
}

fn classified(statements: &[&str]) -> Vec<Kind> {
    let patterns = &*PATTERNS;
    // Functions that check something when they are called.
    let (mut tests, mut checking) = (Vec::new(), Vec::new());
    for statement in statements {
        let Some(function) = patterns.function.captures(statement) else { continue };
        let name = function[1].to_owned();
        if is_test_function(&function[1], &function[2], statement) {
            tests.push(name);
        } else if patterns.checks.is_match(&statement[function[0].len()..]) {
            checking.push(name);
        }
    }
    let kind = |statement: &&str| {
        let code = statement.trim_start();
        if let Some(function) = patterns.function.captures(code) {
            let name = function[1].to_owned();
            return if tests.contains(&name) { Kind::Tests(vec![name]) } else { Kind::Setup };
        }
        if let Some(class) = patterns.class.captures(code) {
            let methods = methods_of(&class[1], code);
            let is_test = class[1].starts_with("Test")
                || class.get(2).is_some_and(|bases| bases.as_str().contains("TestCase"));
            return if is_test && !methods.is_empty() { Kind::Tests(methods) } else { Kind::Setup };
        }
        if patterns.runner.is_match(code) {
            return Kind::Runner;
        }
        if code.starts_with("import ") || code.starts_with("from ") {
            return Kind::Setup;
        }
        let called = patterns.call.captures(code).map(|call| call[1].to_owned());
        match called {
            Some(name) if tests.contains(&name) => Kind::Runner,
            Some(name) if checking.contains(&name) => Kind::Check,
            _ if patterns.checks.is_match(code) || checking.iter().any(|name| calls(code, name)) => {
                Kind::Check
            }
            _ => Kind::Setup,
        }
    };
    statements.iter().map(kind).collect()
}

/// Whether a function is a test by itself: it is named like one and needs no arguments, or gets them from a decorator.
fn is_test_function(name: &str, arguments: &str, statement: &str) -> bool {
    let needs = arguments.split(',').any(|one| !one.trim().is_empty() && !one.contains(['=', '*']));
    name.starts_with("test") && (!needs || statement.trim_start().starts_with('@'))
}

/// The test methods of a class, as `Class.method`.
fn methods_of(class: &str, code: &str) -> Vec<String> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut found: Vec<(usize, &str)> = Vec::new();
    for method in PATTERNS.method.captures_iter(code) {
        let (line, name) = (method.get(0), method.get(1));
        if let (Some(line), Some(name)) = (line, name) {
            found.push((depth(line.as_str()), name.as_str()));
        }
    }
    let least = found.iter().map(|(depth, _)| *depth).min();
    found.retain(|(depth, _)| Some(*depth) == least);
    found.into_iter().map(|(_, name)| format!("{class}.{name}")).collect()
}

/// Whether code calls a function of this name.
fn calls(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let is_word = before.is_some_and(|char| char.is_alphanumeric() || matches!(char, '_' | '.'));
        !is_word && code[at + name.len()..].trim_start().starts_with('(')
    })
}

/// The statements at the top level, each with its lines, and with the empty lines and comments after it.
fn statements(text: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = Vec::new();
    let mut scan = LineScanner::default();
    let (mut at, mut is_decorated) = (0, false);
    for line in text.split_inclusive('\n') {
        let begins = scan.is_between() && line.starts_with(|char: char| !char.is_whitespace() && char != '#');
        if begins {
            let word: String =
                line.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
            let continues = is_decorated || matches!(&*word, "else" | "elif" | "except" | "finally");
            if !continues || starts.is_empty() {
                starts.push(at);
            }
            is_decorated = line.starts_with('@');
        }
        scan.line(line);
        at += line.len();
    }
    if let Some(first) = starts.first_mut() {
        *first = 0;
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect()
}

/// Follows brackets, strings and continued lines.
#[derive(Default)]
struct LineScanner {
    depth: usize,
    /// The quotes of the string that is open at the end of a line.
    open: Option<&'static str>,
    is_continued: bool,
}

impl LineScanner {
    /// Whether the next line begins a statement.
    fn is_between(&self) -> bool {
        self.depth == 0 && self.open.is_none() && !self.is_continued
    }

    fn line(&mut self, line: &str) {
        let mut rest = line;
        self.is_continued = false;
        loop {
            if let Some(quotes) = self.open {
                let Some(end) = end_of_string(rest, quotes) else {
                    // Only triple quotes go on in the next line.
                    self.open = (quotes.len() == 3).then_some(quotes);
                    return;
                };
                self.open = None;
                rest = &rest[end..];
            }
            let Some(at) = rest.find(['#', '"', '\'', '(', '[', '{', ')', ']', '}', '\\']) else { return };
            let found = &rest[at..];
            match found.as_bytes()[0] {
                b'#' => return,
                b'(' | b'[' | b'{' => self.depth += 1,
                b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                b'\\' => self.is_continued = found[1..].trim().is_empty(),
                _ => {
                    let quotes =
                        ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| found.starts_with(quotes));
                    self.open = quotes;
                    rest = &found[quotes.map_or(1, str::len)..];
                    continue;
                }
            }
            rest = &found[1..];
        }
    }
}

/// Where a string ends that is open at the beginning.
fn end_of_string(text: &str, quotes: &str) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(quotes) {
            return Some(at + quotes.len());
        }
        let mut chars = rest.chars();
        let first = chars.next()?;
        at += first.len_utf8();
        if first == '\\' {
            at += chars.next().map_or(0, char::len_utf8);
        }
    }
    None
}

/// The text without the indentation that all its lines have, with a line end.
fn dedented(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let common = lines().map(indent).min().unwrap_or(0);
    let mut out = String::with_capacity(text.len() + 1);
    for line in text.lines() {
        out.push_str(line.get(common..).unwrap_or_default());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, Option<&str>)]) {
        let found = split(text);
        let found: Vec<(&str, Option<&str>)> =
            found.iter().map(|test| (test.text.trim_end(), test.only.as_deref())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn each_check_is_a_test_with_the_setup() {
        check(
            "assert f(1) == 2\nassert f(2) == 3",
            &[("assert f(1) == 2", None), ("assert f(2) == 3", None)],
        );
        check(
            "import math\nx = [\n1,\n]\nassert f(x)\ny = 2\nassert g(y)",
            &[
                ("import math\nx = [\n1,\n]\nassert f(x)\ny = 2", None),
                ("import math\nx = [\n1,\n]\ny = 2\nassert g(y)", None),
            ],
        );
        check(
            "assert f(\n  1\n) == '''\nassert x\n'''\nassert g()",
            &[("assert f(\n  1\n) == '''\nassert x\n'''", None), ("assert g()", None)],
        );
        check(
            "assert f(1) == \\\n2 # (\nassert 'a\\'(' in g()",
            &[("assert f(1) == \\\n2 # (", None), ("assert 'a\\'(' in g()", None)],
        );
        check("    assert f(1)\n    assert f(2)\n", &[("assert f(1)", None), ("assert f(2)", None)]);
    }

    #[test]
    fn functions_and_methods_are_tests() {
        check(
            "def helper(x):\n    return x\ndef test_a():\n    assert helper(1)\n\ndef test_b():\n    assert f(2)\ntest_a()\n",
            &[
                ("def helper(x):\n    return x\ndef test_a():\n    assert helper(1)", Some("test_a")),
                ("def helper(x):\n    return x\ndef test_b():\n    assert f(2)", Some("test_b")),
            ],
        );
        let class = "class TestF(unittest.TestCase):\n    def test_a(self):\n        def test_inner(): pass\n    def test_b(self):\n        pass\n";
        let text = format!("import unittest\n{class}\nif __name__ == '__main__':\n    unittest.main()\n");
        let own = format!("import unittest\n{}", class.trim_end());
        check(&text, &[(&own, Some("TestF.test_a")), (&own, Some("TestF.test_b"))]);
        let marked = "@pytest.mark.parametrize('a', [1])\ndef test_a(a):\n    assert f(a)";
        check(marked, &[(marked, Some("test_a"))]);
        let try_it = "try:\n    f()\n    assert False\nexcept ValueError:\n    pass\nelse:\n    assert False";
        check(&format!("{try_it}\nassert g()"), &[(try_it, None), ("assert g()", None)]);
    }

    #[test]
    fn calls_of_checking_functions_are_tests() {
        let check_it = "def check(candidate):\n    assert candidate(1) == 2";
        let text = format!("{check_it}\ncheck(f)");
        check(&text, &[(&text, None)]);
        let looped = "for a, b in [(1, 2)]:\n    assert f(a) == b";
        check(looped, &[(looped, None)]);
        let with_arguments = "def test_add(a, b):\n    assert f(a) == b\ntest_add(1, 2)";
        check(with_arguments, &[(with_arguments, None)]);
    }

    #[test]
    fn a_text_without_checks_is_one_test() {
        check("print(f(1))", &[("print(f(1))", None)]);
        check("def test_a(:\n", &[("def test_a(:", None)]);
        check("", &[("", None)]);
        check("def unused(x):\n    assert f(x)", &[("def unused(x):\n    assert f(x)", None)]);
    }

    proptest! {
        #[test]
        fn no_line_is_lost(text in "(assert |def test_a\\(\\):|class TestA:|\n|    |x = 1|'''|\"|\\(|\\)|#|\\\\|else:|@m|é){0,40}") {
            let text = dedented(&text);
            let found = statements(&text);
            prop_assert!(found.is_empty() || found.concat() == text, "{:?}", text);
            prop_assert!(!split(&text).is_empty());
        }
    }
}
