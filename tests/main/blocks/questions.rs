//! Several questions about one record: each has its own id, key and seed, and answers survive a stop between them.

use std::time::Duration;

use serde_json::{Map, Value, json};
use synthmill::config::PlannedStage;
use synthmill::engine::RunEnd;
use synthmill::llm::scripted::{Reply, Scripted, ScriptedQuestion};
use synthmill::llm::{Completion, Message, ModelRequest};
use synthmill::pipeline::CheckContext;
use synthmill::record::Record;
use synthmill::stage::{
    AnswerError, AnswerParser, Ask, BuildContext, BuildError, Collect, ForEachBlock, OnError, Processor,
    QuestionSet, StageConfig, StageError, Transform, TransformOutput,
};
use synthmill::stages;
use tempfile::TempDir;

use super::in_flight::{pipeline, provenance};
use crate::harness::{Run, check_invariants, outputs, stdout, synthmill};

const VOTES: usize = 5;

/// A stage that asks the same question several times and joins the answers.
struct Votes;

impl StageConfig for Votes {
    fn check(&self, _: &mut CheckContext<'_>) {}

    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        let collect = Collect { into: "votes".into(), fields: vec!["vote".into()], at_least: 0 };
        Ok(Processor::Questions(Box::new(QuestionSet {
            questions: Box::new(Questions(collect)),
            ask: Box::new(Self),
            parser: Box::new(Self),
            fold: Box::new(Self),
        })))
    }
}

struct Questions(Collect);

impl ForEachBlock for Questions {
    fn elements(&self, _: &Record) -> Result<Vec<Value>, StageError> {
        Ok((0..VOTES).map(Value::from).collect())
    }

    fn element_field(&self) -> &'static str {
        "voting"
    }

    fn collect(&self) -> Option<&Collect> {
        Some(&self.0)
    }
}

impl Ask for Votes {
    fn model(&self) -> &'static str {
        "teacher"
    }

    fn request(&self, record: &Record) -> Result<ModelRequest, StageError> {
        let messages = vec![Message::new("user", record.text("text").unwrap_or_default())];
        let params = Map::from_iter([("seed".to_owned(), json!("per_record"))]);
        Ok(ModelRequest { messages, params, ..ModelRequest::default() })
    }

    fn accept(&self, record: &mut Record, completion: &Completion, _: &str) {
        record.set("answer", completion.text.as_str());
    }
}

impl AnswerParser for Votes {
    fn schema(&self) -> Option<&Value> {
        None
    }

    fn on_error(&self) -> &[OnError] {
        &[OnError::Retry(1)]
    }

    fn answer_text<'a>(&self, record: &'a Record) -> Result<&'a str, StageError> {
        Ok(record.text("answer").unwrap_or_default())
    }

    fn parse(&self, text: &str) -> Result<Value, StageError> {
        text.parse::<u64>().map(Value::from).map_err(|_| StageError::new("no_number", text))
    }

    fn may_take_long(&self, _: &str) -> bool {
        false
    }

    fn store(&self, record: &mut Record, value: Value) -> Result<(), AnswerError> {
        record.set("vote", value);
        Ok(())
    }
}

impl Transform for Votes {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        let votes = record.fields.shift_remove("votes").unwrap_or_default();
        let votes: Vec<Value> =
            votes.as_array().into_iter().flatten().map(|one| one["index"].clone()).collect();
        match votes.len() {
            0 => Ok(TransformOutput::Drop("no_votes".into())),
            _ => {
                record.set("voted", votes);
                Ok(TransformOutput::Pass)
            }
        }
    }
}

/// A run over `items` items, each with several questions of the same text.
fn run(items: usize, concurrency: u32, dir: &TempDir, name: &str, model: Scripted) -> Run {
    let before =
        "  - set: {text: \"item {{ row }}\"}\n  - llm: {model: teacher, input: text, when: row < 0}\n";
    let mut run = Run::new(&pipeline(items, concurrency, before), &dir.path().join(name), model);
    let kind = stages::find("set").unwrap();
    let stage =
        PlannedStage { id: "votes".into(), kind, when: None, declared: Box::new(Votes), inner: Vec::new() };
    run.plan.stages.insert(3, stage);
    run
}

/// Answers depend on the seed, which differs between the questions of a record.
fn by_seed(question: ScriptedQuestion<'_>) -> Reply {
    let seed = question.request.params["seed"].as_u64().unwrap();
    let asked = &question.request.messages[0].content;
    match seed % 4 {
        // All answers about some records are invalid.
        _ if asked.ends_with('3') => Reply::text("none"),
        0 => Reply::text("none").after(Duration::from_millis(seed % 13)),
        _ => Reply::text(seed.to_string()).after(Duration::from_millis(seed % 7)),
    }
}

