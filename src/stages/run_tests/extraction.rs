//! Finds the code in an answer.
//!
//! Which blocks count: those labelled with the language, else those without a label. If one of them defines something,
//! those that define nothing (an example call, its output) are left out, and so are those that define only tests, and
//! those all of whose definitions a later block defines again (a first attempt, an alternative). The rest is joined, since
//! answers build a solution up step by step. Without definitions the longest block counts: a program and its variations.
//! An answer without blocks is code with prose around it.

use super::code_blocks::{self, FencedCode};
use super::languages::{CodeLanguage, LANGUAGES};
use crate::llm::reasoning;

/// The code of an answer; `None` if it has none in this language.
pub(super) fn code_in(answer: &str, language: &CodeLanguage) -> Option<String> {
    let answer = answer.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    // Reasoning has drafts. It is removed only from the start: code may contain such tags.
    let (reasoned, rest) = reasoning::split(&answer);
    let answer = if reasoned.is_some() || rest.is_empty() { rest } else { answer.as_str() };
    let blocks = code_blocks::find(answer);
    let code = if blocks.is_empty() { bare(answer, language) } else { chosen(&blocks, language) };
    code.filter(|code| !code.trim().is_empty())
}

/// The code of the blocks that count.
fn chosen(blocks: &[FencedCode], language: &CodeLanguage) -> Option<String> {
    let labelled = |block: &&FencedCode| language.is_labelled(&block.label);
    let mut of_language: Vec<&FencedCode> = blocks.iter().filter(labelled).collect();
    if of_language.iter().all(|block| block.code.trim().is_empty()) {
        of_language = blocks.iter().filter(|block| block.label.is_empty()).collect();
    }
    let codes: Vec<String> = of_language.iter().map(|block| without_prompts(&block.code)).collect();
    let defined: Vec<Vec<&str>> = codes.iter().map(|code| language.definitions(code)).collect();
    let is_solution = |names: &[&str]| names.iter().any(|name| !is_test(name));
    if !defined.iter().any(|names| is_solution(names)) {
        // The last of the longest.
        return codes.into_iter().max_by_key(|code| code.trim().len());
    }
    let mut parts: Vec<&str> = Vec::new();
    for (index, code) in codes.iter().enumerate() {
        let names = &defined[index];
        let again = |name: &&str| defined[index + 1..].iter().any(|later| later.contains(name));
        let is_needed = if names.is_empty() { is_setup(code) } else { is_solution(names) };
        if is_needed && (names.is_empty() || !names.iter().all(again)) {
            parts.push(code);
        }
    }
    Some(parts.join("\n"))
}

/// Whether code only prepares for what follows: imports, includes, constants.
fn is_setup(code: &str) -> bool {
    let starts =
        ["import ", "from ", "#", "const ", "let ", "var ", "set ", "//", "'use strict'", "\"use strict\""];
    let is_constant = |line: &str| {
        let name = line.split('=').next().unwrap_or_default().trim();
        line.contains('=')
            && !name.is_empty()
            && name.chars().all(|char| char.is_ascii_uppercase() || char == '_')
    };
    let mut lines = code.lines().filter(|line| !line.trim().is_empty());
    lines.all(|line| starts.iter().any(|start| line.starts_with(start)) || is_constant(line))
}

fn is_test(name: &str) -> bool {
    let name = name.to_lowercase();
    name.starts_with("test") || name == "check"
}

/// Code without the prompts of an interactive session, and without its output.
fn without_prompts(code: &str) -> String {
    let is_session =
        code.lines().find(|line| !line.trim().is_empty()).is_some_and(|line| line.starts_with(">>> "));
    if !is_session {
        return code.to_owned();
    }
    let mut out = String::new();
    for line in code.lines() {
        let typed = [">>> ", "... "].iter().find_map(|prompt| line.strip_prefix(prompt));
        if typed.is_some() || matches!(line.trim_end(), ">>>" | "...") {
            out.push_str(typed.unwrap_or_default());
            out.push('\n');
        }
    }
    out
}

