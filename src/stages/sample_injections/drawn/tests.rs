//! Laws drawn from, and laws refused.

use super::*;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use serde_json::json;

fn law(draw: Value) -> Result<Law, String> {
    let draw: Draw = serde_json::from_value(draw).map_err(|error| error.to_string())?;
    Ok(Law::new(&draw)?.unwrap())
}

/// Mean, smallest and largest of many draws.
fn check(draw: Value, mean: f64, least: f64, most: f64) {
    let law = law(draw).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let draws: Vec<f64> = (0..20_000).map(|_| law.draw(&mut rng).as_f64().unwrap()).collect();
    let found = draws.iter().sum::<f64>() / 20_000.0;
    assert!((found - mean).abs() < 0.03 * mean, "{}: mean {found}", law.line());
    for draw in draws {
        assert!((least..=most).contains(&draw), "{}: {draw}", law.line());
    }
}

#[test]
fn numbers_follow_their_law_within_their_bounds() {
    check(json!({"uniform": {"min": 18, "max": 80}}), 49.0, 18.0, 80.0);
    check(json!({"uniform": {"min": 0.5, "max": 1.5, "decimals": 2}}), 1.0, 0.5, 1.5);
    check(json!({"normal": {"mean": 40, "sigma": 12}}), 40.0, -60.0, 140.0);
    // Cut off symmetrically, so the mean stays.
    check(json!({"normal": {"mean": 40, "sigma": 12, "min": 30, "max": 50}}), 40.0, 30.0, 50.0);
    check(json!({"log_normal": {"mean": 2.5, "sigma": 0.75, "shift": 2, "decimals": 3}}), 18.139, 2.0, 1e6);
    check(json!({"poisson": {"mean": 3.5}}), 3.5, 0.0, 100.0);
}

#[test]
fn dates_are_days_of_their_range() {
    let law = law(json!({"date": {"from": "2024-02-27", "to": "2024-03-01"}})).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut days: Vec<String> = (0..200).map(|_| law.draw(&mut rng).as_str().unwrap().to_owned()).collect();
    days.sort();
    days.dedup();
    assert_eq!(days, ["2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01"]);
    assert_eq!(law.line(), "a day from 2024-02-27 to 2024-03-01");
}

#[test]
fn wrong_laws_are_refused() {
    for (draw, expected) in [
        (json!({"uniform": {"min": 5, "max": 1}}), "no number with 0 decimals lies between"),
        (json!({"uniform": {"min": 0.2, "max": 0.8}}), "no number with 0 decimals lies between"),
        (json!({"uniform": {"min": 0, "max": 1e300}}), "too large"),
        (json!({"normal": {"mean": 1, "sigma": 0}}), "`sigma` is 0"),
        (json!({"normal": {"mean": 1, "sigma": 1, "shift": 1}}), "has no `shift`"),
        (json!({"normal": {"mean": 1, "sigma": 1, "min": 50}}), "leave less than a thousandth"),
        (json!({"log_normal": {"mean": 1, "sigma": 1, "max": 0}}), "leave less than a thousandth"),
        (json!({"poisson": {"mean": 0}}), "expected more than 0"),
        (json!({"date": {"from": "2025-02-30", "to": "2025-03-01"}}), "`2025-02-30` is no date"),
        (json!({"date": {"from": "2025-03-02", "to": "2025-03-01"}}), "is before"),
        (json!({"uniform": {"min": 1, "max": 2, "decimals": 20}}), "`decimals` is 20"),
    ] {
        let error = law(draw.clone()).unwrap_err();
        assert!(error.contains(expected), "{draw}: {error}");
    }
}
