//! Chi-square tests of counts, at p > 0.001.

use std::collections::BTreeMap;

/// A test fails below this.
const LEAST_P: f64 = 0.001;

/// The values have the expected shares.
pub(super) fn fits(what: &str, values: &[String], expected: &BTreeMap<String, f64>) {
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1.0;
    }
    let (mut statistic, mut cells) = (0.0, 0);
    for (value, share) in expected {
        let count = counts.remove(value.as_str()).unwrap_or_default();
        if *share == 0.0 {
            assert_eq!(count, 0.0, "{what}: `{value}` must never be drawn");
            continue;
        }
        let wanted = share * values.len() as f64;
        assert!(wanted > 5.0, "{what}: too few draws for `{value}`");
        statistic += (count - wanted).powi(2) / wanted;
        cells += 1;
    }
    assert!(counts.is_empty(), "{what}: unexpected {counts:?}");
    let p = survival(statistic, f64::from(cells - 1));
    assert!(p > LEAST_P, "{what}: chi-square {statistic:.1}, p {p}");
}

/// The two lists of values do not depend on each other.
pub(super) fn independent(what: &str, ones: &[String], others: &[String]) {
    let mut pairs: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    let (mut rows, mut columns) = (BTreeMap::<&str, f64>::new(), BTreeMap::<&str, f64>::new());
    for (one, other) in ones.iter().zip(others) {
        *pairs.entry((one, other)).or_default() += 1.0;
        *rows.entry(one).or_default() += 1.0;
        *columns.entry(other).or_default() += 1.0;
    }
    let mut statistic = 0.0;
    for (row, row_count) in &rows {
        for (column, column_count) in &columns {
            let wanted = row_count * column_count / ones.len() as f64;
            statistic += (pairs.get(&(*row, *column)).unwrap_or(&0.0) - wanted).powi(2) / wanted;
        }
    }
    let freedom = ((rows.len() - 1) * (columns.len() - 1)) as f64;
    let p = survival(statistic, freedom);
    assert!(p > LEAST_P, "{what}: chi-square {statistic:.1} at {freedom} degrees of freedom, p {p}");
}

/// The probability of a larger statistic: the upper incomplete gamma function, by its continued fraction or
/// one minus its series.
fn survival(statistic: f64, freedom: f64) -> f64 {
    let (a, x) = (freedom / 2.0, statistic / 2.0);
    if a == 0.0 {
        return 1.0;
    }
    let front = (a * x.max(f64::MIN_POSITIVE).ln() - x - libm::lgamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for n in 1..10_000 {
            term *= x / (a + f64::from(n));
            sum += term;
        }
        return 1.0 - front * sum;
    }
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1.0 / f64::MIN_POSITIVE, 1.0 / b);
    let mut fraction = d;
    for n in 1..10_000 {
        let factor = -f64::from(n) * (f64::from(n) - a);
        b += 2.0;
        d = 1.0 / (factor * d + b);
        c = b + factor / c;
        fraction *= d * c;
    }
    front * fraction
}

#[test]
fn the_survival_function_has_the_tabled_values() {
    for (statistic, freedom, expected) in [
        (3.841, 1.0, 0.05),
        (10.828, 1.0, 0.001),
        (18.307, 10.0, 0.05),
        (124.342, 100.0, 0.05),
        (5.0, 10.0, 0.8912),
    ] {
        let found = survival(statistic, freedom);
        assert!((found - expected).abs() < 0.0001, "{statistic} at {freedom}: {found}");
    }
}
