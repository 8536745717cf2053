//! Tests of `choose`: what is selected from which list, why a record is dropped, and which options the check refuses.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Choose;
use crate::pipeline::{CheckContext, FieldType};
use crate::record::{Record, RecordId};
use crate::stage::{Processor, StageConfig, Transform, TransformOutput};
use crate::stages::testing::{build, record};

fn chooser(config: Value) -> Box<dyn Transform> {
    let Processor::Transform(part) = build::<Choose>(config) else { panic!("not a transform") };
    part
}

/// The record after `choose`; or the reason of its drop, or the class of the error.
fn run(part: &dyn Transform, mut record: Record) -> Result<Record, String> {
    match part.process(&mut record) {
        Ok(TransformOutput::Pass) => Ok(record),
        Ok(TransformOutput::Drop(reason)) => Err(reason.into_owned()),
        Ok(TransformOutput::Many(_)) => panic!("one record stays one"),
        Err(error) => Err(error.class.into_owned()),
    }
}

/// Candidates `a`, `b`, ... with these scores.
fn scored(scores: &Value) -> Value {
    let scores = scores.as_array().unwrap().iter().enumerate();
    let candidates = scores.map(|(index, score)| {
        let answer = char::from(b'a' + index as u8).to_string();
        json!({"index": index, "answer": answer, "score": score})
    });
    json!({"candidates": candidates.collect::<Vec<_>>()})
}

/// Checks the answers selected from candidates with these scores: chosen, then rejected; or the reason of the drop.
#[track_caller]
fn check(options: &Value, scores: &Value, expected: &str) {
    let mut config = json!({"by": "candidate.score", "ties": "first"});
    config.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let found = match run(&*chooser(config), record(scored(scores))) {
        Err(reason) => reason,
        Ok(record) => ["chosen.answer", "rejected.answer"]
            .iter()
            .filter_map(|name| record.text(name))
            .collect::<Vec<_>>()
            .join(" > "),
    };
    assert_eq!(found, expected, "{options} of {scores}");
}

#[test]
fn the_best_and_the_worst_are_taken_by_their_values() {
    let (best, worst) = (json!({"take": "best"}), json!({"take": "worst"}));
    check(&best, &json!([3, 5, 4]), "b");
    check(&worst, &json!([3, 5, 1.5]), "c");
    check(&best, &json!([-1, -0.5, null]), "b");
    check(&best, &json!([false, true]), "b");
    // An element without a value is never selected, not even as the worst.
    check(&worst, &json!([3, null, 4]), "a");
    check(&best, &json!([null, null]), "no_candidates");
    check(&best, &json!([]), "no_candidates");
    check(&best, &json!([3, "5"]), "choose");
}

#[test]
fn ties_are_dropped_or_decided() {
    for (ties, expected) in [("drop", "tie"), ("first", "b")] {
        check(&json!({"take": "best", "ties": ties}), &json!([3, 5, 5]), expected);
        check(&json!({"take": "worst", "ties": ties}), &json!([6, 5, 5]), expected);
    }
    check(&json!({"take": "best", "ties": "drop"}), &json!([3, 3, 5]), "c");
    // As floats, 0.1 + 0.2 is more than 0.3.
    check(&json!({"take": "best", "ties": "drop"}), &json!([0.3, 0.1 + 0.2]), "tie");
}

#[test]
fn a_pair_has_a_gap_and_two_texts() {
    let pair = json!({"take": "pair"});
    check(&pair, &json!([3, 5, 4]), "b > a");
    check(&pair, &json!([true, false]), "a > b");
    check(&pair, &json!([5, 5, 4]), "a > c");
    check(&json!({"take": "pair", "ties": "drop"}), &json!([5, 5, 4]), "tie");
    check(&json!({"take": "pair", "ties": "drop"}), &json!([5, 4, 4]), "tie");
    check(&pair, &json!([4, 4, 4]), "tie");
    check(&pair, &json!([4]), "no_pair");
    check(&pair, &json!([4, null]), "no_pair");
    check(&pair, &json!([]), "no_pair");
}

