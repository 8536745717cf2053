//! `init`: a new project folder that runs as it is, made of the files the project ships.
//!
//! `shipped` knows the files, and which of them a template needs.

mod shipped;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};

use self::shipped::ProjectTemplate;
use super::exit::{Exit, UsageError};
use super::print;

/// The arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The folder to make; it may exist if it is empty.
    dir: PathBuf,
    /// What to begin with: a pipeline or a recipe; by default `docs-to-qa` and `user-inputs`.
    #[arg(long, value_name = "NAME", value_parser = template_names())]
    template: Option<String>,
}

fn template_names() -> PossibleValuesParser {
    let named = |template: ProjectTemplate| PossibleValue::new(template.name).help(template.description());
    PossibleValuesParser::new(shipped::templates().into_iter().map(named))
}

/// The line of the pipelines at the top that requires a model server.
const SERVER: &str = "provider: openai";
/// Its replacement, so that the new project runs without one.
const NO_SERVER: &str = "provider: heuristic   # no server; `openai` asks the one at `base_urls`";
/// The replacement in recipes, whose scripts know the answers that their methods need.
const SCRIPT: &str = "provider: mock";
/// What every project has.
const PROJECT: [(&str, &str); 2] =
    [("output/.gitkeep", ""), (".gitignore", "/output/*\n!/output/.gitkeep\n")];

pub(super) fn run(args: &InitArgs) -> anyhow::Result<Exit> {
    let dir = &args.dir;
    let occupied = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        let message = format!("`{}` is not empty\nhint: name a new folder", dir.display());
        return Err(UsageError(message).into());
    }
    let wanted = |template: &ProjectTemplate| match &args.template {
        Some(name) => template.name == name,
        None => !template.is_recipe(),
    };
    let mut commands = String::new();
    let mut readme = README.to_owned();
    for (path, content) in PROJECT {
        write(&dir.join(path), content)?;
    }
    for template in shipped::templates().into_iter().filter(wanted) {
        for (path, content) in template.needs() {
            write(&dir.join(path), content)?;
        }
        for (path, pipeline) in &template.pipelines {
            write(&dir.join(path), &without_server(&template, pipeline))?;
        }
        commands.push_str(&format!("synthmill run {}\n", template.argument()));
        for run in template.runs() {
            commands.push_str(&format!("synthmill report output/{run}\n"));
        }
        readme.push_str(&format!("* `{}`: {}\n", template.argument(), template.description()));
    }
    readme.push_str(&README_END.replace("COMMANDS", &commands));
    write(&dir.join("README.md"), &readme)?;
    let indented: String = commands.lines().map(|line| format!("  {line}\n")).collect();
    print(&format!("made `{0}`. Now:\n  cd {0}\n{indented}`README.md` says how to go on.\n", dir.display()));
    Ok(Exit::Complete)
}

const README: &str = "# Training data by synthmill\n\n";
const README_END: &str = "
The pipelines run as they are, without a model: answers come from a script, or are built from the documents' own words,
which shows the way but is no data to train on. Set `provider: openai` in a pipeline, and `base_urls` and `model` to those
of a server.

```sh
COMMANDS```

`synthmill preview PIPELINE --prompts-only` shows what a model is asked, `synthmill plan PIPELINE` what a run will take,
`synthmill stages` what else a pipeline can do. An editor with a YAML language server completes pipelines by
`docs/pipeline.schema.json`.
";

/// The pipeline with all models answered without a server.
fn without_server(template: &ProjectTemplate, pipeline: &str) -> String {
    match template.is_recipe() {
        true => pipeline.replace(SERVER, SCRIPT),
        false => pipeline.replacen(SERVER, NO_SERVER, 1),
    }
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
        for template in shipped::templates() {
            for (path, pipeline) in &template.pipelines {
                let servers = pipeline.matches(SERVER).count();
                assert!(servers == 1 || template.is_recipe(), "{path}");
                assert!(!without_server(&template, pipeline).contains(SERVER), "{path}");
            }
        }
    }
}
