//! What is drawn: shares, independence, and what changes no draw. Refused settings are in `refused`.

mod chi_square;
mod refused;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use self::chi_square::{fits, independent};
use super::assemble::{Assembled, Paths, assemble};
use super::sampler::Sampler;
use super::shares::shares;
use super::weighted::text_of;
use super::{SampleInjections, fill};
use crate::draw::Draws;

/// Records of a test of shares.
const MANY: u64 = 100_000;

/// A folder with these files, whose entries are values and scores.
fn folder(files: &[(&str, &[(&str, f64)])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, values) in files {
        write(dir.path(), name, values);
    }
    dir
}

fn write(dir: &Path, name: &str, values: &[(&str, f64)]) {
    let entry = |(value, score): &(&str, f64)| json!({name: value, "frequency score": score});
    let list: Vec<Value> = values.iter().map(entry).collect();
    std::fs::write(dir.join(format!("{name}.json")), json!(list).to_string()).unwrap();
}

fn sampler_of(folder: &Path, settings: Value, seed: u64, items: u64) -> Assembled {
    let declared: SampleInjections = serde_json::from_value(settings).unwrap();
    let paths = Paths { folder: Some(folder.to_str().unwrap().to_owned()), ..Paths::default() };
    assemble(&declared, &paths, Some(items), Draws::new(seed, "sample_injections".into()))
}

fn sampler(folder: &Path, settings: Value) -> Sampler {
    let assembled = sampler_of(folder, settings, 42, MANY);
    assert!(assembled.wrong.is_empty(), "{:?}", assembled.wrong);
    assembled.sampler
}

/// The drawn values of each attribute, record by record.
fn draws(sampler: &Sampler, count: u64) -> BTreeMap<String, Vec<String>> {
    let mut drawn: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for item in 0..count {
        for (name, value) in sampler.draw(item, &format!("{item:06}")).unwrap() {
            drawn.entry(name).or_default().push(text_of(&value));
        }
    }
    drawn
}

/// Holds the draws of every attribute of one value against its shares.
fn check_shares(sampler: &Sampler, drawn: &BTreeMap<String, Vec<String>>) {
    let shares = shares(sampler);
    for (attribute, shares) in sampler.attributes.iter().zip(&shares.values) {
        let super::sampler::AttributeKind::SingleValue(one) = &attribute.kind else { continue };
        let expected: BTreeMap<String, f64> =
            one.values.texts().into_iter().zip(shares.iter().copied()).collect();
        fits(&attribute.name, &drawn[&attribute.name], &expected);
    }
    for (place, rows) in &shares.joint {
        check_joint(sampler, *place, rows, drawn);
    }
}

/// Pairs of an attribute and the one that it depends on come as often as their joint shares say.
fn check_joint(sampler: &Sampler, place: usize, rows: &[Vec<f64>], drawn: &BTreeMap<String, Vec<String>>) {
    let list = |place: usize| match &sampler.attributes[place].kind {
        super::sampler::AttributeKind::SingleValue(one) => one,
        _ => panic!("not of one value"),
    };
    let on = list(place).given.as_ref().unwrap().on;
    let (name, other) = (&sampler.attributes[place].name, &sampler.attributes[on].name);
    let mut expected = BTreeMap::new();
    for (outer, row) in list(on).values.texts().iter().zip(rows) {
        for (inner, share) in list(place).values.texts().iter().zip(row) {
            expected.insert(format!("{outer}/{inner}"), *share);
        }
    }
    let pairs = drawn[other].iter().zip(&drawn[name]);
    let pairs: Vec<String> = pairs.map(|(outer, inner)| format!("{outer}/{inner}")).collect();
    fits(&format!("{name} with {other}"), &pairs, &expected);
}

const TONES: &[(&str, f64)] = &[("", 20.0), ("angry", 5.0), ("glad", 5.0), ("calm", 10.0)];
const TOPICS: &[(&str, f64)] = &[("fees", 4.0), ("books", 3.0), ("rooms", 2.0), ("", 1.0)];
const LANGUAGES: &[(&str, f64)] = &[("German", 120.0), ("English", 40.0), ("Turkish", 40.0)];

fn plain() -> tempfile::TempDir {
    folder(&[("tone", TONES), ("topic", TOPICS), ("language", LANGUAGES)])
}

#[test]
fn the_shipped_attributes_keep_their_shares_and_are_independent() {
    let sampler = sampler(Path::new("config/injections"), json!({}));
    let drawn = draws(&sampler, MANY);
    check_shares(&sampler, &drawn);
    let names: Vec<&String> = drawn.keys().collect();
    assert!(names.len() >= 4, "{names:?}");
    for (index, one) in names.iter().enumerate() {
        for other in &names[index + 1..] {
            independent(&format!("{one} and {other}"), &drawn[*one], &drawn[*other]);
        }
    }
}

