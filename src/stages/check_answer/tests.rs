//! Tests of `check_answer`: which answers count as the expected one, and which are unknown.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::CheckAnswer;
use crate::pipeline::{CheckContext, FieldType};
use crate::stage::{Processor, StageConfig};
use crate::stages::testing::{build, record};

/// `correct` of an answer.
fn correct(options: &Value, expected: &Value, answer: &Value) -> Value {
    let Processor::Transform(part) = build::<CheckAnswer>(options.clone()) else { panic!("not a transform") };
    let mut record = record(json!({"answer": answer, "expected": expected}));
    part.process(&mut record).unwrap();
    record.get("correct").unwrap().clone()
}

/// Checks an answer that is given as it is.
#[track_caller]
fn check(options: Value, expected: Value, answer: Value, verdict: Value) {
    let mut options = options;
    if options.get("find").is_none() {
        options["find"] = json!(["whole"]);
    }
    assert_eq!(correct(&options, &expected, &answer), verdict, "{answer} for {expected} with {options}");
}

#[track_caller]
fn number(expected: &str, answer: &str, verdict: impl Into<Value>) {
    check(json!({}), json!(expected), json!(answer), verdict.into());
}

const UNKNOWN: Value = Value::Null;

#[test]
fn numbers_are_equal_in_every_form() {
    for answer in [
        "1234.5",
        "1,234.5",
        "1.234,5",
        "1 234,5",
        "1'234.50",
        "1\u{202f}234,5",
        "2469/2",
        "1234 1/2",
        "1234½",
        "1.2345e3",
        "1.2345 × 10^3",
        r"$1{,}234.5$",
        r"\frac{2469}{2}",
        r"\text{1234.5}",
        "**1234.5**",
        "+1234.5",
        "1234.5.",
        "١٢٣٤٫٥",
        "１２３４.５",
        "x = 1234.5",
        "x ≈ 1234.5",
    ] {
        number("1234.5", answer, true);
    }
    number("-3", "−3", true);
    number("0.5", "1/2", true);
    number("0.5", ".5", true);
    number("5000000", "5 million", true);
    number("12", "1 dozen", true);
    number("1e3", "1000", true);
    number("1000", "10^3", true);
    number("0.5", "50 percent chance", true);
    check(json!({}), json!(12.5), json!("12.50"), json!(true));
    check(json!({}), json!(12), json!(12.0), json!(true));
}

#[test]
fn other_numbers_are_wrong() {
    for (expected, answer) in [
        ("1234.5", "1234"),
        ("5", "-5"),
        ("5", "5000"),
        ("5", "5 million"),
        ("5", "5k"),
        ("0.5", "2"),
        ("1/3", "0.33"),
        ("42", "4.2"),
        ("10", "1 0/2"),
        ("0.005", "5%"),
        ("5", "5^2"),
        ("5", "5²"),
        ("5", "5 lakh"),
        ("5", "5 Milliarden"),
        ("5", "$5bn"),
    ] {
        number(expected, answer, false);
    }
}

#[test]
fn percentages_are_parts_of_one() {
    number("50%", "0.5", true);
    number("0.5", "50 percent", true);
    number("1/2", r"50\%", true);
    number("50%", "50 %", true);
    number("50%", "51%", false);
    // Whether a number without a sign is a percentage is up to the pipeline.
    number("50", "50%", UNKNOWN);
    number("0.5%", "0.5", UNKNOWN);
    check(json!({"unit": "%"}), json!("50"), json!("50%"), json!(true));
    check(json!({"unit": "%"}), json!("50"), json!("0.5"), json!(false));
}

