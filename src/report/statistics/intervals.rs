//! Confidence intervals of shares, and the sample size for an interval of a given width.

use crate::report::findings::Interval;

/// The 97.5 % quantile of the standard normal distribution: all intervals are 95 % intervals.
const Z: f64 = 1.959_963_984_540_054;

/// Returns the Wilson interval of `share`, observed in `size` independent draws; 0 to 1 without draws.
///
/// Unlike `p ± z·sqrt(p(1-p)/n)` it stays within 0 and 1 and is accurate for rare values.
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

/// Returns the number of draws needed to estimate a share of one half (the worst case) within ± `half_width`.
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
