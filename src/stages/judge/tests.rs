//! Tests of `judge`: what is asked in which order, what counts as a rating, and how answers are assigned to
//! candidates.

mod comparisons;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::record::{Record, RecordId};
use crate::stage::{AnswerError, StageError, TransformOutput};
use crate::stages::testing::{build, record};

/// A judge of `options`, and the candidates that it gets.
struct Bench {
    set: QuestionSet,
    record: Record,
}

/// One question as it is asked: the texts in the order shown, and the aspects.
struct Asked {
    texts: Vec<String>,
    aspects: Vec<String>,
}

impl Bench {
    fn new(mut options: Value, fields: Value) -> Self {
        options["model"] = json!("teacher");
        let Processor::Questions(set) = build::<Judge>(options) else { panic!("not several questions") };
        Self { set: *set, record: record(fields) }
    }

    fn of_texts(mut options: Value, texts: &[&str]) -> Self {
        options["of"] = json!("candidates");
        Self::new(options, json!({ "candidates": texts }))
    }

    fn elements(&self) -> Vec<Value> {
        self.set.questions.elements(&self.record).unwrap()
    }

    fn asked(&self) -> Vec<Asked> {
        let texts = |list: &Value, key: Option<&str>| {
            let text = |one: &Value| key.map_or(one, |key| &one[key]).as_str().unwrap().to_owned();
            list.as_array().unwrap().iter().map(text).collect()
        };
        let asked = |element: &Value| Asked {
            texts: texts(&element["texts"], None),
            aspects: texts(&element["aspects"], Some("name")),
        };
        self.elements().iter().map(asked).collect()
    }

    /// The record of one question, with an answer in it.
    fn question(&self, number: usize) -> Record {
        let mut asked = self.record.clone();
        asked.set(JUDGING, self.elements()[number].clone());
        asked
    }

    /// Parses and stores an answer to a question, as the engine does.
    fn parse(&self, number: usize, answer: &str) -> Result<Value, StageError> {
        let mut asked = self.question(number);
        let value = self.set.parser.parse(answer)?;
        match self.set.parser.store(&mut asked, value) {
            Ok(()) => Ok(asked.fields[answer::ANSWERED].clone()),
            Err(AnswerError::Invalid(error)) => Err(error),
            Err(AnswerError::Undecidable(error)) => panic!("{error}"),
        }
    }

    /// Judges the record. `say` answers each question; answers that cannot be parsed are left out, as after the last re-ask.
    fn judge(mut self, say: impl Fn(usize, &Asked) -> String) -> Result<Record, StageError> {
        let mut entries = Vec::new();
        for (number, asked) in self.asked().iter().enumerate() {
            if let Ok(answered) = self.parse(number, &say(number, asked)) {
                entries.push(json!({"index": number, answer::ANSWERED: answered}));
            }
        }
        self.record.set(&self.set.questions.collect().unwrap().into, entries);
        let passed = self.set.fold.process(&mut self.record)?;
        assert!(matches!(passed, TransformOutput::Pass));
        Ok(self.record)
    }
}

/// Rates each text by its number of words, the aspect `short` the other way round.
fn by_words(asked: &Asked) -> String {
    let rate = |text: &String| {
        let words = text.split(' ').count().min(5);
        let rating = |aspect: &String| if aspect == "short" { 6 - words } else { words };
        match asked.aspects.as_slice() {
            [aspect] => json!({"reason": "r", "rating": rating(aspect)}),
            aspects => {
                let rated = aspects
                    .iter()
                    .map(|aspect| (aspect.clone(), json!({"reason": text, "rating": rating(aspect)})));
                Value::Object(rated.collect())
            }
        }
    };
    let entries = (1..).zip(&asked.texts).map(|(number, text): (u64, _)| {
        let mut entry = rate(text);
        entry["text"] = number.into();
        entry
    });
    json!({ "texts": entries.rev_list() }).to_string()
}

/// Answers about several texts may come in any order, as they name the texts.
trait Reversed {
    fn rev_list(self) -> Vec<Value>;
}

impl<I: Iterator<Item = Value>> Reversed for I {
    fn rev_list(self) -> Vec<Value> {
        let mut list: Vec<Value> = self.collect();
        list.reverse();
        list
    }
}

const TEXTS: [&str; 4] = ["a", "a b", "a b c", "a b c d"];

fn two_aspects() -> Value {
    json!({"long": "5: long", "short": "5: short"})
}

