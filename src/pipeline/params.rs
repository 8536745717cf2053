//! Checks of what is sent with every request: `params` and `extra_body`.
//!
//! Part of the checks of a model. Parameters are sent to the server unchanged, so only those are checked that
//! have a meaning here too, or to which the client could not parse the answer.

use serde_json::Value;

use super::model::{ModelConfig, Prices};
use super::problem::Problem;

/// Parameters that cannot be set: the client sets them itself, or could not parse the answer.
pub const RESERVED_PARAMS: &[&str] = &["messages", "model", "prompt", "stream", "system"];

/// Reports what is wrong with them; `at` is the model's pointer.
pub(crate) fn check(at: &str, model: &ModelConfig, problems: &mut Vec<Problem>) {
    let mut wrong = |field: &str, message: String, expected: &str| {
        problems.push(Problem::new(format!("{at}/{field}"), message).with_expected(expected));
    };
    for name in RESERVED_PARAMS.iter().filter(|name| model.params.contains_key(**name)) {
        let expected = match *name {
            "stream" => "`stream: true` of the model itself, beside `params`",
            _ => "a sampling parameter such as `temperature` or `max_tokens`",
        };
        wrong(&format!("params/{name}"), format!("`{name}` cannot be set in `params`"), expected);
    }
    for name in RESERVED_PARAMS.iter().filter(|name| model.extra_body.contains_key(**name)) {
        let expected = match *name {
            "stream" => "`stream: true` of the model itself, beside `extra_body`",
            _ => "a field that the client does not set itself",
        };
        wrong(&format!("extra_body/{name}"), format!("`{name}` cannot be set in `extra_body`"), expected);
    }
    if let Some(seed) = model.params.get("seed").filter(|seed| !is_seed(seed)) {
        wrong("params/seed", format!("found `{}`", shown(seed)), "a whole number, or `per_record`");
    }
    for name in ["n", "max_tokens", "max_completion_tokens"] {
        let value = model.params.get(name);
        if let Some(value) = value.filter(|value| value.as_u64().is_none_or(|number| number == 0)) {
            wrong(
                &format!("params/{name}"),
                format!("found `{}`", shown(value)),
                "a whole number, 1 or more",
            );
        }
    }
    let Prices { input, output, cached_input, cache_write } = model.prices;
    let prices = [
        ("input", Some(input)),
        ("output", Some(output)),
        ("cached_input", cached_input),
        ("cache_write", cache_write),
    ];
    for (name, price) in prices.into_iter().filter_map(|(name, price)| Some((name, price?))) {
        if price < 0.0 || !price.is_finite() {
            wrong(&format!("prices/{name}"), format!("found the number `{price}`"), "0 or more");
        }
    }
}

fn is_seed(seed: &Value) -> bool {
    seed.as_i64().is_some() || seed == "per_record"
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn invalid_params_are_reported() {
        let check = |model: Value, expected: &[&str]| {
            let model: ModelConfig = serde_json::from_value(model).unwrap();
            let mut problems = Vec::new();
            super::check("/m", &model, &mut problems);
            assert_eq!(problems.iter().map(|problem| &*problem.at).collect::<Vec<_>>(), expected);
        };
        check(json!({"params": {"seed": 7, "n": 2, "max_tokens": 9, "odd": "x"}}), &[]);
        check(json!({"params": {"seed": "per_record"}, "extra_body": {"top_k": 3}}), &[]);
        check(json!({"params": {"seed": "per_recrod"}}), &["/m/params/seed"]);
        check(json!({"params": {"n": 0, "max_tokens": "many"}}), &["/m/params/n", "/m/params/max_tokens"]);
        check(json!({"params": {"stream": true}}), &["/m/params/stream"]);
        check(json!({"extra_body": {"stream": true}}), &["/m/extra_body/stream"]);
        check(json!({"prices": {"input": -10}}), &["/m/prices/input"]);
        check(json!({"prices": {"input": 1, "cached_input": 0.1, "cache_write": 1.25}}), &[]);
        let negative = json!({"prices": {"cached_input": -1, "cache_write": -0.5}});
        check(negative, &["/m/prices/cached_input", "/m/prices/cache_write"]);
    }
}
