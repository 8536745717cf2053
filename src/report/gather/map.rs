//! The map: sampled texts as vectors, projected to two dimensions.
//!
//! The map is first coloured by the attribute about which positions carry the most information.

use std::collections::BTreeMap;

use crate::report::findings::{Attribute, Point, SampleRecord, TextMap};
use crate::report::statistics::vectors::SparseVector;
use crate::report::statistics::{ngrams, projection};

use super::sample::{cut, text};

/// Texts on the map.
pub(super) const POINTS: usize = 1_500;
/// An attribute with more values than this would be mostly grey.
const MAX_VALUES: usize = 40;

/// Projects `vectors`, which belong to the first texts of the sample; `similarity` describes what they represent.
pub(super) fn map(
    sample: &[SampleRecord],
    vectors: &[SparseVector],
    similarity: &str,
    attributes: &[Attribute],
) -> Option<TextMap> {
    let size = vectors.len().min(POINTS);
    let (places, method) = projection::project(&vectors[..size])?;
    let point = |((x, y), record): ((f64, f64), &SampleRecord)| Point {
        x,
        y,
        id: record.id.clone(),
        text: cut(&text(&record.turns), 300),
        attributes: record.attributes.clone(),
    };
    let few = |attribute: &&Attribute| {
        let values = attribute.values.len() + attribute.other_values as usize;
        (2..=MAX_VALUES).contains(&values)
    };
    let neighbours = neighbours(&places);
    let points: Vec<Point> = places.into_iter().zip(sample).map(point).collect();
    let listed: Vec<&Attribute> = attributes.iter().filter(few).collect();
    // An attribute that determines another, as the type of a question does its difficulty, carries its information too.
    let information_with = |name: &str| {
        let others = listed.iter().map(|other| other.name.as_str());
        let decided = others.filter(|other| *other == name || determines(&points, name, other));
        decided.map(|other| information(&points, &neighbours, other)).fold(0.0, f64::max)
    };
    let mut ranked: Vec<(&Attribute, f64)> =
        listed.iter().map(|attribute| (*attribute, information_with(&attribute.name))).collect();
    // A map shows what texts are about, not how they were processed.
    let is_last = |name: &str| matches!(name, "split" | "file" | "cot");
    ranked.sort_by(|a, b| {
        let order = is_last(&a.0.name).cmp(&is_last(&b.0.name)).then(b.1.total_cmp(&a.1));
        order.then_with(|| b.0.values.len().cmp(&a.0.values.len()))
    });
    Some(TextMap {
        method: format!("{similarity}, {method}"),
        points,
        attributes: ranked.into_iter().map(|(attribute, _)| attribute.name.clone()).collect(),
    })
}

/// Returns the nearest neighbour of each point.
fn neighbours(places: &[(f64, f64)]) -> Vec<usize> {
    let nearest = |(index, place): (usize, &(f64, f64))| {
        let mut best = (f64::INFINITY, index);
        for (other, there) in places.iter().enumerate() {
            let distance = (place.0 - there.0).powi(2) + (place.1 - there.1).powi(2);
            if distance < best.0 && other != index {
                best = (distance, other);
            }
        }
        best.1
    };
    places.iter().enumerate().map(nearest).collect()
}

/// Estimates how many bits of an attribute the position of a text carries: the entropy of its values, times how much
/// more often than by chance neighbours have the same value (0: as by chance, 1: always).
fn information(points: &[Point], neighbours: &[usize], name: &str) -> f64 {
    let mut counts: BTreeMap<Option<&String>, f64> = BTreeMap::new();
    for point in points {
        *counts.entry(point.attributes.get(name)).or_default() += 1.0;
    }
    let size = points.len() as f64;
    let chance: f64 = counts.values().map(|count| (count / size) * (count / size)).sum();
    if chance >= 1.0 {
        return 0.0;
    }
    let value = |number: usize| points[number].attributes.get(name);
    let alike = (0..points.len()).filter(|number| value(*number) == value(neighbours[*number])).count();
    let beyond_chance = (alike as f64 / size - chance) / (1.0 - chance);
    beyond_chance.max(0.0) * ngrams::entropy(counts.values().copied())
}

/// Returns whether texts with the same value of `name` always have the same value of `other`.
fn determines(points: &[Point], name: &str, other: &str) -> bool {
    let mut decided = BTreeMap::new();
    points.iter().all(|point| {
        let value = point.attributes.get(other);
        *decided.entry(point.attributes.get(name)).or_insert(value) == value
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Findings;
    use crate::report::statistics::{ngrams::words, vectors::tf_idf};

    #[test]
    fn each_point_is_its_text() {
        let sample = Findings::sample();
        let texts: Vec<Vec<String>> =
            sample.sample.iter().map(|record| words(&text(&record.turns))).collect();
        let map = map(&sample.sample, &tf_idf(&texts), "words", &sample.attributes).unwrap();
        assert_eq!(map.points.len(), 40);
        assert!(map.points.iter().zip(&sample.sample).all(|(point, record)| point.id == record.id));
        assert_eq!((map.attributes.len(), map.attributes[2].as_str()), (3, "split"));
        assert!(map.method.starts_with("words, t-SNE"));
    }

    #[test]
    fn the_attribute_that_places_tell_most_of_comes_first() {
        let place = |n: usize| (f64::from(n as u32 / 50), f64::from(n as u32 % 50) / 1e3);
        let point = |n: usize| Point {
            x: place(n).0,
            y: place(n).1,
            id: n.to_string(),
            text: String::new(),
            attributes: BTreeMap::from([
                ("even_but_mixed".to_owned(), (n * 7 % 10).to_string()),
                ("two_halves".to_owned(), (n / 150).to_string()),
                ("six_parts".to_owned(), (n / 50).to_string()),
            ]),
        };
        let points: Vec<Point> = (0..300).map(point).collect();
        let neighbours = neighbours(&points.iter().map(|point| (point.x, point.y)).collect::<Vec<_>>());
        let information = |name| information(&points, &neighbours, name);
        assert_eq!(information("even_but_mixed"), 0.0);
        assert!((information("two_halves") - 1.0).abs() < 1e-9);
        assert!((information("six_parts") - 6.0_f64.log2()).abs() < 1e-9);
        assert_eq!(information("in no point"), 0.0);
        assert!(determines(&points, "six_parts", "two_halves"));
        assert!(!determines(&points, "two_halves", "six_parts"));
    }
}