#[test]
fn units_are_converted_or_compared() {
    number("1.5 km", "1500 m", true);
    number("2 hours", "120 min", true);
    number("5 years", "60 months", true);
    number("$5", "She paid $5 in total.", true);
    number("72", "He sold 72 in April.", true);
    number("$5", "500 cents", true);
    number("36 km/h", "10 m/s", true);
    number("5 cm^2", "5 cm²", true);
    number("5 km", "5 m", false);
    number("5 km", "5 kg", false);
    number("5 apples", "5 Apple", true);
    number("5 apples", "6 pears", false);
    number("5 apples", "5 pears", UNKNOWN);
    // A unit that only one of the two has.
    number("18", "$18", true);
    number("18", "-$18", false);
    number("90", r"90^\circ", true);
    number("18", "18 eggs", true);
    number("18", "18 zz", UNKNOWN);
    check(json!({"unit": "h"}), json!("2"), json!("120 minutes"), json!(true));
    check(json!({"unit": "h"}), json!("2"), json!("2 minutes"), json!(false));
}

#[test]
fn a_decimal_sign_that_could_be_another_is_not_called_wrong() {
    number("1234", "1,234", true);
    number("1.234", "1.234", true);
    number("1234", "1.234", UNKNOWN);
    number("1.234", "1,234", UNKNOWN);
    number("99", "1,234", false);
    check(json!({"decimal": "comma"}), json!("1234"), json!("1.234"), json!(true));
    check(json!({"decimal": "comma"}), json!("1.234 m"), json!("1234 m"), json!(true));
    check(json!({"decimal": "comma"}), json!("1,5"), json!("1.5"), json!(true));
}

#[test]
fn a_tolerance_is_exact() {
    let with = |tolerance: Value| json!({ "tolerance": tolerance });
    check(with(json!(0.01)), json!("3.33"), json!("10/3"), json!(true));
    check(with(json!(0.1)), json!("0.3"), json!("0.4"), json!(true));
    check(with(json!("1/10")), json!("0.3"), json!("0.41"), json!(false));
    check(with(json!(1)), json!("2 m"), json!("299 cm"), json!(true));
    check(with(json!(1)), json!("2 m"), json!("301 cm"), json!(false));
}

#[test]
fn what_is_not_certain_is_unknown() {
    let answers = r"
        5 or 6 | 3,4,5 | between 4 and 5 | not 5 | It isn't 5 | at least 5 | more than 5 | ≤ 5 | > 5
        ±5 | 5 and a half | 5-ish or so | 5 + x | x^5 | 5x | 2 × 5 | step 5 | Option 5 | I don't know
        5/6/2024 | v1.2.3 | \sqrt{5} | 5\pi | 5\sqrt{2} | 3 out of 5 | 5 - 3 | (5, 6) | 5:30
        5th or 6th | \frac{5}{x} | n/a | NaN | infinity | 5 of them | A5 | 5! | 5? | 5' | 5 tenths
        5 thousandths | 5 times more | 5x more | 5 squared | 5 factorial | x = 5 is wrong | log 5 | f(5)
        sin(5) | almost 5 | 5ish | 5 base 7 | The answer is 5! | x != 5 | 5 mil | She earns $5m. | (5,2)
        [0,5] | x >= 5 | It is not true that x = 5 | 5 minus 1";
    for answer in answers.split(['|', '\n']).map(str::trim) {
        number("5", answer, UNKNOWN);
    }
    // An expected answer that is no number.
    number("five", "5", UNKNOWN);
    number("", "5", UNKNOWN);
    // The same formula.
    number(r"2\sqrt{3}", r"$2 \sqrt{3}$", true);
}

#[test]
fn answers_are_found_in_a_text() {
    let by = |find: Value, answer: &str, verdict: Value| {
        let options = json!({ "find": find });
        assert_eq!(correct(&options, &json!("72"), &json!(answer)), verdict, "{answer}");
    };
    let usual = json!(["boxed", "last_line"]);
    by(usual.clone(), r"We add \boxed{48} and 24: \boxed{72}", json!(true));
    by(usual.clone(), "First 48.\nShe sold 48+24 = 72 clips altogether in April and May.\n", json!(true));
    by(usual.clone(), "So she sold 72 clips.", json!(true));
    by(usual.clone(), "The answer is 72.", json!(true));
    by(usual.clone(), "**Answer:** $72", json!(true));
    by(usual.clone(), "The answer is 71.", json!(false));
    by(usual.clone(), "She sold 72 clips in 2 months.", UNKNOWN);
    by(usual.clone(), "She did not sell 72 clips.", UNKNOWN);
    by(usual.clone(), "This ends step 72.", UNKNOWN);
    by(usual.clone(), "She sold 72 thousand clips.", json!(false));
    by(usual, r"\boxed{72 \text{ clips}}", json!(true));
    by(json!(["boxed"]), "The answer is 72.", UNKNOWN);
    by(json!([{"after": "####"}]), "<<48+24=72>>\n#### 72", json!(true));
}

