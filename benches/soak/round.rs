//! One round: a run of two questions per item, killed and continued until it is complete, and its checks.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use serde_json::{Value, json};

use crate::output_check;
use crate::server_process::Server;

/// Stops of a round; after them the run goes on to its end.
const STOPS: usize = 60;
/// The exit code of a run that can go on.
const INTERRUPTED: i32 = 75;
/// What `repair` prints of an intact run.
const INTACT: &str = "every committed byte is as it was written";

/// What is drawn for a round.
pub(crate) struct Round {
    rows: usize,
    places: usize,
    durability: &'static str,
    /// The seconds that an answer takes.
    delay: f64,
    /// The shares of the questions that are refused or fail, by the kind of fault.
    shares: Vec<f64>,
    /// The longest time between a start and its stop, in seconds.
    longest: f64,
}

/// What became of a round, or of all of them.
#[derive(Default)]
pub(crate) struct Outcome {
    items: usize,
    kills: usize,
    interrupts: usize,
    asked_again: usize,
    in_flight: usize,
    pub(crate) violations: Vec<String>,
}

impl Round {
    pub(crate) fn draw(random: &mut ChaCha8Rng) -> Self {
        Self {
            rows: random.random_range(100..3000),
            places: random.random_range(1..=96),
            durability: ["power", "process"][random.random_range(0..2)],
            delay: random.random_range(0.0..0.03),
            shares: (0..faults().len()).map(|_| random.random_range(0.0..0.03)).collect(),
            longest: random.random_range(0.3..4.0),
        }
    }

    /// Runs until the run is complete, and checks it.
    pub(crate) fn run(&self, program: &Path, folder: &Path, random: &mut ChaCha8Rng) -> Outcome {
        let rules: Vec<Value> = faults()
            .into_iter()
            .zip(&self.shares)
            .map(|(reply, share)| json!({"when": {"share": share}, "reply": reply}))
            .collect();
        let disturbed = folder.join("disturbed");
        std::fs::create_dir(&disturbed).unwrap();
        let server = Server::start(&self.script(&json!(rules)), &disturbed);
        self.write_pipeline(&disturbed, &server.url);
        let mut outcome = Outcome { items: self.rows, ..Outcome::default() };
        let code = loop {
            let mut run = start(program, &disturbed);
            if outcome.kills + outcome.interrupts == STOPS {
                break run.wait().unwrap().code();
            }
            std::thread::sleep(Duration::from_secs_f64(random.random_range(0.02..self.longest)));
            if let Some(status) = run.try_wait().unwrap() {
                break status.code();
            }
            self.stop(&mut run, random.random_bool(0.2), &mut outcome);
        };
        if code != Some(0) {
            outcome.violations.push(format!("the run ended with {code:?}"));
        }
        self.check(program, folder, &server, &mut outcome);
        outcome
    }

    /// Stops a run: with SIGINT it drains, with SIGKILL nothing is in its hands.
    fn stop(&self, run: &mut Child, gently: bool, outcome: &mut Outcome) {
        if !gently {
            run.kill().unwrap();
            run.wait().unwrap();
            outcome.kills += 1;
            outcome.in_flight += self.places;
            return;
        }
        let sent = Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let status = run.wait().unwrap();
        outcome.interrupts += 1;
        // Before the program handles signals, SIGINT ends it without a code, as nothing has begun.
        if !matches!(status.code(), Some(0 | INTERRUPTED) | None) {
            outcome.violations.push(format!("an interrupted run ended with {status}"));
        }
    }

    /// Compares the run with one that nothing disturbed, with its own journal, and with what the server answered.
    fn check(&self, program: &Path, folder: &Path, server: &Server, outcome: &mut Outcome) {
        let calm = folder.join("calm");
        std::fs::create_dir(&calm).unwrap();
        let undisturbed = Server::start(&self.script(&json!([])), &calm);
        self.write_pipeline(&calm, &undisturbed.url);
        assert!(start(program, &calm).wait().unwrap().success(), "the undisturbed run");
        let golden = output_check::outputs(&calm.join("out"));
        let out = folder.join("disturbed/out");
        outcome.violations.extend(output_check::violations(&out, &golden));

        let repair = Command::new(program).arg("repair").arg(&out).output().unwrap();
        let printed = String::from_utf8_lossy(&repair.stdout);
        if !repair.status.success() || !printed.contains(INTACT) {
            outcome.violations.push(format!("`synthmill repair` found: {printed}"));
        }

        let answered = server.answered();
        let different: HashSet<&String> = answered.iter().collect();
        outcome.asked_again = answered.len() - different.len();
        if different.len() != 2 * self.rows {
            let count = different.len();
            outcome.violations.push(format!("{count} questions were answered, not {}", 2 * self.rows));
        }
        if outcome.asked_again > outcome.in_flight {
            let (again, spare) = (outcome.asked_again, outcome.in_flight);
            outcome.violations.push(format!("{again} answers were paid twice, {spare} could be in flight"));
        }
    }

