//! The formats that trainers read: how a record is converted to a format's columns, and columns back to fields.
//!
//! `sink` writes with `Format::write`, `ingest` reads with `Format::read`; both use the same names. `conversation`
//! contains what all formats share, `parts` finds in a record what a format needs, and each family of formats has a
//! file. Every line of a format has the same columns with the same types; a record that does not fit is refused, so
//! that nothing is trained on half a record.

mod conversation;
mod environments;
pub(crate) mod json_splitter;
mod labels;
mod parts;
mod preference;
mod sharegpt;
mod tool_conversation;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) use self::conversation::{ConversationTurn, turn, turns, with_system};
use self::conversation::{LastTurn, check_order, no_place, text_of};
pub(crate) use self::parts::{FormatSettings, LineParts, Part, TurnForm};
use crate::stage::StageError;

/// The format of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// `{"messages": [{"role": ..., "content": ...}, ...]}`, for OpenAI's chat fine-tuning; a message's other keys
    /// (`tool_calls`, `tool_call_id`, `name`, `weight`, parts, ...) are kept.
    Messages,
    /// `{"conversations": [{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]}`; tool calls are turns
    /// from `function_call`, results are turns from `observation`.
    Sharegpt,
    /// `{"instruction": ..., "input": "", "output": ...}`; conversations of more than a question and its answer are
    /// rejected.
    Alpaca,
    /// `{"prompt": ..., "completion": ...}`; conversations of more than a question and its answer are rejected.
    PromptCompletion,
    /// `{"messages": [...], "tools": ...}`, conversations with tool calls: every message has the same keys, null if
    /// unused, and tools and arguments are JSON texts, so that all rows have columns of the same types.
    ToolConversation,
    /// `{"text": ...}`, for language modelling.
    Text,
    /// `{"prompt": [...]}`, for trainers that sample the answers (GRPO, RLOO).
    PromptOnly,
    /// `{"prompt": [...], "chosen": [...], "rejected": [...]}`, for TRL's DPO and ORPO.
    Preference,
    /// `{"chosen": [...], "rejected": [...]}`, each including the prompt, for reward models; with `turns: text` the
    /// transcripts of HH-RLHF.
    PreferenceImplicit,
    /// `{"prompt", "prompt_id", "chosen": [...], "rejected": [...], "messages": [...], "score_chosen",
    /// "score_rejected"}`, as in `HuggingFaceH4/ultrafeedback_binarized`.
    UltrafeedbackBinarized,
    /// `{"prompt": [...], "completion": [...], "label": true}`, for KTO and BCO.
    Kto,
    /// `{"prompt": ..., "completions": [...], "labels": [true, ...]}`, the steps of a solution, for TRL's process
    /// reward models.
    Stepwise,
    /// Labelled steps as in PRM800K, with ratings -1, 0 and 1.
    Prm800k,
    /// `{"txt": ..., "hard_label": 1, "soft_label": [0.2, 0.8]}`, labels of a weak model to train a strong one on.
    WeakToStrong,
    /// `{"data_source", "prompt": [...], "ability", "reward_model": {"style": "rule", "ground_truth"}, "extra_info":
    /// {"split", "index"}}`, rows for `verl`.
    Verl,
    /// `{"responses_create_params": {"input": [...]}, "expected_answer": ...}`, tasks of NeMo Gym.
    NemoGym,
    /// `{"prompt": [...], "answer": ..., "info": ...}`, tasks of `verifiers`; `info` is JSON text.
    Verifiers,
    /// The record's fields.
    #[default]
    Raw,
}

