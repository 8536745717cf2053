//! Tests of `classify`: the questions, the probabilities computed from answers, and the options it refuses.

use serde_json::json;

use super::*;
use crate::llm::{Completion, CompletionExtras};
use crate::pipeline::ModelConfig;
use crate::stage::{StageError, TransformOutput};
use crate::stages::testing::{build, record};

/// The rounds of questions that a record is asked, each with the prompt and the parameters of every question, and the fields
/// made of the answers.
type Outcome = (Vec<Vec<(String, Value)>>, Result<Value, StageError>);

/// Runs the stage as the engine does, with this model.
fn run(mut config: Value, mut fields: Value, model: impl Fn(&str, bool) -> Completion) -> Outcome {
    config["model"] = json!("judge");
    fields["text"] = json!("The lid is loose.");
    let Processor::Questions(set) = build::<Classify>(config) else { panic!("asks no questions") };
    let mut record = record(fields);
    let mut rounds = Vec::new();
    let mut round = Some(&*set.questions);
    while let Some(questions) = round.take() {
        let elements = questions.elements(&record).unwrap();
        if elements.is_empty() {
            break;
        }
        round = questions.next_round();
        let collect = questions.collect().unwrap();
        let (mut asked, mut entries) = (Vec::new(), Vec::new());
        for element in elements {
            let mut one = record.clone();
            one.set(questions.element_field(), element);
            let request = set.ask.request(&one).unwrap();
            let prompt = request.messages.last().unwrap().content.clone();
            let completion = model(&prompt, request.params.contains_key("logprobs"));
            asked.push((prompt, Value::Object(request.params)));
            set.ask.accept(&mut one, &completion, "judge");
            let field = &collect.fields[0];
            entries.push(Value::Object(Map::from_iter([(field.clone(), one.get(field).cloned().unwrap())])));
        }
        record.set(&collect.into, entries);
        rounds.push(asked);
        match set.fold.process(&mut record) {
            Ok(TransformOutput::Pass) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => return (rounds, Err(error)),
        }
    }
    (rounds, Ok(Value::Object(record.fields)))
}

/// An answer that begins with the first of these tokens.
fn tokens(candidates: &[(&str, f64)]) -> Completion {
    let token = |(token, logprob): &(&str, f64)| json!({"token": token, "logprob": logprob});
    let mut first = token(&candidates[0]);
    first["top_logprobs"] = candidates.iter().map(token).collect();
    let logprobs = Some(json!({"content": [first]}));
    let more = CompletionExtras { logprobs, ..CompletionExtras::default() };
    Completion { text: candidates[0].0.to_owned(), more: Some(Box::new(more)), ..Completion::default() }
}

fn says(text: &str) -> Completion {
    Completion { text: text.to_owned(), ..Completion::default() }
}

fn assert_near(found: &Value, expected: f64) {
    assert!((found.as_f64().unwrap() - expected).abs() < 5e-7, "{found} is not {expected}");
}

fn pair(more: Value) -> Value {
    let mut config = json!({"question": "Which is better?", "choices": ["first", "second"]});
    config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    config
}

#[test]
fn a_preference_is_the_share_of_two_log_probabilities() {
    let model = |_: &str, _| tokens(&[("A", -0.2), ("B", -1.7)]);
    let swapped = |_: &str, _| tokens(&[("B", -0.2), ("A", -1.7)]);
    let (rounds, made) = run(pair(json!({})), json!({}), model);
    let made = made.unwrap();
    assert_near(&made["probabilities"]["first"], 0.817574);
    assert_near(&made["probabilities"]["second"], 1.0 - 0.817574);
    assert_eq!((&made["label"], &made["method"]), (&json!("first"), &json!("logprobs")));
    assert_eq!(rounds[0][0].1, json!({"logprobs": true, "top_logprobs": 20}));
    assert_eq!((rounds.len(), rounds[0].len()), (1, 1));
    let fields: Vec<&String> = made.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["text", "label", "probabilities", "method", "coverage", "answered_by"]);

    let clamp = json!({"clamp": [0.4, 0.6]});
    let made = run(pair(clamp.clone()), json!({}), model).1.unwrap();
    assert_eq!(made["probabilities"], json!({"first": 0.6, "second": 0.4}));
    let made = run(pair(clamp), json!({}), swapped).1.unwrap();
    assert_eq!(
        (&made["probabilities"], &made["label"]),
        (&json!({"first": 0.4, "second": 0.6}), &json!("second"))
    );
}

