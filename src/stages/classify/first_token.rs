//! Computes the probability of each answer from the log probabilities of an answer's first tokens.
//!
//! Servers return them in two formats, for chats (`content`) and for raw completions (`tokens`, `top_logprobs`); some
//! use one format for both. For each token they list the most likely candidates. Candidates that spell an answer
//! count for it. If the model chose a candidate that does not decide yet, such as `(`, the next token is examined,
//! weighted by the candidate's probability.

use serde_json::Value;

use super::spelling::{Said, Spellings};

/// The end of a model's reasoning in the text of its tokens.
const REASONING_END: &str = "</think>";

/// One token of an answer.
#[derive(Debug, PartialEq)]
pub(super) struct TokenPosition {
    token: String,
    probability: f64,
    /// The most likely other tokens.
    others: Vec<(String, f64)>,
}

/// Reads the tokens of an answer from the server's response; none if it has no log probabilities.
pub(super) fn read(logprobs: &Value) -> Vec<TokenPosition> {
    match logprobs.get("content").unwrap_or(logprobs) {
        Value::Array(tokens) => tokens.iter().filter_map(chat_token).collect(),
        _ => raw_tokens(logprobs).unwrap_or_default(),
    }
}

fn chat_token(token: &Value) -> Option<TokenPosition> {
    let read = |token: &Value| Some((text(token.get("token")?)?, probability(token.get("logprob")?)?));
    let candidates = token.get("top_logprobs").and_then(Value::as_array);
    let candidates = candidates.into_iter().flatten().filter_map(read);
    position(read(token)?, candidates)
}

fn raw_tokens(logprobs: &Value) -> Option<Vec<TokenPosition>> {
    let list = |name: &str| logprobs.get(name).and_then(Value::as_array);
    let (tokens, own) = (list("tokens")?, list("token_logprobs")?);
    let top = list("top_logprobs");
    let read = |(index, (token, own)): (usize, (&Value, &Value))| {
        let candidates = top.and_then(|top| top.get(index)?.as_object()).into_iter().flatten();
        let candidates =
            candidates.filter_map(|(token, own)| Some((without_marks(token), probability(own)?)));
        position((text(token)?, probability(own)?), candidates)
    };
    Some(tokens.iter().zip(own).enumerate().filter_map(read).collect())
}

/// Combines a token with its candidates, which may include the token itself.
fn position(
    (token, probability): (String, f64),
    candidates: impl Iterator<Item = (String, f64)>,
) -> Option<TokenPosition> {
    let others = candidates.filter(|(other, _)| *other != token).collect();
    Some(TokenPosition { token, probability, others })
}

fn text(token: &Value) -> Option<String> {
    token.as_str().map(without_marks)
}

/// A token's text; some servers return the tokenizer's marks instead of white space.
fn without_marks(token: &str) -> String {
    token.replace(['Ġ', '▁'], " ").replace('Ċ', "\n")
}

/// Servers send -9999 for tokens that are too unlikely to have a number.
fn probability(logprob: &Value) -> Option<f64> {
    logprob.as_f64().map(|logprob| logprob.exp().min(1.0))
}

/// The probability of each answer; their sum is below 1 if some candidates spell none of them. `answer` is the text
/// of the answer without reasoning, with which the tokens may begin.
pub(super) fn masses(tokens: &[TokenPosition], answer: &str, answers: &Spellings, count: usize) -> Vec<f64> {
    let mut masses = vec![0.0; count];
    let (mut taken, mut weight) = (String::new(), 1.0);
    for position in &tokens[start(tokens, answer)..] {
        for (other, probability) in &position.others {
            if let Some(index) = answers.begun(&format!("{taken}{other}")) {
                masses[index] += weight * probability;
            }
        }
        taken.push_str(&position.token);
        weight *= position.probability;
        match answers.said(&taken) {
            Said::Open => {}
            Said::Answer(index) => {
                masses[index] += weight;
                return masses;
            }
            Said::Other => return masses,
        }
    }
    // The answer ended or was truncated before it was decided.
    if let Some(index) = answers.begun(&taken) {
        masses[index] += weight;
    }
    masses
}

