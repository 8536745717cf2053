//! How sure a share is: its confidence interval, and the sample that a wanted interval needs.

use crate::report::findings::Interval;

/// The standard normal's 97.5 % quantile: all intervals are of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's interval of `share`, seen in `size` independent draws. Everything for no draws.
///
/// Unlike the plain `p ± z·sqrt(p(1-p)/n)` it stays within 0 and 1 and is right for rare values.
pub(crate) fn wilson(share: f64, size: f64) -> Interval {
    if size <= 0.0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let z2 = Z * Z;
    let denominator = 1.0 + z2 / size;
    let centre = (share + z2 / (2.0 * size)) / denominator;
    let half = Z * (share * (1.0 - share) / size + z2 / (4.0 * size * size)).max(0.0).sqrt() / denominator;
    Interval { low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
}

/// Draws needed to know a share of one half (the worst case) within ± `half_width`.
pub(crate) fn needed(half_width: f64) -> u64 {
    (Z * Z * 0.25 / (half_width * half_width)).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(share: f64, size: f64, low: f64, high: f64) {
        let interval = wilson(share, size);
        assert!((interval.low - low).abs() < 1e-4, "{interval:?}");
        assert!((interval.high - high).abs() < 1e-4, "{interval:?}");
    }

    #[test]
    fn intervals_are_wilsons() {
        check(0.5, 100.0, 0.40383, 0.59617);
        check(0.0, 10.0, 0.0, 0.27753);
        check(0.1, 1_000.0, 0.08290, 0.12015);
        check(0.3, 0.0, 0.0, 1.0);
    }

    #[test]
    fn the_needed_size_is_the_usual_one() {
        assert_eq!(needed(0.05), 385);
        assert_eq!(needed(0.01), 9_604);
    }
}