#[test]
fn ratings_do_not_depend_on_the_order_in_which_texts_are_shown() {
    let mut orders = std::collections::BTreeSet::new();
    for item in 0..300 {
        for order in ["shuffled", "both", "given"] {
            let mut bench = Bench::of_texts(json!({"aspects": two_aspects(), "order": order}), &TEXTS);
            bench.record.id = RecordId::item(item);
            if order == "shuffled" {
                orders.insert(bench.asked()[0].texts.clone());
            }
            let judged = bench.judge(|_, asked| by_words(asked)).unwrap();
            for (words, candidate) in (1..).zip(judged.fields["candidates"].as_array().unwrap()) {
                assert_eq!(candidate["ratings"], json!({"long": words, "short": 6 - words}));
                assert_eq!((&candidate["score"], &candidate["index"]), (&json!(3), &json!(words - 1)));
                assert_eq!(candidate["reasons"]["long"], candidate["answer"]);
            }
        }
    }
    assert_eq!(orders.len(), 24, "every order of four texts is drawn");
}

#[test]
fn both_asks_again_in_reverse_and_votes_and_aspects_are_questions_of_their_own() {
    let count = |options: Value| Bench::of_texts(options, &TEXTS).asked().len();
    assert_eq!(count(json!({"aspects": two_aspects()})), 1);
    assert_eq!(count(json!({"aspects": two_aspects(), "votes": 3})), 3);
    assert_eq!(count(json!({"aspects": two_aspects(), "votes": 3, "order": "both"})), 6);
    assert_eq!(count(json!({"aspects": two_aspects(), "votes": 3, "order": "both", "separate": true})), 12);
    let asked = Bench::of_texts(json!({"aspects": two_aspects(), "order": "both"}), &TEXTS).asked();
    let mut reversed = asked[1].texts.clone();
    reversed.reverse();
    assert_eq!(asked[0].texts, reversed);
    // Each vote draws an order of its own, and the same one again.
    let orders = |votes: u32| -> Vec<Vec<String>> {
        let bench = Bench::of_texts(json!({"aspects": two_aspects(), "votes": votes}), &TEXTS);
        bench.asked().into_iter().map(|asked| asked.texts).collect()
    };
    assert_eq!(orders(8)[..3], orders(3));
    assert!(orders(8).windows(2).any(|pair| pair[0] != pair[1]));
    let separate = Bench::of_texts(json!({"aspects": two_aspects(), "separate": true}), &TEXTS);
    let judged = separate.judge(|_, asked| by_words(asked)).unwrap();
    assert_eq!(judged.fields["candidates"][3]["ratings"], json!({"long": 4, "short": 2}));
}

/// Checks the outcome of one rating of one text, on a scale from 1 to 5 where `N/A` is allowed.
#[track_caller]
fn check_rating(rating: Value, expected: &str) {
    let options = json!({"aspects": {"clear": "5: clear"}, "not_applicable": ["clear"]});
    let bench = Bench::new(options, json!({"answer": "a text"}));
    let answer = json!({"reason": "why", "rating": rating}).to_string();
    let found = match bench.parse(0, &answer) {
        Ok(answered) => {
            let rated = &answered[0]["clear"];
            format!("{} {}", rated["outcome"].as_str().unwrap(), rated["rating"])
        }
        Err(error) => error.message,
    };
    assert!(found.contains(expected), "{rating}: {found}");
}

#[test]
fn only_a_whole_number_of_the_scale_is_a_rating() {
    check_rating(json!(4), "rated 4");
    check_rating(json!(4.0), "rated 4");
    check_rating(json!("4"), "rated 4");
    check_rating(json!("4/5"), "rated 4");
    check_rating(json!("1.0"), "rated 1");
    check_rating(json!("N/A"), "not_applicable null");
    check_rating(json!(" not applicable"), "not_applicable null");
    check_rating(json!(null), "not_applicable null");
    check_rating(json!(0), "out_of_range null");
    check_rating(json!(10502), "out_of_range null");
    check_rating(json!("10502"), "out_of_range null");
    check_rating(json!(-1), "out_of_range null");
    check_rating(json!(4.5), "the rating of `clear` is 4.5, expected a whole number from 1 to 5");
    check_rating(json!("4 out of 5"), "expected a whole number");
    check_rating(json!("4/10"), "expected a whole number");
    check_rating(json!("good"), "expected a whole number");
    check_rating(json!([4]), "expected a whole number");
    check_rating(json!(true), "expected a whole number");
}

