//! Machine-readable problems: one object each, in the form that editors and linters use.
//!
//! `validate --json` prints these; people read what `problem` prints.

use serde_json::{Value, json};

use crate::config::plan::LoadError;
use crate::pipeline::problem::{Problem, ProblemLocation, Problems};

impl LoadError {
    /// The problems, one object each.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Value> {
        match self {
            Self::Read { path, source, near } => {
                let hint = near.trim_start_matches("; ");
                let hint = Some(hint).filter(|hint| !hint.is_empty());
                let message = format!("cannot read `{path}`: {source}");
                vec![json!({"file": path, "line": null, "column": null, "end": null, "severity": "error",
                            "message": message, "expected": null, "hint": hint, "path": null, "option": null})]
            }
            Self::Problems(problems) => problems.diagnostics("error"),
        }
    }
}

impl Problems {
    /// The problems, one object each: `file`, `line` and `column` (from 1, in characters), `end` (where the
    /// marked text ends, in the same form), `severity`, `message`, `expected`, `hint`, `path` (a JSON pointer
    /// into the file), and `option` instead of a line for a problem with the command line.
    #[must_use]
    pub fn diagnostics(&self, severity: &str) -> Vec<Value> {
        self.list.iter().map(|problem| self.diagnostic(problem, severity)).collect()
    }

    fn diagnostic(&self, problem: &Problem, severity: &str) -> Value {
        let (mut line, mut column, mut end, mut option) = (None, None, None, None);
        match &problem.location {
            Some(ProblemLocation::File { line: from, column: at, start, len }) => {
                (line, column) = (Some(*from), Some(*at));
                let text = self.source.get(*start..start + len).unwrap_or_default();
                let last = text.rsplit('\n').next().unwrap_or_default().chars().count();
                let lines = text.matches('\n').count();
                let column = if lines == 0 { at + last } else { last + 1 };
                end = Some(json!({"line": from + lines, "column": column}));
            }
            Some(ProblemLocation::Option(named)) => option = Some(named),
            None => {}
        }
        json!({"file": self.file, "line": line, "column": column, "end": end, "severity": severity,
               "message": problem.message.trim_end(), "expected": problem.expected, "hint": problem.hint,
               "path": problem.at, "option": option})
    }
}
