//! The judges and the agreement of the example, with hostile names and texts.

use super::super::*;

pub(super) fn judging() -> JudgeTotals {
    let slot = |slot, mean, z| SlotRatings { slot, ratings: 9_000, mean: Some(mean), z: Some(z) };
    let count = |rating, count| RatingCount { rating, part: Proportion { count, of: 18_000 } };
    JudgeTotals {
        stage: "judge".into(),
        records: 9_500,
        questions: 9_500,
        scale: Some((1, 3)),
        aspects: vec![AspectRatings {
            aspect: "tone <b>".into(),
            counts: vec![count(1, 2_000), count(2, 6_000), count(3, 10_000)],
            mean: Some(2.44),
            rated: Proportion { count: 18_000, of: 19_000 },
            not_applicable: 500,
            out_of_range: 300,
            missing: 200,
            agreement: Some(VoteAgreement { equal: Proportion { count: 700, of: 900 }, distance: 0.3 }),
        }],
        shuffled: true,
        slots: vec![slot(1, 2.5, 9.0), slot(2, 2.4, -9.0)],
        preferences: Some(PreferenceTotals {
            first: Proportion { count: 60, of: 100 },
            z: Some(2.0),
            preferred: Proportion { count: 90, of: 110 },
            ties: 8,
            contradictions: 10,
            missing: 2,
            agreement: Some(Proportion { count: 50, of: 55 }),
        }),
    }
}

pub(super) fn classified() -> ClassifyTotals {
    let label = |label: &str, count, probability| LabelCount {
        label: label.into(),
        part: Proportion { count, of: 9_500 },
        probability,
    };
    ClassifyTotals {
        stage: "classify".into(),
        records: 9_500,
        labels: vec![label("bread <b>", 9_000, 0.91), label("tea", 500, 0.62)],
        coverage: 0.97,
        sampled: 20,
    }
}

pub(super) fn gap() -> RecoveredGap {
    let right = |count: u64| Proportion { count, of: 50 };
    RecoveredGap {
        weak: ("weak <b>".into(), right(30)),
        student: ("student".into(), right(35)),
        ceiling: ("ceiling".into(), right(40)),
        truth: "gt_label".into(),
        recovered: Some(0.5),
    }
}

pub(super) fn agreement() -> FieldAgreement {
    FieldAgreement {
        first: "judged".into(),
        second: "human".into(),
        file: "rows.jsonl".into(),
        equal: Proportion { count: 35, of: 50 },
        left_out: 3,
        kappa: Some(0.4),
        values: vec!["".into(), "good <i>".into()],
        matrix: vec![vec![15, 10], vec![5, 20]],
        differing: vec![DifferingRecord {
            id: "000007".into(),
            first: "".into(),
            second: "good <i>".into(),
            text: "<script>alert(1)</script>".into(),
        }],
    }
}