/// The index of the first token after the model's reasoning; white space before the answer counts as part of it.
fn start(tokens: &[TokenPosition], answer: &str) -> usize {
    let mut ends = Vec::with_capacity(tokens.len());
    let mut all = String::new();
    for position in tokens {
        all.push_str(&position.token);
        ends.push(all.len());
    }
    let answer = answer.trim();
    let at = match all.rfind(REASONING_END) {
        Some(end) => end + REASONING_END.len(),
        None if answer.is_empty() => 0,
        None => all.rfind(answer).unwrap_or(0),
    };
    let mut index = ends.iter().position(|end| *end > at).unwrap_or(tokens.len());
    while index > 0 && tokens[index - 1].token.trim().is_empty() {
        index -= 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(logprobs: Value, answer: &str, answers: &[&str], expected: &[f64]) {
        let spellings = Spellings::new(answers.iter().copied());
        let found = masses(&read(&logprobs), answer, &spellings, answers.len());
        assert_eq!(found.len(), expected.len());
        let close = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 5e-7);
        assert!(close, "{logprobs}: {found:?}");
    }

    fn token(text: &str, probability: f64, others: &[(&str, f64)]) -> Value {
        let logprob = |text: &str, probability: f64| json!({"token": text, "logprob": probability.ln()});
        let mut top: Vec<Value> = vec![logprob(text, probability)];
        top.extend(others.iter().map(|(text, probability)| logprob(text, *probability)));
        let mut token = logprob(text, probability);
        token["top_logprobs"] = json!(top);
        token
    }

    const AB: &[&str] = &["A", "B"];

    #[test]
    fn both_formats_are_read() {
        let (a, b) = (f64::exp(-0.2), f64::exp(-1.7));
        let candidate = |token: &str, logprob: f64| json!({"token": token, "logprob": logprob, "bytes": token.as_bytes()});
        // OpenAI and vLLM; llama.cpp adds an `id`.
        let mut chat = candidate("A", -0.2);
        chat["top_logprobs"] = json!([candidate("A", -0.2), candidate("B", -1.7), candidate("C", -9999.0)]);
        check(json!({"content": [chat], "refusal": null}), "A", AB, &[a, b]);
        chat["id"] = json!(32);
        check(json!({"content": [chat]}), "A", AB, &[a, b]);
        check(json!([chat]), "A", AB, &[a, b]);
        // Raw completions of vLLM, and of OpenAI.
        let raw = json!({"tokens": [" A"], "token_logprobs": [-0.2], "text_offset": [7],
            "top_logprobs": [{" A": -0.2, " B": -1.7}]});
        check(raw, " A", AB, &[a, b]);
        let raw =
            json!({"tokens": ["▁A"], "token_logprobs": [-0.2], "top_logprobs": [{"▁A": -0.2, "▁B": -1.7}]});
        check(raw, "A", AB, &[a, b]);
        // The token that was taken alone.
        check(json!({"tokens": ["A"], "token_logprobs": [-0.2], "top_logprobs": null}), "A", AB, &[a, 0.0]);
        for none in [json!(null), json!({"content": null}), json!({"content": []}), json!({}), json!([1])] {
            assert_eq!(read(&none), [], "{none}");
        }
    }

    #[test]
    fn spellings_are_summed() {
        let first =
            token("A", 0.4, &[(" A", 0.1), ("a", 0.05), ("B", 0.2), ("(B", 0.1), ("As", 0.05), ("C", 0.05)]);
        check(json!([first]), "A", AB, &[0.55, 0.3]);
    }

    #[test]
    fn what_says_nothing_yet_is_followed() {
        let bracket = token("(", 0.6, &[("A", 0.3), ("B", 0.1)]);
        let letter = token("B", 0.75, &[("A", 0.25)]);
        check(json!([bracket, letter, token(")", 1.0, &[])]), "(B)", AB, &[0.3 + 0.15, 0.1 + 0.45]);
        let blank = token("\n\n", 0.5, &[("A", 0.5)]);
        check(json!([blank, letter]), "B", AB, &[0.5 + 0.125, 0.375]);
        check(json!([blank]), "", AB, &[0.5, 0.0]);
        let begun = token("in", 0.8, &[("out", 0.2)]);
        let words = &["inside", "insert", "outside"];
        check(json!([begun, token("side", 0.5, &[("sert", 0.5)])]), "inside", words, &[0.4, 0.4, 0.2]);
        check(json!([begun, token("deed", 1.0, &[])]), "indeed", words, &[0.0, 0.0, 0.2]);
        check(json!([token("ins", 0.8, &[]), token("ide", 0.9, &[])]), "inside", words, &[0.72, 0.0, 0.0]);
        check(json!([token("outs", 0.8, &[])]), "outs", words, &[0.0, 0.0, 0.8]);
    }

    #[test]
    fn reasoning_in_front_is_passed_over() {
        let thinking = ["<think>", "A", " or B", "?", "</think>", "\n\n"].map(|text| token(text, 0.5, &[]));
        let letter = token("B", 0.9, &[("A", 0.1)]);
        let mut all = thinking.to_vec();
        all.push(letter.clone());
        // White space in front of the answer is one of several ways to begin it.
        check(json!(all), "B", AB, &[0.05, 0.45]);
        let apart = [token("Hm", 0.5, &[]), token(". ", 0.5, &[]), letter];
        check(json!(apart), "B", AB, &[0.1, 0.9]);
    }
}
