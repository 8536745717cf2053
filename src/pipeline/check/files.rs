//! The files that stages read and write.
//!
//! Input files count as part of the pipeline: the fingerprint contains their hashes. Output files must be inside
//! the run directory, and no two stages may write the same one.

use std::path::Path;

use super::CheckContext;
use crate::pipeline::field_type::FieldType;
use crate::pipeline::input_file::InputFile;
use crate::pipeline::output_path::output_path;
use crate::pipeline::stage_ids::stage_name;
use crate::template::Patterns;
use crate::text_file;

impl CheckContext<'_> {
    /// Reads a file whose content counts as part of the pipeline. Reports at `at` if it cannot be read.
    pub fn read_file(&mut self, at: &str, path: &str) -> Option<String> {
        self.depends_on(path);
        match text_file::read(path) {
            Ok(text) => Some(text),
            Err(error) => {
                let hint = match error.is_missing() {
                    true => self.missing_hint(path),
                    false => error.hint().map(str::to_owned),
                };
                let problem = self.problem(at, format!("cannot read `{path}`: {error}"));
                problem.expected("a UTF-8 text file").hint = hint;
                None
            }
        }
    }

    /// Reads the file of patterns that the option at `at` names, and reports what is wrong with it.
    pub fn read_patterns(&mut self, at: &str, path: &str) -> Option<Patterns> {
        let path = self.render(at, path)?;
        let text = self.read_file(at, &path)?;
        match Patterns::parse(&text) {
            Ok(patterns) => Some(patterns),
            Err(problems) => {
                for problem in problems {
                    self.problem(at, format!("`{path}`: {problem}"));
                }
                None
            }
        }
    }

    /// Makes patterns known to the expressions of a stage, which removes `Patterns::NAME` again behind them. Reports
    /// at `at` and returns false if a field would hide them.
    pub fn makes_patterns(&mut self, at: &str, patterns: &Patterns) -> bool {
        if self.has(Patterns::NAME) {
            let message = format!("records have a field `{}`, which would hide them", Patterns::NAME);
            self.problem(at, message).expected("no field of this name");
            return false;
        }
        let lists = patterns.names().map(|name| (name.to_owned(), FieldType::any())).collect();
        self.makes_as(Patterns::NAME, FieldType::object_of(lists, false));
        true
    }

    /// The hint for a path or glob that matches nothing.
    #[must_use]
    pub fn missing_hint(&self, path: &str) -> Option<String> {
        let relative = !Path::new(path).is_absolute();
        let rule =
            || "paths start from the folder that synthmill is run in, not from the pipeline's".to_owned();
        self.found_elsewhere(path).or_else(|| relative.then(rule))
    }

    /// The hint if such a file exists beside the pipeline: the command then runs in another folder than the
    /// pipeline was written for.
    #[must_use]
    pub fn found_elsewhere(&self, path: &str) -> Option<String> {
        let beside = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        // A project keeps its pipelines beside their inputs, or in a folder of their own.
        for folder in beside.into_iter().flat_map(|folder| [Some(folder), folder.parent()]).flatten() {
            let there = folder.join(path);
            let found = |pattern: &str| glob::glob(pattern).ok()?.find_map(Result::ok);
            if !folder.as_os_str().is_empty() && there.to_str().and_then(found).is_some() {
                return Some(format!(
                    "paths start from the folder that synthmill is run in: `{}` is there, so run it in `{}`",
                    there.display(),
                    folder.display()
                ));
            }
        }
        None
    }

    /// Adds the hint to the last problem, which is with `path`, unless it has one or the path exists.
    pub fn hint_if_missing(&mut self, path: &str) {
        let missing = !Path::new(path).exists();
        let hint = if missing { self.missing_hint(path) } else { None };
        if let Some(problem) = self.problems.last_mut() {
            problem.hint = problem.hint.take().or(hint);
        }
    }

    /// Counts the content of a file as part of the pipeline. A file that cannot be read counts by its name only;
    /// the stage reports the error when it reads it.
    pub fn depends_on(&mut self, path: &str) {
        self.inputs.insert(path.to_owned(), InputFile::read(path));
    }

    /// The same for a file of which the stage uses something other than its bytes, with this hash.
    pub fn depends_on_as(&mut self, path: &str, hash: &str) {
        self.inputs.insert(path.to_owned(), InputFile::read(path).with_hash(hash));
    }

    /// Whether an earlier pipeline of the same command will create the run in this folder.
    #[must_use]
    pub fn is_planned_run(&self, folder: &Path) -> bool {
        let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.planned_runs.iter().any(|coming| whole(coming) == whole(folder))
    }

    /// Claims an output file; reports at `at` if the path leaves the run directory, is one of the run's own
    /// files, or is written by another stage.
    pub fn output(&mut self, at: &str, path: &str) {
        let clean = match output_path(path) {
            Ok(clean) => clean,
            Err(wrong) => {
                self.problem(at, wrong.message).expected("a path inside the run directory").hint = wrong.hint;
                return;
            }
        };
        let stage = self.stage.clone();
        let clash = self.outputs.iter().find(|(other, _)| {
            **other == clean
                || other.starts_with(&format!("{clean}/"))
                || clean.starts_with(&format!("{other}/"))
        });
        if let Some((other, writer)) = clash {
            let message = match *other == clean {
                true => format!("`{clean}` is written by {} too", stage_name(writer)),
                false => format!("`{clean}` and `{other}` cannot both be files"),
            };
            self.problem(at, message).hint("give each sink a path of its own");
            return;
        }
        self.outputs.insert(clean, stage);
    }
}
