//! The reasoning steps that `cot_expand` writes: a list as it is, or a text split into parts.
//!
//! The separator of the parts is kept, so that joining all of them restores the text.

use schemars::JsonSchema;
use serde::Deserialize;

/// How a text is cut into steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TextSteps {
    /// Each paragraph; paragraphs are separated by empty lines.
    #[default]
    Paragraphs,
    /// Each line.
    Lines,
    /// The whole text is one step.
    Whole,
}

impl TextSteps {
    /// The steps of a text.
    pub(super) fn of(self, text: &str) -> ReasoningSteps {
        let between = if self == Self::Paragraphs { "\n\n" } else { "\n" };
        if self == Self::Whole {
            return ReasoningSteps { texts: non_empty(vec![text.trim().to_owned()]), between };
        }
        let mut texts = vec![String::new()];
        for line in text.trim().lines().map(str::trim_end) {
            match texts.last_mut() {
                Some(step) if self == Self::Paragraphs && !line.is_empty() => {
                    if !step.is_empty() {
                        step.push('\n');
                    }
                    step.push_str(line);
                }
                _ => texts.push(line.to_owned()),
            }
        }
        ReasoningSteps { texts: non_empty(texts), between }
    }
}

fn non_empty(mut texts: Vec<String>) -> Vec<String> {
    texts.retain(|text| !text.is_empty());
    texts
}

/// Reasoning steps and the separator between two of them.
pub(super) struct ReasoningSteps {
    pub(super) texts: Vec<String>,
    pub(super) between: &'static str,
}

impl ReasoningSteps {
    /// Steps that are a list already.
    pub(super) fn listed(texts: &[&str]) -> Self {
        Self { texts: texts.iter().map(|text| text.trim().to_owned()).collect(), between: " " }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_paragraphs_or_lines_for_steps() {
        let text = "First,\nthis.\n \n\nThen that. \n\nSo it is.\n";
        let check = |text_steps: TextSteps, expected: &[&str]| {
            assert_eq!(text_steps.of(text).texts, expected, "{text_steps:?}");
            assert!(text_steps.of(" \n\n").texts.is_empty(), "{text_steps:?}");
        };
        check(TextSteps::Paragraphs, &["First,\nthis.", "Then that.", "So it is."]);
        check(TextSteps::Lines, &["First,", "this.", "Then that.", "So it is."]);
        check(TextSteps::Whole, &[text.trim()]);
    }
}