#[test]
fn texts_are_compared_without_case_and_punctuation() {
    let text = |expected: &str, answer: &str, verdict: Value| {
        check(json!({"as": "text"}), json!(expected), json!(answer), verdict);
    };
    text("Paris", " paris. ", json!(true));
    text("Paris", "The answer is **Paris**.", json!(true));
    text("New York", r"\text{New  York}", json!(true));
    text("x^2+1", "$x^2 + 1$", json!(true));
    text("Paris", "London", json!(false));
    text("Paris", "Not Paris", UNKNOWN);
    text("Paris", "Paris, France", UNKNOWN);
    text("Paris", "Parisian", json!(false));
    text("", "x", UNKNOWN);
}

#[test]
fn choices_are_letters() {
    let choice = |answer: &str, verdict: Value| {
        check(json!({"as": "choice"}), json!("B"), json!(answer), verdict);
    };
    for answer in [
        "B",
        "b",
        "(B)",
        "B.",
        "**B**",
        "B) Paris",
        "(b) Paris",
        "B: Paris",
        "The answer is B.",
        "The correct option is (B) Paris",
        r"\text{B}",
        "Answer: B, because A is not a city",
    ] {
        let verdict = if answer.contains("not") { UNKNOWN } else { json!(true) };
        choice(answer, verdict);
    }
    for answer in ["C", "(A)", "A) Bern", "The answer is D"] {
        choice(answer, json!(false));
    }
    for answer in [
        "A good answer is hard to find",
        "B or C",
        "The answer is B or C",
        "not B",
        "Option B, or rather option C",
        "Bern",
        "",
    ] {
        choice(answer, UNKNOWN);
    }
    check(json!({"as": "choice"}), json!("(B)"), json!("B"), json!(true));
}

#[test]
fn sets_have_no_order() {
    let set = |expected: Value, answer: &str, verdict: Value| {
        check(json!({"as": "set"}), expected, json!(answer), verdict);
    };
    set(json!("1, 2"), r"\{2, 1\}", json!(true));
    set(json!("{1,2,3}"), "3, 1 and 2", json!(true));
    set(json!([1, 0.5]), "1/2; 1", json!(true));
    set(json!("x = 1 or x = -2"), "-2, 1", json!(true));
    set(json!("1,000, 2,000"), "2000, 1000", json!(true));
    set(json!("red, Blue"), "The answer is blue and red.", json!(true));
    set(json!("(1,2), (3,4)"), "(3, 4), (1, 2)", json!(true));
    set(json!("1, 2"), "The solutions are 1 and 2.", json!(true));
    set(json!("1, 2"), "1, 2, ...", UNKNOWN);
    set(json!("1, 2"), "1, 2, 3", json!(false));
    set(json!("1, 2"), "1", json!(false));
    set(json!("1, 2"), "1, 3", json!(false));
    set(json!("1, 2"), "", UNKNOWN);
    set(json!("50, 2"), "50%, 2", UNKNOWN);
}

