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
    ("config/context.txt", include_str!("../../config/context.txt")),
    (
        "config/injections/additional_instruction.json",
        include_str!("../../config/injections/additional_instruction.json"),
    ),
    ("config/injections/language.json", include_str!("../../config/injections/language.json")),
    ("config/injections/tone.json", include_str!("../../config/injections/tone.json")),
    ("config/injections/topic.json", include_str!("../../config/injections/topic.json")),
    ("config/question_types.json", include_str!("../../config/question_types.json")),
    (
        "config/response_length_distribution.json",
        include_str!("../../config/response_length_distribution.json"),
    ),
    ("pipelines/prompts/qa-system.j2", include_str!("../../pipelines/prompts/qa-system.j2")),
    ("pipelines/prompts/qa-user.j2", include_str!("../../pipelines/prompts/qa-user.j2")),
    ("pipelines/prompts/user-input-system.j2", include_str!("../../pipelines/prompts/user-input-system.j2")),
    ("pipelines/prompts/user-input-user.j2", include_str!("../../pipelines/prompts/user-input-user.j2")),
    ("markdown_docs/sourdough.md", include_str!("../../markdown_docs/sourdough.md")),
    ("markdown_docs/tides.md", include_str!("../../markdown_docs/tides.md")),
    ("output/.gitkeep", ""),
    (".gitignore", "/output/*\n!/output/.gitkeep\n"),
];

const PIPELINES: &[(&str, &str)] = &[
    ("pipelines/docs-to-qa.yaml", include_str!("../../pipelines/docs-to-qa.yaml")),
    ("pipelines/user-inputs.yaml", include_str!("../../pipelines/user-inputs.yaml")),
];
/// The line of a shipped pipeline that needs a model server.
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
    for (path, pipeline) in PIPELINES {
        write(&dir.join(path), &without_server(pipeline))?;
    }
    print(&format!(
        "made `{0}`. Now:\n  cd {0}\n  synthmill run pipelines/docs-to-qa.yaml\n\
         \x20 synthmill report output/docs-to-qa\n\
         Put your own documents in `markdown_docs`, and set `provider: openai` in the pipeline to ask a model.\n\
         `pipelines/user-inputs.yaml` draws questions of users from the shares in `config/injections`.\n",
        dir.display()
    ));
    Ok(Exit::Complete)
}

fn without_server(pipeline: &str) -> String {
    pipeline.replacen(SERVER, NO_SERVER, 1)
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
    fn the_shipped_pipelines_still_have_the_line_that_is_replaced() {
        for (path, pipeline) in PIPELINES {
            assert_eq!(pipeline.matches(SERVER).count(), 1, "{path}");
            assert!(without_server(pipeline).contains("provider: heuristic"), "{path}");
        }
    }
}
