//! Ordered gates: decisions over several items are the same at any concurrency, after any stop, and after items are
//! made again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use synthmill::engine::{RunEnd, RunReport};
use synthmill::journal;
use synthmill::journal::disk::RealDisk;
use synthmill::llm::carry_batches;
use synthmill::llm::scripted::{Reply, Scripted};
use synthmill::pipeline::CheckContext;
use synthmill::record::Record;
use synthmill::stage::{
    BuildContext, BuildError, Gate, GateDecider, GateDecision, Processor, StageConfig, StageError,
};
use tempfile::TempDir;

use crate::engine::running::{good, insert, number_of};
use crate::harness::{Run, check_invariants, outputs, rows_pipeline};

/// A gate that passes the first record with each value of a field.
pub(crate) struct Distinct(pub(crate) &'static str);

impl StageConfig for Distinct {
    fn check(&self, _: &mut CheckContext<'_>) {}

    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        Ok(Processor::Gate(Box::new(Self(self.0))))
    }
}

impl Gate for Distinct {
    fn key(&self, record: &Record) -> Result<Vec<u8>, StageError> {
        let key = record.text(self.0).ok_or_else(|| StageError::new("field", "no such field"))?;
        Ok(key.as_bytes().to_vec())
    }

    fn decider(&self) -> Box<dyn GateDecider> {
        Box::new(Seen::default())
    }
}

#[derive(Default)]
struct Seen(BTreeMap<Vec<u8>, u64>);

impl GateDecider for Seen {
    fn decide(&mut self, item: u64, keys: &[&[u8]]) -> Vec<GateDecision> {
        let mut verdicts = Vec::new();
        for key in keys {
            verdicts.push(match self.0.get(*key) {
                Some(first) => GateDecision::Drop { reason: "duplicate".into(), in_favour_of: *first },
                None => {
                    self.0.insert(key.to_vec(), item);
                    GateDecision::Keep
                }
            });
        }
        verdicts
    }

    fn remember(&mut self, item: u64, key: &[u8]) {
        self.0.insert(key.to_vec(), item);
    }
}

/// Rows in three variants each, with a question before and after the gate.
pub(crate) fn pipeline(dir: &TempDir, rows: usize, concurrency: u32) -> String {
    let yaml = rows_pipeline(dir.path(), rows, concurrency);
    let variants = "  - for_each:\n      in: 3\n      as: variant\n      stages: [{set: {kept: true}}]\n";
    let again = "  - prompt: {id: again, user: \"Once more: {{ answer }}\", output: prompt-2}\n  \
        - llm: {id: second, model: teacher, input: prompt-2, output: said}\n";
    let yaml = yaml.replace("  - prompt:", &format!("{variants}  - prompt:"));
    let yaml = yaml.replace("Tell me of {{ topic }}.", "Tell me of {{ topic }}, variant {{ variant }}.");
    yaml.replace("  - split:", &format!("{again}  - split:"))
}

/// Answers that several items share; some items have none, and later ones arrive sooner.
fn model() -> Scripted {
    Scripted::new(|question| {
        let number = number_of(question.record);
        if question.prompt.starts_with("Once more") {
            return Reply::text(question.prompt).after(Duration::from_millis(number % 13));
        }
        let variant = question.record.get("variant").and_then(Value::as_u64).unwrap_or_default();
        match number % 11 {
            3 => Reply::error("content_filter", "refused"),
            _ => {
                let answer = json!({"answer": format!("{}", (number * 7 + variant * 3) % 40)});
                Reply::text(answer.to_string()).after(Duration::from_millis(900 - number))
            }
        }
    })
}

fn gated(dir: &TempDir, root: &str, concurrency: u32, model: Scripted) -> Run {
    let mut run = Run::new(&pipeline(dir, 200, concurrency), &dir.path().join(root), model);
    run.plan.error_budget.share = 1.0;
    insert(&mut run, 5, "distinct", Distinct("answer"));
    run
}

fn complete(run: &Run, report: &RunReport) -> BTreeMap<String, Vec<String>> {
    assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
    check_invariants(&run.root, report);
    outputs(&run.root)
}

/// Changes a line of an item, in the file that its split selected.
fn damage(root: &Path, item: u64) {
    let (good, bad) = (format!("topic {item}\""), "topic X\"");
    for file in ["train.jsonl", "test.jsonl"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        if text.contains(&good) {
            std::fs::write(root.join(file), text.replacen(&good, bad, 1)).unwrap();
            return;
        }
    }
    panic!("item {item} was not written");
}

#[tokio::test(start_paused = true)]
async fn decisions_do_not_depend_on_arrivals_or_stops() {
    let dir = TempDir::new().unwrap();
    let run = gated(&dir, "one", 1, model());
    let golden = complete(&run, &run.run().await);
    let second = run.model.questions() - 600;
    let written = golden.iter().filter(|(file, _)| *file != "rejected.jsonl").map(|(_, lines)| lines.len());
    assert_eq!(written.sum::<usize>(), 40);
    assert_eq!(second, 40, "only what was let through is asked on");
    let run = gated(&dir, "many", 64, model());
    assert!(complete(&run, &run.run().await) == golden, "what is kept depends on arrival");
    for start in 0.. {
        let run = gated(&dir, "stopped", 16, model());
        let stop = run.stop.clone();
        // Later starts last longer, so that each gets further.
        let stopper = async {
            tokio::time::sleep(Duration::from_millis(600 + 200 * start)).await;
            stop.abort();
            std::future::pending::<()>().await;
        };
        let report = tokio::select! { report = run.run() => report, () = stopper => unreachable!() };
        if matches!(report.end, RunEnd::Complete) {
            assert!(start > 3, "never stopped");
            assert!(complete(&run, &report) == golden, "what is kept depends on stops");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_decides_complete_items_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let run = gated(&dir, "golden", 1, model());
    let golden = complete(&run, &run.run().await);
    let mut run = gated(&dir, "drained", 16, model());
    run.plan.drain_timeout = 3600.0;
    let stop = run.stop.clone();
    let stopper = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        stop.drain();
        // The clock would jump to the end of the drain while the journal writes, so it advances in small steps.
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let report = tokio::select! {
        report = run.run() => report,
        () = stopper => unreachable!(),
    };
    assert!(matches!(report.end, RunEnd::Interrupted), "{report:?}");
    assert_eq!(report.snapshot.in_flight, 0, "all that was admitted has been decided");
    for (file, lines) in outputs(&run.root) {
        assert!(lines.iter().all(|line| golden[&file].contains(line)), "{file}");
    }
    let run = gated(&dir, "drained", 16, model());
    assert!(complete(&run, &run.run().await) == golden);
}

#[tokio::test(start_paused = true)]
async fn repairing_an_item_also_removes_those_dropped_in_its_favour() {
    let dir = TempDir::new().unwrap();
    // In two starts, so that the item is not in the last commit, which could pass for a torn one.
    let mut first = gated(&dir, "out", 8, model());
    first.limit = Some(100);
    first.run().await;
    let run = gated(&dir, "out", 8, model());
    let golden = complete(&run, &run.run().await);
    damage(&run.root, 2);
    let repaired = journal::repair(Arc::new(RealDisk), &run.root, carry_batches).unwrap();
    assert!(repaired.items.contains(&2), "{repaired:?}");
    // Whether they are undone for its sake or were committed with it depends on how commits came together.
    let undone: Vec<u64> = repaired.items.iter().chain(&repaired.dependents).copied().collect();
    let answers_of = |number: u64| (0..3).map(move |variant| (number * 7 + variant * 3) % 40);
    let lost =
        |number: &u64| number % 11 != 3 && answers_of(*number).any(|one| answers_of(2).any(|own| own == one));
    let missed: Vec<u64> = (3..200).filter(lost).filter(|number| !undone.contains(number)).collect();
    assert!(missed.is_empty(), "{missed:?} lost to 2, and stand: {repaired:?}");
    let run = gated(&dir, "out", 8, model());
    assert!(complete(&run, &run.run().await) == golden, "made again as it was");
}

#[tokio::test(start_paused = true)]
async fn retried_items_come_late_and_lose_to_kept_ones() {
    let dir = TempDir::new().unwrap();
    let run = gated(&dir, "out", 8, model());
    let before = complete(&run, &run.run().await);
    journal::retry_rejected(Arc::new(RealDisk), &run.root, &[], carry_batches).unwrap();
    // This time they are answered: item 3 like item 0, item 14 like no other.
    let answers = Scripted::new(|question| {
        if question.prompt.starts_with("Once more") {
            return Reply::text(question.prompt);
        }
        let number = number_of(question.record);
        let answer = if number == 14 { "new".to_owned() } else { "0".to_owned() };
        Reply::text(json!({"answer": answer}).to_string())
    });
    let run = gated(&dir, "out", 8, answers);
    let report = run.run().await;
    let after = complete(&run, &report);
    let lines = |outputs: &BTreeMap<String, Vec<String>>| -> Vec<String> {
        let sinks = outputs.iter().filter(|(file, _)| *file != "rejected.jsonl");
        sinks.flat_map(|(_, lines)| lines.clone()).collect()
    };
    let new: Vec<String> = lines(&after).into_iter().filter(|line| !lines(&before).contains(line)).collect();
    assert!(new.len() == 1 && new[0].contains("topic 14\""), "{new:?}");
    assert!(lines(&before).iter().all(|line| lines(&after).contains(line)), "what was kept stays");
}

/// A gate that panics.
struct Broken;

impl StageConfig for Broken {
    fn check(&self, _: &mut CheckContext<'_>) {}

    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        Ok(Processor::Gate(Box::new(Self)))
    }
}

impl Gate for Broken {
    fn key(&self, _: &Record) -> Result<Vec<u8>, StageError> {
        Ok(Vec::new())
    }

    fn decider(&self) -> Box<dyn GateDecider> {
        Box::new(Self)
    }
}

impl GateDecider for Broken {
    fn decide(&mut self, item: u64, keys: &[&[u8]]) -> Vec<GateDecision> {
        assert!(item < 7, "the gate's own fault");
        vec![GateDecision::Keep; keys.len()]
    }

    fn remember(&mut self, _: u64, _: &[u8]) {}
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_gate_ends_the_run_and_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("out");
    let broken = || {
        let mut run = Run::new(&rows_pipeline(dir.path(), 30, 4), &root, good());
        insert(&mut run, 5, "broken", Broken);
        run
    };
    let report = broken().run().await;
    let RunEnd::Fatal(error) = &report.end else { panic!("{report:?}") };
    assert_eq!((&*error.stage, &*error.class), ("broken", "panic"));
    check_invariants(&root, &report);
    assert!(report.snapshot.ok <= 7 && report.snapshot.rejected == 0, "{:?}", report.snapshot);
    let again = broken();
    again.run().await;
    // Questions in flight in the four slots when the run ended are asked again.
    assert!(again.model.questions() + report.snapshot.requests <= 34, "an answer was lost");
}

#[tokio::test(start_paused = true)]
async fn accepted_items_are_the_same_after_a_repair() {
    let dir = TempDir::new().unwrap();
    let accepting = |root: &str| {
        let mut run = Run::new(&rows_pipeline(dir.path(), 100, 8), &dir.path().join(root), good());
        run.plan.accept = Some(30);
        run
    };
    let run = accepting("out");
    let golden = complete(&run, &run.run().await);
    damage(&run.root, 4);
    journal::repair(Arc::new(RealDisk), &run.root, carry_batches).unwrap();
    let run = accepting("out");
    assert!(complete(&run, &run.run().await) == golden);
}

#[tokio::test(start_paused = true)]
async fn records_that_skip_a_gate_are_not_compared() {
    let dir = TempDir::new().unwrap();
    let same = Scripted::new(|_| Reply::text(json!({"answer": "same"}).to_string()));
    let mut run = Run::new(&rows_pipeline(dir.path(), 20, 4), &dir.path().join("out"), same);
    insert(&mut run, 4, "distinct", Distinct("answer"));
    let when = "topic in ['topic 3', 'topic 5', 'topic 7']";
    run.plan.stages[4].when = Some(when.to_owned());
    let report = run.run().await;
    complete(&run, &report);
    assert_eq!((report.snapshot.ok, report.snapshot.dropped), (18, 2), "of the three one is kept");
}

/// The rejects before the last accepted item too, though none is missing.
#[tokio::test(start_paused = true)]
async fn rejected_items_among_accepted_ones_are_the_same_after_repair() {
    let dir = TempDir::new().unwrap();
    let accepting = |limit: Option<u64>| {
        let model = Scripted::new(|question| {
            let reply = match number_of(question.record) % 5 {
                3 => Reply::error("content_filter", "refused"),
                _ => Reply::text(json!({"answer": "yes"}).to_string()),
            };
            reply.after(Duration::from_millis(300))
        });
        let mut run = Run::new(&rows_pipeline(dir.path(), 100, 1), &dir.path().join("out"), model);
        run.plan.error_budget.share = 1.0;
        run.plan.accept = Some(30);
        run.limit = limit;
        run
    };
    // Two starts, so that the first items have commits that the others are not in.
    accepting(Some(32)).run().await;
    let run = accepting(None);
    let golden = complete(&run, &run.run().await);
    assert_eq!(golden["rejected.jsonl"].len(), 7);
    let path = run.root.join("rejected.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("topic 33\"", "topic XX\"", 1)).unwrap();
    let repaired = journal::repair(Arc::new(RealDisk), &run.root, carry_batches).unwrap();
    assert!(repaired.items.contains(&33), "{:?}", repaired.items);
    assert!(repaired.items.iter().all(|item| *item >= 32), "{:?}", repaired.items);
    let run = accepting(None);
    assert!(complete(&run, &run.run().await) == golden);
}
