//! Significance tests of shares: is a value drawn as often as configured, is it rejected more often than the others?

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

/// Returns the two-sided critical |z| at this significance level.
pub(crate) fn critical_z(chance: f64) -> f64 {
    let chance = chance.clamp(1e-12, 1.0);
    Normal::standard().inverse_cdf(1.0 - chance / 2.0)
}

/// Returns z of a share observed in `size` draws against the expected share; `None` if it cannot vary.
pub(crate) fn one_sample_z(seen: f64, expected: f64, size: f64) -> Option<f64> {
    let variance = expected * (1.0 - expected) / size;
    (size > 0.0 && variance > 0.0).then(|| (seen - expected) / variance.sqrt())
}

/// Returns the pooled z of `count1` of `size1` against `count2` of `size2`; positive if the first share is larger.
pub(crate) fn two_sample_z(count1: f64, size1: f64, count2: f64, size2: f64) -> Option<f64> {
    if size1 <= 0.0 || size2 <= 0.0 {
        return None;
    }
    let pooled = (count1 + count2) / (size1 + size2);
    let variance = pooled * (1.0 - pooled) * (1.0 / size1 + 1.0 / size2);
    (variance > 0.0).then(|| (count1 / size1 - count2 / size2) / variance.sqrt())
}

/// Returns p of a chi-square test that `seen` counts follow the `expected` shares. Values with fewer than 5 expected are
/// pooled, as the approximation requires; `None` if fewer than two cells remain.
pub(crate) fn goodness_of_fit_p(seen: &[f64], expected: &[f64]) -> Option<f64> {
    let total: f64 = seen.iter().sum();
    let whole: f64 = expected.iter().sum();
    if total <= 0.0 || whole <= 0.0 {
        return None;
    }
    let mut cells: Vec<(f64, f64)> = Vec::new();
    let mut rare = (0.0, 0.0);
    for (&count, share) in seen.iter().zip(expected) {
        let expected = share / whole * total;
        if expected < 5.0 {
            rare = (rare.0 + count, rare.1 + expected);
        } else {
            cells.push((count, expected));
        }
    }
    if rare.1 > 0.0 {
        cells.push(rare);
    }
    chi_square_p(&cells, cells.len().checked_sub(1)?)
}

/// Returns p of a chi-square test that all groups of `(hits, misses)` have the same share.
pub(crate) fn homogeneity_p(groups: &[(f64, f64)]) -> Option<f64> {
    let hits: f64 = groups.iter().map(|group| group.0).sum();
    let misses: f64 = groups.iter().map(|group| group.1).sum();
    if hits <= 0.0 || misses <= 0.0 {
        return None;
    }
    let share = hits / (hits + misses);
    let mut cells = Vec::new();
    for (hit, miss) in groups.iter().filter(|(hit, miss)| hit + miss > 0.0) {
        let size = hit + miss;
        cells.push((*hit, size * share));
        cells.push((*miss, size * (1.0 - share)));
    }
    let freedom = (cells.len() / 2).checked_sub(1)?;
    chi_square_p(&cells, freedom)
}

fn chi_square_p(cells: &[(f64, f64)], freedom: usize) -> Option<f64> {
    if freedom == 0 {
        return None;
    }
    let statistic: f64 = cells.iter().map(|(seen, expected)| (seen - expected).powi(2) / expected).sum();
    let law = ChiSquared::new(freedom as f64).ok()?;
    Some(law.sf(statistic))
}

/// Returns the Shannon entropy of counts over that of as many equal ones: 1 is even, 0 is a single value.
pub(crate) fn evenness(counts: &[f64]) -> Option<f64> {
    let present = counts.iter().filter(|count| **count > 0.0).count();
    (present > 1).then(|| super::ngrams::entropy(counts.iter().copied()) / (present as f64).log2())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
    }

    #[test]
    fn p_values_are_those_of_published_tables() {
        // Chi-square 3.841 with 1 degree of freedom and 9.488 with 4 are the 5 % points.
        close(goodness_of_fit_p(&[60.0, 40.0], &[0.5, 0.5]), 0.0455);
        close(chi_square_p(&[(5.0 + 9.488_f64.sqrt() * 5.0_f64.sqrt(), 5.0)], 4), 0.05);
        close(homogeneity_p(&[(10.0, 90.0), (20.0, 80.0)]), 0.0477);
    }

    #[test]
    fn rare_values_are_pooled() {
        let seen = [96.0, 1.0, 1.0, 2.0];
        close(goodness_of_fit_p(&seen, &[0.96, 0.01, 0.01, 0.02]), 1.0);
        assert_eq!(goodness_of_fit_p(&[3.0], &[1.0]), None);
    }

    #[test]
    fn critical_z_values_are_those_of_published_tables() {
        close(Some(critical_z(0.05)), 1.959_96);
        close(Some(critical_z(0.001)), 3.290_53);
    }

    #[test]
    fn z_scores_have_the_sign_of_the_difference() {
        close(one_sample_z(0.6, 0.5, 100.0), 2.0);
        close(two_sample_z(10.0, 100.0, 20.0, 100.0), -1.98030);
        assert_eq!(two_sample_z(0.0, 10.0, 0.0, 10.0), None);
        assert_eq!(one_sample_z(1.0, 1.0, 10.0), None);
    }
}
