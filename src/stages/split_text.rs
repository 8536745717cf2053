//! `split_text`: cuts a text into a list of pieces, for `for_each` or for a step-by-step format.
//!
//! Nothing is lost: the text is cut at the borders that `borders` and `token_pieces` find, so joining the pieces
//! restores it. White space between two pieces belongs to the first of them.

mod borders;
mod token_pieces;

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Role, StageDescription};
use crate::pipeline::{CheckContext, FieldType, ProducedField};
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Processor, StageConfig, StageError, Transform, TransformOutput,
};

/// The smallest number of tokens that pieces may be limited to: fewer would cut words, and finally characters.
const FEWEST_TOKENS: u64 = 8;

/// Cuts a text into pieces.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SplitText {
    /// The field that holds the text.
    #[serde(default = "text")]
    text: String,
    /// What a piece is. Joining the pieces restores the text.
    by: SplitBy,
    /// Whether to remove the white space at both ends of each piece, and pieces that consist of nothing else. Joining
    /// the pieces then no longer restores the text exactly.
    #[serde(default)]
    trim: bool,
    /// The field in which the list of pieces is stored.
    #[serde(default = "into")]
    into: String,
}

/// What a piece is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SplitBy {
    /// A line, including the empty lines after it.
    Lines,
    /// A paragraph; empty lines inside a fenced code block do not end it.
    Paragraphs,
    /// A sentence, by Unicode's rules and with the abbreviations of several languages. Code and URLs are not split.
    Sentences,
    /// A numbered step, such as a line that begins with `Step 1:`, `1.` or `2)`, also in bold or as a heading. Only
    /// consecutive numbers from 1 or 0 count. Text before the first step belongs to it. A text without steps is one
    /// piece.
    Steps,
    /// A new piece begins at each match of this regular expression, such as `(?i)^question`; `^` matches at the
    /// beginning of each line.
    Before(String),
    /// A piece ends after each match of this regular expression, such as `\n---\n`; `$` matches at the end of each
    /// line.
    After(String),
    /// As many sentences as fit into this number of tokens, at least 8. Longer sentences are cut between words.
    /// Tokens are those of o200k_base; other vocabularies differ by about a tenth.
    Tokens(u64),
}

fn text() -> String {
    "text".into()
}

fn into() -> String {
    "parts".into()
}

const PARTS: ProducedField =
    ProducedField::named_by("into", "parts", FieldType::texts, "The pieces, in order.");

impl StageDescription for SplitText {
    const NAME: &'static str = "split_text";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str = "Splits a text into a list of lines, paragraphs, sentences, numbered steps or pieces with a maximum \
         number of tokens.";
    const MAKES: &'static [ProducedField] = &[PARTS];
    const EXAMPLE: &'static str = r#"name: split-text-example
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - split_text: {by: {tokens: 200}}
  - for_each:
      in: parts
      as: part
      stages:
        - set: {words: {expr: "part | wordcount"}}
  - sink: {path: parts.jsonl, format: raw, fields: [part, words]}
"#;
}

impl StageConfig for SplitText {
    fn check(&self, context: &mut CheckContext<'_>) {
        context.needs_type("/text", &self.text, &FieldType::text());
        match &self.by {
            SplitBy::Before(pattern) => check_pattern(context, "/by/before", pattern),
            SplitBy::After(pattern) => check_pattern(context, "/by/after", pattern),
            SplitBy::Tokens(most) if *most < FEWEST_TOKENS => {
                context
                    .problem("/by/tokens", format!("found the number `{most}`"))
                    .expected(format!("{FEWEST_TOKENS} tokens or more"));
            }
            _ => {}
        }
        context.makes_named(&PARTS, &self.into);
        context.keeps_items();
    }

    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        let pattern = match &self.by {
            SplitBy::Before(pattern) | SplitBy::After(pattern) => {
                Some(compile(pattern).map_err(|error| BuildError::Other(error.to_string()))?)
            }
            _ => None,
        };
        Ok(Processor::Transform(Box::new(TextSplitter {
            text: self.text.clone(),
            by: self.by.clone(),
            pattern,
            trim: self.trim,
            into: self.into.clone(),
        })))
    }
}

fn check_pattern(context: &mut CheckContext<'_>, at: &str, pattern: &str) {
    if let Err(error) = compile(pattern) {
        let message = error.to_string();
        let line = message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        context.problem(at, format!("`{pattern}` is no regular expression: {line}"));
    } else if pattern.is_empty() {
        context.problem(at, "the expression is empty").expected("what a piece begins or ends with");
    }
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).multi_line(true).build()
}

