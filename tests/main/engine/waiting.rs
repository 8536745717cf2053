//! Retries that wait after a refusal: within a bound they block no other questions, and a run with them stops and
//! resumes like any other.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;
use synthmill::engine::{RunEnd, RunEvent, RunReport};
use synthmill::llm::scripted::Reply;
use synthmill::llm::{Completion, Model, ModelError, ModelRequest, Usage};
use synthmill::record::Record;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::engine::gates::Distinct;
use crate::engine::running::{Endless, good, insert, number_of};
use crate::harness::{Run, assert_same_outputs, check_invariants, outputs, rows_pipeline};

/// The timeout after which a run counts as hanging.
const LONG: Duration = Duration::from_secs(60);

/// A server that takes a while for each question and refuses some on the first attempt. Their retries wait until the
/// test releases them.
struct Server {
    refuses: fn(&Record) -> bool,
    inside: AtomicU64,
    /// The highest number of questions it had at a time.
    most: AtomicU64,
    refused: watch::Sender<u64>,
    answered: watch::Sender<u64>,
    goes_on: watch::Sender<bool>,
}

impl Server {
    fn new(refuses: fn(&Record) -> bool) -> Arc<Self> {
        Arc::new(Self {
            refuses,
            inside: AtomicU64::new(0),
            most: AtomicU64::new(0),
            refused: watch::Sender::new(0),
            answered: watch::Sender::new(0),
            goes_on: watch::Sender::new(false),
        })
    }

    async fn work(&self) {
        self.most.fetch_max(self.inside.fetch_add(1, SeqCst) + 1, SeqCst);
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        self.inside.fetch_sub(1, SeqCst);
    }

    /// Waits until this many were refused and this many answered.
    async fn has(&self, refused: u64, answered: u64) {
        self.refused.subscribe().wait_for(|count| *count >= refused).await.unwrap();
        self.answered.subscribe().wait_for(|count| *count >= answered).await.unwrap();
    }
}

impl Model for Server {
    fn provider(&self) -> &'static str {
        "scripted"
    }

    fn complete<'a>(
        &'a self,
        request: &'a ModelRequest,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Completion, ModelError>> {
        async move {
            self.work().await;
            if (self.refuses)(record) {
                self.refused.send_modify(|count| *count += 1);
                let slot = request.slot.as_ref().unwrap();
                slot.release();
                self.goes_on.subscribe().wait_for(|goes_on| *goes_on).await.unwrap();
                slot.reacquire().await;
                self.work().await;
            }
            self.answered.send_modify(|count| *count += 1);
            let text = json!({"answer": request.messages[0].content}).to_string();
            Ok(Completion { text, usage: Usage::of(1, 1), attempts: 1, ..Completion::default() })
        }
        .boxed()
    }
}

fn run_at(yaml: &str, root: &Path, server: &Arc<Server>) -> Run {
    let mut run = Run::new(yaml, root, good());
    run.connected = Some(Arc::clone(server) as Arc<dyn Model>);
    run
}

async fn ended(run: &Run) -> RunReport {
    tokio::time::timeout(LONG, run.run()).await.expect("the run comes to its end")
}

/// Runs with this many questions refused; they are released once all others are answered.
async fn all_others_are_answered(run: &Run, server: &Server, refused: u64, others: u64) -> RunReport {
    let others_first = async {
        let all = tokio::time::timeout(LONG, server.has(refused, others)).await;
        all.expect("those that wait keep the others from being asked");
        server.goes_on.send_replace(true);
    };
    let (report, ()) = tokio::join!(ended(run), others_first);
    assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
    check_invariants(&run.root, &report);
    assert_eq!(report.snapshot.waiting_to_retry, 0);
    report
}

#[tokio::test]
async fn waiting_retries_do_not_block_other_requests() {
    let dir = TempDir::new().unwrap();
    for (concurrency, max_in_flight) in [(1, 1), (4, 8), (8, 8)] {
        let server = Server::new(|record| number_of(record).is_multiple_of(3));
        let root = dir.path().join(concurrency.to_string()).join(max_in_flight.to_string());
        let mut run = run_at(&rows_pipeline(dir.path(), 300, concurrency), &root, &server);
        run.plan.max_in_flight = max_in_flight;
        let report = all_others_are_answered(&run, &server, 100, 200).await;
        assert_eq!(report.snapshot.ok, 300);
        assert_eq!(server.most.load(SeqCst), u64::from(concurrency), "all places are used, and never more");
    }
}

#[tokio::test]
async fn waiting_retries_block_no_others_in_blocks_or_behind_gates() {
    let dir = TempDir::new().unwrap();
    let rows = rows_pipeline(dir.path(), 200, 2);
    let (head, asking) = rows.split_once("  - prompt:").unwrap();
    let (asking, tail) = asking.split_once("  - split:").unwrap();
    let asking = format!("  - prompt:{asking}");
    let inner: String = asking.lines().map(|line| format!("      {line}\n")).collect();
    let block =
        "  - for_each:\n      in: 3\n      collect: {into: answers, fields: [answer]}\n      stages:\n";
    let nested =
        format!("{head}{block}{inner}  - set: {{answer: \"{{{{ answers | length }}}}\"}}\n  - split:{tail}");
    for (name, yaml, refuses, refused, others) in [
        ("gated", &rows, (|record| number_of(record).is_multiple_of(4)) as fn(&Record) -> bool, 50, 150),
        ("nested", &nested, |record| record.get("for_each").unwrap()["index"] == 1, 200, 400),
    ] {
        let server = Server::new(refuses);
        let mut run = run_at(yaml, &dir.path().join(name), &server);
        if name == "gated" {
            insert(&mut run, 1, "distinct", Distinct("topic"));
        }
        run.plan.max_in_flight = 2;
        let report = all_others_are_answered(&run, &server, refused, others).await;
        assert_eq!((report.snapshot.ok, server.most.load(SeqCst)), (200, 2), "{name}");
    }
}

