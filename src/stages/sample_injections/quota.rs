//! Exact shares: a seeded permutation of all items decides which value each item gets.
//!
//! The permutation is a Feistel network over the next power of four, iterated until the result is below the
//! number of items (cycle walking), so nothing is kept in memory and item N's value is known without those before
//! it.

use rand::Rng;

use super::weighted::Scores;

/// Enough for such a permutation to look random.
const ROUNDS: usize = 6;

/// One attribute's values assigned to all items.
#[derive(Debug, Clone)]
pub(super) struct Quota {
    /// The first position of each value, followed by the number of items.
    bounds: Vec<u64>,
    permutation: Permutation,
}

impl Quota {
    /// Divides `items` items by `scores`; each value gets its share of them to within one item.
    pub(super) fn new(scores: &Scores, items: u64, rng: &mut impl Rng) -> Self {
        // A bound that should be whole may be slightly less after division and rounding.
        let bound = |index| (scores.share_before(index) * items as f64 + 1e-6).floor() as u64;
        let mut bounds: Vec<u64> = (0..scores.len()).map(bound).collect();
        bounds.push(items);
        Self { bounds, permutation: Permutation::new(items, rng) }
    }

    /// The value of an item, by its number; `None` beyond the last.
    pub(super) fn value(&self, item: u64) -> Option<usize> {
        let place = self.permutation.at(item)?;
        Some(self.bounds.partition_point(|bound| *bound <= place) - 1)
    }
}

/// A permutation of the numbers below `size`.
#[derive(Debug, Clone)]
struct Permutation {
    size: u64,
    /// Bits of each half of a number.
    half: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    fn new(size: u64, rng: &mut impl Rng) -> Self {
        let bits = u64::BITS - size.saturating_sub(1).leading_zeros();
        let mut keys = [0; ROUNDS];
        for key in &mut keys {
            *key = rng.next_u64();
        }
        Self { size, half: bits.div_ceil(2).max(1), keys }
    }

    /// The image of `number`.
    fn at(&self, number: u64) -> Option<u64> {
        if number >= self.size {
            return None;
        }
        // A cycle of the larger permutation that begins below `size` returns there, after at most four steps on
        // average.
        let mut place = self.round_trip(number);
        while place >= self.size {
            place = self.round_trip(place);
        }
        Some(place)
    }

    fn round_trip(&self, number: u64) -> u64 {
        let mask = (1_u64 << self.half) - 1;
        let (mut left, mut right) = (number >> self.half, number & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mixed(right ^ key) & mask));
        }
        (left << self.half) | right
    }
}

/// The finaliser of SplitMix64: every bit of the result depends on every bit of `number`.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    #[test]
    fn every_number_comes_once() {
        for size in [1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 1000, 4097] {
            let permutation = Permutation::new(size, &mut rng());
            let mut places: Vec<u64> = (0..size).map(|number| permutation.at(number).unwrap()).collect();
            places.sort_unstable();
            assert_eq!(places, (0..size).collect::<Vec<_>>());
            assert_eq!(permutation.at(size), None);
        }
        let large = Permutation::new(u64::MAX, &mut rng());
        assert!(large.at(u64::MAX - 1).is_some(), "the largest size does not overflow");
    }

    #[test]
    fn shares_are_met_to_within_one() {
        let scores = [1.0, 20.0, 10.0, 0.0, 3.7, 0.1];
        let shares = Scores::new(&scores).unwrap();
        for items in [1, 2, 3, 10, 34, 99, 100, 348, 1000, 10_007] {
            let quota = Quota::new(&shares, items, &mut rng());
            let mut counts = [0_u64; 6];
            for item in 0..items {
                counts[quota.value(item).unwrap()] += 1;
            }
            for (count, share) in counts.iter().zip(shares.shares()) {
                let wanted = share * items as f64;
                assert!((*count as f64 - wanted).abs() <= 1.0, "{count} of {wanted} wanted, {items} items");
            }
            assert_eq!(counts[3], 0, "a score of 0 is never drawn");
        }
        // Where shares come out whole, they are met exactly.
        let quota = Quota::new(&Scores::new(&[500.0, 300.0, 200.0]).unwrap(), 1000, &mut rng());
        let count = |value| (0..1000).filter(|item| quota.value(*item) == Some(value)).count();
        assert_eq!([count(0), count(1), count(2)], [500, 300, 200]);
    }

    #[test]
    fn the_order_is_mixed() {
        let quota = Quota::new(&Scores::new(&[1.0, 1.0]).unwrap(), 10_000, &mut rng());
        let first = (0..1000).filter(|item| quota.value(*item) == Some(0)).count();
        assert!((440..=560).contains(&first), "{first} of the first 1000 items");
        let mut runs = 1;
        for item in 1..10_000 {
            runs += usize::from(quota.value(item) != quota.value(item - 1));
        }
        assert!((4800..=5200).contains(&runs), "{runs} runs");
    }
}
