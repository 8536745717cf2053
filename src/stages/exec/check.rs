//! The check of `exec`'s options: their combinations, the program and its files, limits, and the fields it sets.

use std::path::{Path, PathBuf};

use super::command::{self, Argument, CommandError};
use super::{Exec, ExecMode, OUTCOME, runner};
use crate::llm::answer_schema::AnswerSchema;
use crate::pipeline::{ByteSize, CheckContext, Concurrency, FieldType};

/// The least memory that an interpreter starts with.
const LEAST_MEMORY: ByteSize = ByteSize(16_000_000);

/// The limits that stages which run programs have in common.
pub(in crate::stages) struct LimitOptions {
    /// In seconds.
    pub(in crate::stages) timeout: f64,
    pub(in crate::stages) memory: ByteSize,
    pub(in crate::stages) processes: u32,
    pub(in crate::stages) workers: Concurrency,
}

/// Reports limits that no program can live with.
pub(in crate::stages) fn check_limits(context: &mut CheckContext<'_>, limits: &LimitOptions) {
    if !(limits.timeout > 0.0 && limits.timeout.is_finite() && limits.timeout <= 86_400.0) {
        context
            .problem("/timeout", format!("found the number `{}`", limits.timeout))
            .expected("more than 0 seconds, and at most a day");
    }
    if limits.memory < LEAST_MEMORY {
        context
            .problem("/memory", format!("found {}", limits.memory))
            .expected(format!("{LEAST_MEMORY} or more"));
    }
    for (at, count) in [("/processes", limits.processes), ("/workers", limits.workers.most())] {
        if count == 0 {
            context.problem(at, "found the number `0`").expected("1 or more");
        }
    }
}

/// Renders and checks the paths of an option `read`, which are absolute afterwards.
pub(in crate::stages) fn readable_paths(context: &mut CheckContext<'_>, paths: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let at = format!("/read/{index}");
        let Some(path) = context.render(&at, path) else { continue };
        match Path::new(&path).exists() {
            true => {
                if Path::new(&path).is_file() {
                    context.depends_on(&path);
                }
                found.extend(std::path::absolute(&path));
            }
            false => {
                context.problem(&at, format!("`{path}` does not exist"));
                context.hint_if_missing(&path);
            }
        }
    }
    found
}

/// Renders the name of a program and reports at `at` if it cannot be started.
pub(in crate::stages) fn check_program(context: &mut CheckContext<'_>, at: &str, program: &str) {
    let Some(program) = context.render(at, program) else { return };
    let error = match command::find(&program) {
        Ok(_) if program.contains('/') => return context.depends_on(&program),
        Ok(_) => return,
        Err(error) => error,
    };
    let hint = match &error {
        _ if program.contains(' ') => {
            Some("each argument is an element of the list; no shell takes it apart".to_owned())
        }
        CommandError::NotFound(_) => Some("install it, or write its path".to_owned()),
        CommandError::NotExecutable(path) => Some(format!("chmod +x {path}")),
        CommandError::Missing(path) => context.missing_hint(path),
    };
    context.problem(at, error.to_string()).hint = hint;
}

impl Exec {
    pub(super) fn check_options(&self, context: &mut CheckContext<'_>) {
        self.check_command(context);
        self.check_combinations(context);
        check_limits(
            context,
            &LimitOptions {
                timeout: self.timeout,
                memory: self.memory,
                processes: self.processes,
                workers: self.workers,
            },
        );
        if let Some(input) = &self.input {
            input.check(context);
        }
        if let Some(stdin) = &self.stdin {
            context.template("/stdin", stdin);
        }
        for (path, content) in &self.files {
            let at = format!("/files/{}", path.replace('~', "~0").replace('/', "~1"));
            context.template(&at, content);
            if !is_inside(path) {
                context
                    .problem(&at, format!("`{path}` is outside the work folder"))
                    .on_key()
                    .expected("a relative path such as `main.py`");
            }
        }
        for (name, value) in &self.env {
            context.render(&format!("/env/{}", name.replace('~', "~0").replace('/', "~1")), value);
        }
        readable_paths(context, &self.read);
        self.declare_fields(context);
        context.keeps_items();
    }

    fn check_command(&self, context: &mut CheckContext<'_>) {
        let Some((program, arguments)) = self.command.split_first() else {
            context.problem("/command", "the command is empty").expected("a program and its arguments");
            return;
        };
        check_program(context, "/command/0", program);
        for (index, argument) in (1..).zip(arguments) {
            let at = format!("/command/{index}");
            let text = match self.mode {
                ExecMode::Worker => context.render(&at, argument),
                ExecMode::Process => match context.template(&at, argument) {
                    Some(template) if template.names_only_vars() => context.render(&at, argument),
                    _ => None,
                },
            };
            let Some(text) = text else { continue };
            match Argument::of(&text) {
                Argument::Path(path) if path.is_file() => context.depends_on(&text),
                Argument::Text(text) if names_script(&text) && !self.files.contains_key(&text) => {
                    context.warning(
                        &at,
                        format!("there is no file `{text}`: the program gets the name as it is"),
                    );
                    context.hint_if_missing(&text);
                }
                _ => {}
            }
        }
    }

    fn check_combinations(&self, context: &mut CheckContext<'_>) {
        if self.stdin.is_some() && self.input.is_some() {
            context.problem("/stdin", "`stdin` and `input` are both given").expected("one of them");
        }
        if self.mode == ExecMode::Process {
            return;
        }
        for (name, given) in [
            ("stdin", self.stdin.is_some()),
            ("files", !self.files.is_empty()),
            ("cpu_seconds", self.cpu_seconds.is_some()),
        ] {
            if given {
                context
                    .problem(&format!("/{name}"), format!("`{name}` is for `mode: process`"))
                    .on_key()
                    .hint("a worker reads the JSON object of `input`");
            }
        }
    }

    /// Declares the fields that the stage sets.
    fn declare_fields(&self, context: &mut CheckContext<'_>) {
        let Some(output) = &self.output else {
            let name = self.into.as_deref().unwrap_or(OUTCOME);
            context.makes_as(name, runner::outcome_type());
            return;
        };
        let schema = match AnswerSchema::new(output) {
            Ok(schema) => schema,
            Err(errors) => {
                for error in errors {
                    context.problem(&format!("/output{}", error.at), error.message);
                }
                context.may_have_other_fields();
                return;
            }
        };
        let kind = schema.kind();
        if let Some(into) = &self.into {
            context.makes_as(into, kind);
            return;
        }
        if !kind.could_be(&FieldType::object()) {
            context
                .problem(
                    "/output",
                    format!("the schema wants {kind}, which has no properties to make fields of"),
                )
                .expected("`object`")
                .hint("name a field for the whole value with `into`");
        }
        kind.fields().for_each(|(name, kind)| context.makes_as(name, kind.clone()));
        if kind.fields().next().is_none() {
            context.may_have_other_fields();
        }
    }
}

/// Whether an argument looks like the path of a script.
fn names_script(argument: &str) -> bool {
    let ending = Path::new(argument).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let is_word = argument.chars().all(|c| c.is_alphanumeric() || "._-/".contains(c));
    is_word
        && !argument.starts_with('-')
        && ["py", "sh", "js", "mjs", "ts", "rb", "pl", "R", "jl"].contains(&ending)
}

/// Whether a path stays inside the folder that it is relative to.
fn is_inside(path: &str) -> bool {
    let is_plain = |part| matches!(part, std::path::Component::Normal(_));
    !path.is_empty() && Path::new(path).components().all(is_plain)
}
