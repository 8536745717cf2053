//! The performance gap recovered: how much of what lies between a weak model and a strong model's ceiling a student of the
//! weak model reaches (Burns et al., arXiv 2312.09390).

/// Returns the part of the gap that the student recovers: 0 where it is as good as the weak model, 1 where it is as good as
/// the ceiling, less or more beyond these. `None` where there is no gap.
pub(crate) fn recovered(weak: f64, student: f64, ceiling: f64) -> Option<f64> {
    let gap = ceiling - weak;
    (gap != 0.0).then(|| (student - weak) / gap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_student_is_placed_between_the_weak_model_and_the_ceiling() {
        let check = |weak, student, ceiling, expected: f64| {
            let found = recovered(weak, student, ceiling).unwrap();
            assert!((found - expected).abs() < 1e-9, "{found}");
        };
        check(0.6, 0.7, 0.8, 0.5);
        check(0.6, 0.6, 0.8, 0.0);
        check(0.6, 0.8, 0.8, 1.0);
        check(0.6, 0.5, 0.8, -0.5);
        check(0.6, 0.9, 0.8, 1.5);
        assert_eq!(recovered(0.7, 0.8, 0.7), None);
    }
}