#[test]
fn an_answer_about_other_texts_or_aspects_is_invalid() {
    let bench = Bench::of_texts(json!({"aspects": two_aspects()}), &["x", "y"]);
    let rated = |number: u64| json!({"text": number, "long": {"reason": "", "rating": 1}, "short": {"reason": "", "rating": 2}});
    let check = |texts: Vec<Value>, expected: &str| {
        let found = bench.parse(0, &json!({ "texts": texts }).to_string());
        match expected {
            "" => assert!(found.is_ok(), "{found:?}"),
            _ => assert!(found.as_ref().unwrap_err().message.contains(expected), "{found:?}"),
        }
    };
    check(vec![rated(1), rated(2)], "");
    check(vec![rated(2), rated(1)], "");
    check(vec![rated(1)], "there are 2 texts, and the answer is about 1");
    check(vec![rated(1), rated(1)], "no entry for text 2");
    check(vec![rated(0), rated(1)], "no entry for text 2");
    check(vec![rated(1), json!({"text": 2, "long": {"reason": "", "rating": 1}})], "short");
    assert_eq!(bench.parse(0, "Both are fine.").unwrap_err().class, "json");
    let not_allowed = json!({"texts": [rated(1), {"text": 2, "long": {"reason": "", "rating": "N/A"}, "short": {"reason": "", "rating": 2}}]});
    let error = bench.parse(0, &not_allowed.to_string()).unwrap_err();
    assert!(error.message.contains("the aspect applies"), "{}", error.message);
}

#[test]
fn what_is_no_number_is_averaged_with_nothing() {
    let aspects = json!({"clear": "c", "true": "t"});
    let options = json!({"aspects": aspects, "not_applicable": ["true"], "votes": 2});
    // The answers of two votes -> ratings, score.
    for (votes, ratings, score) in [
        ([(4, json!(2)), (4, json!(2))], json!({"clear": 4, "true": 2}), json!(3)),
        ([(4, json!(2)), (5, json!(2))], json!({"clear": 4.5, "true": 2}), json!(3.25)),
        // An aspect that does not apply is left out of the mean.
        ([(4, json!("N/A")), (4, json!("N/A"))], json!({"clear": 4, "true": null}), json!(4)),
        // A number outside the scale is ignored; the other vote's rating counts.
        ([(4, json!(9)), (4, json!(9))], json!({"clear": 4, "true": null}), json!(null)),
        ([(4, json!(9)), (4, json!(3))], json!({"clear": 4, "true": 3}), json!(3.5)),
        // The second answer cannot be read.
        ([(4, json!(2)), (0, json!("?"))], json!({"clear": 4, "true": 2}), json!(3)),
        ([(0, json!("?")), (0, json!("?"))], json!({"clear": null, "true": null}), json!(null)),
    ] {
        let bench = Bench::new(options.clone(), json!({"answer": "a text"}));
        let say = |number: usize, _: &Asked| {
            let (clear, truth) = &votes[number];
            json!({"clear": {"reason": "c", "rating": clear}, "true": {"reason": "t", "rating": truth}})
                .to_string()
        };
        let judged = bench.judge(say).unwrap();
        assert_eq!((&judged.fields["ratings"], &judged.fields["score"]), (&ratings, &score), "{votes:?}");
    }
}

#[test]
fn a_question_without_an_answer_is_missing_or_rejects_the_record() {
    let options = json!({"aspects": two_aspects(), "votes": 2});
    let mute = |number: usize, asked: &Asked| if number == 0 { String::new() } else { by_words(asked) };
    let judged = Bench::of_texts(options.clone(), &TEXTS).judge(mute).unwrap();
    let judgement = Judgement::read(&judged.fields["judgement"]).unwrap();
    let outcomes = |question: usize| judgement.questions[question].ratings[0]["long"].outcome;
    assert_eq!((outcomes(0), outcomes(1)), (RatingOutcome::Missing, RatingOutcome::Rated));
    assert_eq!(judged.fields["candidates"][1]["ratings"]["long"], 2);
    let mut strict = options;
    strict["on_error"] = json!([{"retry": 1}, "reject"]);
    let error = Bench::of_texts(strict, &TEXTS).judge(mute).unwrap_err();
    assert_eq!((&*error.class, &*error.message), ("judge", "1 of 2 questions were answered"));
}

#[test]
fn provenance_has_what_was_shown_and_rated_without_reasons() {
    let judged =
        Bench::of_texts(json!({"aspects": two_aspects()}), &TEXTS).judge(|_, asked| by_words(asked)).unwrap();
    let kept = Judgement::read(&judged.provenance.fields["stage"]).unwrap();
    let whole = Judgement::read(&judged.fields["judgement"]).unwrap();
    assert!(!judged.provenance.fields["stage"].to_string().contains("reason"));
    assert_eq!(kept, whole.without_reasons());
    for (slot, position) in kept.questions[0].slots.iter().enumerate() {
        assert_eq!(kept.questions[0].ratings[slot]["long"].rating, Some(*position as i64 + 1));
    }
    let scale_and_aspects = (kept.scale, kept.aspects);
    assert_eq!(scale_and_aspects, (Some((1, 5)), vec!["long".to_owned(), "short".to_owned()]));
}