/// The code of an answer without fences: from its first line of code to its last.
fn bare(answer: &str, language: &CodeLanguage) -> Option<String> {
    if let Some(code) = inline(answer) {
        return Some(code);
    }
    let session = without_prompts(answer);
    if session != answer {
        return Some(session);
    }
    let lines: Vec<&str> = answer.lines().collect();
    let is_code = |line: &&str| {
        let is_indented = line.starts_with([' ', '\t']) && !line.trim().is_empty();
        is_indented || language.code_line.is_match(line) || is_closing(line)
    };
    let first = lines.iter().position(|line| language.code_line.is_match(line));
    let Some(first) = first.or_else(|| lines.iter().position(is_code)) else {
        // It may still be code, such as a single expression.
        let is_empty = answer.trim().is_empty();
        return (!is_empty && !lines.iter().any(|line| is_prose(line))).then(|| answer.trim().to_owned());
    };
    // What precedes and is no prose belongs to it, such as a docstring or a decorator.
    let start = lines[..first].iter().rposition(|line| line.trim().is_empty() || is_prose(line));
    let start = start.map_or(0, |at| at + 1);
    let end = lines.iter().rposition(|line| is_code(line) || !(line.trim().is_empty() || is_prose(line)))?;
    Some(format!("{}\n", lines[start..=end.max(first)].join("\n")))
}

/// Whether a line closes something that code opened.
fn is_closing(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && line.chars().all(|char| "()[]{},;\"'`".contains(char))
}

/// Whether a line without indentation is a sentence or a heading.
fn is_prose(line: &str) -> bool {
    let is_word = |word: &&str| {
        let letters = word.chars().filter(|char| char.is_alphabetic()).count();
        letters >= 2 && word.chars().all(|char| char.is_alphabetic() || "'’,.:;!?-*`".contains(char))
    };
    let line = line.trim_end();
    let is_marked = line.starts_with(['*', '#', '-', '•']) || line.ends_with([':', '.', '!', '?']);
    let words = line.split_whitespace().filter(is_word).count();
    words >= 3 || (words >= 1 && is_marked)
}

/// The code of an answer that is one piece of code within three backticks.
fn inline(answer: &str) -> Option<String> {
    let inside = answer.trim().strip_prefix("```")?.strip_suffix("```")?;
    if inside.contains("```") || inside.contains('\n') {
        return None;
    }
    let inside = inside.trim();
    let (label, rest) = inside.split_once(' ').unwrap_or(("", inside));
    let is_label = LANGUAGES.iter().any(|language| language.is_labelled(&label.to_lowercase()));
    Some(if is_label { rest.trim().to_owned() } else { inside.to_owned() })
}

/// All code of a text of tests, which need not have blocks.
pub(super) fn all_code_in(text: &str, language: &CodeLanguage) -> String {
    let blocks = code_blocks::find(text);
    let is_taken = |block: &&FencedCode| block.label.is_empty() || language.is_labelled(&block.label);
    let codes: Vec<String> =
        blocks.iter().filter(is_taken).map(|block| without_prompts(&block.code)).collect();
    if codes.is_empty() { text.to_owned() } else { codes.concat() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::run_tests::languages::find;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct AnswerCase {
        name: String,
        #[serde(default)]
        language: Option<String>,
        answer: String,
        code: Option<String>,
    }

    #[test]
    fn code_is_found_as_answers_have_it() {
        let text = include_str!("../../../tests/cases/code_answers.yaml");
        let cases: Vec<AnswerCase> = serde_saphyr::from_str(text).unwrap();
        assert!(cases.len() >= 40, "{} cases", cases.len());
        let mut wrong = Vec::new();
        for case in cases {
            let language = find(case.language.as_deref().unwrap_or("python")).unwrap();
            let found = code_in(&case.answer, language);
            if found != case.code {
                wrong.push(format!("{}: found {found:?}, expected {:?}", case.name, case.code));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn a_text_of_tests_keeps_all_its_blocks() {
        let python = find("python").unwrap();
        let text = "One:\n```python\nassert a\n```\nTwo:\n```\nassert b\n```\n```text\nno\n```";
        assert_eq!(all_code_in(text, python), "assert a\nassert b\n");
        assert_eq!(all_code_in("assert a", python), "assert a");
    }

    proptest! {
        /// Whatever an answer is, its code consists of its own lines.
        #[test]
        fn code_is_part_of_the_answer(
            answer in "(```|````|~~~|python\n|js\n|\n|\r\n| {4}|def f\\(x\\):|return x|>>> |\\.\\.\\. |Some words here\\.|import a|<think>|</think>\n|é|\\PC){0,40}",
        ) {
            for language in &LANGUAGES {
                let Some(code) = code_in(&answer, language) else { continue };
                prop_assert!(!code.trim().is_empty());
                for line in code.lines() {
                    prop_assert!(answer.contains(line.trim()), "{:?}: {:?}", answer, line);
                }
            }
        }
    }
}
