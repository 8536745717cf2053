//! Cohen's kappa: how far two raters agree beyond chance.

/// Returns kappa of a square table of counts, by the first rater's category (row) and the second's (column); `None`
/// if agreement by chance is certain, or without counts.
pub(crate) fn kappa(matrix: &[Vec<u64>]) -> Option<f64> {
    let total: u64 = matrix.iter().flatten().sum();
    if total == 0 {
        return None;
    }
    let total = total as f64;
    let equal: u64 = matrix.iter().enumerate().filter_map(|(place, row)| row.get(place)).sum();
    let of_row = |place: usize| matrix[place].iter().sum::<u64>() as f64 / total;
    let of_column = |place: usize| matrix.iter().filter_map(|row| row.get(place)).sum::<u64>() as f64 / total;
    let by_chance: f64 = (0..matrix.len()).map(|place| of_row(place) * of_column(place)).sum();
    (by_chance < 1.0).then(|| (equal as f64 / total - by_chance) / (1.0 - by_chance))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(matrix: &[&[u64]], expected: Option<f64>) {
        let matrix: Vec<Vec<u64>> = matrix.iter().map(|row| row.to_vec()).collect();
        match (kappa(&matrix), expected) {
            (Some(found), Some(expected)) => assert!((found - expected).abs() < 5e-5, "{found}"),
            (found, expected) => assert_eq!(found, expected),
        }
    }

    #[test]
    fn kappa_is_that_of_published_tables() {
        // Two readers of 50 grant proposals; and two tables with the same observed agreement of 0.6.
        check(&[&[20, 5], &[10, 15]], Some(0.4));
        check(&[&[45, 15], &[25, 15]], Some(0.1304));
        check(&[&[25, 35], &[5, 35]], Some(0.2593));
        // Three categories, from Cohen's paper of 1960, in percent.
        check(&[&[25, 13, 12], &[12, 2, 16], &[3, 15, 2]], Some(-0.0923));
    }

    #[test]
    fn kappa_has_bounds() {
        check(&[&[5, 0], &[0, 5]], Some(1.0));
        check(&[&[0, 5], &[5, 0]], Some(-1.0));
        check(&[&[25, 25], &[25, 25]], Some(0.0));
        check(&[&[10]], None);
        check(&[&[10, 0], &[0, 0]], None);
        check(&[], None);
        check(&[&[0, 0], &[0, 0]], None);
    }
}
