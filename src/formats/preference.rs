//! Preferences: a prompt with a chosen and a rejected answer.
//!
//! The prompt has its own column (explicit) or precedes both answers (implicit), in which case it is read back as
//! their common prefix. Equal answers are refused.

use serde_json::{Map, Value};

use super::conversation::{ConversationTurn, only_text, plain_messages, text_of, turn};
use super::{LineParts, Part, TurnForm, answer_of, refused, require, take, with};
use crate::stage::StageError;

/// The columns of `ultrafeedback_binarized`.
pub(super) const BINARIZED: &[&str] =
    &["prompt", "prompt_id", "chosen", "rejected", "messages", "score_chosen", "score_rejected"];
/// The parts of a record from which they are written.
pub(super) const BINARIZED_PARTS: &[Part] =
    &[Part::PROMPT, Part::CHOSEN, Part::REJECTED, Part::SCORE_CHOSEN, Part::SCORE_REJECTED];
/// The markers at the beginning of a turn in the transcripts of HH-RLHF.
const HUMAN: &str = "\n\nHuman: ";
const ASSISTANT: &str = "\n\nAssistant: ";

/// A prompt with two different answers.
struct Pair {
    prompt: Vec<ConversationTurn>,
    chosen: Vec<ConversationTurn>,
    rejected: Vec<ConversationTurn>,
}

impl Pair {
    fn of(parts: &LineParts<'_>) -> Result<Self, StageError> {
        let prompt = parts.prompt()?;
        let chosen = parts.completion("chosen", &prompt)?;
        let rejected = parts.completion("rejected", &prompt)?;
        let said = |answer: &[ConversationTurn]| -> Vec<String> {
            answer.iter().map(|turn| text_of(turn, "content").trim().to_owned()).collect()
        };
        if chosen == rejected || (said(&chosen) == said(&rejected) && !said(&chosen).concat().is_empty()) {
            return Err(refused("the chosen and the rejected answer are equal"));
        }
        Ok(Self { prompt, chosen, rejected })
    }

    fn after_prompt(&self, answer: &[ConversationTurn]) -> Vec<ConversationTurn> {
        self.prompt.iter().chain(answer).cloned().collect()
    }
}

pub(super) fn write_explicit(parts: &LineParts<'_>) -> Result<Map<String, Value>, StageError> {
    let pair = Pair::of(parts)?;
    Ok(Map::from_iter([
        ("prompt".to_owned(), parts.prompt_column(&pair.prompt)?),
        ("chosen".to_owned(), parts.answer_column(&pair.chosen)?),
        ("rejected".to_owned(), parts.answer_column(&pair.rejected)?),
    ]))
}

pub(super) fn write_implicit(parts: &LineParts<'_>) -> Result<Map<String, Value>, StageError> {
    let pair = Pair::of(parts)?;
    let whole = |answer| {
        let turns = pair.after_prompt(answer);
        match parts.settings.turns {
            TurnForm::Messages => plain_messages(&turns, "preference_implicit"),
            TurnForm::Text => transcript(&turns).map(Value::from),
        }
    };
    Ok(Map::from_iter([
        ("chosen".to_owned(), whole(&pair.chosen)?),
        ("rejected".to_owned(), whole(&pair.rejected)?),
    ]))
}

pub(super) fn write_binarized(parts: &LineParts<'_>) -> Result<Map<String, Value>, StageError> {
    let pair = Pair::of(parts)?;
    let asked = pair.prompt.iter().filter(|turn| text_of(turn, "role") == "user").collect::<Vec<_>>();
    let [question] = asked.as_slice() else {
        return Err(refused("`ultrafeedback_binarized` holds one question, and the prompt has several"));
    };
    let question = only_text(question, "ultrafeedback_binarized")?;
    let id = blake3::hash(question.as_bytes()).to_hex().to_string();
    let chosen = plain_messages(&pair.after_prompt(&pair.chosen), "ultrafeedback_binarized")?;
    let rejected = plain_messages(&pair.after_prompt(&pair.rejected), "ultrafeedback_binarized")?;
    let values = [
        question.into(),
        id.into(),
        chosen.clone(),
        rejected,
        chosen,
        score(parts, "score_chosen", "chosen")?,
        score(parts, "score_rejected", "rejected")?,
    ];
    Ok(BINARIZED.iter().map(|name| (*name).to_owned()).zip(values).collect())
}

/// The score of an answer: from its field, or from the candidate.
fn score(parts: &LineParts<'_>, part: &str, answer: &str) -> Result<Value, StageError> {
    let of_candidate = parts.value(answer).and_then(|candidate| candidate.get("score"));
    parts.fraction(part, parts.value(part).or(of_candidate))
}