/// The processor: splits the text in a record.
struct TextSplitter {
    text: String,
    by: SplitBy,
    pattern: Option<Regex>,
    trim: bool,
    into: String,
}

impl Transform for TextSplitter {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        let Some(text) = record.text(&self.text) else {
            return Err(StageError::new("fields", format!("field `{}` is not a text", self.text)));
        };
        let mut pieces: Vec<Value> = Vec::new();
        let mut start = 0;
        for end in self.borders(text).into_iter().chain([text.len()]) {
            let piece = if self.trim { text[start..end].trim() } else { &text[start..end] };
            if !piece.is_empty() {
                pieces.push(piece.into());
            }
            start = end;
        }
        record.set(&self.into, pieces);
        Ok(TransformOutput::Pass)
    }
}

impl TextSplitter {
    /// Where the second piece and those after it begin.
    fn borders(&self, text: &str) -> Vec<usize> {
        let pattern = || self.pattern.iter().flat_map(|pattern| pattern.find_iter(text));
        let found = match &self.by {
            SplitBy::Tokens(most) => return token_pieces::borders(text, *most),
            SplitBy::Lines => borders::lines(text),
            SplitBy::Paragraphs => borders::paragraphs(text),
            SplitBy::Sentences => borders::sentences(text),
            SplitBy::Steps => borders::steps(text),
            SplitBy::Before(_) => pattern().map(|found| found.start()).collect(),
            SplitBy::After(_) => pattern().map(|found| found.end()).collect(),
        };
        borders::without_blanks(text, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::{build, record};
    use proptest::prelude::*;
    use serde_json::json;

    fn pieces(config: Value, text: &str) -> Vec<String> {
        let Processor::Transform(part) = build::<SplitText>(config) else { panic!("not a transform") };
        let mut record = record(json!({ "text": text }));
        part.process(&mut record).unwrap();
        let parts = record.get("parts").unwrap().as_array().unwrap();
        parts.iter().map(|part| part.as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    fn check(by: &Value, text: &str, expected: &[&str]) {
        let found = pieces(json!({ "by": by }), text);
        assert_eq!(found, expected, "{by}");
        assert_eq!(found.concat(), text);
        let trimmed = pieces(json!({"by": by, "trim": true}), text);
        let expected: Vec<&str> =
            expected.iter().map(|one| one.trim()).filter(|one| !one.is_empty()).collect();
        assert_eq!(trimmed, expected, "{by}, trimmed");
    }

    #[test]
    fn lines_and_paragraphs_keep_the_space_after_them() {
        check(&json!("lines"), "\na\n\n b\r\nc", &["\na\n\n", " b\r\n", "c"]);
        check(&json!("lines"), "one", &["one"]);
        check(&json!("lines"), "", &[]);
        check(&json!("lines"), " \n", &[" \n"]);
        check(&json!("paragraphs"), "a\nb\n \n\nc\n", &["a\nb\n \n\n", "c\n"]);
        let code = "Code:\n\n```py\na = 1\n\nb = 2\n```\n\nEnd.";
        check(&json!("paragraphs"), code, &["Code:\n\n", "```py\na = 1\n\nb = 2\n```\n\n", "End."]);
    }

    #[test]
    fn sentences_end_at_paragraphs_and_not_in_code() {
        check(&json!("sentences"), "Ask Dr. Lee. Why?  So!", &["Ask Dr. Lee. ", "Why?  ", "So!"]);
        check(&json!("sentences"), "it is so\n\nand so", &["it is so\n\n", "and so"]);
        check(&json!("sentences"), "Call `a. B`. Then go.", &["Call `a. B`. ", "Then go."]);
        check(
            &json!("sentences"),
            "```\nA. B.\nC.\n```\nDone. Yes.",
            &["```\nA. B.\nC.\n```\n", "Done. ", "Yes."],
        );
        check(&json!("sentences"), "今天下雨。我在家！", &["今天下雨。", "我在家！"]);
    }

    #[test]
    fn steps_are_numbered_from_the_first() {
        let steps = json!("steps");
        check(
            &steps,
            "Step 1: add.\n\nStep 2: halve.\n\nSo 4.",
            &["Step 1: add.\n\n", "Step 2: halve.\n\nSo 4."],
        );
        check(
            &steps,
            "We solve it.\n1. Add\n2. Halve\n3. Done",
            &["We solve it.\n1. Add\n", "2. Halve\n", "3. Done"],
        );
        check(&steps, "**Step 1:** a\n**Step 2:** b", &["**Step 1:** a\n", "**Step 2:** b"]);
        check(&steps, "### Step 1\na\n### Step 2\nb", &["### Step 1\na\n", "### Step 2\nb"]);
        check(&steps, "0) a\n1) b", &["0) a\n", "1) b"]);
        // The steps, not the lists inside them.
        check(&steps, "Step 1:\n1. a\n2. b\nStep 2:\n1. c", &["Step 1:\n1. a\n2. b\n", "Step 2:\n1. c"]);
        check(&steps, "1. a\n   1. b\n   2. c\n2. d", &["1. a\n   1. b\n   2. c\n", "2. d"]);
        // Neither years, nor decimals, nor code.
        check(&steps, "1. a\n2024. b\n3.5 c\n2. d", &["1. a\n2024. b\n3.5 c\n", "2. d"]);
        check(&steps, "1. a\n```\n2. b\n```\n2. c", &["1. a\n```\n2. b\n```\n", "2. c"]);
        check(&steps, "Schritt 1: a\nSchritt 2: b", &["Schritt 1: a\n", "Schritt 2: b"]);
        check(&steps, "第1步 a\n第2步 b", &["第1步 a\n", "第2步 b"]);
        check(&steps, "3. c\n4. d", &["3. c\n4. d"]);
        check(&steps, "No steps. None.", &["No steps. None."]);
    }

    #[test]
    fn expressions_begin_or_end_a_piece() {
        check(&json!({"before": "^## "}), "a\n## b\nc ## d\n## e", &["a\n", "## b\nc ## d\n", "## e"]);
        check(&json!({"after": "\n---\n"}), "a\n---\nb\n---\n", &["a\n---\n", "b\n---\n"]);
        check(&json!({"before": "x*"}), "axb", &["a", "xb"]);
    }

    #[test]
    fn pieces_have_at_most_so_many_tokens() {
        let by = json!({"tokens": 8});
        check(
            &by,
            "One two three. Four five. Six seven eight nine.",
            &["One two three. Four five. ", "Six seven eight nine."],
        );
        check(&by, "Short.", &["Short."]);
        check(&by, "", &[]);
        // A sentence that is too long is cut between words, a word between characters.
        let long = pieces(json!({ "by": by }), &"word ".repeat(40));
        assert!(long.len() > 4 && long.iter().all(|piece| piece.starts_with("word")), "{long:?}");
        let long = pieces(json!({ "by": by }), &"Zq7".repeat(400));
        assert!(long.iter().all(|piece| crate::token_count::count(piece) <= 8), "{long:?}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (config, expected) in [
            (json!({"by": "lines"}), ""),
            (json!({"by": {"tokens": 8}}), ""),
            (json!({"by": {"tokens": 7}}), "found the number `7`"),
            (json!({"by": {"before": "("}}), "`(` is no regular expression: unclosed group"),
            (json!({"by": {"after": ""}}), "the expression is empty"),
            (json!({"by": "lines", "text": "n"}), "`n` is a whole number"),
        ] {
            let (vars, models) = Default::default();
            let mut context = CheckContext::new(&vars, &models);
            context.makes_as("text", FieldType::text());
            context.makes_as("n", FieldType::integer());
            serde_json::from_value::<SplitText>(config.clone()).unwrap().check(&mut context);
            let messages: Vec<&str> = context.problems().iter().map(|one| one.message.as_str()).collect();
            assert!(messages.concat().contains(expected), "{config}: {messages:?}");
            assert_eq!(messages.len(), usize::from(!expected.is_empty()), "{config}: {messages:?}");
        }
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_text(
            text in "([a-c]|[A-C. ]|\n|\r\n|```|~~~|[`#*]|[1-3][.)] |\nStep [0-3]|[。！ß]|👨‍👩‍👧|\\PC){0,60}",
            tokens in 8_u64..20,
        ) {
            for by in [json!("lines"), json!("paragraphs"), json!("sentences"), json!("steps"), json!({"before": "[b-d]"}),
                json!({"after": "\n|a*"}), json!({ "tokens": tokens })]
            {
                let found = pieces(json!({ "by": by }), &text);
                prop_assert_eq!(found.concat(), text.as_str(), "{}", by);
                let blank = found.iter().any(|piece| piece.trim().is_empty());
                prop_assert!(!blank || text.trim().is_empty() || by.get("tokens").is_some(), "{}: {:?}", by, found);
                if by.get("tokens").is_some() {
                    prop_assert!(found.iter().all(|piece| crate::token_count::count(piece) <= tokens), "{:?}", found);
                }
            }
        }
    }
}
