//! The files that stages read and write, as far as a check is concerned.
//!
//! What is read counts as part of the pipeline, by a hash that the fingerprint holds; what is written must lie in
//! the run directory, and no two stages may write the same.

use std::path::Path;

use super::CheckContext;
use crate::pipeline::input_file::InputFile;
use crate::pipeline::output_path::output_path;
use crate::pipeline::stage_ids::stage_name;
use crate::text_file;

impl CheckContext<'_> {
    /// Reads a file that the run depends on: its content counts as part of the pipeline. Reports at `at` when
    /// it cannot be read.
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

    /// What to say of a path, or pattern of paths, that leads to nothing.
    #[must_use]
    pub fn missing_hint(&self, path: &str) -> Option<String> {
        let relative = !Path::new(path).is_absolute();
        let rule =
            || "paths start from the folder that synthmill is run in, not from the pipeline's".to_owned();
        self.found_elsewhere(path).or_else(|| relative.then(rule))
    }

    /// The same, where such a file is found beside the pipeline: it is run in another folder than the one it was
    /// written for.
    #[must_use]
    pub fn found_elsewhere(&self, path: &str) -> Option<String> {
        let beside = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        // A project keeps its pipelines beside what they read, or in a folder of their own.
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

    /// Adds that to a problem with `path` at `at`, unless it has a hint or the path leads somewhere.
    pub fn hint_if_missing(&mut self, path: &str) {
        let missing = !Path::new(path).exists();
        let hint = if missing { self.missing_hint(path) } else { None };
        if let Some(problem) = self.problems.last_mut() {
            problem.hint = problem.hint.take().or(hint);
        }
    }

    /// Counts the content of a file as part of what the run depends on. A file that cannot be read counts
    /// by its name; reading it is the stage's affair.
    pub fn depends_on(&mut self, path: &str) {
        self.inputs.insert(path.to_owned(), InputFile::read(path));
    }

    /// The same of a file of which the stage takes something else for its content, of this hash.
    pub fn depends_on_as(&mut self, path: &str, hash: &str) {
        self.inputs.insert(path.to_owned(), InputFile::read(path).with_hash(hash));
    }

    /// Whether an earlier pipeline of the same command is going to make the run in this folder.
    #[must_use]
    pub fn is_planned_run(&self, folder: &Path) -> bool {
        let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.planned_runs.iter().any(|coming| whole(coming) == whole(folder))
    }

    /// Claims a file of the run directory; reports at `at` when the path leaves the directory, is one of
    /// the run's own files, or another stage writes it.
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