/// However many are refused, no more items are in flight than allowed, and no more wait than the bound allows.
#[tokio::test]
async fn as_many_items_wait_as_the_bound_allows_and_then_admission_waits() {
    const MOST_WAITING: u64 = 8192;
    let dir = TempDir::new().unwrap();
    for (refuses, answered, lent) in [
        (
            (|record| !number_of(record).is_multiple_of(4)) as fn(&Record) -> bool,
            None,
            MOST_WAITING..=MOST_WAITING,
        ),
        // In an outage no other question is served; the last answers may follow the first refusals.
        (|record| number_of(record) >= 10, Some(10), 20..=24),
    ] {
        let server = Server::new(refuses);
        let root = dir.path().join(lent.start().to_string());
        let mut run = run_at(&rows_pipeline(dir.path(), 1, 4), &root, &server);
        let given = Arc::new(AtomicU64::new(0));
        run.plan.stages.remove(0);
        insert(&mut run, 0, "endless", Endless(Arc::clone(&given)));
        run.plan.max_in_flight = 20;
        run.plan.drain_timeout = 5.0;
        let (events, told) = async_channel::bounded(16);
        run.events = events;
        let most = AtomicU64::new(0);
        let watching = async {
            while let Ok(event) = told.recv().await {
                let RunEvent::Tick(snapshot) = event else { continue };
                most.fetch_max(snapshot.waiting_to_retry, SeqCst);
                // Those beyond the bound keep their room in the stage, and the others have not been asked.
                if snapshot.waiting_to_retry >= lent.start() + 4 {
                    run.stop.drain();
                }
            }
            unreachable!("the run's own sender is still there")
        };
        let report = tokio::select! { report = ended(&run) => report, report = watching => report };
        assert!(matches!(report.end, RunEnd::Interrupted), "{report:?}");
        check_invariants(&run.root, &report);
        let snapshot = &report.snapshot;
        assert!(lent.contains(&(most.load(SeqCst) - 4)), "{} wait", most.load(SeqCst));
        assert!(snapshot.in_flight <= lent.end() + 20, "{} in flight", snapshot.in_flight);
        assert!(answered.is_none_or(|answered| snapshot.ok == answered), "{}", snapshot.ok);
        // One waits for room, two in the channel of units, one held by the source.
        assert!(given.load(SeqCst) <= snapshot.admitted + 4, "the source does not go on");
    }
}

#[tokio::test]
async fn a_drain_awaits_waiting_retries_and_an_abort_does_not() {
    let dir = TempDir::new().unwrap();
    let yaml = rows_pipeline(dir.path(), 100, 4);
    let golden = Run::new(&yaml, &dir.path().join("golden"), good());
    golden.run().await;
    let refuses = |record: &Record| number_of(record).is_multiple_of(5);
    for aborts in [false, true] {
        let root = dir.path().join(format!("out-{aborts}"));
        let server = Server::new(refuses);
        let mut run = run_at(&yaml, &root, &server);
        let (events, told) = async_channel::bounded(16);
        run.events = events;
        let stopping = async {
            server.has(5, 20).await;
            match aborts {
                true => run.stop.abort(),
                false => run.stop.drain(),
            }
            while let Ok(event) = told.recv().await {
                if matches!(event, RunEvent::Draining) && !aborts {
                    server.goes_on.send_replace(true);
                }
            }
            unreachable!("the run's own sender is still there")
        };
        let report = tokio::select! { report = ended(&run) => report, report = stopping => report };
        check_invariants(&root, &report);
        assert!(matches!(report.end, RunEnd::Interrupted), "{report:?}");
        assert_eq!(report.snapshot.waiting_to_retry, 0);
        let in_flight = report.snapshot.in_flight;
        assert_eq!(in_flight >= 5, aborts, "{in_flight} in flight");
        let again = Run::new(&yaml, &root, good());
        let report = again.run().await;
        assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
        assert_eq!(again.model.questions(), 100 - *server.answered.borrow(), "only what was not answered");
        assert_same_outputs(&root, &golden.root);
    }
}

/// A waiting retry keeps its reservation in the budget and needs a slot to use it: a question that waits for the budget
/// must not hold that slot.
#[tokio::test]
async fn requests_waiting_for_the_budget_hold_no_slot() {
    let dir = TempDir::new().unwrap();
    let model = synthmill::llm::scripted::Scripted::new(|question| {
        let answer = Reply::text(json!({"answer": question.prompt}).to_string());
        if number_of(question.record).is_multiple_of(2) {
            answer.refused_for(Duration::from_millis(20))
        } else {
            answer
        }
    });
    let yaml = rows_pipeline(dir.path(), 20, 1)
        .replace("concurrency: 1", "concurrency: 1\n    params: {max_tokens: 10000}");
    let mut run = Run::new(&yaml, &dir.path().join("out"), model);
    // The budget has room for the worst case of one question at a time.
    run.plan.budget.max_tokens_total = Some(19_000);
    let report = ended(&run).await;
    assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
    assert_eq!((report.snapshot.ok, outputs(&run.root).values().map(Vec::len).sum::<usize>()), (20, 20));
}
