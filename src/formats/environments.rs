//! Tasks for reinforcement learning, a prompt with a reference answer, as `verl`, NeMo Gym and `verifiers` read them.

use serde_json::{Map, Value, json};

use super::{LineParts, no_column, take, with};
use crate::stage::StageError;

/// The columns of `verl`.
pub(super) const VERL: &[&str] = &["data_source", "prompt", "ability", "reward_model", "extra_info"];

pub(super) fn write_verl(parts: &LineParts<'_>) -> Result<Map<String, Value>, StageError> {
    let split =
        parts.value("split").map(|split| split.as_str().ok_or_else(|| parts.wrong("split", "is not a text")));
    let values = [
        parts.settings.data_source.as_str().into(),
        parts.prompt_messages("verl")?,
        parts.settings.ability.as_str().into(),
        json!({"style": "rule", "ground_truth": parts.required_answer("answer")?}),
        json!({"split": split.transpose()?, "index": parts.record.id}),
    ];
    Ok(VERL.iter().map(|name| (*name).to_owned()).zip(values).collect())
}

pub(super) fn read_verl(mut row: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let prompt = take(&mut row, "prompt")?;
    let reward = take(&mut row, "reward_model")?;
    let answer = reward.get("ground_truth").ok_or_else(|| no_column("reward_model.ground_truth"))?.clone();
    let mut read = with(row, [("prompt", prompt), ("answer", answer)]);
    if let Some(Value::Object(extra)) = read.get_mut("extra_info") {
        let split = extra.shift_remove("split").unwrap_or_default();
        extra.shift_remove("index");
        if extra.is_empty() {
            read.shift_remove("extra_info");
        }
        read.insert("split".to_owned(), split);
    }
    Ok(read)
}

pub(super) fn write_nemo_gym(parts: &LineParts<'_>) -> Result<Map<String, Value>, StageError> {
    let tools = parts.value_of("tools").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let tools: Vec<Value> = tools.iter().map(flat_tool).collect();
    let task = json!({"input": parts.prompt_messages("nemo_gym")?, "tools": tools});
    let answer = parts.required_answer("answer")?;
    let mut line = with(Map::new(), [("responses_create_params", task), ("expected_answer", answer.into())]);
    if let Some(agent) = &parts.settings.agent {
        line.insert("agent_ref".to_owned(), json!({"type": "responses_api_agents", "name": agent}));
    }
    Ok(line)
}

/// A tool in the form of the Responses API, without the object `function`.
fn flat_tool(tool: &Value) -> Value {
    let Some(function) = tool.get("function").and_then(Value::as_object) else { return tool.clone() };
    let mut flat = Map::from_iter([("type".to_owned(), Value::from("function"))]);
    flat.extend(function.iter().map(|(name, value)| (name.clone(), value.clone())));
    flat.entry("strict").or_insert(Value::Bool(false));
    Value::Object(flat)
}

/// A tool in the form of the chat completions API.
fn nested_tool(tool: &Value) -> Value {
    let Some(flat) = tool.as_object().filter(|tool| tool.contains_key("name")) else { return tool.clone() };
    let mut function = flat.clone();
    function.shift_remove("type");
    if function.get("strict") == Some(&Value::Bool(false)) {
        function.shift_remove("strict");
    }
    json!({"type": "function", "function": function})
}

pub(super) fn read_nemo_gym(mut row: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let task = take(&mut row, "responses_create_params")?;
    let input = task.get("input").ok_or_else(|| no_column("responses_create_params.input"))?.clone();
    let answer = row.shift_remove("expected_answer").unwrap_or_default();
    let mut read = with(row, [("prompt", input), ("answer", answer)]);
    if let Some(tools) = task.get("tools").and_then(Value::as_array).filter(|tools| !tools.is_empty()) {
        read.insert("tools".to_owned(), tools.iter().map(nested_tool).collect());
    }
    Ok(read)
}

pub(super) fn write_verifiers(parts: &LineParts<'_>) -> Result<Map<String, Value>, StageError> {
    let prompt = parts.prompt_messages("verifiers")?;
    let info = parts.value("info").map_or_else(|| "{}".to_owned(), Value::to_string);
    Ok(with(
        Map::new(),
        [("prompt", prompt), ("answer", json!(parts.expected("answer")?)), ("info", info.into())],
    ))
}

pub(super) fn read_verifiers(mut row: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let prompt = row.shift_remove("prompt").or_else(|| row.shift_remove("question"));
    let prompt = prompt.ok_or_else(|| no_column("prompt"))?;
    let info = match row.shift_remove("info") {
        Some(Value::String(text)) => {
            serde_json::from_str(&text).map_err(|error| format!("column `info` is no JSON: {error}"))?
        }
        other => other.unwrap_or_default(),
    };
    let answer = row.shift_remove("answer").unwrap_or_default();
    Ok(with(row, [("prompt", prompt), ("answer", answer), ("info", info)]))
}
