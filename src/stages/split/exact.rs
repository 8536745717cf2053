//! Exact shares without knowing how many items come: of any number of first items, each data set has its share.
//!
//! For a data set with the share p, the items are cut into windows of 1/p items, and one item of each window, drawn at
//! random, belongs to it. The next data set does the same with the items that are left, and the last has the rest. The
//! side of an item follows from its number alone.

use crate::draw::Draws;

/// Assigns items to data sets.
pub(super) struct ExactShares {
    /// Of each data set but the last, its share of the items that those before it leave.
    shares: Vec<f64>,
    draws: Draws,
}

impl ExactShares {
    /// `ratios` are positive.
    pub(super) fn new(ratios: impl Iterator<Item = f64>, draws: Draws) -> Self {
        let ratios: Vec<f64> = ratios.collect();
        let mut left: f64 = ratios.iter().sum();
        let mut shares = Vec::with_capacity(ratios.len());
        for ratio in ratios.iter().take(ratios.len().saturating_sub(1)) {
            shares.push(ratio / left);
            left -= ratio;
        }
        Self { shares, draws }
    }

    /// The number of the data set of an item.
    pub(super) fn side(&self, item: u64) -> usize {
        let mut number = item;
        for (side, share) in self.shares.iter().enumerate() {
            let window = window_of(number, *share);
            let taken = self.taken(side, window, *share);
            if number == taken {
                return side;
            }
            // Each window before this one has lost an item to this side, and this one too if that came earlier.
            number -= window + u64::from(taken < number);
        }
        self.shares.len()
    }

    /// The item that a side takes of a window.
    fn taken(&self, side: usize, window: u64, share: f64) -> u64 {
        let (first, end) = (first_of(window, share), first_of(window + 1, share));
        let drawn = self.draws.fraction("exact side", &format!("{side}:{window}"));
        let place = (drawn * (end - first) as f64) as u64;
        (first + place).min(end - 1)
    }
}

/// The window in which an item lies.
fn window_of(number: u64, share: f64) -> u64 {
    (number as f64 * share).floor() as u64
}

/// The first item of a window. Division may miss it by one.
fn first_of(window: u64, share: f64) -> u64 {
    let mut first = (window as f64 / share).ceil() as u64;
    while first > 0 && window_of(first - 1, share) >= window {
        first -= 1;
    }
    while window_of(first, share) < window {
        first += 1;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(ratios: &[f64]) -> ExactShares {
        ExactShares::new(ratios.iter().copied(), Draws::new(42, "split".into()))
    }

    /// The largest difference between a count and its share, over all numbers of first items.
    fn largest_difference(ratios: &[f64], items: u64) -> f64 {
        let shares = exact(ratios);
        let sum: f64 = ratios.iter().sum();
        let mut counts = vec![0_u64; ratios.len()];
        let mut largest = 0.0_f64;
        for item in 0..items {
            counts[shares.side(item)] += 1;
            for (count, ratio) in counts.iter().zip(ratios) {
                largest = largest.max((*count as f64 - (item + 1) as f64 * ratio / sum).abs());
            }
        }
        largest
    }

    #[test]
    fn shares_are_met_at_every_number_of_items() {
        for ratios in [[1.0, 1.0], [9.0, 1.0], [1.0, 9.0], [2.0, 1.0], [0.3, 0.7], [1.0, 1e-4], [1e-4, 1.0]] {
            let difference = largest_difference(&ratios, 20_000);
            assert!(difference <= 1.0 + 1e-6, "{ratios:?}: {difference}");
        }
        for ratios in [[1.0, 1.0, 1.0], [8.0, 1.0, 1.0], [1.0, 2.0, 7.0]] {
            let difference = largest_difference(&ratios, 20_000);
            assert!(difference <= 2.0, "{ratios:?}: {difference}");
        }
        assert_eq!(exact(&[5.0]).side(7), 0);
    }

    #[test]
    fn halves_differ_by_one_at_most_and_are_drawn() {
        let halves = exact(&[1.0, 1.0]);
        let sides: Vec<usize> = (0..10_000).map(|item| halves.side(item)).collect();
        for pair in sides.chunks(2) {
            assert_ne!(pair[0], pair[1], "one of each two");
        }
        let first = sides.chunks(2).filter(|pair| pair[0] == 0).count();
        assert!((2388..=2612).contains(&first), "{first} of 5000 are more than three deviations off 2500");
        let other = ExactShares::new([1.0, 1.0].into_iter(), Draws::new(43, "split".into()));
        assert!((0..10_000).any(|item| other.side(item) != halves.side(item)));
    }
}
