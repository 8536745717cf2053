//! Finds values that are drawn for a model and that no prompt uses.
//!
//! A value that is drawn, recorded and never shown to the model makes data whose attributes are wrong, and nobody
//! notices. `check` records draws, reads and questions in the order of the stages; draws that are still unused at
//! the end are problems.

use super::problem::Problem;
use crate::nearest::listed;

/// The draws of a pipeline that no template has used yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnusedDraws {
    stages: Vec<StageDraws>,
}

/// The draws of one stage.
#[derive(Debug, Clone)]
struct StageDraws {
    /// JSON pointer to the stage's body.
    at: String,
    /// Field names that no template has used yet.
    names: Vec<String>,
    /// Fields that contain all of them.
    all: &'static [&'static str],
    /// Whether a model is asked after the draw.
    asked: bool,
}

impl UnusedDraws {
    /// Records that the stage at `at` draws `names`; each field of `all` contains all of them.
    pub(crate) fn add(&mut self, at: String, names: Vec<String>, all: &'static [&'static str]) {
        self.stages.push(StageDraws { at, names, all, asked: false });
    }

    /// Records that a template or expression uses `name`.
    pub(crate) fn read(&mut self, name: &str) {
        for drawn in &mut self.stages {
            if drawn.all.contains(&name) {
                drawn.names.retain(|one| !one.contains('.'));
            }
            drawn.names.retain(|one| !is_inside(name, one) && !is_inside(one, name));
        }
    }

    /// Records that a template uses the record as a whole.
    pub(crate) fn read_all(&mut self) {
        self.stages.iter_mut().for_each(|drawn| drawn.names.clear());
    }

    /// Records that a model is asked.
    pub(crate) fn ask(&mut self) {
        for drawn in &mut self.stages {
            drawn.asked = true;
        }
    }

    /// Returns one problem for each stage whose draws a model should see and does not.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for drawn in self.stages.iter().filter(|drawn| drawn.asked && !drawn.names.is_empty()) {
            let names = listed(drawn.names.iter().map(String::as_str));
            let message = format!("no prompt reads {names}: the model would not see what is drawn");
            let mut problem = Problem::new(&drawn.at, message);
            let whole = drawn.all.first().unwrap_or(&"");
            problem.on_key().hint(format!(
                "write `{{{{ {} }}}}` into a prompt, or `{{{{ {whole} }}}}` for all attributes",
                drawn.names[0]
            ));
            problems.push(problem);
        }
        problems
    }
}

/// Whether `name` is `outer` or something inside it.
fn is_inside(name: &str, outer: &str) -> bool {
    name == outer || name.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reads: &[&str], expected: Option<&str>) {
        let mut unread = UnusedDraws::default();
        let names = ["injections.topic", "injections.tone", "target_words"].map(str::to_owned).to_vec();
        unread.add("/stages/1/sample_injections".into(), names, &["injection_list"]);
        for name in reads {
            unread.read(name);
        }
        assert!(unread.problems().is_empty(), "no model is asked");
        unread.ask();
        let problems = unread.problems();
        match expected {
            None => assert!(problems.is_empty(), "{reads:?}: {problems:?}"),
            Some(text) => assert!(problems[0].message.contains(text), "{reads:?}: {problems:?}"),
        }
    }

    #[test]
    fn every_drawn_value_must_be_read_by_itself_or_with_all() {
        check(&["injection_list", "target_words"], None);
        check(&["injections", "target_words"], None);
        check(&["injections.topic", "injections.tone", "target_words"], None);
        check(&["injection_list"], Some("no prompt reads `target_words`"));
        check(&["injections.topic", "target_words"], Some("no prompt reads `injections.tone`"));
        check(&["context"], Some("`injections.topic`, `injections.tone`, `target_words`"));
    }
}
