//! The fields that rules of mock models use: each must be known to some stage that asks the model.
//!
//! A rule may be meant for one of several stages, so a name is wrong only if none of them knows it.

use std::collections::BTreeMap;

use super::CheckContext;
use crate::pipeline::document::join;
use crate::pipeline::mock_check;
use crate::pipeline::problem::Problem;

/// For each location and name that a rule uses: its problem, or `None` once a stage knew the name.
#[derive(Debug, Clone, Default)]
pub(super) struct MockFieldReads {
    found: BTreeMap<(String, String), Option<Problem>>,
}

impl MockFieldReads {
    /// The problems with names that no stage knew.
    pub(super) fn problems(self) -> impl Iterator<Item = Problem> {
        self.found.into_values().flatten()
    }
}

impl CheckContext<'_> {
    /// Records that the stage under check asks the model `name`: its rules see the fields known here.
    pub(super) fn ask_mock(&mut self, name: &str) {
        let Some(mock) = self.models.get(name).and_then(|model| model.mock.as_ref()) else { return };
        for (index, rule) in mock.rules.iter().enumerate() {
            let at = format!("{}/mock/rules/{index}", join("/models", name));
            for reading in mock_check::templates(rule) {
                let names = reading.names(self.vars).unwrap_or_default();
                names.into_iter().for_each(|name| self.read_by_mock(format!("{at}{}", reading.at), name));
            }
        }
    }

    fn read_by_mock(&mut self, at: String, name: String) {
        let top = name.split('.').next().unwrap_or(&name);
        if top == "mock" || self.knows(&name) {
            self.mock_reads.found.insert((at, name), None);
            return;
        }
        self.unknown_name("", &name);
        let Some(mut problem) = self.problems.pop() else { return };
        problem.key = false;
        problem.at.clone_from(&at);
        self.mock_reads.found.entry((at, name)).or_insert(Some(problem));
    }
}