#[test]
fn the_shares_of_the_original_are_met() {
    // 28 topics: an empty one, one of score 20, 26 of score 10; and its tones.
    let names: Vec<String> = (0..26).map(|number| format!("topic {number}")).collect();
    let mut topics = vec![("", 1.0), ("cards", 20.0)];
    topics.extend(names.iter().map(|name| (name.as_str(), 10.0)));
    let tones = [("", 20.0), ("a", 5.0), ("b", 5.0), ("c", 5.0), ("d", 5.0)];
    let dir = folder(&[("topic", &topics), ("tone", &tones)]);
    let sampler = sampler(dir.path(), json!({}));
    let drawn = draws(&sampler, MANY);
    check_shares(&sampler, &drawn);
    independent("topic and tone", &drawn["topic"], &drawn["tone"]);
    for (name, value, share) in [
        ("topic", "", 1.0 / 281.0),
        ("topic", "cards", 20.0 / 281.0),
        ("tone", "", 0.5),
        ("tone", "a", 0.125),
    ] {
        let count = drawn[name].iter().filter(|drawn| *drawn == value).count() as f64;
        let error = (share * (1.0 - share) / MANY as f64).sqrt();
        assert!((count / MANY as f64 - share).abs() < 3.0 * error, "{name} `{value}`: {count}");
    }
}

#[test]
fn only_seed_stage_attribute_and_record_decide() {
    let dir = plain();
    let before = draws(&sampler(dir.path(), json!({})), 500);
    assert_eq!(draws(&sampler(dir.path(), json!({})), 500), before);
    // The same files, made in another order.
    let other = folder(&[("language", LANGUAGES), ("topic", TOPICS), ("tone", TONES)]);
    assert_eq!(draws(&sampler(other.path(), json!({})), 500), before);
    let seed = draws(&sampler_of(dir.path(), json!({}), 43, MANY).sampler, 500);
    assert_ne!(seed["tone"], before["tone"]);
    // One more attribute, in the folder or in the pipeline, leaves the others as they are.
    write(dir.path(), "age", &[("young", 1.0), ("old", 1.0)]);
    let settings = json!({"attributes": {"aaa": {"draw": {"uniform": {"min": 0, "max": 9}}},
        "zzz": {"draw": {"choice": ["x", "y"]}}}});
    let after = draws(&sampler(dir.path(), settings), 500);
    assert_eq!(after.len(), 6);
    for (name, values) in before {
        assert_eq!(after[&name], values, "{name}");
    }
}

#[test]
fn given_weights_are_followed() {
    let dir = plain();
    let settings = json!({"attributes": {"tone": {"given": {"topic": {
        "fees": {"angry": 60, "glad": 0}, "": {"": 0}}}}}});
    let sampler = sampler(dir.path(), settings);
    let drawn = draws(&sampler, MANY);
    check_shares(&sampler, &drawn);
    let of = |topic: &str| -> Vec<String> {
        let pairs = drawn["tone"].iter().zip(&drawn["topic"]);
        pairs.filter(|(_, drawn)| *drawn == topic).map(|(tone, _)| tone.clone()).collect()
    };
    let scores = |scores: [f64; 4]| -> BTreeMap<String, f64> {
        let total: f64 = scores.iter().sum();
        TONES.iter().zip(scores).map(|((tone, _), score)| ((*tone).to_owned(), score / total)).collect()
    };
    fits("tone given fees", &of("fees"), &scores([20.0, 60.0, 0.0, 10.0]));
    fits("tone given books", &of("books"), &scores([20.0, 5.0, 5.0, 10.0]));
    fits("tone given nothing", &of(""), &scores([0.0, 5.0, 5.0, 10.0]));
    // Topic and language are drawn as if there were no `given`.
    let plain = draws(&super::tests::sampler(dir.path(), json!({})), 500);
    assert_eq!(
        (&drawn["topic"][..500], &drawn["language"][..500]),
        (&plain["topic"][..], &plain["language"][..])
    );
}

