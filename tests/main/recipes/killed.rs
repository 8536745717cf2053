//! Two recipes with loops, samples and re-asks under `kill -9`: the same lines as a run that was never killed.
//!
//! The server's answers depend only on the question and count each; some are invalid, and some make a pass fail. Each
//! recipe is killed at random many times in one run.

use std::path::Path;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::child::Running;
use crate::harness::model_server::{ModelServer, Question, Reply, conversation};
use crate::harness::{assert_same_outputs, outputs, project, synthmill};

/// Requests in flight at each model.
const PLACES: usize = 4;

/// A recipe, and how it is run here.
struct Case {
    recipe: &'static str,
    models: &'static [&'static str],
    more: &'static [&'static str],
    answer: fn(&Question) -> Value,
}

const EVOL_INSTRUCT: Case = Case {
    recipe: "evol-instruct",
    models: &["writer", "judge"],
    more: &[],
    answer: |question| {
        let (asked, drawn) = drawn(question);
        match () {
            () if asked.contains("make the same demands") => json!(if drawn % 7 == 0 { "A" } else { "B" }),
            () if asked.contains("Do not answer it.") && drawn % 9 == 0 => {
                json!("Sure, the new instruction is this.")
            }
            () if asked.contains("Do not answer it.") => {
                json!(format!("Compare number {drawn} with all others."))
            }
            () if drawn % 8 == 0 => json!("I am sorry."),
            () => json!(format!("It is larger than {drawn}.")),
        }
    },
};

const SELF_INSTRUCT_CHALLENGE: Case = Case {
    recipe: "self-instruct-challenge",
    models: &["challenger", "weak", "strong", "judge"],
    more: &["--limit", "24", "--set", "error_budget.share=1"],
    answer: |question| {
        let (asked, drawn) = drawn(question);
        let criterion = |weight| json!({"criterion": "Says what follows from it", "weight": weight});
        // Three of four criteria are met where the strong model answers, one of four elsewhere.
        let is_strong = asked.contains("By the strong model");
        let met = |at: u64| (drawn >> (2 * at) & 3 == 0) != is_strong;
        let verdict = |at: u64| json!({"criterion": at, "reason": "So.", "met": met(at)});
        let fits = drawn % 5 != 0;
        match () {
            () if asked.contains("You write tasks on which") && fits => json!({
                "angle": format!("case {drawn}"),
                "task": format!("Explain what happens in case {drawn}, and for which reason."),
                "reference": "It follows from the rule that was given.",
                "rubric": [criterion(5), criterion(3), criterion(2)],
            }),
            () if asked.contains("Judge an answer") && fits => {
                json!({"verdicts": [verdict(1), verdict(2), verdict(3)]})
            }
            () if asked.contains("You write tasks on which") || asked.contains("Judge an answer") => {
                json!("no JSON")
            }
            () if question.body["model"].as_str().unwrap().contains("30B") => {
                json!(format!("By the strong model: {drawn}."))
            }
            () => json!(format!("By the weak one: {drawn}.")),
        }
    },
};

/// What is asked, and a number drawn for it.
fn drawn(question: &Question) -> (String, u64) {
    let asked = conversation(question);
    let hash = blake3::hash(asked.as_bytes());
    let number = hash.as_bytes()[..4].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    (asked, number)
}

impl Case {
    fn server(&self) -> ModelServer {
        let answer = self.answer;
        ModelServer::start(move |question| {
            let answer = answer(question);
            let text = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
            Reply::answer(&text).after(Duration::from_millis(3))
        })
    }

    fn arguments(&self, url: &str) -> Vec<String> {
        let mut arguments = [
            "run".to_owned(),
            format!("pipelines/recipes/{}.yaml", self.recipe),
            "--out".to_owned(),
            "out".to_owned(),
        ]
        .to_vec();
        arguments.extend(self.more.iter().map(|word| (*word).to_owned()));
        for model in self.models {
            for setting in [format!("base_urls=[\"{url}\"]"), format!("concurrency={PLACES}")] {
                arguments.extend(["--set".to_owned(), format!("models.{model}.{setting}")]);
            }
        }
        arguments
    }

    /// Kills a run at random until it is complete; tells how often.
    fn survives_kills(&self) -> String {
        let kills: usize = std::env::var("SYNTHMILL_KILLS").map_or(20, |kills| kills.parse().unwrap());
        let (golden, undisturbed) = (project(), self.server());
        let run = |dir: &TempDir, url: &str| {
            let arguments = self.arguments(url);
            synthmill(dir.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>(), 0);
        };
        run(&golden, &undisturbed.url);
        let whole = undisturbed.questions().len();
        assert_made(&golden.path().join("out"));
        let (dir, server) = (project(), self.server());
        let seed = rand::random::<u64>();
        let mut random = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
        let arguments = self.arguments(&server.url);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut killed = 0;
        while killed < kills {
            let mut running = Running::start(dir.path(), &arguments);
            let asked = server.questions().len() + random.random_range(0..(2 * whole / kills).max(4));
            let goes_on = running.runs_until("some questions came", || server.questions().len() >= asked);
            let ended = running.kill();
            if ended.code == Some(0) {
                break;
            }
            assert!(goes_on, "seed {seed}: {}", ended.stderr);
            killed += 1;
        }
        assert!(killed >= kills / 4, "seed {seed}: only {killed} kills before the end");
        run(&dir, &server.url);
        assert_same_outputs(&dir.path().join("out"), &golden.path().join("out"));
        let again = server.questions().len() - whole;
        let most = killed * PLACES * self.models.len();
        assert!(again <= most, "seed {seed}: {again} questions were asked again in {killed} kills");
        format!(
            "{}: {killed} kills, {again} of {whole} questions asked again, {most} in flight at most",
            self.recipe
        )
    }
}

/// Fails if a file of a run is empty.
fn assert_made(run: &Path) {
    for (file, lines) in outputs(run) {
        assert!(!lines.is_empty() || file == "rejected.jsonl", "nothing in {file}");
    }
}

#[test]
fn evol_instruct_killed_at_random_loses_nothing() {
    eprintln!("{}", EVOL_INSTRUCT.survives_kills());
}

#[test]
fn self_instruct_challenge_killed_at_random_loses_nothing() {
    eprintln!("{}", SELF_INSTRUCT_CHALLENGE.survives_kills());
}
