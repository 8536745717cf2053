//! What a program's outcome says about its test.
//!
//! A test passes by a report alone: a line that begins with a secret, which the harness reads after the test has ended.
//! However a program ends without it, the test has not passed. A test that compares the output passes if the program
//! ended with exit code 0 and its whole output is the expected one.

use crate::printable::printable_line;
use crate::sandbox::{ProgramOutcome, ProgramStatus};

/// The most characters of a message.
const LONGEST: usize = 500;

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TestStatus {
    Passed,
    Failed,
    Error,
    Timeout,
    OutOfMemory,
}

/// The outcome of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestVerdict {
    pub(super) status: TestStatus,
    /// Why it did not pass, in one line; empty if it did.
    pub(super) message: String,
}

impl TestStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out_of_memory",
        }
    }
}

impl TestVerdict {
    pub(super) fn new(status: TestStatus, message: impl Into<String>) -> Self {
        Self { status, message: shortened(&message.into()) }
    }

    /// The verdict about a test that reports with this secret.
    pub(super) fn of_report(outcome: &ProgramOutcome, secret: &str) -> Self {
        if outcome.status != ProgramStatus::Finished {
            return Self::of_failure(outcome);
        }
        match report(&outcome.stdout, secret) {
            Some((status, message)) => Self::new(status, message),
            None => Self::new(TestStatus::Error, "the program ended before the test had"),
        }
    }

    /// The verdict about a program whose output is compared.
    pub(super) fn of_output(outcome: &ProgramOutcome, expected: &str) -> Self {
        if outcome.status != ProgramStatus::Finished {
            return Self::of_failure(outcome);
        }
        match difference(expected, &outcome.stdout) {
            None => Self::new(TestStatus::Passed, ""),
            Some(message) => Self::new(TestStatus::Failed, message),
        }
    }

    /// The verdict about a program that did not end by itself with exit code 0.
    fn of_failure(outcome: &ProgramOutcome) -> Self {
        let said = telling_line(&outcome.stderr);
        let with = |what: String| if said.is_empty() { what } else { format!("{what}: {said}") };
        let (status, message) = match outcome.status {
            ProgramStatus::Timeout => {
                (TestStatus::Timeout, format!("it took longer than {:.1} s", outcome.seconds))
            }
            ProgramStatus::OutOfMemory => (TestStatus::OutOfMemory, "it needs too much memory".to_owned()),
            ProgramStatus::Failed | ProgramStatus::Crashed if ran_out_of_memory(&outcome.stderr) => {
                (TestStatus::OutOfMemory, "it needs too much memory".to_owned())
            }
            ProgramStatus::Failed | ProgramStatus::Finished => {
                let code = outcome.exit_code.unwrap_or_default();
                (TestStatus::Error, with(format!("the program ended with exit code {code}")))
            }
            ProgramStatus::Crashed => {
                (TestStatus::Error, with(format!("the program crashed with {}", signal_name(outcome.signal))))
            }
            status => {
                (TestStatus::Error, format!("the program was stopped: {}", status.name().replace('_', " ")))
            }
        };
        Self::new(status, message)
    }
}

/// The last report on standard output.
fn report<'a>(stdout: &'a str, secret: &str) -> Option<(TestStatus, &'a str)> {
    let mut reports = stdout.lines().filter_map(|line| line.strip_prefix(secret)?.strip_prefix(' '));
    let report = reports.next_back()?;
    let (word, message) = report.split_once(' ').unwrap_or((report, ""));
    let status = match word {
        "passed" => TestStatus::Passed,
        "failed" => TestStatus::Failed,
        "error" => TestStatus::Error,
        "out_of_memory" => TestStatus::OutOfMemory,
        _ => return None,
    };
    Some((status, message.trim()))
}

/// How an output differs from the expected one. White space at the ends of lines and empty lines at the end do not count.
fn difference(expected: &str, found: &str) -> Option<String> {
    let lines = |text: &str| -> Vec<String> {
        text.trim_end().split('\n').map(|line| line.trim_end().to_owned()).collect()
    };
    let (expected, found) = (lines(expected), lines(found));
    if expected == found {
        return None;
    }
    let first = expected.iter().zip(&found).position(|(one, other)| one != other);
    Some(match first {
        Some(at) => {
            format!(
                "line {} of the output is `{}`, expected `{}`",
                at + 1,
                brief(&found[at]),
                brief(&expected[at])
            )
        }
        None => format!("the output has {}, expected {}", counted(found.len()), expected.len()),
    })
}

fn counted(lines: usize) -> String {
    format!("{lines} {}", if lines == 1 { "line" } else { "lines" })
}

fn brief(line: &str) -> String {
    line.chars().take(120).collect()
}

/// The line of standard error that says most: a compiler's first error, else the last line.
fn telling_line(stderr: &str) -> &str {
    let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let compiler =
        lines.clone().find(|line| line.contains(" error: ") || line.contains("undefined reference"));
    compiler.or_else(|| lines.next_back()).unwrap_or_default()
}

/// Whether a runtime says that it ran out of memory.
fn ran_out_of_memory(stderr: &str) -> bool {
    [
        "MemoryError",
        "heap out of memory",
        "Cannot allocate memory",
        "cannot allocate",
        "virtual memory exhausted",
    ]
    .iter()
    .any(|sign| telling_line(stderr).contains(sign) || (sign.starts_with("heap") && stderr.contains(sign)))
}

