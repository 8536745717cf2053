//! The cap on typed questions: exact numbers, a uniform choice, and no change where it does not apply.

use std::collections::BTreeMap;

use super::*;
use proptest::prelude::*;

fn capped(typed_per_fact: f64) -> Planner {
    Planner { typed_per_fact: Some(typed_per_fact), ..planner() }
}

/// The fields of all that is planned for a document.
fn planned(planner: &Planner, facts: &[usize]) -> Vec<serde_json::Map<String, Value>> {
    planner.questions(document(facts)).into_iter().map(|record| record.fields).collect()
}

/// How many questions of each type there are, those of the section with this key.
fn by_type<'r>(records: &'r [Record], key: &str) -> BTreeMap<&'r str, usize> {
    let mut counts = BTreeMap::new();
    for record in records.iter().filter(|record| record.text("section.key") == Some(key)) {
        *counts.entry(record.text("question_type").unwrap()).or_default() += 1;
    }
    counts
}

#[test]
fn a_section_has_as_many_typed_questions_as_its_facts_allow() {
    // Facts, then typed questions without a cap and with one of 1, 0.5, 0.1 and 1.5 a fact.
    for (facts, free, one, half, tenth, more) in [
        (0, 13, 0, 0, 0, 0),
        (1, 13, 1, 1, 1, 2),
        (2, 13, 2, 1, 1, 3),
        (5, 13, 5, 3, 1, 8),
        (10, 13, 10, 5, 1, 13),
        (11, 13, 11, 6, 2, 13),
        (20, 18, 18, 10, 2, 18),
        (30, 23, 23, 15, 3, 23),
        (100, 93, 93, 50, 10, 93),
    ] {
        for (cap, expected) in
            [(None, free), (Some(1.0), one), (Some(0.5), half), (Some(0.1), tenth), (Some(1.5), more)]
        {
            let planner = Planner { typed_per_fact: cap, ..planner() };
            let records = planner.questions(document(&[facts, 0]));
            assert_eq!(typed(&records, "a.md#1"), expected, "{facts} facts, {cap:?} each");
            // Other questions are neither counted nor capped.
            let counts = by_type(&records, "a.md#1");
            let fact_based = counts.get("FACT_BASED").copied().unwrap_or_default();
            assert_eq!((fact_based, counts["SECTION_SUMMARY"]), (facts, 1), "{facts} facts, {cap:?} each");
        }
    }
    // Alone in its document, a section has no questions over two; they take no room under the cap either.
    for (facts, free, one) in [
        (0, 11, 0),
        (1, 11, 1),
        (2, 11, 2),
        (5, 11, 5),
        (10, 11, 10),
        (11, 11, 11),
        (20, 16, 16),
        (100, 83, 83),
    ] {
        assert_eq!(typed(&planner().questions(document(&[facts])), "a.md#1"), free, "{facts} facts");
        let records = capped(1.0).questions(document(&[facts]));
        assert_eq!(typed(&records, "a.md#1"), one, "{facts} facts");
        assert!(records.iter().all(|record| record.get("companion") == Some(&Value::Null)));
    }
}

/// Over many sections each type is kept as often as its share of the planned questions says.
#[test]
fn all_types_are_kept_in_their_shares() {
    const SECTIONS: usize = 500;
    for (facts, cap) in [(1, 1.0), (3, 1.0), (5, 1.0), (40, 0.2), (100, 0.3)] {
        let records = capped(cap).questions(document(&[facts; SECTIONS]));
        let planned = by_type(&planner().questions(document(&[facts, facts])), "a.md#1")
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect::<BTreeMap<String, usize>>();
        let typed: BTreeMap<&String, &usize> = planned
            .iter()
            .filter(|(name, _)| !["FACT_BASED", "SECTION_SUMMARY"].contains(&name.as_str()))
            .collect();
        let all: usize = typed.values().copied().sum();
        let most = cap::most(facts, cap);
        let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
        for record in &records {
            *kept.entry(record.text("question_type").unwrap()).or_default() += 1;
        }
        let mut chi_square = 0.0;
        for (name, count) in &typed {
            let expected = (SECTIONS * most * **count) as f64 / all as f64;
            let found = kept.get(name.as_str()).copied().unwrap_or_default() as f64;
            chi_square += (found - expected).powi(2) / expected;
        }
        // The 99.9 % quantile of chi-square with 12 degrees of freedom; draws without replacement vary less.
        assert!(chi_square < 32.9, "{facts} facts: {chi_square}, {kept:?}");
    }
}

