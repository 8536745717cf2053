//! Extracts the text and the reasoning of an answer's message, wherever a server puts them.
//!
//! Used by `openai` and `anthropic`. Reasoning may be beside the text under several names, among its parts, or at the
//! start of the text itself (where `reasoning` removes it).

use serde_json::Value;

use crate::llm::reasoning;

/// The fields of a message for reasoning; a server may fill one and leave another empty.
const APART: &[&str] = &["reasoning_content", "reasoning", "thinking", "reasoning_text", "reasoning_details"];
/// The fields of a part for its text.
const TEXTS: &[&str] = &["text", "thinking", "reasoning", "summary", "content"];

/// The text and reasoning of a message.
#[derive(Debug, Default, PartialEq)]
pub(super) struct AnswerText {
    /// The answer. Surrounding white space is kept unless reasoning was removed.
    pub(super) text: String,
    pub(super) reasoning: Option<String>,
}

impl AnswerText {
    /// Extracts them from a chat message.
    pub(super) fn of_message(message: &Value) -> Self {
        let content = message.get("content").unwrap_or(&Value::Null);
        let apart = APART.iter().filter_map(|name| Some(texts(message.get(*name)?)));
        let apart = apart.chain([parts(content, true)]).find(|text| !text.trim().is_empty());
        Self::of_text(parts(content, false), apart)
    }

    /// Extracts them from a text, and the reasoning that the server sent separately.
    pub(super) fn of_text(text: String, apart: Option<String>) -> Self {
        let (inline, answer) = reasoning::split(&text);
        let cut = inline.is_some() || answer.len() < text.trim().len();
        let reasoning = apart.or_else(|| inline.map(std::borrow::Cow::into_owned));
        let text = if cut { answer.to_owned() } else { text };
        Self { text, reasoning: reasoning.filter(|reasoning| !reasoning.trim().is_empty()) }
    }
}

/// Returns the text of a content, which is one part or a list: of its reasoning parts, or of all others.
fn parts(content: &Value, of_reasoning: bool) -> String {
    match content {
        Value::Array(list) => {
            let wanted = list.iter().filter(|part| is_reasoning(part) == of_reasoning);
            wanted.map(texts).collect()
        }
        whole if is_reasoning(whole) == of_reasoning => texts(whole),
        _ => String::new(),
    }
}

fn is_reasoning(part: &Value) -> bool {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
    kind.contains("think") || kind.contains("reason")
}

/// Returns all text in a value; encrypted parts have none.
fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(texts).collect(),
        Value::Object(part) => {
            let found = TEXTS.iter().filter_map(|name| part.get(*name)).map(texts);
            found.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(message: Value, text: &str, reasoning: Option<&str>) {
        let said = AnswerText::of_message(&message);
        assert_eq!((&*said.text, said.reasoning.as_deref()), (text, reasoning), "{message}");
    }

    #[test]
    fn reasoning_is_found_in_all_its_places() {
        let hm = Some("hm");
        check(json!({"content": " Oslo\n"}), " Oslo\n", None);
        check(json!({"content": "<think>hm</think>\n\nOslo"}), "Oslo", hm);
        check(json!({"content": "<think></think>\n\nOslo"}), "Oslo", None);
        check(json!({"content": "Oslo", "reasoning_content": "hm"}), "Oslo", hm);
        check(json!({"content": "Oslo", "reasoning": "hm", "reasoning_content": null}), "Oslo", hm);
        check(json!({"content": "Oslo", "reasoning": "hm", "reasoning_content": ""}), "Oslo", hm);
        check(json!({"content": "Oslo", "thinking": "hm"}), "Oslo", hm);
        let details = json!([
            {"type": "reasoning.encrypted", "data": "Z0FB"},
            {"type": "reasoning.text", "text": "h", "signature": null},
            {"type": "reasoning.summary", "summary": "m"},
        ]);
        check(json!({"content": "Oslo", "reasoning_details": details}), "Oslo", hm);
        check(json!({"content": "Oslo", "reasoning": null, "reasoning_details": []}), "Oslo", None);
        check(json!({"content": "Oslo", "reasoning_content": [{"type": "text", "text": "hm"}]}), "Oslo", hm);
    }

    #[test]
    fn parts_are_joined_and_reasoning_is_extracted() {
        check(json!({"content": [{"type": "text", "text": "Os"}, {"text": "lo"}]}), "Oslo", None);
        check(json!({"content": {"type": "text", "text": "Oslo"}}), "Oslo", None);
        check(json!({"content": ["Os", "lo"]}), "Oslo", None);
        let nested = json!([
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": true},
            {"type": "text", "text": "Oslo"},
        ]);
        check(json!({"content": nested}), "Oslo", Some("hm"));
        let flat = json!([{"type": "reasoning", "text": "hm"}, {"type": "output_text", "text": "Oslo"}]);
        check(json!({"content": flat}), "Oslo", Some("hm"));
        check(json!({"content": [{"type": "redacted_thinking", "data": "Z0FB"}]}), "", None);
        check(json!({"content": null}), "", None);
        check(json!({}), "", None);
    }
}
