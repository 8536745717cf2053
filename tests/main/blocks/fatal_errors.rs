//! Errors that stop the whole run are not failures of a pass or an element, which a block could skip.

use synthmill::engine::RunEnd;
use synthmill::llm::scripted::{Reply, Scripted, ScriptedQuestion};
use tempfile::TempDir;

use crate::blocks::in_flight::{pipeline, provenance};
use crate::harness::{Run, check_invariants};

/// Blocks that skip whatever fails in them, with a question each.
const FORGIVING: [&str; 2] = [
    "  - repeat: {id: a, times: 3, on_fail: skip, stages: [{prompt: {user: \"{{ row }}\"}}, {llm: {model: teacher, output: \
     text}}]}\n",
    "  - for_each: {id: a, in: 3, collect: {into: l, fields: [element]}, at_least: 0, stages: [{prompt: {user: \"{{ row \
     }}\"}}, {llm: {model: teacher}}]}\n",
];

#[tokio::test(start_paused = true)]
async fn a_fatal_error_is_not_a_failure_of_a_pass_or_element() {
    for stages in FORGIVING {
        let dir = TempDir::new().unwrap();
        let root = dir.path().join("out");
        let yaml = pipeline(20, 4, stages);
        let model = Scripted::new(|question: ScriptedQuestion<'_>| match question.prompt {
            "9" => Reply::fatal("auth", "the key is refused"),
            _ => Reply::text("yes"),
        });
        let report = Run::new(&yaml, &root, model).run().await;
        let RunEnd::Fatal(error) = &report.end else { panic!("{:?}", report.end) };
        assert_eq!((&*error.stage, error.class.as_str()), ("a/llm", "auth"));
        let mut run = Run::new(&yaml, &root, Scripted::new(|_| Reply::text("yes")));
        run.plan.budget.max_tokens_total = Some(report.snapshot.spent.tokens + 5);
        let report = run.run().await;
        assert!(matches!(report.end, RunEnd::OutOfBudget(_)), "{:?}", report.end);
        // The run resumes once the cause is fixed, and nothing was skipped meanwhile.
        let run = Run::new(&yaml, &root, Scripted::new(|_| Reply::text("yes")));
        let report = run.run().await;
        assert!(matches!(report.end, RunEnd::Complete), "{:?}", report.end);
        check_invariants(&root, &report);
        assert_eq!((report.snapshot.ok, report.snapshot.rejected), (20, 0));
        assert!(!provenance(&root).concat().contains("skipped"));
    }
}
