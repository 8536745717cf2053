//! `init`: a new project folder that runs as it is, made of the files the project ships.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::exit::{Exit, UsageError};
use super::print;

/// The arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The folder to make; it may exist if it is empty.
    dir: PathBuf,
    /// What to begin with; by default all there is.
    #[arg(long, value_name = "NAME")]
    template: Option<ProjectTemplate>,
}

/// A pipeline to begin with, and what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProjectTemplate {
    /// Questions and answers with reasoning from a folder of Markdown.
    DocsToQa,
    /// Users' questions drawn from shares of topics, tones, languages and lengths.
    UserInputs,
}

/// A shipped file: its path in the project, the template it belongs to, and its content.
struct ShippedFile {
    path: &'static str,
    /// `None` for a file that belongs to all templates.
    template: Option<ProjectTemplate>,
    content: &'static str,
}

const fn file(template: Option<ProjectTemplate>, path: &'static str, content: &'static str) -> ShippedFile {
    ShippedFile { path, template, content }
}

const DOCS: Option<ProjectTemplate> = Some(ProjectTemplate::DocsToQa);
const INPUTS: Option<ProjectTemplate> = Some(ProjectTemplate::UserInputs);

const FILES: &[ShippedFile] = &[
    file(DOCS, "config/question_types.json", include_str!("../../config/question_types.json")),
    file(DOCS, "config/reasoning_cues.yaml", include_str!("../../config/reasoning_cues.yaml")),
    file(DOCS, "config/source_mentions.yaml", include_str!("../../config/source_mentions.yaml")),
    file(DOCS, "pipelines/prompts/qa-system.j2", include_str!("../../pipelines/prompts/qa-system.j2")),
    file(DOCS, "pipelines/prompts/qa-source.j2", include_str!("../../pipelines/prompts/qa-source.j2")),
    file(DOCS, "pipelines/prompts/qa-user.j2", include_str!("../../pipelines/prompts/qa-user.j2")),
    file(DOCS, "markdown_docs/sourdough.md", include_str!("../../markdown_docs/sourdough.md")),
    file(DOCS, "markdown_docs/tides.md", include_str!("../../markdown_docs/tides.md")),
    file(INPUTS, "config/context.txt", include_str!("../../config/context.txt")),
    file(
        INPUTS,
        "config/injections/additional_instruction.json",
        include_str!("../../config/injections/additional_instruction.json"),
    ),
    file(INPUTS, "config/injections/language.json", include_str!("../../config/injections/language.json")),
    file(INPUTS, "config/injections/tone.json", include_str!("../../config/injections/tone.json")),
    file(INPUTS, "config/injections/topic.json", include_str!("../../config/injections/topic.json")),
    file(
        INPUTS,
        "config/response_length_distribution.json",
        include_str!("../../config/response_length_distribution.json"),
    ),
    file(
        INPUTS,
        "pipelines/prompts/user-input-system.j2",
        include_str!("../../pipelines/prompts/user-input-system.j2"),
    ),
    file(
        INPUTS,
        "pipelines/prompts/user-input-user.j2",
        include_str!("../../pipelines/prompts/user-input-user.j2"),
    ),
    // The first line of each pipeline refers to this path.
    file(None, "docs/pipeline.schema.json", include_str!("../../docs/pipeline.schema.json")),
    file(None, "output/.gitkeep", ""),
    file(None, ".gitignore", "/output/*\n!/output/.gitkeep\n"),
];

/// The pipelines: template, name, content, and the description for the README.
const PIPELINES: &[(ProjectTemplate, &str, &str, &str)] = &[
    (
        ProjectTemplate::DocsToQa,
        "docs-to-qa",
        include_str!("../../pipelines/docs-to-qa.yaml"),
        "makes questions and answers with reasoning from `markdown_docs`: put your own documents there",
    ),
    (
        ProjectTemplate::UserInputs,
        "user-inputs",
        include_str!("../../pipelines/user-inputs.yaml"),
        "draws questions of users from the shares in `config/injections`: change them, add attributes",
    ),
];
/// The line of a shipped pipeline that requires a model server.
const SERVER: &str = "provider: openai";
/// Its replacement, so that the new project runs without one.
const NO_SERVER: &str = "provider: heuristic   # no server; `openai` asks the one at `base_urls`";

pub(super) fn run(args: &InitArgs) -> anyhow::Result<Exit> {
    let dir = &args.dir;
    let occupied = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        let message = format!("`{}` is not empty\nhint: name a new folder", dir.display());
        return Err(UsageError(message).into());
    }
    let wanted = |template: ProjectTemplate| args.template.is_none_or(|asked| asked == template);
    for file in FILES.iter().filter(|file| file.template.is_none_or(wanted)) {
        write(&dir.join(file.path), file.content)?;
    }
    let mut commands = String::new();
    let mut readme = README.to_owned();
    for (_, name, pipeline, what) in PIPELINES.iter().filter(|(template, ..)| wanted(*template)) {
        write(&dir.join(format!("pipelines/{name}.yaml")), &without_server(pipeline))?;
        commands
            .push_str(&format!("  synthmill run pipelines/{name}.yaml\n  synthmill report output/{name}\n"));
        readme.push_str(&format!("* `pipelines/{name}.yaml` {what}.\n"));
    }
    readme.push_str(&README_END.replace("COMMANDS", &commands.replace("  synthmill", "synthmill")));
    write(&dir.join("README.md"), &readme)?;
    print(&format!("made `{0}`. Now:\n  cd {0}\n{commands}`README.md` says how to go on.\n", dir.display()));
    Ok(Exit::Complete)
}

const README: &str = "# Training data by synthmill\n\n";
const README_END: &str = "
The pipelines run as they are, without a model: answers are then built from the documents' own words, which shows the
way but is no data to train on. Set `provider: openai` in a pipeline, and `base_urls` and `model` to those of a server.

```sh
COMMANDS```

`synthmill preview PIPELINE --prompts-only` shows what a model is asked, `synthmill plan PIPELINE` what a run will take,
`synthmill stages` what else a pipeline can do. An editor with a YAML language server completes pipelines by
`docs/pipeline.schema.json`.
";

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
        for (_, path, pipeline, _) in PIPELINES {
            assert_eq!(pipeline.matches(SERVER).count(), 1, "{path}");
            assert!(without_server(pipeline).contains("provider: heuristic"), "{path}");
        }
    }
}
