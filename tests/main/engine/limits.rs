//! Limits of a run: the number of items, the budget, and items that are already done.

use std::time::Duration;

use serde_json::json;
use synthmill::engine::RunEnd;
use synthmill::llm::scripted::{Reply, Scripted};
use tempfile::TempDir;

use crate::engine::running::{good, number_of};
use crate::harness::{Run, check_invariants, outputs, rows_pipeline};

#[tokio::test(start_paused = true)]
async fn the_first_ok_items_by_number_are_accepted_across_stops() {
    let dir = TempDir::new().unwrap();
    let yaml = rows_pipeline(dir.path(), 400, 8);
    // Later items answer sooner and every third is refused, so that arrival order does not determine what is accepted.
    let model = || {
        Scripted::new(|question| {
            let number = number_of(question.record);
            match number % 3 {
                0 => Reply::error("content_filter", "refused"),
                _ => Reply::text(json!({"answer": question.prompt}).to_string())
                    .after(Duration::from_millis(500 - number)),
            }
        })
    };
    let mut seen = Vec::new();
    for starts in [1, 4] {
        let root = dir.path().join(starts.to_string());
        for start in 1..=starts {
            let mut run = Run::new(&yaml, &root, model());
            run.plan.accept = Some(60);
            run.plan.error_budget.share = 1.0;
            if start < starts {
                let stop = run.stop.clone();
                let stopper = async {
                    tokio::time::sleep(Duration::from_millis(800)).await;
                    stop.abort();
                };
                tokio::join!(run.run(), stopper);
                continue;
            }
            let report = run.run().await;
            assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
            check_invariants(&root, &report);
            assert_eq!(report.snapshot.ok, 60);
            assert_eq!(report.snapshot.in_flight, 0);
        }
        seen.push(outputs(&root));
    }
    assert!(seen[0] == seen[1], "what is accepted depends on arrival");
    let topics: Vec<&String> = seen[0].values().flatten().collect();
    assert!(topics.iter().all(|line| !line.contains("topic 91\"")), "90 items hold the first 60 that end ok");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_before_enough_were_accepted_says_so() {
    let dir = TempDir::new().unwrap();
    let mut run = Run::new(&rows_pipeline(dir.path(), 10, 2), &dir.path().join("out"), good());
    run.plan.accept = Some(11);
    let report = run.run().await;
    assert!(matches!(report.end, RunEnd::SourceEnded { accepted: 10, wanted: 11 }), "{:?}", report.end);
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_never_exceeded_and_the_run_goes_on_when_it_is_raised() {
    let dir = TempDir::new().unwrap();
    let yaml = rows_pipeline(dir.path(), 60, 8)
        .replace("model: scripted", "model: scripted\n    params: {max_tokens: 50}");
    let model = || {
        Scripted::new(|question| {
            let text = json!({"answer": question.prompt}).to_string();
            let usage = synthmill::llm::Usage::of(10, 20);
            let answer = synthmill::llm::Completion { text, usage, ..Default::default() };
            Reply::Completion(Box::new(answer)).after(Duration::from_millis(5))
        })
    };
    let root = dir.path().join("out");
    let mut asked = 0;
    for (most, ends) in [(500, false), (500, false), (1000, false), (60 * 30 + 300, true)] {
        let mut run = Run::new(&yaml, &root, model());
        run.plan.budget.max_tokens_total = Some(most);
        let report = run.run().await;
        asked += run.model.questions();
        check_invariants(&root, &report);
        assert_eq!(report.snapshot.spent.tokens, 30 * asked, "each answer is counted once");
        assert!(report.snapshot.spent.tokens <= most, "{} of {most} tokens", report.snapshot.spent.tokens);
        match ends {
            true => assert!(matches!(report.end, RunEnd::Complete), "{:?}", report.end),
            // One more might have taken 50 for its answer, and 250 is more than its request has bytes.
            false => {
                assert!(matches!(report.end, RunEnd::OutOfBudget(_)), "{:?}", report.end);
                assert!(report.snapshot.spent.tokens + 300 > most, "the budget is used");
            }
        }
    }
    assert_eq!(asked, 60, "nothing was asked twice");
}

#[tokio::test(start_paused = true)]
async fn finished_documents_are_not_read_again() {
    let dir = TempDir::new().unwrap();
    let yaml = rows_pipeline(dir.path(), 1, 4)
        .replace("rows.jsonl", "*.md")
        .replace("{{ topic }}", "{{ section.text }}");
    let yaml = yaml
        .replace("  - prompt:", "  - section: {}\n  - prompt:")
        .replace("fields: [id, topic, answer]", "fields: [id, answer]");
    for number in 0..12 {
        let text: String =
            (0..5).map(|part| format!("# Part {part}\n\nDocument {number} part {part}.\n\n")).collect();
        std::fs::write(dir.path().join(format!("{number:02}.md")), text).unwrap();
    }
    let golden = Run::new(&yaml, &dir.path().join("golden"), good()).run().await;
    assert_eq!(golden.snapshot.ok, 60);
    let root = dir.path().join("out");
    let mut run = Run::new(&yaml, &root, good());
    run.limit = Some(33);
    assert!(matches!(run.run().await.end, RunEnd::Complete));
    let units: Vec<u32> =
        serde_json::from_slice(&std::fs::read(root.join("journal/units.json")).unwrap()).unwrap();
    assert!(units.len() >= 7 && units.iter().all(|items| *items == 5), "{units:?}");
    let run = Run::new(&yaml, &root, good());
    let plan_knows = run.open().unwrap();
    drop(plan_knows);
    // Six documents are done as a whole: deleted or not, they are skipped by their count.
    for number in 0..6 {
        std::fs::write(dir.path().join(format!("{number:02}.md")), "# Another\n").unwrap();
    }
    let report = run.run().await;
    assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
    assert_eq!(report.snapshot.ok, 60);
    assert!(outputs(&root) == outputs(&dir.path().join("golden")), "outputs differ from those of one start");
}
