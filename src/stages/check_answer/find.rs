//! Finds the final answer in a text.

use schemars::JsonSchema;
use serde::Deserialize;

use super::latex::braced;

/// A rule for finding the final answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FindRule {
    /// The content of the last `\boxed{...}`, which may contain braces. Unclosed ones are ignored.
    Boxed,
    /// The last line that is not empty. For a number, it may be a sentence that contains one number, or end in `=
    /// 42`.
    LastLine,
    /// The whole text, for a field that contains only the answer.
    Whole,
    /// The text after the last occurrence of this marker, such as `####`, up to the end of the line.
    After(String),
}

impl FindRule {
    /// The answer in the text; `None` if there is none by this rule.
    pub(super) fn find<'a>(&self, text: &'a str) -> Option<&'a str> {
        let found = match self {
            Self::Boxed => boxed(text)?,
            Self::LastLine => text.lines().rev().find(|line| !line.trim().is_empty())?,
            Self::Whole => text,
            Self::After(mark) => text.rsplit_once(mark.as_str())?.1.lines().next()?,
        };
        Some(found.trim()).filter(|found| !found.is_empty())
    }
}

/// The content of the last closed box.
fn boxed(text: &str) -> Option<&str> {
    let starts: Vec<usize> = ["\\boxed", "\\fbox"]
        .iter()
        .flat_map(|command| text.match_indices(command).map(|(at, found)| at + found.len()))
        .collect();
    let start = starts.into_iter().max()?;
    let rest = text[start..].trim_start();
    braced(rest).map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_by_their_rule() {
        let after = || FindRule::After("####".to_owned());
        for (rule, text, expected) in [
            (FindRule::Boxed, r"So \boxed{1} or rather \boxed{\frac{1}{2}}.", Some(r"\frac{1}{2}")),
            (FindRule::Boxed, r"\boxed {5}", Some("5")),
            (FindRule::Boxed, r"\boxed{\{1, 2\}}", Some(r"\{1, 2\}")),
            // The last one is truncated, and the one before it is not the answer.
            (FindRule::Boxed, r"First \boxed{1}, then \boxed{\frac{1}{2}", None),
            (FindRule::Boxed, r"\boxed{ }", None),
            (FindRule::Boxed, "42", None),
            (FindRule::LastLine, "a\n b \n\n", Some("b")),
            (FindRule::LastLine, " \n", None),
            (FindRule::Whole, " a\nb ", Some("a\nb")),
            (after(), "1 #### 2\n#### 3 \nEnd", Some("3")),
            (after(), "42", None),
            (after(), "####", None),
        ] {
            assert_eq!(rule.find(text), expected, "{rule:?} in {text}");
        }
    }
}
