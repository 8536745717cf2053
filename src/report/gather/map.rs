//! The map: sampled texts as vectors, and their places in two dimensions.

use crate::report::findings::{Attribute, Map, Point, SampleRecord};
use crate::report::statistics::projection;
use crate::report::statistics::vectors::Sparse;

use super::sample::{cut, text};

/// Texts on the map.
pub(super) const POINTS: usize = 1_500;
/// Values that can be told apart by colour.
const COLOURS: usize = 24;

/// `vectors` are those of the first texts of the sample; `likeness` says what they are of.
pub(super) fn map(
    sample: &[SampleRecord],
    vectors: &[Sparse],
    likeness: &str,
    attributes: &[Attribute],
) -> Option<Map> {
    let size = vectors.len().min(POINTS);
    let (places, method) = projection::project(&vectors[..size])?;
    let point = |((x, y), record): ((f64, f64), &SampleRecord)| Point {
        x,
        y,
        id: record.id.clone(),
        text: cut(&text(&record.turns), 300),
        attributes: record.attributes.clone(),
    };
    let colours = |attribute: &&Attribute| {
        let values = attribute.values.len() + attribute.other_values as usize;
        (2..=COLOURS).contains(&values)
    };
    let mut names: Vec<&str> =
        attributes.iter().filter(colours).map(|attribute| attribute.name.as_str()).collect();
    // What a text is about shows on a map, and what was done with it does not.
    names.sort_by_key(|name| matches!(*name, "split" | "file" | "cot"));
    Some(Map {
        method: format!("{likeness}, {method}"),
        points: places.into_iter().zip(sample).map(point).collect(),
        attributes: names.into_iter().map(str::to_owned).collect(),
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
        assert_eq!(map.attributes, ["tone", "topic", "split"]);
        assert!(map.method.starts_with("words, t-SNE"));
    }
}
