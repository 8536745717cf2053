//! Blocks in flight: the same bytes at any concurrency, full use of a model's concurrency limit, panics, stopping.

use std::panic::panic_any;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use synthmill::config::PlannedStage;
use synthmill::engine::RunEnd;
use synthmill::llm::scripted::{Reply, Scripted, ScriptedQuestion};
use synthmill::llm::{Completion, Model, ModelError, ModelRequest};
use synthmill::pipeline::CheckContext;
use synthmill::record::Record;
use synthmill::stage::{
    BuildContext, BuildError, Processor, StageConfig, StageError, Transform, TransformOutput,
};
use synthmill::stages;
use tempfile::TempDir;

use crate::harness::model_server::{ModelServer, Reply as HttpReply};
use crate::harness::{Run, check_invariants, outputs, provenance_lines, synthmill};

/// Returns a pipeline with `stages`, and a model if they need one.
pub(crate) fn pipeline(items: usize, concurrency: u32, stages: &str) -> String {
    let model =
        format!("{{base_urls: [\"http://127.0.0.1:9/v1\"], model: scripted, concurrency: {concurrency}}}");
    let models = match stages.contains("model: teacher") {
        true => format!("models:\n  teacher: {model}\n"),
        false => String::new(),
    };
    format!(
        "name: nested\nseed: 7\nerror_budget: {{share: 1.0}}\n{models}stages:\n  - generate: {{count: \
         {items}}}\n{stages}\n  - sink: {{path: out.jsonl, format: raw, fields: [record_id]}}\n  - sink: {{path: \
         all.jsonl, format: raw}}\n"
    )
}

/// Loops, joins and separate elements, with reprompts, fallbacks and every possible failure.
const EVERYTHING: &str = r#"
  - set: {text: "item {{ row }}", tags: {expr: "range(row % 4)"}}
  - repeat:
      id: evolve
      times: 3
      on_fail: skip
      keep: all
      stages:
        - prompt: {user: "evolve {{ repeat.pass }} {{ text }}"}
        - llm: {model: teacher, params: {seed: per_record}}
        - parse:
            schema: {type: object, required: [text], properties: {text: {type: string}}}
            on_error: [{retry: 2}, reject]
        - for_each:
            id: votes
            in: 5
            as: vote
            at_least: 2
            collect: {into: votes, fields: [score]}
            stages:
              - prompt: {user: "vote {{ vote }} {{ repeat.pass }} {{ text }}"}
              - llm: {id: judge, model: teacher, output: score}
              - filter: {keep_if: "score | length > 3", reason: short}
  - for_each:
      id: each
      in: tags
      as: tag
      stages:
        - repeat:
            id: refine
            times: tag + 1
            while: "row != 9"
            on_fail: stop
            stages:
              - prompt: {user: "refine {{ tag }} {{ repeat.pass }} {{ text }}"}
              - llm: {model: teacher, output: text}
"#;

/// A model that fails or is slow depending on the question, never on the time.
fn moody() -> Scripted {
    Scripted::new(|question: ScriptedQuestion<'_>| {
        let number = question.prompt.bytes().fold(7_u64, |sum, byte| sum * 31 % 1009 + u64::from(byte));
        let text = format!("{}{number}", &question.prompt[..question.prompt.len().min(12)]);
        let answer = Reply::text(json!({ "text": text }).to_string());
        match number % 11 {
            0 => Reply::error("context_length", "too long"),
            1 => Reply::text("no JSON here"),
            2 => Reply::text("no"),
            3 | 4 => answer.after(Duration::from_millis(number)),
            _ => answer,
        }
    })
}

/// Returns the sorted lines of `provenance/`.
pub(crate) fn provenance(root: &Path) -> Vec<String> {
    let text = provenance_lines(root);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test(start_paused = true)]
