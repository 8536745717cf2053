//! The window of gates: a few slow items do not block others, and the number of waiting items is bounded.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::json;
use synthmill::engine::{RunEnd, RunEvent};
use synthmill::llm::scripted::{Reply, Scripted};
use synthmill::llm::{Completion, Model, ModelError, ModelRequest};
use synthmill::record::Record;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::engine::gates::{Distinct, pipeline};
use crate::engine::running::{good, insert, number_of};
use crate::harness::{Run, check_invariants, rows_pipeline};

/// Answers some items only after `wanted` questions were asked, and the others at once.
struct Slow {
    wanted: u64,
    asked: watch::Sender<u64>,
}

impl Model for Slow {
    fn provider(&self) -> &'static str {
        "scripted"
    }

    fn complete<'a>(
        &'a self,
        _: &'a ModelRequest,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Completion, ModelError>> {
        Box::pin(async move {
            self.asked.send_modify(|asked| *asked += 1);
            if number_of(record) % 170 == 37 {
                let _ = self.asked.subscribe().wait_for(|asked| *asked >= self.wanted).await;
            }
            Ok(Completion { text: "{\"answer\": \"yes\"}".into(), ..Completion::default() })
        })
    }
}

/// 59 of 64 slots are taken by items that finish only after all ten thousand were asked; items that wait for them block
/// no others.
#[tokio::test]
async fn a_few_slow_items_do_not_block_the_others() {
    const WANTED: u64 = 10_000;
    let dir = TempDir::new().unwrap();
    let mut run = Run::new(&rows_pipeline(dir.path(), 12_000, 64), &dir.path().join("out"), good());
    let model = Arc::new(Slow { wanted: WANTED, asked: watch::Sender::new(0) });
    run.connected = Some(Arc::clone(&model) as Arc<dyn Model>);
    run.plan.accept = Some(WANTED);
    let report = run.run().await;
    assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
    check_invariants(&run.root, &report);
    assert_eq!(report.snapshot.ok, WANTED);
    assert_eq!(*model.asked.borrow(), WANTED, "nothing is asked that is not needed");
    let window = report.snapshot.window.unwrap();
    assert!((9000..window.limit_records).contains(&window.most_records), "{window:?}");
}

#[tokio::test]
async fn a_full_window_stops_admission_until_the_awaited_item_is_done() {
    let dir = TempDir::new().unwrap();
    let mut run = Run::new(&rows_pipeline(dir.path(), 300, 4), &dir.path().join("out"), good());
    // A few hundred answers of half a megabyte fill the window; the first item finishes once it is full.
    let model = Arc::new(Large { asked: watch::Sender::new(0), is_full: watch::Sender::new(false) });
    run.connected = Some(Arc::clone(&model) as Arc<dyn Model>);
    run.plan.accept = Some(300);
    run.plan.max_in_flight = 8;
    let (events, told) = async_channel::bounded(16);
    run.events = events;
    let watching = async {
        while let Ok(event) = told.recv().await {
            if let RunEvent::Tick(snapshot) = event
                && snapshot.window.is_some_and(|window| window.bytes >= window.limit_bytes)
            {
                model.is_full.send_replace(true);
                return *model.asked.borrow();
            }
        }
        0
    };
    let (report, asked) = tokio::join!(run.run(), watching);
    assert!((60..=150).contains(&asked), "{asked} questions while the first item is not done");
    assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
    assert_eq!(report.snapshot.ok, 300);
    let window = report.snapshot.window.unwrap();
    assert!(window.bytes == 0 && window.records == 0, "{window:?}");
}

/// Answers of half a megabyte; that of the first item arrives once the test signals that the window is full.
struct Large {
    asked: watch::Sender<u64>,
    is_full: watch::Sender<bool>,
}

impl Model for Large {
    fn provider(&self) -> &'static str {
        "scripted"
    }

    fn complete<'a>(
        &'a self,
        _: &'a ModelRequest,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Completion, ModelError>> {
        Box::pin(async move {
            self.asked.send_modify(|asked| *asked += 1);
            if number_of(record) == 0 {
                let _ = self.is_full.subscribe().wait_for(|is_full| *is_full).await;
            }
            let text = json!({"answer": "x".repeat(500_000)}).to_string();
            Ok(Completion { text, ..Completion::default() })
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_stage_behind_a_gate_stops_admission() {
    let dir = TempDir::new().unwrap();
    let slow = Scripted::new(|question| match question.prompt.starts_with("Slowly") {
        true => Reply::text(question.prompt).after(Duration::from_secs(100)),
        false => Reply::text(json!({"answer": question.prompt}).to_string()),
    });
    let yaml = pipeline(&dir, 1000, 4).replace("      in: 3\n", "      in: 1\n");
    let slowly = "  - prompt: {id: slow, user: \"Slowly {{ said }}\", output: prompt-3}\n  \
        - llm: {id: third, model: other, input: prompt-3, output: more}\n";
    let yaml = yaml.replace("  - split:", &format!("{slowly}  - split:"));
    let other = "  other: {base_urls: [\"http://127.0.0.1:9/v1\"], model: scripted, concurrency: 4}\n";
    let yaml = yaml.replace("stages:\n  - ingest", &format!("{other}stages:\n  - ingest"));
    let mut run = Run::new(&yaml, &dir.path().join("out"), slow);
    run.plan.max_in_flight = 8;
    insert(&mut run, 5, "distinct", Distinct("answer"));
    let stop = run.stop.clone();
    let model = Arc::clone(&run.model);
    let asked = async {
        tokio::time::sleep(Duration::from_secs(1000)).await;
        stop.abort();
        model.questions()
    };
    let (report, asked) = tokio::join!(run.run(), asked);
    check_invariants(&run.root, &report);
    assert!(asked < 400, "{asked} questions, while the last stage has answered 40");
}