#[test]
fn records_that_cannot_be_judged_say_why() {
    let check = |options: Value, fields: Value, expected: &str| {
        let mut options = options;
        options["aspects"] = json!({"clear": "c"});
        let bench = Bench::new(options, fields);
        let error = bench.set.questions.elements(&bench.record).unwrap_err();
        assert_eq!((&*error.class, error.message.contains(expected)), ("judge", true), "{}", error.message);
    };
    check(json!({}), json!({"answer": null}), "`answer` is no text");
    check(json!({"of": "c"}), json!({"c": "text"}), "`c` is no list of candidates");
    check(
        json!({"of": "c"}),
        json!({"c": ["a", {"question": "b"}]}),
        "candidate 1 of `c` has no text `answer`",
    );
    check(
        json!({"of": "c", "mode": "pairwise"}),
        json!({"c": ["a"]}),
        "`c` has 1 candidates; `pairwise` compares two",
    );
    let none = Bench::of_texts(json!({"aspects": two_aspects()}), &[]).judge(|_, _| String::new()).unwrap();
    assert_eq!(none.fields["candidates"], json!([]));
    let inside = Bench::new(
        json!({"of": "c", "text": "answer.text", "aspects": {"clear": "c"}}),
        json!({"c": [{"answer": {"text": "deep"}}]}),
    );
    assert_eq!(inside.asked()[0].texts, ["deep"]);
}

#[test]
fn the_built_in_prompts_show_everything_and_ask_for_the_reason_first() {
    let options = json!({"of": "candidates", "aspects": two_aspects(), "not_applicable": ["short"],
                         "question": "Why {{ topic }}?", "order": "given"});
    let fields = json!({"topic": "ice", "candidates": ["first text", "second text"]});
    let bench = Bench::new(options.clone(), fields.clone());
    let request = bench.set.ask.request(&bench.question(0)).unwrap();
    let asked = &request.messages[1].content;
    for part in [
        "<question>\nWhy ice?\n</question>",
        "<text_1>\nfirst text\n</text_1>\n\nText 2:",
        "\nlong: 5: long\n",
        "\nshort: 5: short If the aspect does not apply to a text, its rating is \"N/A\".\n",
        "from 1 (worst) to 5 (best) for each of these aspects.",
        r#"{"texts": [{"text": 1, "long": {"reason": "...", "rating": 1 to 5}, "short": {"reason": "...", "rating": 1 to 5}}, {"text": 2, ...}]}"#,
    ] {
        assert!(asked.contains(part), "no {part:?} in\n{asked}");
    }
    assert!(!asked.contains("\n\n\n"), "{asked}");
    let schema = bench.set.parser.schema().unwrap().to_string();
    let (reason, rating) = (schema.find("reason").unwrap(), schema.find("rating\"").unwrap());
    assert!(reason < rating, "{schema}");
    assert!(schema.contains(r#""enum":[1,2,3,4,5,"N/A"]"#), "{schema}");
    let mut pairwise = options;
    for name in ["not_applicable", "aspects"] {
        pairwise.as_object_mut().unwrap().remove(name);
    }
    pairwise["mode"] = json!("pairwise");
    let bench = Bench::new(pairwise, fields);
    let asked = bench.set.ask.request(&bench.question(0)).unwrap().messages[1].content.clone();
    assert!(asked.contains("<text_2>\nsecond text\n</text_2>"), "{asked}");
    assert!(asked.ends_with(r#"{"reason": "...", "preferred": 1, 2 or "tie"}"#), "{asked}");
    let one = Bench::new(
        json!({"aspects": {"clear": "5: clear"}, "user": "{{ judging.form }} {{ judging.texts[0] }}"}),
        json!({"answer": "A."}),
    );
    let asked = one.set.ask.request(&one.question(0)).unwrap().messages[1].content.clone();
    assert_eq!(asked, r#"{"reason": "...", "rating": 1 to 5} A."#);
}

#[test]
fn the_shipped_aspects_have_rubrics_for_five_numbers() {
    let aspects = check::aspects_of(include_str!("../../../config/aspects.yaml")).unwrap();
    assert_eq!(aspects.len(), 4);
    let rubrics: BTreeMap<&str, &str> =
        aspects.iter().map(|(name, rubric)| (name.as_str(), rubric.as_str().unwrap())).collect();
    for (name, rubric) in rubrics {
        assert!((1..=5).all(|number| rubric.contains(&format!("\n{number}: "))), "{name}");
    }
}