impl Format {
    /// Its columns, in order.
    pub(crate) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Messages => &["messages"],
            Self::Sharegpt => &["conversations"],
            Self::Alpaca => &["instruction", "input", "output"],
            Self::PromptCompletion => &["prompt", "completion"],
            Self::ToolConversation => &["messages", "tools"],
            Self::Text => &["text"],
            Self::PromptOnly => &["prompt"],
            Self::Preference => &["prompt", "chosen", "rejected"],
            Self::PreferenceImplicit => &["chosen", "rejected"],
            Self::UltrafeedbackBinarized => preference::BINARIZED,
            Self::Kto => &["prompt", "completion", "label"],
            Self::Stepwise => &["prompt", "completions", "labels"],
            Self::Prm800k => labels::PRM800K,
            Self::WeakToStrong => &["txt", "hard_label", "soft_label"],
            Self::Verl => environments::VERL,
            Self::NemoGym => &["responses_create_params", "expected_answer", "agent_ref"],
            Self::Verifiers => &["prompt", "answer", "info"],
            Self::Raw => &[],
        }
    }

    /// The parts of a record that it reads, besides the conversation.
    pub(crate) fn parts(self) -> &'static [Part] {
        match self {
            Self::Messages
            | Self::Sharegpt
            | Self::Alpaca
            | Self::PromptCompletion
            | Self::ToolConversation
            | Self::Raw => &[],
            Self::Text => &[Part::TEXT],
            Self::PromptOnly => &[Part::PROMPT],
            Self::Preference | Self::PreferenceImplicit => &[Part::PROMPT, Part::CHOSEN, Part::REJECTED],
            Self::UltrafeedbackBinarized => preference::BINARIZED_PARTS,
            Self::Kto => &[Part::PROMPT, Part::COMPLETION, Part::LABEL],
            Self::Stepwise => &[Part::PROMPT, Part::COMPLETIONS, Part::LABELS],
            Self::Prm800k => &[Part::PROMPT, Part::COMPLETIONS, Part::LABELS, Part::SOLUTION],
            Self::WeakToStrong => &[Part::TEXT, Part::PROBABILITIES],
            Self::Verl => &[Part::PROMPT, Part::ANSWER, Part::SPLIT],
            Self::NemoGym => &[Part::PROMPT, Part::ANSWER],
            Self::Verifiers => &[Part::PROMPT, Part::SOLUTION, Part::INFO],
        }
    }

    /// Whether it writes the record's conversation: its messages, or a user's and an assistant's turn.
    pub(crate) fn is_conversation(self) -> bool {
        self.parts().is_empty() && self != Self::Raw
    }

    /// Whether prompts and answers may be texts or messages, so that the option `turns` applies.
    pub(crate) fn has_turn_forms(self) -> bool {
        matches!(self, Self::PromptOnly | Self::Preference | Self::PreferenceImplicit | Self::Kto)
    }

    /// The columns of one record. `conversation` are the turns of a format that is made of one.
    pub(crate) fn write(
        self,
        parts: &LineParts<'_>,
        conversation: Vec<ConversationTurn>,
    ) -> Result<Map<String, Value>, StageError> {
        if self.is_conversation() {
            return self.write_conversation(parts, conversation);
        }
        match self {
            Self::Text => Ok(column("text", parts.text("text")?)),
            Self::PromptOnly => Ok(column("prompt", parts.prompt_column(&parts.prompt()?)?)),
            Self::Preference => preference::write_explicit(parts),
            Self::PreferenceImplicit => preference::write_implicit(parts),
            Self::UltrafeedbackBinarized => preference::write_binarized(parts),
            Self::Kto => labels::write_kto(parts),
            Self::Stepwise => labels::write_stepwise(parts),
            Self::Prm800k => labels::write_prm800k(parts),
            Self::WeakToStrong => labels::write_weak_to_strong(parts),
            Self::Verl => environments::write_verl(parts),
            Self::NemoGym => environments::write_nemo_gym(parts),
            Self::Verifiers => environments::write_verifiers(parts),
            _ => Ok(Map::new()),
        }
    }

    fn write_conversation(
        self,
        parts: &LineParts<'_>,
        turns: Vec<ConversationTurn>,
    ) -> Result<Map<String, Value>, StageError> {
        match self {
            Self::Alpaca | Self::PromptCompletion => {
                let line = match self {
                    Self::Alpaca => conversation::pair(&turns, "alpaca", "instruction", "output"),
                    _ => conversation::pair(&turns, "prompt_completion", "prompt", "completion"),
                }?;
                check_order(&turns, LastTurn::Assistant)?;
                Ok(line)
            }
            _ => {
                check_order(&turns, LastTurn::Assistant)?;
                match self {
                    Self::Sharegpt => sharegpt::write(turns),
                    Self::ToolConversation => tool_conversation::write(&turns, parts.value_of("tools")),
                    _ => Ok(conversation::messages(turns)),
                }
            }
        }
    }

    /// The fields of a row in this format, as a sink would take them: its columns become fields, others stay.
    pub(crate) fn read(self, mut row: Map<String, Value>) -> Result<Map<String, Value>, String> {
        match self {
            Self::Raw => Ok(row),
            Self::Messages | Self::Text | Self::PromptOnly => require(row, self.keys()),
            Self::Sharegpt => {
                let messages = sharegpt::read(&take(&mut row, "conversations")?)?;
                Ok(with(row, [("messages", messages)]))
            }
            Self::Alpaca => {
                let instruction = take_text(&mut row, "instruction")?;
                let input = row.shift_remove("input").unwrap_or_default();
                let question = match input.as_str().filter(|input| !input.is_empty()) {
                    Some(input) => format!("{instruction}\n\n{input}"),
                    None => instruction,
                };
                let answer = take_text(&mut row, "output")?;
                Ok(with(row, [("question", question.into()), ("answer", answer.into())]))
            }
            Self::PromptCompletion => {
                let question = take_text(&mut row, "prompt")?;
                let answer = take_text(&mut row, "completion")?;
                Ok(with(row, [("question", question.into()), ("answer", answer.into())]))
            }
            Self::ToolConversation => tool_conversation::read(row),
            Self::Preference => preference::read_explicit(row),
            Self::PreferenceImplicit => preference::read_implicit(row),
            Self::UltrafeedbackBinarized => preference::read_binarized(row),
            Self::Kto => labels::read_kto(row),
            Self::Stepwise => labels::read_stepwise(row),
            Self::Prm800k => labels::read_prm800k(row),
            Self::WeakToStrong => labels::read_weak_to_strong(row),
            Self::Verl => environments::read_verl(row),
            Self::NemoGym => environments::read_nemo_gym(row),
            Self::Verifiers => environments::read_verifiers(row),
        }
    }
}

