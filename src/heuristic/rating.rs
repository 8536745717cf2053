//! Answers a judge's question, with ratings of texts or the better of two, by counting words.
//!
//! The rating grows with the number of the question's words in the text and with its length, plus a part computed
//! from a hash of the text and the aspect. It says nothing about quality, but depends only on the text, not on its
//! position or on chance. `stages/judge` creates such questions, in the record's field `judging`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::record::Record;

/// The field of a question to a judge.
const JUDGING: &str = "judging";
/// The minimum length of a word that counts, in letters.
const SHORTEST: usize = 4;
/// The number of words from which a text is not short.
const LONG: f64 = 60.0;

/// The answer to a question of a judge; `None` for other questions.
pub(super) fn answer(record: &Record, schema: &Value) -> Option<Value> {
    let judging = record.get(JUDGING)?;
    let texts: Vec<&str> =
        judging.get("texts")?.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
    let aspects = judging.get("aspects")?.as_array()?;
    let names: Vec<&str> =
        aspects.iter().map(|aspect| aspect.get("name")?.as_str()).collect::<Option<_>>()?;
    let question = judging.get("question").and_then(Value::as_str).unwrap_or_default();
    if schema.pointer("/properties/preferred").is_some() {
        return Some(preference(&texts, question));
    }
    let scale = (judging.get("low")?.as_i64()?, judging.get("high")?.as_i64()?);
    let mut ratings: Vec<Map<String, Value>> =
        texts.iter().map(|text| rate(text, question, &names, scale)).collect();
    if judging.get("list").and_then(Value::as_bool) != Some(true) {
        return ratings.pop().map(Value::Object);
    }
    let numbered = (1..).zip(ratings).map(|(number, ratings): (u64, _)| {
        let mut entry = Map::from_iter([("text".to_owned(), number.into())]);
        entry.extend(ratings);
        Value::Object(entry)
    });
    Some(json!({ "texts": numbered.collect::<Vec<_>>() }))
}

/// The ratings of one text; without the aspect's name if there is only one.
fn rate(text: &str, question: &str, aspects: &[&str], (low, high): (i64, i64)) -> Map<String, Value> {
    let merit = Merit::of(text, question);
    let rated = |aspect: &str| {
        let place = 0.7 * merit.value + 0.3 * fraction(aspect, text);
        let rating = low + ((high - low) as f64 * place).round() as i64;
        Map::from_iter([("reason".to_owned(), merit.reason().into()), ("rating".to_owned(), rating.into())])
    };
    match aspects {
        [aspect] => rated(aspect),
        aspects => aspects.iter().map(|aspect| ((*aspect).to_owned(), rated(aspect).into())).collect(),
    }
}

fn preference(texts: &[&str], question: &str) -> Value {
    let merits: Vec<Merit> = texts.iter().map(|text| Merit::of(text, question)).collect();
    let [first, second] = merits.as_slice() else { return json!({"reason": "", "preferred": "tie"}) };
    let reason = format!("The first: {} The second: {}", first.reason(), second.reason());
    match first.value.total_cmp(&second.value) {
        std::cmp::Ordering::Greater => json!({"reason": reason, "preferred": 1}),
        std::cmp::Ordering::Less => json!({"reason": reason, "preferred": 2}),
        std::cmp::Ordering::Equal => json!({"reason": reason, "preferred": "tie"}),
    }
}

/// The features of a text that are counted.
struct Merit {
    words: usize,
    shared: usize,
    /// From 0 to 1.
    value: f64,
}

impl Merit {
    fn of(text: &str, question: &str) -> Self {
        let (own, asked) = (words(text), words(question));
        let shared = asked.intersection(&own).count();
        let words = text.split_whitespace().count();
        let length = (words as f64 / LONG).min(1.0);
        let value = match asked.is_empty() {
            true => length,
            false => f64::midpoint(length, shared as f64 / asked.len() as f64),
        };
        Self { words, shared, value }
    }

    fn reason(&self) -> String {
        format!("It has {} words and shares {} with what was asked.", self.words, self.shared)
    }
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_alphanumeric());
    words.filter(|word| word.chars().count() >= SHORTEST).map(str::to_lowercase).collect()
}

/// A number from 0 to 1 that depends on the two texts alone.
fn fraction(aspect: &str, text: &str) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(aspect.len() as u64).to_le_bytes());
    hasher.update(aspect.as_bytes());
    hasher.update(text.as_bytes());
    f64::from(hasher.finalize().as_bytes()[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(texts: &[&str], aspects: &[&str], list: bool) -> Record {
        let aspects: Vec<Value> = aspects.iter().map(|name| json!({"name": name})).collect();
        let judging = json!({"texts": texts, "aspects": aspects, "low": 1, "high": 5, "list": list,
                             "question": "How do glaciers carve valleys?"});
        Record::new(Map::from_iter([(JUDGING.to_owned(), judging)]))
    }

    #[test]
    fn a_text_has_the_same_rating_at_every_place() {
        let (good, bad) = ("Glaciers carve valleys by grinding the rock below them.", "No.");
        let schema = json!({"properties": {"texts": {}}});
        let rated = |texts: &[&str]| {
            let answer = answer(&asked(texts, &["clear", "true"], true), &schema).unwrap();
            let entry = |index: usize| answer["texts"][index].clone();
            (0..texts.len())
                .map(|index| entry(index)["clear"]["rating"].as_i64().unwrap())
                .collect::<Vec<_>>()
        };
        let (one, other) = (rated(&[good, bad]), rated(&[bad, good]));
        assert_eq!((one[0], one[1]), (other[1], other[0]));
        assert!(one[0] > one[1], "{one:?}");
    }

    #[test]
    fn answers_have_the_form_that_is_asked_for() {
        let one = answer(&asked(&["Ice."], &["clear"], false), &json!({})).unwrap();
        assert!((1..=5).contains(&one["rating"].as_i64().unwrap()), "{one}");
        assert!(one["reason"].as_str().unwrap().starts_with("It has 1 words"), "{one}");
        let schema = json!({"properties": {"preferred": {}}});
        let prefers =
            |texts: &[&str]| answer(&asked(texts, &[], true), &schema).unwrap()["preferred"].clone();
        assert_eq!(prefers(&["No.", "Glaciers carve valleys."]), json!(2));
        assert_eq!(prefers(&["No.", "No."]), json!("tie"));
        assert_eq!(answer(&Record::default(), &schema), None);
    }
}