#[test]
fn a_draw_depends_on_seed_and_section_only() {
    let records = capped(1.0).questions(document(&[2, 3, 4]));
    assert_eq!(planned(&capped(1.0), &[2, 3, 4]), planned(&capped(1.0), &[2, 3, 4]));
    let of =
        |records: &[Record], key| by_type(records, key).into_keys().map(str::to_owned).collect::<Vec<_>>();
    // Another section's facts do not matter.
    let other = capped(1.0).questions(document(&[2, 9, 4]));
    assert_eq!(
        (of(&records, "a.md#1"), of(&records, "a.md#3")),
        (of(&other, "a.md#1"), of(&other, "a.md#3"))
    );
    let seeds = (0..20).map(|seed| {
        let draws = Draws::new(seed, "plan_questions".into());
        of(&Planner { draws, ..capped(1.0) }.questions(document(&[2, 3, 4])), "a.md#1")
    });
    assert!(seeds.collect::<BTreeSet<_>>().len() > 10);
}

#[test]
fn what_is_kept_is_in_the_order_of_the_file_and_numbered_anew() {
    let planner = capped(0.3);
    let records = planner.questions(document(&[100, 2, 2]));
    let order: Vec<&str> = planner.types.iter().map(|kind| kind.name.as_str()).collect();
    let first: Vec<&Record> =
        records.iter().filter(|record| record.text("section.key") == Some("a.md#1")).collect();
    assert_eq!(first.len(), 100 + 1 + 30);
    let place =
        |record: &&Record| order.iter().position(|name| record.text("question_type") == Some(*name)).unwrap();
    assert!(first.is_sorted_by_key(place));
    let number = |record: &Record, field: &str| record.get(field).unwrap().as_u64().unwrap() as usize;
    let counts = by_type(&records, "a.md#1");
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, record) in first.iter().enumerate() {
        assert_eq!(number(record, "question_number"), index + 1);
        let name = record.text("question_type").unwrap();
        let variant = seen.entry(name).or_default();
        *variant += 1;
        assert_eq!(
            (number(record, "variant"), number(record, "variants")),
            (*variant, counts[name]),
            "{name}"
        );
    }
    // The facts of the remaining questions differ while there are any left.
    let recalls: Vec<&&Record> =
        first.iter().filter(|record| record.text("question_type") == Some("FACTUAL_RECALL")).collect();
    let facts: BTreeSet<usize> = recalls.iter().map(|record| number(record, "fact_number")).collect();
    assert!(facts.len() == recalls.len() && facts.len() > 1, "{facts:?}");
}

#[test]
fn a_cap_that_does_not_bind_changes_nothing() {
    for facts in [&[1, 2, 3][..], &[20, 40, 100], &[7], &[200, 1]] {
        assert_eq!(planned(&capped(100.0), facts), planned(&planner(), facts));
    }
    assert_eq!(planned(&capped(1.0), &[14, 50]), planned(&planner(), &[14, 50]));
    assert_ne!(planned(&capped(1.0), &[13, 12]), planned(&planner(), &[13, 12]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_cap_is_never_exceeded_and_takes_only_what_it_must(
        facts in prop::collection::vec(0_usize..60, 1..5), thousandths in 1_usize..3000, seed: u64,
    ) {
        let per_fact = thousandths as f64 / 1000.0;
        let draws = Draws::new(seed, "plan_questions".into());
        let records = Planner { draws, ..capped(per_fact) }.questions(document(&facts));
        let free = planner().questions(document(&facts));
        for (index, facts) in facts.iter().enumerate() {
            let key = format!("a.md#{}", index + 1);
            let most = (facts * thousandths).div_ceil(1000);
            prop_assert_eq!(typed(&records, &key), typed(&free, &key).min(most));
            let (kept, planned) = (by_type(&records, &key), by_type(&free, &key));
            prop_assert!(kept.iter().all(|(name, count)| *count <= planned[name]));
        }
    }
}

#[test]
fn a_wrong_cap_is_a_problem() {
    let none = (serde_json::Map::new(), BTreeMap::new());
    for wrong in [0.0, -1.0, -0.001, 100.5, 1e300, f64::NAN, f64::INFINITY] {
        let plan =
            PlanQuestions { typed_per_fact: Some(wrong), ..serde_json::from_value(json!({})).unwrap() };
        let mut context = CheckContext::new(&none.0, &none.1);
        plan.check(&mut context);
        let told = context.problems().iter().find(|problem| problem.at.ends_with("/typed_per_fact"));
        let problem = told.unwrap_or_else(|| panic!("{wrong} is taken"));
        assert_eq!(problem.message, format!("`{wrong}` is no number of questions for each fact"));
        assert_eq!(problem.expected.as_deref(), Some("a number above 0 and up to 100"));
    }
    for right in [Some(1e-9), Some(0.5), Some(1.0), Some(100.0), None] {
        let plan = PlanQuestions { typed_per_fact: right, ..serde_json::from_value(json!({})).unwrap() };
        let mut context = CheckContext::new(&none.0, &none.1);
        plan.check(&mut context);
        assert!(context.problems().iter().all(|problem| !problem.at.contains("typed_per_fact")), "{right:?}");
    }
}
