//! `pairwise`: preferences, contradictions and votes.

use super::*;

/// Compares two texts. `say` returns the answer to each question, given the texts in the order shown.
fn compare(options: Value, say: impl Fn(usize, &[String]) -> Value) -> (Value, Vec<PreferenceOutcome>) {
    let mut options = options;
    options["mode"] = json!("pairwise");
    options["of"] = json!("candidates");
    let candidates = json!([{"index": 3, "answer": "good"}, {"index": 7, "answer": "bad"}]);
    let bench = Bench::new(options, json!({ "candidates": candidates }));
    let answer = |number: usize, asked: &Asked| {
        json!({"reason": "r", "preferred": say(number, &asked.texts)}).to_string()
    };
    let judged = bench.judge(answer).unwrap();
    assert_eq!(judged.fields["candidates"], candidates);
    let votes = Judgement::read(&judged.fields["judgement"]).unwrap().votes;
    (judged.fields["preferred"].clone(), votes.iter().map(|vote| vote.outcome).collect())
}

#[test]
fn a_comparison_is_decided_by_the_text_and_never_by_its_place() {
    use PreferenceOutcome::{Contradiction, Missing, Preferred, Tie};
    let likes_good =
        |_: usize, texts: &[String]| json!(1 + texts.iter().position(|text| text == "good").unwrap());
    let likes_first = |_: usize, _: &[String]| json!(1);
    let both = || json!({"order": "both"});
    assert_eq!(compare(both(), likes_good), (json!(3), vec![Preferred]));
    assert_eq!(compare(both(), likes_first), (json!(null), vec![Contradiction]));
    assert_eq!(compare(both(), |_, _| json!("tie")), (json!(null), vec![Tie]));
    assert_eq!(compare(json!({"order": "given"}), likes_first), (json!(3), vec![Preferred]));
    // One order says so, the other that there is no difference: they disagree.
    let half =
        |number: usize, texts: &[String]| if number == 0 { json!("tie") } else { likes_good(0, texts) };
    assert_eq!(compare(both(), half), (json!(null), vec![Contradiction]));
    // One order was not answered.
    let mute =
        |number: usize, texts: &[String]| if number == 0 { json!("neither") } else { likes_good(0, texts) };
    assert_eq!(compare(both(), mute), (json!(null), vec![Missing]));
}

#[test]
fn a_preference_takes_more_than_half_of_the_votes() {
    let votes = |said: &'static [&'static str]| {
        let options = json!({"votes": said.len(), "order": "given"});
        compare(options, |number, _| match said[number] {
            "good" => json!(1),
            "bad" => json!(2),
            other => json!(other),
        })
        .0
    };
    assert_eq!(votes(&["good", "good", "bad"]), json!(3));
    assert_eq!(votes(&["bad", "tie", "bad"]), json!(7));
    assert_eq!(votes(&["good", "bad"]), json!(null));
    assert_eq!(votes(&["good", "tie"]), json!(null));
    assert_eq!(votes(&["good", "tie", "tie"]), json!(null));
    // Votes without an answer do not count.
    assert_eq!(votes(&["good", "?", "?"]), json!(3));
    assert_eq!(votes(&["?", "?"]), json!(null));
}
