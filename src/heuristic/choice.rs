//! Answers a question with a few choices: the choice whose description shares most words with the rest of the
//! message.
//!
//! If the request asks for log probabilities, the answer has them in a server's format, so that stages which need
//! them work without a server.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::llm::{Completion, CompletionExtras, ModelRequest};

/// The minimum length of a word that counts: shorter ones are rarely specific.
const SHORTEST_WORD: usize = 4;

/// The answer to a request with `choices`; `message` is its question.
pub(super) fn answer(request: &ModelRequest, message: &str) -> Completion {
    let weights: Vec<f64> = request.choices.iter().map(|choice| weight(choice, message)).collect();
    let sum: f64 = weights.iter().sum();
    let logprobs: Vec<f64> = weights.iter().map(|weight| (weight / sum).ln()).collect();
    let best = (0..weights.len()).rev().max_by(|one, other| weights[*one].total_cmp(&weights[*other]));
    let best = best.unwrap_or_default();
    let text = request.choices.get(best).cloned().unwrap_or_default();
    let wanted = request.params.get("logprobs").is_some_and(|wanted| *wanted != Value::Bool(false));
    let more = wanted.then(|| {
        let token = |index: usize| json!({"token": request.choices[index], "logprob": logprobs[index]});
        let mut first = token(best);
        first["top_logprobs"] = (0..logprobs.len()).map(token).collect();
        Box::new(CompletionExtras {
            logprobs: Some(json!({"content": [first]})),
            ..CompletionExtras::default()
        })
    });
    Completion { text, more, ..Completion::default() }
}

/// The score of a choice, at least 1: higher the more words of its description occur elsewhere in the message.
fn weight(choice: &str, message: &str) -> f64 {
    let (mut description, mut rest) = (BTreeSet::new(), BTreeSet::new());
    for line in message.lines() {
        match is_description(choice, line) {
            true => description.extend(words(line)),
            // The lines of other choices do not count.
            false if line.starts_with('(') => {}
            false => rest.extend(words(line)),
        }
    }
    1.0 + 2.0 * description.intersection(&rest).count() as f64
}

/// Whether a line lists a choice, as `(A) ...` or by its name.
fn is_description(choice: &str, line: &str) -> bool {
    let line = line.trim_start().trim_start_matches(['(', '-', '*', ' ']);
    line.strip_prefix(choice).is_some_and(|rest| rest.starts_with([')', ':', '.']))
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|char: char| !char.is_alphanumeric());
    words.filter(|word| word.chars().count() >= SHORTEST_WORD).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(logprobs: bool) -> Completion {
        let message = "What is it about?\n\nClean the filter and check the valves.\n\n(A) operation: how to start it\n\
                       (B) maintenance: how to clean or check it\n\nAnswer with a letter.";
        let mut request = ModelRequest { choices: vec!["A".into(), "B".into()], ..ModelRequest::default() };
        if logprobs {
            request.params.insert("logprobs".into(), json!(true));
        }
        answer(&request, message)
    }

    #[test]
    fn the_choice_with_most_words_in_common_is_taken() {
        assert_eq!((asked(false).text.as_str(), asked(false).more), ("B", None));
        let logprobs = asked(true).more.unwrap().logprobs.unwrap();
        let first = &logprobs["content"][0];
        assert_eq!((&first["token"], first["top_logprobs"].as_array().unwrap().len()), (&json!("B"), 2));
        let near = |value: &Value, expected: f64| (value.as_f64().unwrap().exp() - expected).abs() < 1e-9;
        assert!(near(&first["logprob"], 5.0 / 6.0) && near(&first["top_logprobs"][0]["logprob"], 1.0 / 6.0));
    }

    #[test]
    fn the_first_is_taken_where_nothing_decides() {
        let request = ModelRequest { choices: vec!["yes".into(), "no".into()], ..ModelRequest::default() };
        assert_eq!(answer(&request, "Is it warm?").text, "yes");
    }
}
