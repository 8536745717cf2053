//! Programs that pass, fail and cheat, run without a sandbox: what is tested is the harness.

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::record::Record;
use crate::sandbox::{ProgramOutcome, ProgramStatus, Sandbox};
use crate::stage::{RunPrograms, StageError};
use crate::stages::testing::{context, record};

fn built(config: Value) -> Box<dyn RunPrograms> {
    let declared: RunTests = serde_json::from_value(config).unwrap();
    let Processor::Programs(stage) = declared.build(&context()).unwrap() else { panic!("no programs") };
    stage
}

/// The result of running the tests of a record, without a sandbox: what is tested here is the harness.
async fn run(config: Value, fields: Value) -> Value {
    let stage = built(config);
    let mut record = record(fields);
    let mut outcomes = Vec::new();
    for program in stage.programs(&record).unwrap() {
        outcomes.push(Sandbox::Off.run(&program).await.unwrap());
    }
    stage.accept(&mut record, outcomes).unwrap();
    record.get("test_run").unwrap().clone()
}

/// A row of a table of programs and tests.
#[derive(Deserialize)]
struct TestedCase {
    name: String,
    #[serde(default)]
    language: Option<String>,
    code: String,
    /// A text is one test.
    test: Value,
    /// The status, and a part of the message after a colon.
    is: String,
}

