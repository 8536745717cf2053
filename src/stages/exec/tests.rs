//! Tests of `exec`: the programs that it makes of records, the fields of outcomes, and what the check refuses.

use serde_json::{Value, json};

use super::*;
use crate::record::Record;
use crate::sandbox::{Program, ProgramOutcome, ProgramStatus};
use crate::stage::{RunPrograms, StageError};
use crate::stages::testing::{context, record};

fn built(config: Value) -> Box<dyn RunPrograms> {
    let declared: Exec = serde_json::from_value(config).unwrap();
    let Processor::Programs(stage) = declared.build(&context()).unwrap() else { panic!("no programs") };
    stage
}

/// The program for a record with these fields.
fn program(config: Value, fields: Value) -> Program {
    built(config).programs(&record(fields)).unwrap().remove(0)
}

fn outcome(status: ProgramStatus, stdout: &str) -> ProgramOutcome {
    ProgramOutcome {
        status,
        exit_code: Some(i32::from(status != ProgramStatus::Finished)),
        signal: None,
        stdout: stdout.to_owned(),
        stderr: "first line\nlast line\n".to_owned(),
        seconds: 0.25,
        peak_memory: 4096,
    }
}

/// The record after an outcome, or its error.
fn after(config: Value, ended: ProgramOutcome) -> Result<Record, StageError> {
    let mut record = record(json!({"text": "a"}));
    built(config).accept(&mut record, vec![ended]).map(|_| record)
}

#[test]
fn a_process_gets_arguments_files_and_one_line_of_json() {
    let config = json!({
        "command": ["python3", "main.py", "--lang={{ lang }}", "src/lib.rs"],
        "input": {"t": "{{ text }}!", "n": {"expr": "text | length"}},
        "files": {"main.py": "print({{ text | tojson }})"},
        "env": {"MODE": "strict"},
        "read": ["docs"],
        "timeout": 2.5,
        "memory": "64MiB",
        "cpu_seconds": 1,
    });
    let program = program(config, json!({"text": "héy", "lang": "de; rm -rf /"}));
    let lib = std::path::absolute("src/lib.rs").unwrap();
    assert_eq!(program.command, ["python3", "main.py", "--lang=de; rm -rf /", lib.to_str().unwrap()]);
    assert_eq!(String::from_utf8(program.stdin).unwrap(), "{\"n\":3,\"t\":\"héy!\"}\n");
    assert_eq!(program.files["main.py"], "print(\"héy\")".as_bytes());
    assert_eq!(program.env["MODE"], "strict");
    assert_eq!(program.readable, [lib, std::path::absolute("docs").unwrap()]);
    assert_eq!(program.limits.timeout.as_millis(), 2500);
    assert_eq!((program.limits.memory, program.limits.cpu_seconds), (64 << 20, Some(1)));
    assert!(!program.network);
}

#[test]
fn what_is_read_is_a_template_fields_or_nothing() {
    let fields = json!({"text": "a\nb", "n": 1, "inner": {"x": [1]}});
    for (config, expected) in [
        (json!({"command": ["cat"], "stdin": "{{ text }}"}), "a\nb"),
        (json!({"command": ["cat"], "input": ["n", "inner.x"]}), "{\"n\":1,\"inner.x\":[1]}\n"),
        (json!({"command": ["cat"]}), ""),
        (json!({"command": ["cat"], "mode": "worker"}), "{}"),
        (json!({"command": ["cat"], "mode": "worker", "input": ["text"]}), "{\"text\":\"a\\nb\"}"),
    ] {
        let program = program(config.clone(), fields.clone());
        assert_eq!(String::from_utf8(program.stdin).unwrap(), expected, "{config}");
    }
}

#[test]
fn the_key_covers_the_content_of_the_files_that_a_command_names() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("score.sh");
    let key = |content: &str| {
        std::fs::write(&script, content).unwrap();
        built(json!({"command": ["sh", script.to_str().unwrap()]})).settings().key
    };
    let before = key("echo 1");
    assert_ne!(before, key("echo 2"));
    assert_eq!(before, key("echo 1"));
}

#[test]
fn a_variable_may_name_a_file_of_the_project() {
    let mut context = context();
    context.vars.insert("script".to_owned(), json!("src/lib.rs"));
    let lib = std::path::absolute("src/lib.rs").unwrap();
    for mode in ["process", "worker"] {
        let config = json!({"command": ["cat", "{{ vars.script }}"], "mode": mode});
        let declared: Exec = serde_json::from_value(config).unwrap();
        let Processor::Programs(stage) = declared.build(&context).unwrap() else { panic!("no programs") };
        let program = match stage.settings().worker {
            Some(worker) => worker,
            None => stage.programs(&record(json!({}))).unwrap().remove(0),
        };
        assert_eq!(program.readable, [lib.as_path()], "{mode}");
        assert_eq!(program.command, ["cat", lib.to_str().unwrap()], "{mode}");
    }
}

