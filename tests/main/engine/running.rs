//! Guarantees of the engine for any run: accounting, determinism, containment of panics, backpressure, stopping and
//! resuming.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};
use synthmill::config::PlannedStage;
use synthmill::engine::{RunEnd, Stop};
use synthmill::llm::scripted::{Reply, Scripted};
use synthmill::pipeline::CheckContext;
use synthmill::record::Record;
use synthmill::stage::{
    BuildContext, BuildError, Processor, Source, SourceFailure, SourceUnit, StageConfig, StageError,
    Transform, TransformOutput,
};
use synthmill::stages;
use tempfile::TempDir;

use crate::harness::{Run, check_invariants, outputs, provenance_lines, rows_pipeline};

/// Returns the number of a row of `rows_pipeline`.
pub(crate) fn number_of(record: &Record) -> u64 {
    record.text("topic").unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

pub(crate) fn good() -> Scripted {
    Scripted::new(|question| Reply::text(json!({"answer": question.prompt}).to_string()))
}

/// A model with every failure that a record can have, each for some of the topics.
fn moody() -> Scripted {
    Scripted::new(|question| {
        let number = number_of(question.record);
        let answer = Reply::text(json!({"answer": question.prompt}).to_string());
        match number % 7 {
            0 => Reply::error("context_length", "too long"),
            1 if question.record.get("answer").is_none() && question.request.messages.len() == 1 => {
                Reply::text("no JSON here")
            }
            2 => Reply::text("never any JSON"),
            3 => answer.after(Duration::from_millis(number)),
            _ => answer,
        }
    })
}

#[tokio::test(start_paused = true)]
async fn the_same_at_concurrency_1_and_64() {
    let mut all = Vec::new();
    let dir = TempDir::new().unwrap();
    for concurrency in [1, 64] {
        let mut run = Run::new(
            &rows_pipeline(dir.path(), 300, concurrency),
            &dir.path().join(concurrency.to_string()),
            moody(),
        );
        run.plan.error_budget.share = 1.0;
        let report = run.run().await;
        assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
        check_invariants(&run.root, &report);
        assert_eq!(report.snapshot.rejected, 86, "0 and 2 of 7 cannot be made");
        all.push(outputs(&run.root));
    }
    for (file, lines) in &all[0] {
        for (one, other) in lines.iter().zip(&all[1][file]) {
            assert_eq!(one, other, "in {file}");
        }
    }
    assert!(all[0] == all[1], "sorted outputs differ");
}

#[tokio::test(start_paused = true)]
async fn an_invalid_answer_is_reprompted_with_the_error() {
    let dir = TempDir::new().unwrap();
    let model = Scripted::new(|question| {
        let messages = &question.request.messages;
        match messages.len() {
            1 => Reply::text("{\"answer\": \"\"}"),
            _ => {
                assert_eq!(messages[1].content, "{\"answer\": \"\"}");
                Reply::text(json!({"answer": messages[2].content}).to_string())
            }
        }
    });
    let run = Run::new(&rows_pipeline(dir.path(), 1, 1), &dir.path().join("out"), model);
    let report = run.run().await;
    assert_eq!((report.snapshot.ok, report.snapshot.re_asks), (1, 1));
    let written = format!("{:?}", outputs(&run.root));
    assert!(written.contains("answer") && written.contains("cannot be used"), "{written}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_request_falls_back_to_the_heuristic_and_says_so() {
    let dir = TempDir::new().unwrap();
    let yaml = rows_pipeline(dir.path(), 5, 2).replace("[{retry: 2}, reject]", "[{retry: 2}, heuristic]");
    let model = Scripted::new(|_| Reply::error("status_500", "the server is ill"));
    let run = Run::new(&yaml, &dir.path().join("out"), model);
    let report = run.run().await;
    assert_eq!((report.snapshot.ok, report.snapshot.fallbacks), (5, 5));
    assert_eq!(run.model.questions(), 5, "a request that finally failed is not asked again");
    let provenance = provenance_lines(&run.root);
    assert_eq!(provenance.matches("status_500: the server is ill").count(), 5);
    assert_eq!(provenance.matches("\"provider\":\"heuristic\"").count(), 5);
}

#[tokio::test(start_paused = true)]
async fn questions_of_one_group_or_item_share_a_cache_key() {
    let dir = TempDir::new().unwrap();
    let grouped = rows_pipeline(dir.path(), 6, 2)
        .replace("  - prompt:", "  - set: {group: \"{{ topic[-1:] | int // 2 }}\"}\n  - prompt:");
    let nested = "  - set: {group: {expr: none}}\n  - for_each:\n      in: 3\n      collect: {into: answers, fields: [text]}\n      stages:\n        \
        - prompt: {user: Say.}\n        - llm: {model: teacher, output: text}";
    let alone =
        "  - set: {group: {expr: none}}\n  - prompt: {user: Say.}\n  - llm: {model: teacher, output: text}";
    for (yaml, asked, keys) in [
        (grouped, 6, Some(3)),
        (crate::blocks::in_flight::pipeline(4, 2, nested), 12, Some(4)),
        (crate::blocks::in_flight::pipeline(4, 2, alone), 4, None),
    ] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let model = Scripted::new(move |question| {
            noted.lock().unwrap().push(question.request.affinity);
            Reply::text(json!({"answer": question.prompt}).to_string())
        });
        let root = dir.path().join(asked.to_string());
        assert!(matches!(Run::new(&yaml, &root, model).run().await.end, RunEnd::Complete));
        let seen = seen.lock().unwrap().clone();
        let distinct: BTreeSet<u64> = seen.iter().copied().flatten().collect();
        assert_eq!((seen.len(), distinct.len()), (asked, keys.unwrap_or_default()), "{yaml}");
        assert_eq!(seen.iter().all(Option::is_some), keys.is_some());
    }
}

/// A stage that panics on some records, splits some and drops some.
struct Wild;

impl StageConfig for Wild {
    fn check(&self, _: &mut CheckContext<'_>) {}

    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        Ok(Processor::Transform(Box::new(Self)))
    }
}

impl Transform for Wild {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        match record.id.item % 5 {
            0 => panic!("the stage's own fault"),
            1 => Ok(TransformOutput::Drop("odd".into())),
            2 => Ok(TransformOutput::Many(vec![record.clone(); 3])),
            3 => Ok(TransformOutput::Many(Vec::new())),
            _ => Ok(TransformOutput::Pass),
        }
    }
}