#[test]
fn both_orders_cancel_a_preference_for_a_place() {
    let both = |choices: Value| {
        let mut config = pair(json!({"order": "both"}));
        config["choices"] = choices;
        config
    };
    // Prefers the first place, and "second" a little.
    let model = |prompt: &str, _| match prompt.contains("(A) second") {
        true => tokens(&[("A", -0.1), ("B", -2.3)]),
        false => tokens(&[("A", -0.3), ("B", -1.4)]),
    };
    let (rounds, made) = run(both(json!(["first", "second"])), json!({}), model);
    let turned = run(both(json!(["second", "first"])), json!({}), model).1.unwrap();
    let made = made.unwrap();
    assert_eq!(rounds[0].len(), 2);
    assert!(
        rounds[0][0].0.contains("(A) first\n(B) second") && rounds[0][1].0.contains("(A) second\n(B) first")
    );
    let preferred = |made: &Value| made["probabilities"]["first"].as_f64().unwrap();
    let sum = preferred(&made) + turned["probabilities"]["second"].as_f64().unwrap();
    assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    assert_near(
        &made["probabilities"]["first"],
        (1.0 / (1.0 + f64::exp(-1.1)) + 1.0 / (1.0 + f64::exp(2.2))) / 2.0,
    );
    // One that only sees places has no preference.
    let made = run(both(json!(["first", "second"])), json!({}), |_, _| tokens(&[("A", -0.2), ("B", -1.7)]))
        .1
        .unwrap();
    assert_near(&made["probabilities"]["first"], 0.5);
}

#[test]
fn meanings_are_of_the_record_and_may_stand_alone() {
    let mut config = pair(json!({"order": "both", "show_labels": false}));
    config["choices"] = json!({"first": "{{ text }} It opens.", "second": "{{ other }}"});
    let (rounds, made) =
        run(config, json!({"other": "No idea.\n"}), |_, _| tokens(&[("A", -0.2), ("B", -1.7)]));
    let shown = |question: usize| rounds[0][question].0.clone();
    assert!(
        shown(0).contains("better?\n\n(A) The lid is loose. It opens.\n(B) No idea.\n\n"),
        "{}",
        shown(0)
    );
    assert!(shown(1).contains("(A) No idea.\n(B) The lid is loose. It opens.\n\n"), "{}", shown(1));
    assert_near(&made.unwrap()["probabilities"]["first"], 0.5);
}

#[test]
fn where_there_are_no_log_probabilities_answers_are_sampled() {
    let count = std::cell::Cell::new(0);
    let model = |_: &str, _| {
        count.set(count.get() + 1);
        says(["A", "(B)", "A.", "I cannot tell.", "**A**"][(count.get() - 1) % 5])
    };
    for (method, rounds) in [("auto", &[1, 4][..]), ("samples", &[5])] {
        let (asked, made) = run(pair(json!({ "method": method })), json!({}), model);
        let sizes: Vec<usize> = asked.iter().map(Vec::len).collect();
        assert_eq!(sizes, rounds, "{method}");
        assert_eq!(asked.last().unwrap()[0].1, json!({}));
        let made = made.unwrap();
        assert_eq!(made["probabilities"], json!({"first": 0.75, "second": 0.25}), "{method}");
        assert_eq!((&made["method"], &made["coverage"]), (&json!("samples"), &json!(0.8)), "{method}");
        assert!(made.get("classify.sampled").is_none() && made.get("classify.answers").is_none(), "{made}");
    }
    let error = run(pair(json!({"method": "logprobs"})), json!({}), |_, _| says("A")).1.unwrap_err();
    assert_eq!(&*error.class, "no_logprobs");
    let sure = run(pair(json!({"samples": 1})), json!({}), |_, _| says("B")).1.unwrap();
    assert_eq!(sure["probabilities"], json!({"first": 0.0, "second": 1.0}));
}

#[test]
fn answers_that_name_no_choice_are_no_probability() {
    let error = run(pair(json!({})), json!({}), |_, _| tokens(&[("Sure", -0.1)])).1.unwrap_err();
    assert_eq!((&*error.class, error.message.contains("the first is `Sure`")), ("no_choice", true));
    let error = run(pair(json!({})), json!({}), |_, _| says("Hm.")).1.unwrap_err();
    assert_eq!(&*error.class, "no_choice");
    let made = run(pair(json!({})), json!({}), |_, _| tokens(&[("Sure", -0.1), ("A", -3.0)])).1.unwrap();
    assert_eq!(made["probabilities"]["first"], 1.0);
    assert_near(&made["coverage"], f64::exp(-3.0));
}