    fn script(&self, rules: &Value) -> Value {
        // The answer depends on the question alone, so that two runs have the same outputs.
        let answer = "{\"answer\": \"An answer to: {prompt}\"}";
        json!({"rules": rules, "otherwise": {"delay": self.delay, "answer": answer}})
    }

    /// Two models' stages, so that an item can be stopped between its answers.
    fn write_pipeline(&self, folder: &Path, url: &str) {
        let rows: String = (0..self.rows).map(|row| format!("{{\"topic\": \"topic {row}\"}}\n")).collect();
        std::fs::write(folder.join("rows.jsonl"), rows).unwrap();
        let (durability, places) = (self.durability, self.places);
        let pipeline = format!(
            "name: soak
seed: 3
durability: {durability}
models:
  teacher: {{base_urls: [\"{url}\"], model: scripted, concurrency: {places}, max_attempts: 20}}
stages:
  - ingest: {{paths: [rows.jsonl]}}
  - prompt: {{user: \"Tell me of {{{{ topic }}}}.\"}}
  - llm: {{model: teacher}}
  - parse:
      schema: {{type: object, required: [answer], properties: {{answer: {{type: string, minLength: 1}}}}}}
      on_error: [reject]
  - prompt: {{id: second, user: \"And {{{{ answer }}}}\", output: again}}
  - llm: {{id: llm-2, model: teacher, input: again, output: more}}
  - split: {{ratios: {{train: 3, test: 1}}}}
  - sink: {{path: train.jsonl, format: raw, when: split == 'train', fields: [id, topic, answer, more]}}
  - sink: {{path: test.jsonl, format: raw, when: split == 'test', fields: [id, topic, answer, more]}}
"
        );
        std::fs::write(folder.join("p.yaml"), pipeline).unwrap();
    }
}

/// Refusals and faults, of which a server shows each to some of the questions.
fn faults() -> Vec<Value> {
    let refusal =
        |status: u64| json!({"status": status, "error": ["", "busy"], "headers": [["retry-after", "1"]]});
    let breaks = |at: &str, by: &str| json!({"fault": {"at": at, "by": by}});
    vec![
        refusal(429),
        refusal(503),
        json!({"status": 500, "error": ["", "oops"]}),
        json!({"text": "<html>busy</html>"}),
        json!({"json": {"choices": []}}),
        breaks("before_headers", "reset"),
        breaks("in_headers", "close"),
        breaks("in_body", "close"),
        breaks("in_body", "reset"),
    ]
}

fn start(program: &Path, folder: &Path) -> Child {
    let mut command = Command::new(program);
    command.args(["-q", "run", "p.yaml", "--out", "out"]).current_dir(folder);
    let prints = std::fs::File::options().create(true).append(true).open(folder.join("stderr")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(prints).spawn().unwrap()
}

impl Outcome {
    pub(crate) fn add(&mut self, round: &Self) {
        self.items += round.items;
        self.kills += round.kills;
        self.interrupts += round.interrupts;
        self.asked_again += round.asked_again;
        self.in_flight += round.in_flight;
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, places, durability, delay, shares, longest } = self;
        let (delay, faults) = (1e3 * delay, 100.0 * shares.iter().sum::<f64>());
        write!(
            f,
            "{rows} items, {places} at a time, durability {durability}, answers after {delay:.0} ms, {faults:.0} % fail, \
             stopped within {longest:.1} s"
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { items, kills, interrupts, asked_again, in_flight, .. } = self;
        write!(
            f,
            "{items} items, {kills} times killed, {interrupts} interrupted, {asked_again} questions answered again of at \
             most {in_flight} in flight at a kill"
        )
    }
}