pub(crate) fn insert(run: &mut Run, at: usize, id: &str, declared: impl StageConfig + 'static) {
    // The first stage must be a source.
    let kind = stages::find(if at == 0 { "generate" } else { "prompt" }).unwrap();
    let declared = Box::new(declared);
    let stage = PlannedStage { id: id.into(), kind, when: None, declared, inner: Vec::new() };
    run.plan.stages.insert(at, stage);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_contained_and_every_item_ends_exactly_once() {
    let dir = TempDir::new().unwrap();
    let mut run = Run::new(&rows_pipeline(dir.path(), 100, 8), &dir.path().join("out"), good());
    run.plan.error_budget.share = 1.0;
    insert(&mut run, 4, "wild", Wild);
    let report = run.run().await;
    assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
    check_invariants(&run.root, &report);
    let snapshot = &report.snapshot;
    assert_eq!((snapshot.ok, snapshot.dropped, snapshot.rejected), (40, 40, 20));
    assert_eq!(snapshot.drops, [("empty".to_owned(), 20), ("odd".to_owned(), 20)]);
    let rejected = &outputs(&run.root)["rejected.jsonl"];
    let first: Value = serde_json::from_str(&rejected[0]).unwrap();
    assert_eq!(first["stage"], "wild");
    assert_eq!(first["class"], "panic");
    assert_eq!(first["message"], "the stage panicked: the stage's own fault");
    assert_eq!(first["record"]["topic"], "topic 0");
}

/// An endless source that counts its records.
pub(crate) struct Endless(pub(crate) Arc<AtomicU64>);

impl StageConfig for Endless {
    fn check(&self, _: &mut CheckContext<'_>) {}

    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        Ok(Processor::Source(Box::new(Self(Arc::clone(&self.0)))))
    }
}

impl Source for Endless {
    fn next(&mut self) -> Option<Result<SourceUnit, SourceFailure>> {
        let number = self.0.fetch_add(1, SeqCst);
        let topic = format!("topic {number}");
        let fields = Map::from_iter([("group".to_owned(), json!(topic)), ("topic".to_owned(), json!(topic))]);
        Some(Ok(SourceUnit { name: number.to_string(), records: vec![Record::new(fields)] }))
    }
}

#[tokio::test(start_paused = true)]
async fn backpressure_reaches_the_source_and_a_drain_gives_up_nothing_that_has_ended() {
    let dir = TempDir::new().unwrap();
    // The first ten are answered, then the model never answers again.
    let model = Scripted::new(|question| {
        let number = number_of(question.record);
        if number < 10 { Reply::text(json!({"answer": "yes"}).to_string()) } else { Reply::Never }
    });
    let mut run = Run::new(&rows_pipeline(dir.path(), 1, 4), &dir.path().join("out"), model);
    let given = Arc::new(AtomicU64::new(0));
    run.plan.stages.remove(0);
    insert(&mut run, 0, "endless", Endless(Arc::clone(&given)));
    run.plan.max_in_flight = 20;
    run.plan.drain_timeout = 5.0;
    let stop = run.stop.clone();
    let counted = Arc::clone(&given);
    let stopper = async move {
        // 10 ended, 20 in flight, 1 waiting for a permit, 2 in the channel of units, 1 held by the source.
        while counted.load(SeqCst) < 34 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
        stop.drain();
        counted.load(SeqCst)
    };
    let (report, before) = tokio::join!(run.run(), stopper);
    assert_eq!(before, 34);
    assert!(matches!(report.end, RunEnd::Interrupted), "{report:?}");
    let snapshot = &report.snapshot;
    assert_eq!((snapshot.ok, snapshot.in_flight, snapshot.admitted), (10, 20, 30));
    assert_eq!(outputs(&run.root).values().map(Vec::len).sum::<usize>(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_resumes_and_equals_one_never_stopped() {
    let dir = TempDir::new().unwrap();
    let yaml = rows_pipeline(dir.path(), 200, 8);
    let golden = Run::new(&yaml, &dir.path().join("golden"), good());
    golden.run().await;
    let root = dir.path().join("out");
    let mut asked = 0;
    let mut starts = 0;
    loop {
        // Each start is aborted during its thirtieth question.
        let stop = Stop::default();
        let (count, abort) = (AtomicU64::new(0), stop.clone());
        let model = Scripted::new(move |question| {
            if count.fetch_add(1, SeqCst) == 30 {
                abort.abort();
                return Reply::Never;
            }
            Reply::text(json!({"answer": question.prompt}).to_string()).after(Duration::from_millis(1))
        });
        let mut run = Run::new(&yaml, &root, model);
        run.stop = stop;
        let report = run.run().await;
        check_invariants(&root, &report);
        asked += run.model.questions();
        starts += 1;
        if matches!(report.end, RunEnd::Complete) {
            assert_eq!(report.snapshot.admitted, 200);
            break;
        }
        assert!(starts < 20, "the run does not come to its end");
    }
    assert_eq!(outputs(&root), outputs(&golden.root));
    assert!(starts > 3, "{starts} starts");
    assert!(asked <= 200 + 8 * (starts - 1), "{asked} questions for 200 items in {starts} starts");
    // A finished run opens, asks nothing, and reports that it is finished.
    let again = Run::new(&yaml, &root, Scripted::new(|_| Reply::Never));
    assert_eq!(again.open().unwrap().done.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn too_many_rejected_items_stop_the_run_with_the_reasons() {
    let dir = TempDir::new().unwrap();
    let model = Scripted::new(|_| Reply::error("content_filter", "refused"));
    let run = Run::new(&rows_pipeline(dir.path(), 1000, 4), &dir.path().join("out"), model);
    let report = run.run().await;
    let RunEnd::ErrorRateExceeded(over) = &report.end else { panic!("{:?}", report.end) };
    assert_eq!(over.why, "50 items in a row were rejected");
    assert_eq!(over.reasons[0].0, "llm: content_filter: refused");
    check_invariants(&run.root, &report);
    assert!(report.snapshot.rejected < 200, "{} rejected", report.snapshot.rejected);
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_stops_the_run_and_rejects_nothing() {
    let dir = TempDir::new().unwrap();
    let model = Scripted::new(|question| match question.prompt {
        "Tell me of topic 20." => Reply::fatal("auth", "the key is refused"),
        _ => Reply::text(json!({"answer": "fine"}).to_string()),
    });
    let run = Run::new(&rows_pipeline(dir.path(), 1000, 4), &dir.path().join("out"), model);
    let report = run.run().await;
    let RunEnd::Fatal(error) = &report.end else { panic!("{:?}", report.end) };
    assert_eq!((&*error.stage, error.class.as_str()), ("llm", "auth"));
    assert_eq!(report.snapshot.rejected, 0);
    check_invariants(&run.root, &report);
}

#[tokio::test(start_paused = true)]
async fn a_limit_covers_the_first_items_and_can_be_raised() {
    let dir = TempDir::new().unwrap();
    let yaml = rows_pipeline(dir.path(), 50, 4);
    let root = dir.path().join("out");
    for (limit, admitted) in [(Some(10), 10), (Some(30), 30), (None, 50)] {
        let mut run = Run::new(&yaml, &root, good());
        run.limit = limit;
        let report = run.run().await;
        assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
        assert_eq!(report.snapshot.admitted, admitted);
        check_invariants(&root, &report);
    }
}