/// The transcript of a conversation. System messages have no speaker there and become the beginning of the first
/// turn.
fn transcript(turns: &[ConversationTurn]) -> Result<String, StageError> {
    let mut text = String::new();
    let mut system: Vec<String> = Vec::new();
    for turn in turns {
        let content = only_text(turn, "preference_implicit")?;
        if content.contains(HUMAN.trim_end()) || content.contains(ASSISTANT.trim_end()) {
            return Err(refused(
                "a turn contains the marker of a turn, so that a transcript would be read otherwise",
            ));
        }
        match text_of(turn, "role").as_str() {
            "system" | "developer" => system.push(content),
            "user" => {
                system.push(content);
                text.push_str(HUMAN);
                text.push_str(&std::mem::take(&mut system).join("\n\n"));
            }
            _ => {
                text.push_str(ASSISTANT);
                text.push_str(&content);
            }
        }
    }
    Ok(text)
}

pub(super) fn read_explicit(row: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut row = require(row, &["prompt", "chosen", "rejected"])?;
    for answer in ["chosen", "rejected"] {
        let read = answer_of(take(&mut row, answer)?);
        row.insert(answer.to_owned(), read);
    }
    differing(row)
}

pub(super) fn read_implicit(mut row: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let (prompt, chosen, rejected) = match (take(&mut row, "chosen")?, take(&mut row, "rejected")?) {
        (Value::Array(chosen), Value::Array(rejected)) => split_messages(chosen, rejected)?,
        (Value::String(chosen), Value::String(rejected)) => split_transcripts(&chosen, &rejected)?,
        _ => return Err("`chosen` and `rejected` are not both lists of messages, nor both texts".to_owned()),
    };
    let chosen = answer_of(Value::Array(chosen));
    let rejected = answer_of(Value::Array(rejected));
    differing(with(row, [("prompt", Value::Array(prompt)), ("chosen", chosen), ("rejected", rejected)]))
}

type SplitPair = (Vec<Value>, Vec<Value>, Vec<Value>);

/// Splits two conversations at their first difference.
fn split_messages(mut chosen: Vec<Value>, mut rejected: Vec<Value>) -> Result<SplitPair, String> {
    let shared = chosen.iter().zip(&rejected).take_while(|(one, other)| one == other).count();
    let asks = |message: &Value| matches!(message["role"].as_str(), Some("user" | "tool" | "function"));
    if shared == 0 || !asks(&chosen[shared - 1]) {
        return Err("`chosen` and `rejected` do not begin with the same prompt".to_owned());
    }
    let (chosen_answer, rejected_answer) = (chosen.split_off(shared), rejected.split_off(shared));
    if chosen_answer.is_empty() || rejected_answer.is_empty() {
        return Err("`chosen` and `rejected` do not both go on after the prompt".to_owned());
    }
    Ok((chosen, chosen_answer, rejected_answer))
}

/// Splits two transcripts at the last marker of the assistant in their common prefix.
fn split_transcripts(chosen: &str, rejected: &str) -> Result<SplitPair, String> {
    let shared = chosen.bytes().zip(rejected.bytes()).take_while(|(one, other)| one == other).count();
    // There is no space after a marker at the end.
    let marker = ASSISTANT.trim_end();
    let found = chosen.as_bytes()[..shared].windows(marker.len()).rposition(|part| part == marker.as_bytes());
    let Some(prompt) = found else {
        return Err("`chosen` and `rejected` have no common prompt that ends before a turn of `Assistant:`"
            .to_owned());
    };
    Ok((messages_of(&chosen[..prompt])?, messages_of(&chosen[prompt..])?, messages_of(&rejected[prompt..])?))
}

/// The messages of a transcript.
fn messages_of(transcript: &str) -> Result<Vec<Value>, String> {
    let mut messages = Vec::new();
    let mut rest = transcript;
    while !rest.is_empty() {
        let (role, after) =
            match (rest.strip_prefix(HUMAN.trim_end()), rest.strip_prefix(ASSISTANT.trim_end())) {
                (Some(after), _) => ("user", after),
                (_, Some(after)) => ("assistant", after),
                _ => return Err("a transcript does not begin with `Human:` or `Assistant:`".to_owned()),
            };
        let next = [HUMAN, ASSISTANT].iter().filter_map(|marker| after.find(marker.trim_end())).min();
        let (content, following) = after.split_at(next.unwrap_or(after.len()));
        messages.push(Value::Object(turn(role, content.strip_prefix(' ').unwrap_or(content))));
        rest = following;
    }
    Ok(messages)
}

pub(super) fn read_binarized(mut row: Map<String, Value>) -> Result<Map<String, Value>, String> {
    for derived in ["prompt", "prompt_id", "messages"] {
        row.shift_remove(derived);
    }
    read_implicit(row)
}

fn differing(row: Map<String, Value>) -> Result<Map<String, Value>, String> {
    match row.get("chosen") == row.get("rejected") {
        true => Err("`chosen` and `rejected` are equal".to_owned()),
        false => Ok(row),
    }
}