async fn equal_bytes_at_concurrency_1_and_64_with_a_moody_model() {
    let dir = TempDir::new().unwrap();
    let mut all = Vec::new();
    for concurrency in [1, 64] {
        let root = dir.path().join(concurrency.to_string());
        let run = Run::new(&pipeline(60, concurrency, EVERYTHING), &root, moody());
        let report = run.run().await;
        assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
        check_invariants(&run.root, &report);
        let skipped: u64 = report.snapshot.stages.iter().map(|row| row.skipped).sum();
        let found = (report.snapshot.ok > 20, report.snapshot.dropped > 5, skipped > 50);
        assert_eq!(found, (true, true, true), "{:?}", report.snapshot);
        all.push((outputs(&root), provenance(&root), report.snapshot.requests, skipped));
    }
    for (one, other) in all[0].1.iter().zip(&all[1].1) {
        assert_eq!(one, other);
    }
    assert!(all[0] == all[1], "sorted outputs differ");
}

/// A model that counts concurrent questions; each takes a second.
#[derive(Default)]
struct Counting {
    now: AtomicUsize,
    most: AtomicUsize,
    asked: AtomicUsize,
}

impl Model for Counting {
    fn provider(&self) -> &'static str {
        "counting"
    }

    fn complete<'a>(
        &'a self,
        _: &'a ModelRequest,
        _: &'a Record,
    ) -> BoxFuture<'a, Result<Completion, ModelError>> {
        async move {
            self.asked.fetch_add(1, SeqCst);
            let now = self.now.fetch_add(1, SeqCst) + 1;
            self.most.fetch_max(now, SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.now.fetch_sub(1, SeqCst);
            Ok(Completion { text: "yes".into(), attempts: 1, ..Completion::default() })
        }
        .boxed()
    }
}

/// Runs `items` through `stages`; asserts the number of questions, and `most` concurrent ones.
async fn check_most(items: usize, concurrency: u32, stages: &str, asked: usize, most: usize) {
    let dir = TempDir::new().unwrap();
    let yaml = pipeline(items, concurrency, stages);
    let mut run = Run::new(&yaml, &dir.path().join("out"), Scripted::rules(Vec::new()));
    let model = Arc::new(Counting::default());
    run.connected = Some(Arc::clone(&model) as Arc<dyn Model>);
    let report = run.run().await;
    assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
    let found = (model.asked.load(SeqCst), model.most.load(SeqCst));
    assert_eq!(found, (asked, most), "{items} items at {concurrency} in {stages}");
}

/// Returns a `for_each` over this many elements with the stages `inside`.
fn samples(id: &str, count: usize, inside: &str) -> String {
    format!(
        "  - for_each: {{id: {id}, in: {count}, as: {id}_n, collect: {{into: {id}_all, fields: [{id}_n]}}, \
         stages: [{inside}]}}"
    )
}

const ONE: &str = "{prompt: {user: a}}, {llm: {model: teacher}}";
const TWO: &str =
    "{prompt: {user: a}}, {llm: {model: teacher}}, {prompt: {user: b}}, {llm: {id: judge, model: teacher}}";

#[tokio::test(start_paused = true)]
async fn samples_of_one_item_use_the_whole_concurrency_limit_and_no_more() {
    let nested =
        format!("{{for_each: {{in: 8, as: b, collect: {{into: d, fields: [b]}}, stages: [{ONE}]}}}}");
    let looped = format!("{{repeat: {{times: 3, stages: [{TWO}]}}}}");
    check_most(1, 64, &samples("a", 64, ONE), 64, 64).await;
    check_most(1, 64, &samples("a", 8, &nested), 64, 64).await;
    check_most(1, 7, &samples("a", 64, ONE), 64, 7).await;
    check_most(20, 7, &samples("a", 8, &nested), 1280, 7).await;
    check_most(30, 7, &samples("a", 5, &looped), 900, 7).await;
    check_most(3, 64, &samples("a", 64, &looped), 1152, 64).await;
    // Stages that share a model share its slots, in blocks, outside and across blocks.
    let plain = "\n  - prompt: {user: a}\n  - llm: {id: plain, model: teacher}\n";
    let neighbours = [&samples("a", 9, ONE), plain, &samples("b", 9, TWO)].concat();
    check_most(20, 7, &neighbours, 20 * (9 + 1 + 18), 7).await;
    check_most(20, 64, &neighbours, 20 * (9 + 1 + 18), 64).await;
}