#[tokio::test(start_paused = true)]
async fn questions_have_ids_of_their_own_and_failed_ones_are_left_out() {
    let dir = TempDir::new().unwrap();
    let mut all = Vec::new();
    for concurrency in [1, 64] {
        let run = run(40, concurrency, &dir, &concurrency.to_string(), Scripted::new(by_seed));
        let report = run.run().await;
        assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
        check_invariants(&run.root, &report);
        let snapshot = &report.snapshot;
        assert_eq!((snapshot.ok, snapshot.dropped, snapshot.rejected), (36, 4, 0));
        let row = |stage: &str| snapshot.stages.iter().find(|row| &*row.stage == stage).unwrap();
        assert_eq!(row("votes/ask").received, 40 * VOTES as u64);
        assert!(row("votes").skipped > 20, "{}", row("votes").skipped);
        all.push((outputs(&run.root), provenance(&run.root)));
    }
    assert_eq!(all[0], all[1]);
    let first: Value = serde_json::from_str(&all[0].1[0]).unwrap();
    let calls = first["calls"].as_array().unwrap();
    for (index, call) in calls.iter().enumerate() {
        assert_eq!(call["stage"], "votes/ask");
        assert_eq!(call["asked_as"], format!("000000.votes-{index}"));
    }
    assert_eq!(calls.len(), VOTES);
    for line in &all[0].0["all.jsonl"] {
        let record: Value = serde_json::from_str(line).unwrap();
        let fields: Vec<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(!["voting", "for_each", "answer", "vote", "votes"].iter().any(|name| fields.contains(name)));
        assert!((1..=VOTES).contains(&record["voted"].as_array().unwrap().len()), "{record}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_between_two_answers_loses_none() {
    const ITEMS: usize = 3;
    let dir = TempDir::new().unwrap();
    let whole = run(ITEMS, 1, &dir, "whole", Scripted::new(by_seed));
    assert!(matches!(whole.run().await.end, RunEnd::Complete));
    let questions = whole.model.questions();
    for answered in 1..questions {
        let name = format!("stopped-{answered}");
        // One question after another: the one in flight when the run is stopped is never answered.
        let asked = std::sync::atomic::AtomicU64::new(0);
        let stops = Scripted::new(move |question| {
            match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < answered {
                true => by_seed(question),
                false => Reply::Never,
            }
        });
        let first = run(ITEMS, 1, &dir, &name, stops);
        let stop = first.stop.clone();
        let stopper = async {
            while first.model.questions() <= answered {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            stop.abort();
        };
        let (report, ()) = tokio::join!(first.run(), stopper);
        assert!(matches!(report.end, RunEnd::Interrupted), "{report:?}");
        let second = run(ITEMS, 1, &dir, &name, Scripted::new(by_seed));
        let report = second.run().await;
        assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
        assert_eq!(second.model.questions(), questions - answered, "after {answered} answers");
        assert_eq!(outputs(&second.root), outputs(&whole.root), "after {answered} answers");
    }
}

#[test]
fn plan_counts_questions_and_preview_shows_them() {
    let dir = TempDir::new().unwrap();
    let yaml = "name: judged\nmodels:\n  teacher: {provider: heuristic}\nstages:\n  - generate: {count: 3}\n  \
                - set: {texts: {expr: \"['row ' ~ row, 'another text']\"}}\n  - judge: {model: teacher, of: texts, \
                order: both, votes: 2, aspects: {clear: \"5: clear\"}}\n  - sink: {path: out.jsonl, format: raw}\n";
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    let planned: Value =
        serde_json::from_str(&stdout(&synthmill(dir.path(), &["plan", "p.yaml", "--json"], 0))).unwrap();
    assert_eq!(
        (&planned["stages"][0]["stage"], &planned["stages"][0]["requests"]),
        (&json!("judge/ask"), &json!(12.0))
    );
    let shown = stdout(&synthmill(dir.path(), &["preview", "p.yaml", "-n", "1", "--prompts-only"], 0));
    assert!(shown.contains("-- judge/ask -- 000000.judge-0"), "{shown}");
    assert!(shown.contains("        [system]\n") && shown.contains("<text_1>"), "{shown}");
    let shown = stdout(&synthmill(dir.path(), &["preview", "p.yaml", "-n", "1"], 0));
    assert_eq!(shown.matches("asks:").count(), 4, "{shown}");
    assert!(shown.contains("-- judge -- 000000\n"), "{shown}");
}
