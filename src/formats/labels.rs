//! Labelled answers: unpaired preferences (KTO), steps of solutions (TRL's stepwise form, PRM800K), and texts
//! labelled by a weak model.

use serde_json::{Map, Value, json};

use super::{LineParts, answer_of, no_column, refused, require, take, with};
use crate::stage::StageError;

/// The columns of PRM800K.
pub(super) const PRM800K: &[&str] = &[
    "labeler",
    "timestamp",
    "generation",
    "is_quality_control_question",
    "is_initial_screening_question",
    "question",
    "label",
];
/// The tolerance within which probabilities must add up to 1.
const TOLERANCE: f64 = 1e-6;

pub(super) fn write_kto(parts: &LineParts<'_>) -> Result<Map<String, Value>, StageError> {
    let mut line = parts.exchange("completion")?;
    line.insert("label".to_owned(), parts.truth("label")?.into());
    Ok(line)
}

pub(super) fn read_kto(row: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut row = require(row, &["prompt", "completion", "label"])?;
    let completion = answer_of(take(&mut row, "completion")?);
    Ok(with(row, [("completion", completion)]))
}

/// The texts of the steps, and a label for each.
fn steps<'r>(parts: &LineParts<'r>) -> Result<(Vec<&'r str>, &'r [Value]), StageError> {
    let (completions, labels) = (parts.list("completions")?, parts.list("labels")?);
    if completions.len() != labels.len() {
        let (steps, found) = (completions.len(), labels.len());
        return Err(refused(format!("there are {steps} steps and {found} labels")));
    }
    let mut texts = Vec::with_capacity(completions.len());
    for completion in completions {
        let text = completion.get("text").unwrap_or(completion).as_str();
        let text = text.ok_or_else(|| parts.wrong("completions", "is not a list of texts"))?;
        if text.trim().is_empty() {
            return Err(refused(format!("a step of field `{}` is empty", parts.field("completions"))));
        }
        texts.push(text);
    }
    Ok((texts, labels))
}

pub(super) fn write_stepwise(parts: &LineParts<'_>) -> Result<Map<String, Value>, StageError> {
    let prompt = parts.prompt_text(&parts.prompt()?)?;
    let (completions, labels) = steps(parts)?;
    let mut truths = Vec::with_capacity(labels.len());
    for label in labels {
        truths.push(match (label.as_bool(), label.as_f64()) {
            (Some(truth), _) => truth,
            (_, Some(1.0)) => true,
            (_, Some(-1.0)) => false,
            (_, Some(0.0)) => parts.settings.neutral.ok_or_else(|| {
                refused("a step has the label 0, and `neutral` does not say whether that is true or false")
            })?,
            _ => return Err(parts.wrong("labels", "is not a list of truth values, or of -1, 0 and 1")),
        });
    }
    Ok(with(
        Map::new(),
        [("prompt", prompt.into()), ("completions", json!(completions)), ("labels", json!(truths))],
    ))
}

pub(super) fn read_stepwise(row: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let row = require(row, &["prompt", "completions", "labels"])?;
    let length = |column: &str| row.get(column).and_then(Value::as_array).map(Vec::len);
    match (length("completions"), length("labels")) {
        (Some(steps), Some(labels)) if steps == labels => Ok(row),
        (Some(steps), Some(labels)) => {
            Err(format!("the row has {steps} `completions` and {labels} `labels`"))
        }
        _ => Err("`completions` and `labels` are not both lists".to_owned()),
    }
}

