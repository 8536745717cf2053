//! The command that is measured most: `user-inputs` over HTTP, with its journal and synced outputs.

use std::path::Path;
use std::process::Command;

/// Returns the command for a run of `rows` items, that asks the server at `url` with `places` requests at a time.
pub(crate) fn command(program: &Path, url: &str, places: usize, rows: u64, out: &Path) -> Command {
    let mut command = pipeline(program, rows, out);
    command.args(["--set", &format!("models.writer.base_urls=[\"{url}\"]")]);
    command.args(["--set", &format!("models.writer.concurrency={places}")]);
    command
}

/// Returns the command for a run that asks whatever the file names.
pub(crate) fn pipeline(program: &Path, rows: u64, out: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["-q", "run", "pipelines/user-inputs.yaml", "--var", &format!("rows={rows}")]);
    command.arg("--out").arg(out).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}