#[test]
fn excluded_combinations_are_never_drawn_and_the_rest_keeps_its_proportions() {
    let dir = plain();
    let settings = json!({
        "attributes": {"tone": {"given": {"topic": {"fees": {"angry": 60}}}}},
        "exclude": [{"topic": "fees", "tone": ["glad", "calm"]}, {"topic": ["books", ""], "tone": "angry"}],
    });
    let sampler = sampler(dir.path(), settings);
    let drawn = draws(&sampler, MANY);
    check_shares(&sampler, &drawn);
    let mut pairs: BTreeMap<String, f64> = BTreeMap::new();
    let mut left = 0.0;
    for (topic, topic_score) in TOPICS {
        for (tone, score) in TONES {
            let (angry, total) = if *topic == "fees" { (60.0, 95.0) } else { (5.0, 40.0) };
            let score = if *tone == "angry" { angry } else { *score };
            let excluded = (*topic == "fees" && ["glad", "calm"].contains(tone))
                || (["books", ""].contains(topic) && *tone == "angry");
            let share = if excluded { 0.0 } else { topic_score / 10.0 * score / total };
            left += share;
            pairs.insert(format!("{topic}/{tone}"), share);
        }
    }
    pairs.values_mut().for_each(|share| *share /= left);
    let together: Vec<String> =
        drawn["topic"].iter().zip(&drawn["tone"]).map(|(topic, tone)| format!("{topic}/{tone}")).collect();
    fits("topic and tone", &together, &pairs);
    assert!((shares(&sampler).left[0] - left).abs() < 1e-12);
    let plain = draws(&super::tests::sampler(dir.path(), json!({})), 500);
    assert_eq!(drawn["language"][..500], plain["language"][..], "language is in no rule");
}

#[test]
fn quotas_are_met_to_within_one_record() {
    let dir = plain();
    let settings = json!({"attributes": {"topic": {"quota": "exact"}, "language": {"quota": "exact"}}});
    for items in [1, 7, 100, 999, 10_000] {
        let sampler = sampler_of(dir.path(), settings.clone(), 42, items).sampler;
        let drawn = draws(&sampler, items);
        for (name, values) in [("topic", TOPICS), ("language", LANGUAGES)] {
            let total: f64 = values.iter().map(|(_, score)| score).sum();
            for (value, score) in values {
                let count = drawn[name].iter().filter(|drawn| drawn == value).count() as f64;
                assert!(
                    (count - items as f64 * score / total).abs() <= 1.0,
                    "{name} `{value}`: {count} of {items}"
                );
            }
        }
        if items == 10_000 {
            independent("topic and language", &drawn["topic"], &drawn["language"]);
            independent("topic and tone", &drawn["topic"], &drawn["tone"]);
        }
    }
}

#[test]
fn several_values_are_different_and_weighted() {
    let dir = plain();
    let sampler = sampler(dir.path(), json!({"attributes": {"topic": {"sample": 2}}}));
    let mut fees = 0;
    for item in 0..10_000 {
        let drawn = sampler.draw(item, &item.to_string()).unwrap();
        let list = drawn["topic"].as_array().unwrap();
        let whole = list.len() == 2 && list[0] != list[1];
        // The empty value takes a place and leaves none.
        assert!((whole || list.len() == 1) && !list.contains(&json!("")), "{list:?}");
        fees += u32::from(list.contains(&json!("fees")));
    }
    let expected = shares(&sampler).values[2][0];
    assert!((f64::from(fees) / 10_000.0 - expected).abs() < 0.02, "{fees}, expected {expected}");
    // First, or second after one of the others.
    let exact = 0.4 + 0.3 * 4.0 / 7.0 + 0.2 * 0.5 + 0.1 * 4.0 / 9.0;
    assert!((expected - exact).abs() < 0.01, "{expected}, exactly {exact}");
}

#[test]
fn an_empty_value_leaves_no_label_in_the_list() {
    let dir = plain();
    let sampler = sampler(dir.path(), json!({}));
    for item in 0..200 {
        let drawn = sampler.draw(item, &item.to_string()).unwrap();
        let list = fill::list(&drawn);
        for (name, value) in &drawn {
            let label = format!("- {name}: ");
            assert_eq!(list.contains(&label), value != "", "{drawn:?} {list}");
            assert!(value == "" || list.contains(&format!("{label}{}", text_of(value))));
        }
    }
}

#[test]
fn combinations_without_number_are_estimated() {
    let dir = plain();
    let many: Vec<String> = (0..1001).map(|number| format!("value {number}")).collect();
    let settings = json!({
        "attributes": {"a": {"draw": {"choice": many}}, "b": {"draw": {"choice": many}}},
        "exclude": [{"a": many[..500], "b": many[..500]}],
    });
    let sampler = sampler(dir.path(), settings);
    let shares = shares(&sampler);
    assert_eq!(shares.estimated, [true, true, false, false, false]);
    assert!((shares.left[0] - 0.75).abs() < 0.01, "{}", shares.left[0]);
    let drawn = draws(&sampler, 500);
    let low = |value: &String| many[..500].contains(value);
    assert!(!drawn["a"].iter().zip(&drawn["b"]).any(|(a, b)| low(a) && low(b)));
}
