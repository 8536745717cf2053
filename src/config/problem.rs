//! What is wrong with a pipeline file: each problem with its place, all of them printed at once.

/// One thing that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer to the value, from the file's root, such as `/stages/2/split/ratios`.
    pub at: String,
    /// Whether the key at `at` is wrong rather than its value.
    pub key: bool,
    /// What is wrong, as a lowercase fragment with the user's values in backticks.
    pub message: String,
    /// What was expected there.
    pub expected: Option<String>,
    /// What to write instead, such as a nearest known name.
    pub hint: Option<String>,
}

impl Problem {
    /// Says what was expected.
    pub fn expected(&mut self, expected: impl Into<String>) -> &mut Self {
        self.expected = Some(expected.into());
        self
    }

    /// Says what to write instead.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says that the key is wrong, not its value.
    pub fn on_key(&mut self) -> &mut Self {
        self.key = true;
        self
    }
}

/// Every problem of one file.
#[derive(Debug, Default)]
pub struct Problems {
    /// The problems, in the order of the file.
    pub list: Vec<Problem>,
}