fn column(name: &str, value: impl Into<Value>) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value.into())])
}

/// Adds fields to what remains of a row.
fn with<const N: usize>(mut row: Map<String, Value>, fields: [(&str, Value); N]) -> Map<String, Value> {
    row.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    row
}

/// Returns the row if it has these columns.
fn require(row: Map<String, Value>, columns: &[&str]) -> Result<Map<String, Value>, String> {
    match columns.iter().find(|column| row.get(**column).is_none_or(Value::is_null)) {
        Some(missing) => Err(no_column(missing)),
        None => Ok(row),
    }
}

/// Takes a column out of a row.
fn take(row: &mut Map<String, Value>, column: &str) -> Result<Value, String> {
    row.shift_remove(column).filter(|value| !value.is_null()).ok_or_else(|| no_column(column))
}

fn take_text(row: &mut Map<String, Value>, column: &str) -> Result<String, String> {
    match take(row, column)? {
        Value::String(text) => Ok(text),
        _ => Err(format!("column `{column}` is not a text")),
    }
}

fn no_column(column: &str) -> String {
    format!("the row has no column `{column}`")
}

/// The text of messages that are one turn of the assistant, and other messages as they are: what a record has
/// as an answer.
fn answer_of(completion: Value) -> Value {
    let turns = completion.as_array().map(Vec::as_slice);
    let Some([Value::Object(turn)]) = turns else { return completion };
    let plain =
        turn.iter().all(|(key, value)| ["role", "content"].contains(&key.as_str()) || value.is_null());
    match turn.get("content").filter(|content| plain && content.is_string()) {
        Some(content) if text_of(turn, "role") == "assistant" => content.clone(),
        _ => completion,
    }
}

/// An error of a format that cannot hold what a record has.
fn refused(message: impl Into<String>) -> StageError {
    no_place(message.into())
}

#[cfg(test)]
mod tests;