#[test]
fn a_gap_is_exact() {
    let gap = |gap: Value| json!({"take": "pair", "min_gap": gap});
    // As floats, 0.3 - 0.1 is less than 0.2.
    check(&gap(json!(0.2)), &json!([0.3, 0.1]), "a > b");
    check(&gap(json!("1/5")), &json!([0.3, 0.1]), "a > b");
    check(&gap(json!("1/2")), &json!([4, 3.51]), "min_gap");
    check(&gap(json!("1/2")), &json!([4, 3.5]), "a > b");
    // Means of three ratings.
    check(&gap(json!("1/3")), &json!([13.0 / 3.0, 4]), "a > b");
    check(&gap(json!("1/3")), &json!([14.0 / 3.0, 13.0 / 3.0]), "a > b");
    check(&gap(json!(0.334)), &json!([13.0 / 3.0, 4]), "min_gap");
    check(&gap(json!(0)), &json!([4, 4]), "tie");
}

#[test]
fn equal_texts_are_never_a_pair() {
    let candidates = |texts: [&str; 3]| {
        let score = |index: usize| 5 - index;
        let one = |(index, text): (usize, &&str)| json!({"answer": text, "score": score(index)});
        record(json!({"candidates": texts.iter().enumerate().map(one).collect::<Vec<_>>()}))
    };
    let part = chooser(json!({"by": "candidate.score", "take": "pair"}));
    assert_eq!(run(&*part, candidates(["a b", " a  b\n", "a\tb"])).unwrap_err(), "no_pair");
    assert_eq!(run(&*part, candidates(["caf\u{e9}", "cafe\u{301}", "caf\u{e9}"])).unwrap_err(), "no_pair");
    // The lowest with a different text.
    let found = run(&*part, candidates(["a", "b", "a "])).unwrap();
    assert_eq!(found.text("rejected.answer"), Some("b"));
    let part = chooser(json!({"by": "candidate.score", "take": "pair", "text": "reply"}));
    assert_eq!(run(&*part, candidates(["a", "b", "c"])).unwrap_err(), "fields");
    // Elements that are texts have no key.
    let part = chooser(json!({"from": "drafts", "as": "draft", "by": "draft | length", "take": "pair"}));
    let found = run(&*part, record(json!({"drafts": ["aa", "a", "aaa"]}))).unwrap();
    assert_eq!((found.text("chosen"), found.text("rejected")), (Some("aaa"), Some("a")));
    // Conversations are compared by their messages.
    let turns = |text: &str| json!([{"role": "assistant", "content": text}]);
    let elements = json!([{"answer": turns("a\nb"), "score": 2}, {"answer": turns("a b"), "score": 1}]);
    let part = chooser(json!({"by": "candidate.score", "take": "pair"}));
    assert_eq!(run(&*part, record(json!({ "candidates": elements }))).unwrap_err(), "no_pair");
}

#[test]
fn the_top_are_a_list_with_the_best_first() {
    let top = |count: usize, ties: &str, scores: Value| {
        let part = chooser(json!({"by": "candidate.score", "take": {"top": count}, "ties": ties}));
        let record = run(&*part, record(scored(&scores)))?;
        let chosen = record.get("chosen").unwrap().as_array().unwrap();
        Ok::<_, String>(chosen.iter().map(|one| one["answer"].as_str().unwrap()).collect::<String>())
    };
    assert_eq!(top(2, "first", json!([1, 3, 2])), Ok("bc".to_owned()));
    assert_eq!(top(9, "first", json!([1, 3, 2])), Ok("bca".to_owned()));
    assert_eq!(top(2, "first", json!([1, 3, 1])), Ok("ba".to_owned()));
    assert_eq!(top(2, "drop", json!([1, 3, 1])), Err("tie".to_owned()));
    assert_eq!(top(2, "drop", json!([3, 3, 1])), Ok("ab".to_owned()));
    assert_eq!(top(2, "drop", json!([])), Err("no_candidates".to_owned()));
}

