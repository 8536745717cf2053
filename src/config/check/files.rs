//! The files that stages read and write, as far as a check is concerned.
//!
//! What is read counts as part of the pipeline, by a hash that the fingerprint holds; what is written must lie in
//! the run directory, and no two stages may write the same.

use std::path::Path;

use super::CheckContext;
use crate::config::output_path::output_path;
use crate::config::stage_ids::stage_name;

impl CheckContext<'_> {
    /// Reads a file that the run depends on: its content counts as part of the pipeline. Reports at `at` when
    /// it cannot be read.
    pub fn read_file(&mut self, at: &str, path: &str) -> Option<String> {
        self.depends_on(path);
        match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) => {
                self.problem(at, format!("cannot read `{path}`: {error}")).expected("a UTF-8 text file");
                None
            }
        }
    }

    /// Counts the content of a file as part of what the run depends on. A file that cannot be read counts
    /// by its name; reading it is the stage's affair.
    pub fn depends_on(&mut self, path: &str) {
        let hash = hash_file(Path::new(path)).unwrap_or_else(|_| "unreadable".to_owned());
        self.inputs.insert(path.to_owned(), hash);
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

/// The BLAKE3 of a file's content, 32 hex digits.
fn hash_file(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}