#[test]
fn without_a_schema_any_outcome_is_stored() {
    let record = after(json!({"command": ["cat"]}), outcome(ProgramStatus::Failed, "x")).unwrap();
    assert_eq!(
        record.get("exec").unwrap(),
        &json!({"status": "failed", "exit_code": 1, "signal": null, "stdout": "x",
            "stderr": "first line\nlast line\n", "seconds": 0.25, "peak_memory": 4096})
    );
    let config = json!({"command": ["cat"], "into": "ran"});
    let record = after(config, outcome(ProgramStatus::Timeout, "")).unwrap();
    assert_eq!(record.get("ran.status"), Some(&json!("timeout")));
}

#[test]
fn output_that_matches_the_schema_becomes_fields() {
    let schema =
        json!({"type": "object", "required": ["score"], "properties": {"score": {"type": "number"}}});
    let config = json!({"command": ["cat"], "output": schema});
    let fine = outcome(ProgramStatus::Finished, " {\"score\": 2, \"text\": \"b\"}\n");
    let record = after(config.clone(), fine).unwrap();
    assert_eq!(record.get("score"), Some(&json!(2)));
    let into = json!({"command": ["cat"], "output": {"type": "array"}, "into": "list"});
    let record = after(into, outcome(ProgramStatus::Finished, "[1]")).unwrap();
    assert_eq!(record.get("list"), Some(&json!([1])));
    for (status, stdout, class, message) in [
        (ProgramStatus::Finished, "{\"score\": \"high\"}", "output", "the output of the program: "),
        (ProgramStatus::Finished, "score: 2", "output", "it begins with `score: 2`"),
        (ProgramStatus::Finished, "", "output", "not JSON"),
        (ProgramStatus::Failed, "{\"score\": 2}", "failed", "exit code 1: first line\nlast line"),
        (ProgramStatus::OutOfMemory, "", "out_of_memory", "was stopped: out of memory: first line"),
        (ProgramStatus::Timeout, "", "timeout", "longer than 0.2 s"),
    ] {
        let error = after(config.clone(), outcome(status, stdout)).unwrap_err();
        assert_eq!(error.class, class, "{stdout}");
        assert!(error.message.contains(message), "{stdout}: {}", error.message);
    }
}

#[test]
fn what_cannot_run_is_refused() {
    for (config, expected) in [
        (json!({"command": ["cat"]}), ""),
        (json!({"command": ["cat"], "mode": "worker", "input": ["text"]}), ""),
        (json!({"command": []}), "the command is empty"),
        (json!({"command": ["no-such-program"]}), "`no-such-program` is in none of `/usr/local/bin"),
        (json!({"command": ["scripts/no-such.py"]}), "`scripts/no-such.py` does not exist"),
        (json!({"command": ["./Cargo.toml"]}), "`./Cargo.toml` is no program: it is not executable"),
        (json!({"command": ["cat", "{{ missing }}"]}), "no earlier stage makes `missing`"),
        (json!({"command": ["cat", "{{ text }}"], "mode": "worker"}), "`text` cannot be used here"),
        (json!({"command": ["cat"], "input": ["missing"]}), "no earlier stage makes `missing`"),
        (json!({"command": ["cat"], "input": {"a": {"expr": "text +"}}}), "syntax error"),
        (json!({"command": ["cat"], "input": ["text"], "stdin": "x"}), "`stdin` and `input` are both given"),
        (
            json!({"command": ["cat"], "mode": "worker", "files": {"a": "b"}}),
            "`files` is for `mode: process`",
        ),
        (json!({"command": ["cat"], "files": {"../a": "b"}}), "`../a` is outside the work folder"),
        (json!({"command": ["cat"], "files": {"/a": "b"}}), "`/a` is outside the work folder"),
        (json!({"command": ["cat"], "timeout": 0}), "found the number `0`"),
        (json!({"command": ["cat"], "memory": "1MB"}), "found 1 MB"),
        (json!({"command": ["cat"], "processes": 0}), "found the number `0`"),
        (json!({"command": ["cat"], "read": ["no-such-folder"]}), "`no-such-folder` does not exist"),
        (json!({"command": ["cat"], "output": {"type": "array"}}), "has no properties to make fields of"),
        (json!({"command": ["cat"], "output": {"type": "objekt"}}), "`type` is one of `array`"),
    ] {
        let (vars, models) = Default::default();
        let mut context = CheckContext::new(&vars, &models);
        context.makes_as("text", FieldType::text());
        serde_json::from_value::<Exec>(config.clone()).unwrap().check(&mut context);
        let messages: Vec<&str> = context.problems().iter().map(|one| one.message.as_str()).collect();
        assert!(messages.concat().contains(expected), "{config}: {messages:?}");
        assert_eq!(messages.len(), usize::from(!expected.is_empty()), "{config}: {messages:?}");
    }
}