#[test]
fn the_answer_of_most_elements_wins() {
    let vote = |ties: Option<&str>, answers: Value| {
        let mut config = json!({"by": "candidate.score", "take": "vote"});
        if let Some(ties) = ties {
            config["ties"] = ties.into();
        }
        let record = run(&*chooser(config), record(scored(&answers)))?;
        let vote = record.get("vote").unwrap();
        let chosen = record.text("chosen.answer").unwrap();
        Ok::<_, String>(format!("{chosen}: {} {}/{}", vote["answer"], vote["count"], vote["of"]))
    };
    assert_eq!(vote(None, json!(["4", "5", "5"])), Ok("b: \"5\" 2/3".to_owned()));
    assert_eq!(vote(None, json!([4, 5, 5.0, null, ""])), Ok("b: 5 2/3".to_owned()));
    assert_eq!(vote(None, json!(["x y", " x  y", "z"])), Ok("a: \"x y\" 2/3".to_owned()));
    assert_eq!(vote(None, json!(["Yes", "yes", "no", "no"])), Ok("c: \"no\" 2/4".to_owned()));
    // A number and its text are different answers, and a tie is no majority unless `ties` says so.
    assert_eq!(vote(None, json!(["5", 5])), Err("tie".to_owned()));
    assert_eq!(vote(Some("first"), json!(["5", 5])), Ok("a: \"5\" 1/2".to_owned()));
    assert_eq!(vote(None, json!([null, null])), Err("no_candidates".to_owned()));
}

#[test]
fn draws_are_fair_and_belong_to_the_record() {
    let drawn = |config: Value, name: &str| {
        let part = chooser(config);
        let mut counts = BTreeMap::new();
        for item in 0..3000 {
            let mut one = record(scored(&json!([5, 5, 5, 1])));
            one.id = RecordId::item(item);
            let again = one.clone();
            let first = run(&*part, one).unwrap();
            assert_eq!(run(&*part, again).unwrap().fields, first.fields);
            *counts.entry(first.text(name).unwrap().to_owned()).or_insert(0) += 1;
        }
        counts
    };
    let by = "candidate.score";
    for (config, name, expected) in [
        (json!({"take": "random"}), "chosen.answer", "abcd"),
        (json!({"by": by}), "chosen.answer", "abc"),
        (json!({"by": "5 - candidate.score", "take": "worst"}), "chosen.answer", "abc"),
        (
            json!({"by": "6 - candidate.score", "take": "pair", "rejected": "random"}),
            "rejected.answer",
            "abc",
        ),
    ] {
        let counts = drawn(config.clone(), name);
        assert_eq!(counts.keys().cloned().collect::<String>(), expected, "{config}");
        let mean = 3000 / expected.len() as i64;
        assert!(counts.values().all(|count| (count - mean).abs() < 110), "{config}: {counts:?}");
    }
}

#[test]
fn what_is_not_taken_stays_in_provenance() {
    let part = chooser(json!({"by": "candidate.score", "take": "pair", "into": "good"}));
    let found = run(&*part, record(scored(&json!([3, 5, 4])))).unwrap();
    let told = &found.provenance.fields["stage"];
    assert_eq!(told["values"], json!([3, 5, 4]));
    assert_eq!((&told["taken"], &told["rejected"]), (&json!([1]), &json!(0)));
    assert_eq!(told["not_taken"], json!([{"index": 2, "answer": "c", "score": 4}]));
    assert_eq!(found.text("good.answer"), Some("b"));
    assert!(found.get("candidate").is_none());
    // A record that is dropped keeps all of them.
    let mut dropped = record(scored(&json!([3])));
    part.process(&mut dropped).unwrap();
    assert_eq!(dropped.provenance.fields["stage"]["elements"], scored(&json!([3]))["candidates"]);
}

#[test]
fn a_field_of_the_same_name_survives() {
    let mut fields = scored(&json!([3, 5]));
    fields["candidate"] = json!("mine");
    for (by, is_right) in [("candidate.score", true), ("candidate.none", false)] {
        let mut record = record(fields.clone());
        let part = chooser(json!({"by": by}));
        assert_eq!(matches!(part.process(&mut record), Ok(TransformOutput::Pass)), is_right, "{by}");
        assert_eq!(record.text("candidate"), Some("mine"));
    }
}

