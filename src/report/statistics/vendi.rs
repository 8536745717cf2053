//! The Vendi score, the effective number of distinct texts: `exp` of the entropy of the eigenvalues of K/n, for a
//! similarity matrix K with ones on the diagonal.

use nalgebra::DMatrix;

/// Returns the score of `n` items, from 1 (all the same) to `n` (nothing in common). Takes O(n³) time, so `n` should be in
/// the hundreds.
pub(crate) fn vendi(n: usize, similarity: impl Fn(usize, usize) -> f64) -> f64 {
    if n == 0 {
        return 0.0;
    }
    let mut kernel = DMatrix::<f64>::identity(n, n);
    for row in 0..n {
        for column in 0..row {
            let value = similarity(row, column);
            kernel[(row, column)] = value;
            kernel[(column, row)] = value;
        }
    }
    kernel /= n as f64;
    let mut entropy = 0.0;
    for value in &kernel.symmetric_eigenvalues() {
        if *value > 1e-12 {
            entropy -= value * value.ln();
        }
    }
    entropy.exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kernel: &[&[f64]], expected: f64) {
        let found = vendi(kernel.len(), |a, b| kernel[a][b]);
        assert!((found - expected).abs() < 5e-5, "{found} is not {expected}");
    }

    #[test]
    fn published_values() {
        check(&[&[1.0, 0.9, 0.0], &[0.9, 1.0, 0.0], &[0.0, 0.0, 1.0]], 2.1573);
        check(&[&[1.0, 0.0], &[0.0, 1.0]], 2.0);
        check(&[&[1.0, 0.5], &[0.5, 1.0]], 1.754_765);
        check(&[&[1.0, 0.9], &[0.9, 1.0]], 1.219_591);
        check(&[&[1.0, 1.0], &[1.0, 1.0]], 1.0);
        let points: [f64; 6] = [0.0, 0.0, 10.0, 10.0, 20.0, 20.0];
        let found = vendi(6, |a, b| (-(points[a] - points[b]).abs()).exp());
        // Published as 2.9999, which is 2.999999996 cut off.
        assert_eq!((found * 1e4).floor(), 29_999.0, "{found}");
    }
}