pub(super) fn write_prm800k(parts: &LineParts<'_>) -> Result<Map<String, Value>, StageError> {
    let problem = parts.prompt_text(&parts.prompt()?)?;
    let (completions, labels) = steps(parts)?;
    let mut found_error = false;
    let mut steps = Vec::with_capacity(labels.len());
    for (text, label) in completions.iter().zip(labels) {
        let rating = match (label.as_bool(), label.as_f64()) {
            (Some(truth), _) => {
                if truth {
                    1
                } else {
                    -1
                }
            }
            (_, Some(rating)) if [-1.0, 0.0, 1.0].contains(&rating) => rating as i64,
            _ => return Err(parts.wrong("labels", "is not a list of truth values, or of -1, 0 and 1")),
        };
        found_error |= rating == -1;
        steps.push(json!({
            "completions": [{"text": text, "rating": rating, "flagged": false}],
            "human_completion": null,
            "chosen_completion": 0,
        }));
    }
    let answer = parts.expected("answer")?;
    let question = json!({"problem": problem, "ground_truth_solution": null, "ground_truth_answer": answer});
    let finish_reason = if found_error { "found_error" } else { "solution" };
    let label = json!({"steps": steps, "total_time": null, "finish_reason": finish_reason});
    let values = [Value::Null, Value::Null, Value::Null, false.into(), false.into(), question, label];
    Ok(PRM800K.iter().map(|name| (*name).to_owned()).zip(values).collect())
}

/// Reads the trajectory: the chosen completion of each step, or the human's. It ends at a step without either.
pub(super) fn read_prm800k(mut row: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let (question, label) = (take(&mut row, "question")?, take(&mut row, "label")?);
    let problem = question.get("problem").filter(|problem| problem.is_string());
    let problem = problem.ok_or_else(|| no_column("question.problem"))?;
    let steps = label.get("steps").and_then(Value::as_array).ok_or_else(|| no_column("label.steps"))?;
    let (mut completions, mut labels) = (Vec::new(), Vec::new());
    for step in steps {
        let Some(taken) = taken(step) else { break };
        let text = taken.get("text").filter(|text| text.is_string());
        completions.push(text.ok_or("a completion of a step has no `text`")?.clone());
        labels.push(taken.get("rating").cloned().unwrap_or_default());
    }
    let answer = question.get("ground_truth_answer").cloned().unwrap_or_default();
    let finish_reason = label.get("finish_reason").cloned().unwrap_or_default();
    Ok(with(
        row,
        [
            ("prompt", problem.clone()),
            ("answer", answer),
            ("completions", completions.into()),
            ("labels", labels.into()),
            ("finish_reason", finish_reason),
            ("steps", Value::Array(steps.clone())),
        ],
    ))
}

fn taken(step: &Value) -> Option<&Value> {
    let completions = step.get("completions").and_then(Value::as_array);
    let chosen = step.get("chosen_completion").and_then(Value::as_u64);
    match chosen {
        Some(index) => completions?.get(usize::try_from(index).ok()?),
        None => step.get("human_completion").filter(|human| human.is_object()),
    }
}

pub(super) fn write_weak_to_strong(parts: &LineParts<'_>) -> Result<Map<String, Value>, StageError> {
    let text = parts.text("text")?;
    let wrong = || parts.wrong("probabilities", "is not a list, nor an object, of numbers");
    let values: Vec<&Value> = match parts.value("probabilities") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(Value::Object(choices)) => choices.values().collect(),
        _ => return Err(wrong()),
    };
    let mut soft = Vec::with_capacity(values.len());
    for value in values {
        let probability = value.as_f64().filter(|value| (0.0..=1.0).contains(value));
        soft.push(probability.ok_or_else(|| parts.wrong("probabilities", "holds what is no probability"))?);
    }
    let sum: f64 = soft.iter().sum();
    if soft.len() < 2 || (sum - 1.0).abs() > TOLERANCE {
        return Err(refused(format!("{} probabilities with the sum {sum}, which is not 1", soft.len())));
    }
    let mut hard = 0;
    for (index, probability) in soft.iter().enumerate() {
        if *probability > soft[hard] {
            hard = index;
        }
    }
    Ok(with(Map::new(), [("txt", text.into()), ("hard_label", hard.into()), ("soft_label", json!(soft))]))
}

pub(super) fn read_weak_to_strong(row: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut row = require(row, &["txt", "soft_label"])?;
    // It can be computed from the probabilities.
    row.shift_remove("hard_label");
    let (text, probabilities) = (take(&mut row, "txt")?, take(&mut row, "soft_label")?);
    Ok(with(row, [("text", text), ("probabilities", probabilities)]))
}