fn signal_name(signal: Option<i32>) -> String {
    match signal {
        Some(4) => "an illegal instruction".to_owned(),
        Some(6) => "an abort".to_owned(),
        Some(7) => "a bus error".to_owned(),
        Some(8) => "an arithmetic error".to_owned(),
        Some(11) => "a segmentation fault".to_owned(),
        Some(number) => format!("signal {number}"),
        None => "a signal".to_owned(),
    }
}

fn shortened(message: &str) -> String {
    let message = printable_line(message.trim());
    match message.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &message[..end]),
        None => message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn outcome(status: ProgramStatus, stdout: &str, stderr: &str) -> ProgramOutcome {
        ProgramOutcome {
            status,
            exit_code: Some(i32::from(status != ProgramStatus::Finished)),
            signal: (status == ProgramStatus::Crashed).then_some(11),
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
            seconds: 1.5,
            peak_memory: 0,
        }
    }

    #[track_caller]
    fn check(ended: &ProgramOutcome, status: TestStatus, message: &str) {
        let verdict = TestVerdict::of_report(ended, SECRET);
        assert_eq!((verdict.status, verdict.message.as_str()), (status, message));
    }

    #[test]
    fn only_the_secret_makes_a_report() {
        let finished = |stdout: &str| outcome(ProgramStatus::Finished, stdout, "");
        check(&finished(&format!("out\n{SECRET} passed \n")), TestStatus::Passed, "");
        check(&finished(&format!("out\n{SECRET} passed")), TestStatus::Passed, "");
        check(
            &finished(&format!("{SECRET} failed `assert x`: no\nmore")),
            TestStatus::Failed,
            "`assert x`: no",
        );
        check(
            &finished(&format!("{SECRET} out_of_memory it ran out")),
            TestStatus::OutOfMemory,
            "it ran out",
        );
        let none = "the program ended before the test had";
        for stdout in [
            "",
            "passed",
            "0123 passed",
            &format!("x{SECRET} passed"),
            &format!("{SECRET}passed"),
            &format!("{SECRET} excellent"),
            SECRET,
        ] {
            check(&finished(stdout), TestStatus::Error, none);
        }
        // A program that was stopped has not passed, whatever it reported.
        let stopped = outcome(ProgramStatus::Network, &format!("{SECRET} passed"), "");
        check(&stopped, TestStatus::Error, "the program was stopped: network");
    }

    #[test]
    fn the_ways_to_end_are_told_apart() {
        let ended = |status, stderr| outcome(status, "", stderr);
        check(&ended(ProgramStatus::Timeout, ""), TestStatus::Timeout, "it took longer than 1.5 s");
        check(&ended(ProgramStatus::OutOfMemory, ""), TestStatus::OutOfMemory, "it needs too much memory");
        let heap = "<--- JS stacktrace --->\nFATAL ERROR: JavaScript heap out of memory\n\n 1: 0xb7";
        check(&ended(ProgramStatus::Crashed, heap), TestStatus::OutOfMemory, "it needs too much memory");
        check(
            &ended(ProgramStatus::Failed, "a\nNameError: x\n"),
            TestStatus::Error,
            "the program ended with exit code 1: NameError: x",
        );
        check(
            &ended(ProgramStatus::Crashed, ""),
            TestStatus::Error,
            "the program crashed with a segmentation fault",
        );
        let compiler = "solution.c: In function 'f':\nsolution.c:1:5: error: 'x' undeclared\nnote: more";
        check(
            &ended(ProgramStatus::Failed, compiler),
            TestStatus::Error,
            "the program ended with exit code 1: solution.c:1:5: error: 'x' undeclared",
        );
        check(
            &ended(ProgramStatus::TooManyProcesses, ""),
            TestStatus::Error,
            "the program was stopped: too many processes",
        );
    }

    #[test]
    fn the_whole_output_is_compared() {
        let check = |expected: &str, found: &str, message: Option<&str>| {
            assert_eq!(difference(expected, found).as_deref(), message, "{expected:?} {found:?}");
        };
        check("1\n2", "1\n2\n", None);
        check("1\n2\n\n", "1  \r\n2\t", None);
        check("", "\n", None);
        check("1\n2\n3", "1\n2", Some("the output has 2 lines, expected 3"));
        check("1", "1\n2", Some("the output has 2 lines, expected 1"));
        check("1\n2", "1\n3", Some("line 2 of the output is `3`, expected `2`"));
        check("a", " a", Some("line 1 of the output is ` a`, expected `a`"));
        check("1\n\n2", "1\n2", Some("line 2 of the output is `2`, expected ``"));
        check("x", "", Some("line 1 of the output is ``, expected `x`"));
    }

    proptest! {
        #[test]
        fn nothing_passes_without_the_secret(stdout in "(passed|failed|\n|\r| |[0-9a-f]{0,32}|\\PC){0,20}", stderr in "\\PC{0,40}") {
            prop_assume!(!stdout.contains(SECRET));
            for status in [ProgramStatus::Finished, ProgramStatus::Failed, ProgramStatus::Denied] {
                let verdict = TestVerdict::of_report(&outcome(status, &stdout, &stderr), SECRET);
                prop_assert!(verdict.status != TestStatus::Passed);
                prop_assert!(!verdict.message.is_empty());
            }
        }

        #[test]
        fn any_report_has_one_line_of_limited_length(message in "(\\PC|\n|\t|\u{1b}){0,900}") {
            let stdout = format!("{SECRET} failed {message}");
            let verdict = TestVerdict::of_report(&outcome(ProgramStatus::Finished, &stdout, ""), SECRET);
            prop_assert_eq!(verdict.status, TestStatus::Failed);
            prop_assert!(verdict.message.chars().count() <= LONGEST + 3 && !verdict.message.contains('\n'));
        }
    }
}