#[test]
fn a_question_of_your_own_is_answered_with_labels() {
    let config =
        json!({"input": "prompt", "choices": ["yes", "no"], "params": {"top_logprobs": 5, "max_tokens": 4}});
    let prompt =
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it broken?"}]);
    let model = |_: &str, _| tokens(&[(" Yes", -0.2), ("yes", -2.0), ("No", -2.5)]);
    let (rounds, made) = run(config, json!({ "prompt": prompt }), model);
    let expected =
        ("Is it broken?".to_owned(), json!({"logprobs": true, "top_logprobs": 5, "max_tokens": 4}));
    assert_eq!(rounds[0][0], expected);
    let yes = f64::exp(-0.2) + f64::exp(-2.0);
    assert_near(&made.unwrap()["probabilities"]["yes"], yes / (yes + f64::exp(-2.5)));
}

#[test]
fn implausible_options_are_refused() {
    let choices = json!(["yes", "no"]);
    for (config, expected) in [
        (json!({"question": "{{ text }}?", "choices": choices, "clamp": [0.4, 0.6], "order": "both"}), ""),
        (json!({"input": "text", "choices": choices, "method": "samples", "samples": 3}), ""),
        (json!({"choices": choices}), "neither `question` nor `input`"),
        (json!({"question": "Q", "input": "text", "choices": choices}), "are both given"),
        (json!({"question": "{{ topic }}", "choices": choices}), "no earlier stage makes `topic`"),
        (json!({"input": "number", "choices": choices}), "`number` is a whole number"),
        (json!({"question": "Q", "choices": ["yes"]}), "`choices` has 1 labels"),
        (
            json!({"question": "Q", "choices": ["yes", "Yes."]}),
            "`Yes.` cannot be distinguished from another label",
        ),
        (json!({"question": "Q", "choices": ["yes", " "]}), "label 2 is empty"),
        (
            json!({"input": "text", "choices": {"yes": "so", "no": "not so"}}),
            "nothing shows what the choices mean",
        ),
        (
            json!({"input": "text", "choices": choices, "order": "both"}),
            "the order of the choices is that of your",
        ),
        (
            json!({"question": "Q", "choices": {"a": "{{ topic }}", "b": null}}),
            "no earlier stage makes `topic`",
        ),
        (
            json!({"question": "Q", "choices": {"a": "{{ text }}", "b": null}, "show_labels": false}),
            "nothing shows the choices",
        ),
        (
            json!({"question": "Q", "choices": ["a", "b", "c"], "clamp": [0.4, 0.6]}),
            "`clamp` is for 2 choices",
        ),
        (json!({"question": "Q", "choices": choices, "clamp": [0.2, 0.6]}), "found `[0.2, 0.6]`"),
        (json!({"question": "Q", "choices": choices, "samples": 0}), "found the number `0`"),
        (
            json!({"question": "Q", "choices": choices, "method": "logprobs", "samples": 3}),
            "nothing is sampled",
        ),
        (json!({"question": "Q", "choices": choices, "params": {"n": 2}}), "`n` cannot be set"),
        (
            json!({"model": "claude", "question": "Q", "choices": choices, "method": "logprobs"}),
            "returns no log",
        ),
    ] {
        let mut written = json!({"model": "judge"});
        written.as_object_mut().unwrap().extend(config.as_object().cloned().unwrap());
        let declared: Classify = serde_json::from_value(written).unwrap();
        let model = |provider: &str| -> ModelConfig {
            serde_json::from_value(json!({ "provider": provider })).unwrap()
        };
        let models =
            [("judge".to_owned(), model("heuristic")), ("claude".to_owned(), model("anthropic"))].into();
        let vars = Map::new();
        let mut context = CheckContext::new(&vars, &models);
        context.makes_as("text", FieldType::text());
        context.makes_as("number", FieldType::integer());
        declared.check(&mut context);
        let found: Vec<&str> = context.problems().iter().map(|problem| &*problem.message).collect();
        assert_eq!(found.len(), usize::from(!expected.is_empty()), "{config}: {found:?}");
        assert!(found.concat().contains(expected), "{config}: {found:?}");
    }
}
