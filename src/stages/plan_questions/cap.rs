//! The cap on the typed questions of a section: how many it allows, and which of the planned ones are kept.
//!
//! Works on numbers only; the types and the draw belong to the stage.

use rand::Rng;
use rand::seq::SliceRandom;

/// The maximum value of `typed_per_fact`.
pub(super) const LARGEST: f64 = 100.0;

/// The maximum number of typed questions of a section with `facts` facts: `facts` times `per_fact`, rounded up.
pub(super) fn most(facts: usize, per_fact: f64) -> usize {
    let product = facts as f64 * per_fact;
    let nearest = product.round();
    // Decimals such as 0.07 have no exact binary fraction: a product that differs from a whole number by the
    // rounding error of its factors only is that number, so that 0.07 for each of 100 facts is 7 and not 8.
    let is_whole = (product - nearest).abs() <= 4.0 * f64::EPSILON * product;
    (if is_whole { nearest } else { product.ceil() }) as usize
}

/// Reduces `counts`, the questions of each type, to `most` in all, drawn without replacement: each question is as
/// likely to stay as any other, so over many sections the types keep their shares.
pub(super) fn draw(counts: &mut [&mut usize], most: usize, rng: &mut impl Rng) {
    let mut questions = Vec::new();
    for (kind, count) in counts.iter().enumerate() {
        questions.extend(std::iter::repeat_n(kind, **count));
    }
    if questions.len() <= most {
        return;
    }
    for count in counts.iter_mut() {
        **count = 0;
    }
    for kind in questions.partial_shuffle(rng, most).0 {
        *counts[*kind] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    #[test]
    fn products_are_rounded_up_as_decimals() {
        for (facts, per_fact, expected) in [
            (0, 1.0, 0),
            (1, 0.01, 1),
            (5, 1.0, 5),
            (5, 1.5, 8),
            (30, 0.1, 3),
            (31, 0.1, 4),
            (100, 0.07, 7),
            (100, 0.29, 29),
            (1000, 0.001, 1),
            (1001, 0.001, 2),
            (3, 1.1, 4),
            (10, 1.1, 11),
            (20, 100.0, 2000),
        ] {
            assert_eq!(most(facts, per_fact), expected, "{facts} facts, {per_fact} each");
        }
    }

    proptest! {
        /// The same as with whole numbers, in which nothing is rounded.
        #[test]
        fn thousandths_are_counted_exactly(facts in 0_usize..100_000, thousandths in 1_usize..=100_000) {
            prop_assert_eq!(most(facts, thousandths as f64 / 1000.0), (facts * thousandths).div_ceil(1000));
        }

        #[test]
        fn a_draw_takes_away_what_is_too_much_and_nothing_else(
            counts in prop::collection::vec(0_usize..20, 0..16), most in 0_usize..200, seed: u64,
        ) {
            let mut kept = counts.clone();
            draw(&mut kept.iter_mut().collect::<Vec<_>>(), most, &mut ChaCha8Rng::seed_from_u64(seed));
            let planned = counts.iter().sum::<usize>();
            prop_assert_eq!(kept.iter().sum::<usize>(), planned.min(most));
            prop_assert!(kept.iter().zip(&counts).all(|(kept, planned)| kept <= planned));
            if planned <= most {
                prop_assert_eq!(kept, counts);
            }
        }
    }
}