#[tokio::test(start_paused = true)]
async fn at_most_256_elements_of_a_record_run_at_a_time() {
    check_most(1, 1000, &samples("a", 1000, ONE), 1000, 256).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_element_does_not_delay_later_ones() {
    let dir = TempDir::new().unwrap();
    let waits = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&waits);
    // The first element takes an hour, the others a second each.
    let model = Scripted::new(move |question: ScriptedQuestion<'_>| {
        asked.fetch_add(1, SeqCst);
        match question.prompt {
            "0" => Reply::text("last").after(Duration::from_secs(3600)),
            _ => Reply::text("yes").after(Duration::from_secs(1)),
        }
    });
    let stages = samples("a", 1000, "{prompt: {user: \"{{ a_n }}\"}}, {llm: {model: teacher}}");
    let run = Run::new(&pipeline(1, 64, &stages), &dir.path().join("out"), model);
    let observed = Arc::clone(&waits);
    let before_the_hour = async move {
        tokio::time::sleep(Duration::from_secs(600)).await;
        observed.load(SeqCst)
    };
    let (report, asked) = tokio::join!(run.run(), before_the_hour);
    assert_eq!(asked, 1000, "elements wait for the first");
    assert_eq!(report.snapshot.ok, 1);
    let line: Value = serde_json::from_str(&outputs(&run.root)["all.jsonl"][0]).unwrap();
    let order: Vec<u64> =
        line["a_all"].as_array().unwrap().iter().map(|entry| entry["index"].as_u64().unwrap()).collect();
    assert_eq!(order, (0..1000).collect::<Vec<u64>>());
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_is_reported_while_other_elements_are_in_flight() {
    let dir = TempDir::new().unwrap();
    let model = Scripted::new(|question: ScriptedQuestion<'_>| match question.prompt {
        "0" => Reply::text("late").after(Duration::from_secs(3600)),
        "1" => Reply::fatal("auth", "no such key"),
        _ => Reply::text("yes"),
    });
    let stages = samples("a", 3, "{prompt: {user: \"{{ a_n }}\"}}, {llm: {model: teacher}}");
    let run = Run::new(&pipeline(1, 64, &stages), &dir.path().join("out"), model);
    let begin = tokio::time::Instant::now();
    let report = run.run().await;
    assert!(matches!(report.end, RunEnd::Fatal(_)), "{report:?}");
    assert!(begin.elapsed() < Duration::from_secs(60), "it waits for the others");
}

#[test]
fn all_samples_of_one_item_are_requested_at_once_within_the_concurrency_limit() {
    let run = |items: usize, concurrency: u32, stages: &str, delay: u64| {
        let most = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&most);
        let server = ModelServer::start(move |question| {
            seen.fetch_max(question.load + 1, SeqCst);
            HttpReply::answer("yes").after(Duration::from_millis(delay))
        });
        let dir = TempDir::new().unwrap();
        let yaml = pipeline(items, concurrency, stages).replace("http://127.0.0.1:9/v1", &server.url);
        std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
        synthmill(dir.path(), &["run", "p.yaml", "--out", "out"], 0);
        (server.questions().len(), most.load(SeqCst))
    };
    assert_eq!(run(1, 64, &samples("a", 64, ONE), 2000), (64, 64));
    let (asked, most) = run(12, 5, &[&samples("a", 9, ONE), "\n", &samples("b", 9, TWO)].concat(), 5);
    assert_eq!(asked, 12 * 27);
    assert!(most <= 5, "{most} at a time");
}

/// A stage that panics for some records.
struct Panics;

impl StageConfig for Panics {
    fn check(&self, _: &mut CheckContext<'_>) {}

    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        Ok(Processor::Transform(Box::new(Self)))
    }
}

impl Transform for Panics {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        record.set("half", "made");
        if record.id.item.is_multiple_of(5) {
            panic_any("the stage's own fault");
        }
        Ok(TransformOutput::Pass)
    }
}