async fn check_table(text: &str, least: usize) {
    let cases: Vec<TestedCase> = serde_saphyr::from_str(text).unwrap();
    assert!(cases.len() >= least, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let language = case.language.as_deref().unwrap_or("python");
        let config = json!({"language": language, "timeout": 5.0});
        let found = run(config, json!({"code": case.code, "tests": [case.test]})).await;
        let shown =
            format!("{}: {}", found["per_test"][0].as_str().unwrap(), found["messages"][0].as_str().unwrap());
        let (status, message) = case.is.split_once(": ").unwrap_or((&case.is, ""));
        let fits = shown.starts_with(&format!("{status}: ")) && shown.contains(message);
        let rate = json!(f64::from(u8::from(status == "passed")));
        if !fits || found["pass_rate"] != rate {
            wrong.push(format!("{}: found `{shown}`, expected `{}`", case.name, case.is));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn programs_that_cheat_do_not_pass() {
    check_table(include_str!("../../../tests/cases/cheating_programs.yaml"), 40).await;
}

#[tokio::test]
async fn right_programs_pass_and_wrong_ones_say_why() {
    check_table(include_str!("../../../tests/cases/tested_programs.yaml"), 40).await;
}

#[tokio::test]
async fn each_test_is_on_its_own() {
    let code = "calls = []\ndef f(x):\n    calls.append(x)\n    if x == 3: raise ValueError('three')\n    \
                while x == 4: pass\n    return len(calls)\n";
    let tests = "import math\nassert f(1) == 1\nassert f(2) == 1\nassert f(3) == 1\nassert f(4) == 1\nassert f(5) == 2\n";
    let found = run(json!({"timeout": 1.0}), json!({"code": code, "tests": tests})).await;
    assert_eq!(found["per_test"], json!(["passed", "passed", "error", "timeout", "failed"]));
    assert_eq!((&found["passed"], &found["total"], &found["pass_rate"]), (&json!(2), &json!(5), &json!(0.4)));
    let messages: Vec<&str> =
        found["messages"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!(messages[..3], ["", "", "ValueError: three (solution.py, line 4)"]);
    assert!(messages[3].starts_with("it took longer than 1."), "{}", messages[3]);
    assert_eq!(messages[4], "`assert f(5) == 2`: the left side is 1");
    assert_eq!(found["code"], code);
    assert!(found["seconds"].as_f64().unwrap() > 1.0);
}

#[test]
fn the_rate_is_of_the_tests_that_were_given() {
    let run = |answer: Value| {
        let stage = built(json!({"code": "answer"}));
        let mut record = record(json!({"answer": answer, "tests": ["assert f(1)", "assert f(2)"]}));
        assert!(stage.programs(&record).unwrap().is_empty());
        stage.accept(&mut record, Vec::new()).unwrap();
        record.get("test_run").unwrap().clone()
    };
    for answer in [json!("I cannot do that."), json!("```java\nclass A {}\n```"), json!(null)] {
        let found = run(answer);
        assert_eq!(found["per_test"], json!(["error", "error"]));
        assert_eq!(found["messages"][1], "there is no python code in the answer");
        assert_eq!(
            (&found["passed"], &found["total"], &found["pass_rate"]),
            (&json!(0), &json!(2), &json!(0.0))
        );
        assert_eq!(found["code"], json!(null));
    }
}

#[test]
fn a_program_is_the_same_at_every_resume_and_has_a_secret_of_its_own() {
    let stage = built(json!({"memory": "64MiB", "processes": 3, "read": ["docs"], "timeout": 2.0}));
    let fields = json!({"code": "def f(x): pass", "tests": ["assert f(1)", {"input": "5\n", "output": "1"}, "assert f(2)"]});
    let programs = stage.programs(&record(fields.clone())).unwrap();
    let again = stage.programs(&record(fields.clone())).unwrap();
    let secrets: Vec<_> = programs.iter().map(|program| program.stdin.clone()).collect();
    assert_eq!(secrets, again.iter().map(|program| program.stdin.clone()).collect::<Vec<_>>());
    assert_eq!((secrets[0].len(), secrets[1].as_slice()), (32, "5\n".as_bytes()));
    assert_ne!(secrets[0], secrets[2]);
    let mut other = record(fields);
    other.id = crate::record::RecordId::item(1);
    assert_ne!(stage.programs(&other).unwrap()[0].stdin, secrets[0]);
    let program = &programs[0];
    assert_eq!(program.limits.memory, 64 << 20);
    assert_eq!((program.limits.processes, program.limits.timeout.as_secs()), (3, 2));
    assert_eq!(program.readable, [std::path::absolute("docs").unwrap()]);
    assert_eq!(programs[1].files.keys().collect::<Vec<_>>(), ["solution.py"]);
    let secret = String::from_utf8(secrets[0].clone()).unwrap();
    assert!(program.files.values().all(|file| !String::from_utf8_lossy(file).contains(&secret)));
    assert!(
        !program.command.concat().contains(&secret) && !program.env.values().any(|value| *value == secret)
    );
}

#[test]
fn records_without_tests_or_language_are_rejected() {
    let check = |config: Value, fields: Value, class: &str| {
        let error: StageError = built(config).programs(&record(fields.clone())).unwrap_err();
        assert_eq!(error.class, class, "{fields}: {error}");
    };
    check(json!({}), json!({"code": "x", "tests": []}), "tests");
    check(json!({}), json!({"code": "x", "tests": {"a": 1}}), "tests");
    check(json!({}), json!({"code": "x"}), "tests");
    check(json!({}), json!({"code": 5, "tests": ["assert x"]}), "fields");
    let language = json!({"language": "{{ lang }}"});
    check(language.clone(), json!({"code": "x", "tests": ["x"], "lang": "cobol"}), "language");
    let stage = built(language);
    let programs =
        stage.programs(&record(json!({"code": "f() { :; }", "tests": ["f"], "lang": "Shell"}))).unwrap();
    assert_eq!(programs[0].command, ["bash", "_harness.sh"]);
}

#[test]
fn the_gap_of_two_rates_is_exact() {
    // 17/20 and 9/20 differ by 2/5; as floating-point numbers by less.
    let share = |passed: f64| passed / 20.0;
    assert!(share(17.0) - share(9.0) < 0.4);
    let rate = |passed: usize| {
        let stage = built(json!({}));
        let tests: Vec<Value> = (0..20).map(|_| json!({"input": "", "output": "1"})).collect();
        let mut record = record(json!({"code": "print(1)", "tests": tests}));
        let outcomes = (0..20).map(|index| printed(if index < passed { "1\n" } else { "0\n" })).collect();
        stage.accept(&mut record, outcomes).unwrap();
        record.get("test_run").unwrap().clone()
    };
    let (better, worse) = (rate(17), rate(9));
    assert_eq!((&better["passed"], &better["total"], &worse["passed"]), (&json!(17), &json!(20), &json!(9)));
    for (gap, is_pair) in [("2/5", true), ("0.4", true), ("0.4000001", false)] {
        let config = json!({"from": "runs", "take": "pair", "by": "candidate.test_run.pass_rate", "min_gap": gap, "text": "code"});
        let Processor::Transform(choose) =
            crate::stages::testing::build::<crate::stages::choose::Choose>(config)
        else {
            panic!("no transform")
        };
        let mut record: Record = record(json!({"runs": [
            {"code": "a", "test_run": worse}, {"code": "b", "test_run": better}]}));
        let output = choose.process(&mut record).unwrap();
        assert_eq!(matches!(output, crate::stage::TransformOutput::Pass), is_pair, "{gap}: {output:?}");
        if is_pair {
            assert_eq!(record.get("chosen.code"), Some(&json!("b")));
        }
    }
}

fn printed(stdout: &str) -> ProgramOutcome {
    ProgramOutcome {
        status: ProgramStatus::Finished,
        exit_code: Some(0),
        signal: None,
        stdout: stdout.to_owned(),
        stderr: String::new(),
        seconds: 0.0,
        peak_memory: 0,
    }
}

#[test]
fn what_cannot_run_is_refused() {
    for (config, expected) in [
        (json!({}), ""),
        (json!({"language": "py"}), ""),
        (json!({"language": "{{ code }}"}), ""),
        (json!({"language": "pyton"}), "`pyton` is no language that is tested"),
        (json!({"language": "{{ missing }}"}), "no earlier stage makes `missing`"),
        (json!({"code": "missing"}), "no earlier stage makes `missing`"),
        (json!({"code": "n"}), "`n` is a whole number"),
        (json!({"tests": "n"}), "`n` is a whole number"),
        (json!({"timeout": 0}), "found the number `0`"),
        (json!({"processes": 0}), "found the number `0`"),
        (json!({"memory": "1MB"}), "found 1 MB"),
        (json!({"read": ["no-such-folder"]}), "`no-such-folder` does not exist"),
    ] {
        let (vars, models) = Default::default();
        let mut context = CheckContext::new(&vars, &models);
        context.makes_as("code", FieldType::text());
        context.makes_as("tests", FieldType::texts());
        context.makes_as("n", FieldType::integer());
        serde_json::from_value::<RunTests>(config.clone()).unwrap().check(&mut context);
        let messages: Vec<&str> = context.problems().iter().map(|one| one.message.as_str()).collect();
        assert!(messages.concat().contains(expected), "{config}: {messages:?}");
        assert_eq!(messages.len(), usize::from(!expected.is_empty()), "{config}: {messages:?}");
    }
}