/// The problems reported for these options, and the types of the fields after them.
fn checked(config: Value) -> (Vec<String>, Vec<FieldType>) {
    let (vars, models) = Default::default();
    let mut context = CheckContext::new(&vars, &models);
    let inside = vec![("answer".to_owned(), FieldType::text()), ("score".to_owned(), FieldType::number())];
    context.makes_as("candidates", FieldType::list(FieldType::object_of(inside, false)));
    context.makes_as("text", FieldType::text());
    serde_json::from_value::<Choose>(config).unwrap().check(&mut context);
    let messages = context.problems().iter().map(|problem| problem.message.clone()).collect();
    let names = ["chosen", "chosen.answer", "rejected.score", "vote.share"];
    (messages, names.iter().map(|name| context.type_of(name)).collect())
}

#[test]
fn what_makes_no_sense_is_refused() {
    let by = "candidate.score";
    for (config, expected) in [
        (json!({"by": by}), ""),
        (json!({"by": by, "take": "pair", "min_gap": "1/2", "rejected": "random"}), ""),
        (json!({"by": "candidate.score >= 4", "take": {"top": 2}}), ""),
        (json!({"by": "candidate.answer", "take": "vote"}), ""),
        (json!({}), "nothing says what"),
        (json!({"by": by, "take": "random"}), "nothing is compared"),
        (json!({"take": "random", "ties": "drop"}), "nothing is compared"),
        (json!({"by": by, "min_gap": 1}), "`min_gap` is for `take: pair` alone"),
        (json!({"by": by, "take": "pair", "min_gap": -1}), "a gap below 0"),
        (json!({"by": by, "take": {"top": 0}}), "nothing is taken"),
        (json!({"by": by, "from": "text"}), "`text` is a text"),
        (json!({"by": by, "from": "answers"}), "no earlier stage makes `answers`"),
        (json!({"by": "candidate.scroe"}), "no earlier stage makes `candidate.scroe`"),
        (json!({"by": "candidate.answer"}), "`candidate.answer` is a text"),
        (json!({"by": "text | length", "as": "text"}), "records have a field `text` already"),
        (json!({"by": by, "take": "pair", "text": "reply"}), "have no text `reply`"),
        (json!({"by": by, "take": "pair", "text": "score"}), "have no text `score`"),
    ] {
        let (messages, _) = checked(config.clone());
        assert!(messages.concat().contains(expected), "{config}: {messages:?}");
        assert_eq!(messages.len(), usize::from(!expected.is_empty()), "{config}: {messages:?}");
    }
    let (_, types) = checked(json!({"by": by, "take": "pair"}));
    assert_eq!(types[1..3], [FieldType::text(), FieldType::number()]);
    assert!(checked(json!({"by": by, "take": {"top": 2}})).1[0].could_be(&FieldType::any_list()));
    assert_eq!(checked(json!({"by": by, "take": "vote"})).1[3], FieldType::number());
}

proptest! {
    #[test]
    fn a_chosen_one_is_never_below_the_rejected(
        scores in prop::collection::vec(prop::option::of(1_i64..=5), 0..6),
        gap in 0_i64..3,
        random in any::<bool>(),
    ) {
        let config = json!({"by": "candidate.score", "take": "pair", "min_gap": gap,
            "rejected": if random { "random" } else { "worst" }});
        let known: Vec<i64> = scores.iter().flatten().copied().collect();
        let (high, low) = (known.iter().max(), known.iter().min());
        let widest = high.zip(low).map_or(0, |(high, low)| high - low);
        match run(&*chooser(config), record(scored(&json!(scores)))) {
            Ok(record) => {
                let score = |name: &str| record.get(name).unwrap().as_i64().unwrap();
                prop_assert!(score("chosen.score") > score("rejected.score"));
                prop_assert!(score("chosen.score") - score("rejected.score") >= gap);
                prop_assert_eq!(Some(&score("chosen.score")), high);
            }
            Err(reason) => prop_assert!(match reason.as_str() {
                "no_pair" => known.len() < 2,
                "tie" => known.len() > 1 && widest == 0,
                "min_gap" => widest > 0 && widest < gap,
                _ => false,
            }, "{}", reason),
        }
    }
}