/// A stage that counts the records it sees.
struct Counts(Arc<AtomicUsize>);

impl StageConfig for Counts {
    fn check(&self, _: &mut CheckContext<'_>) {}

    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        Ok(Processor::Transform(Box::new(Self(Arc::clone(&self.0)))))
    }
}

impl Transform for Counts {
    fn process(&self, _: &mut Record) -> Result<TransformOutput, StageError> {
        self.0.fetch_add(1, SeqCst);
        Ok(TransformOutput::Pass)
    }
}

/// Appends a stage to the block at `at`.
fn insert(run: &mut Run, at: usize, declared: impl StageConfig + 'static) {
    let path = format!("{}/wild", run.plan.stages[at].id);
    let kind = stages::find("set").unwrap();
    let declared = Box::new(declared);
    let stage = PlannedStage { id: path.into(), kind, when: None, declared, inner: Vec::new() };
    run.plan.stages[at].inner.push(stage);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_block_rejects_that_record_alone() {
    let block = |options: &str| {
        format!("  - sink: {{path: before.jsonl, format: raw, fields: [row]}}\n  - {options}\n")
    };
    // (block, items rejected, elements skipped)
    for (options, rejected, skipped) in [
        ("repeat: {id: a, times: 2, stages: [set: {n: {expr: repeat.pass}}]}", 4, 0),
        ("repeat: {id: a, times: 2, on_fail: stop, stages: [set: {n: {expr: repeat.pass}}]}", 0, 4),
        ("for_each: {id: a, in: 3, as: n, stages: [set: {m: {expr: n}}]}", 0, 0),
        (
            "for_each: {id: a, in: 3, as: n, collect: {into: l, fields: [n]}, at_least: 0, stages: [set: {m: {expr: n}}]}",
            0,
            12,
        ),
    ] {
        let dir = TempDir::new().unwrap();
        let yaml = pipeline(20, 4, &block(options));
        let mut run = Run::new(&yaml, &dir.path().join("out"), Scripted::rules(Vec::new()));
        insert(&mut run, 2, Panics);
        let report = run.run().await;
        assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
        check_invariants(&run.root, &report);
        let snapshot = &report.snapshot;
        let row = snapshot.stages.iter().find(|row| &*row.stage == "a").unwrap();
        // The output of the sink before the block makes each item ok.
        assert_eq!((snapshot.ok, row.skipped), (20, skipped), "{options}");
        let files = outputs(&run.root);
        assert_eq!(files["before.jsonl"].len(), 20, "{options}");
        let of_loops =
            if options.starts_with("for_each") && options.contains("as: n, stages") { 12 } else { rejected };
        assert_eq!(files.get("rejected.jsonl").map_or(0, Vec::len), of_loops, "{options}");
        for line in files.get("rejected.jsonl").into_iter().flatten() {
            let line: Value = serde_json::from_str(line).unwrap();
            let told = (&line["stage"], &line["class"], &line["record"]["half"]);
            assert_eq!(told, (&json!("a/wild"), &json!("panic"), &json!("made")), "{options}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_endless_loop_blocks_neither_other_items_nor_an_abort() {
    let dir = TempDir::new().unwrap();
    let stages = "  - repeat: {times: 4000000000, stages: [set: {n: {expr: repeat.pass}}]}\n";
    let mut run = Run::new(&pipeline(1, 1, stages), &dir.path().join("out"), Scripted::rules(Vec::new()));
    let passes = Arc::new(AtomicUsize::new(0));
    insert(&mut run, 1, Counts(Arc::clone(&passes)));
    let stop = run.stop.clone();
    let stopper = async move {
        while passes.load(SeqCst) < 1000 {
            tokio::task::yield_now().await;
        }
        stop.abort();
    };
    let (report, ()) = tokio::join!(run.run(), stopper);
    assert!(matches!(report.end, RunEnd::Interrupted), "{report:?}");
    assert_eq!(report.snapshot.in_flight, 1);
}