#[test]
fn the_answer_is_shown_as_it_was_found() {
    let Processor::Transform(part) = build::<CheckAnswer>(json!({"into": "right"})) else {
        panic!("a transform")
    };
    for (answer, found) in
        [(json!(r"\boxed{5}"), json!("5")), (json!(""), UNKNOWN), (json!(5), json!("5")), (UNKNOWN, UNKNOWN)]
    {
        let mut record = record(json!({"answer": answer, "expected": "5"}));
        part.process(&mut record).unwrap();
        assert_eq!(record.get("found"), Some(&found), "{answer}");
        assert_eq!(record.get("right"), Some(&if found.is_null() { UNKNOWN } else { json!(true) }));
    }
    let mut record = record(json!({"answer": [5], "expected": "5"}));
    assert_eq!(part.process(&mut record).unwrap_err().class, "fields");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (config, expected) in [
        (json!({}), ""),
        (json!({"find": ["boxed", {"after": "####"}, "whole"], "tolerance": "1/2"}), ""),
        (json!({"as": "set", "expected": "list"}), ""),
        (json!({"as": "number", "expected": "list"}), "`list` is a list"),
        (json!({"find": []}), "no rule says"),
        (json!({"find": ["whole", "boxed"]}), "the rules after it never apply"),
        (json!({"find": [{"after": ""}]}), "an empty text is everywhere"),
        (json!({"as": "text", "unit": "km"}), "`unit` is for numbers and sets alone"),
        (json!({"as": "choice", "tolerance": 1}), "`tolerance` is for numbers and sets alone"),
        (json!({"tolerance": -1}), "a tolerance below 0"),
        (json!({"answer": "reply"}), "no earlier stage makes `reply`"),
    ] {
        let (vars, models) = Default::default();
        let mut context = CheckContext::new(&vars, &models);
        context.makes_as("answer", FieldType::text());
        context.makes_as("expected", FieldType::number());
        context.makes_as("list", FieldType::texts());
        serde_json::from_value::<CheckAnswer>(config.clone()).unwrap().check(&mut context);
        let messages: Vec<&str> = context.problems().iter().map(|one| one.message.as_str()).collect();
        assert!(messages.concat().contains(expected), "{config}: {messages:?}");
        assert_eq!(messages.len(), usize::from(!expected.is_empty()), "{config}: {messages:?}");
    }
}

proptest! {
    /// A number that is written in any form is itself, and no other.
    #[test]
    fn every_form_of_a_number_is_the_number(cents in -1_000_000_000_i64..1_000_000_000, other in -1_000_000_000_i64..1_000_000_000) {
        let forms = |cents: i64| {
            let (sign, size) = (if cents < 0 { "-" } else { "" }, cents.unsigned_abs());
            let (integer, decimals) = (size / 100, size % 100);
            let grouped = |mark: &str| {
                let digits = integer.to_string();
                let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
                groups.join(mark)
            };
            vec![
                format!("{sign}{integer}.{decimals:02}"),
                format!("{sign}{}.{decimals:02}", grouped(",")),
                format!("{sign}{},{decimals:02}", grouped(".")),
                format!("{sign}{},{decimals:02}", grouped(" ")),
                format!("{sign}{}.{decimals:02}", grouped("'")),
                format!("{sign}{size}/100"),
                format!("\\boxed{{{sign}\\frac{{{size}}}{{100}}}}"),
                format!("The answer is {sign}{integer}.{decimals:02} km."),
            ]
        };
        for form in forms(cents) {
            let expected = json!(forms(cents)[0]);
            prop_assert_eq!(correct(&json!({}), &expected, &json!(form.clone())), json!(true), "{}", form);
            let verdict = correct(&json!({}), &json!(forms(other)[0]), &json!(form.clone()));
            prop_assert!(cents == other || verdict == json!(false), "{} is not {}: {}", form, other, verdict);
        }
    }

    #[test]
    fn no_text_makes_it_fail(answer in "([0-9]|[.,'/ ]|[-+=×^%$€½²]|\\\\frac|\\\\boxed|[{}()]|km|or|x|\\PC){0,24}") {
        for kind in ["number", "text", "choice", "set"] {
            correct(&json!({"as": kind}), &json!("5"), &json!(answer));
            correct(&json!({"as": kind, "find": ["whole"]}), &json!(answer), &json!(answer));
        }
    }
}
