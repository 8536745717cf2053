//! Reporting: problems, which make a file invalid, and warnings, which do not.

use super::CheckContext;
use crate::pipeline::problem::Problem;

impl CheckContext<'_> {
    /// Reports a problem with the value at `at`, a JSON pointer inside the stage's body (`""` is the body itself,
    /// `/paths/0` its first path).
    pub fn problem(&mut self, at: &str, message: impl Into<String>) -> &mut Problem {
        // A problem with the stage as a whole is shown at its type.
        let key = at.is_empty();
        let at = format!("{}{at}", self.stage);
        self.problems.push(Problem { at, key, message: message.into(), ..Problem::default() });
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    /// Reports something at `at` that is valid but probably not meant.
    pub fn warning(&mut self, at: &str, message: impl Into<String>) {
        let at = format!("{}{at}", self.stage);
        self.warnings.push(Problem { at, message: message.into(), ..Problem::default() });
    }

    /// The problems reported so far.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}
