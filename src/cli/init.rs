//! `init`: a new project folder that runs as it is, made of the files the project ships.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::exit::{Exit, WrongUse};
use super::print;

/// The arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The folder to make; it may exist if it is empty.
    dir: PathBuf,
}

/// Where each file goes, and what it holds.
const FILES: &[(&str, &str)] = &[
    ("config/question_types.json", include_str!("../../config/question_types.json")),
    ("pipelines/prompts/qa-system.j2", include_str!("../../pipelines/prompts/qa-system.j2")),
    ("pipelines/prompts/qa-user.j2", include_str!("../../pipelines/prompts/qa-user.j2")),
    ("markdown_docs/sourdough.md", include_str!("../../markdown_docs/sourdough.md")),
    ("markdown_docs/tides.md", include_str!("../../markdown_docs/tides.md")),
    ("output/.gitkeep", ""),
    (".gitignore", "/output/*\n!/output/.gitkeep\n"),
];

const PIPELINE: &str = include_str!("../../pipelines/docs-to-qa.yaml");
/// The line of the shipped pipeline that needs a model server.
const SERVER: &str = "provider: openai";
/// What stands in its place, so that the new project runs at once.
const NO_SERVER: &str = "provider: heuristic   # no server; `openai` asks the one at `base_urls`";

pub(super) fn run(args: &InitArgs) -> anyhow::Result<Exit> {
    let dir = &args.dir;
    let occupied = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        let message = format!("`{}` is not empty\nhint: name a new folder", dir.display());
        return Err(WrongUse(message).into());
    }
    for (path, content) in FILES {
        write(&dir.join(path), content)?;
    }
    write(&dir.join("pipelines/docs-to-qa.yaml"), &pipeline())?;
    print(&format!(
        "made `{0}`. Now:\n  cd {0}\n  synthmill run pipelines/docs-to-qa.yaml\n\
         Put your own documents in `markdown_docs`, and set `provider: openai` in the pipeline to ask a model.\n",
        dir.display()
    ));
    Ok(Exit::Complete)
}

fn pipeline() -> String {
    PIPELINE.replacen(SERVER, NO_SERVER, 1)
}

fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make `{}`", parent.display()))?;
    }
    fs::write(path, content).with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_pipeline_still_has_the_line_that_is_replaced() {
        assert_eq!(PIPELINE.matches(SERVER).count(), 1);
        assert!(pipeline().contains("provider: heuristic"));
    }
}
