//! The files that the project ships, and which of them a pipeline needs.
//!
//! `build.rs` lists the files. A pipeline needs what its text names, and what the files that it names name in turn, so that
//! a template is complete without a list of its own.

/// A shipped file: its path in the project and its content.
pub(super) type ShippedFile = (&'static str, &'static str);

/// Every shipped file, in the order of their paths.
const FILES: &[ShippedFile] = include!(concat!(env!("OUT_DIR"), "/shipped_files.rs"));
/// Folders that pipelines name as a whole.
const FOLDERS: [&str; 3] = ["config/injections", "config/recipes/verified-code-sources", "markdown_docs"];
/// Files that a stage reads by default, without being named.
const DEFAULTS: [(&str, &str); 1] = [("plan_questions:", "config/question_types.json")];
/// The folder of the recipes, and that of their prompts inside it.
const RECIPES: &str = "pipelines/recipes/";
const PROMPTS: &str = "prompts";
/// The folders with the files of recipes, each named after its recipe.
const RECIPE_FILES: [&str; 2] = ["config/recipes", "pipelines/recipes/prompts"];

/// A pipeline, or a folder of several that run in order, to begin a project with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProjectTemplate {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// Its pipelines, in order.
    pub(super) pipelines: Vec<ShippedFile>,
}

/// Returns all templates: the pipelines at the top first, then the recipes by name.
pub(super) fn templates() -> Vec<ProjectTemplate> {
    let mut found: Vec<ProjectTemplate> = Vec::new();
    for file in FILES.iter().filter(|(path, _)| path.ends_with(".yaml")) {
        let Some(name) = template_of(file.0) else { continue };
        match found.iter_mut().find(|template| template.name == name) {
            Some(template) => template.pipelines.push(*file),
            None => found.push(ProjectTemplate { name, pipelines: vec![*file] }),
        }
    }
    found.sort_by_key(|template| (template.is_recipe(), template.name));
    found
}

/// The template that a pipeline belongs to, by its path.
fn template_of(path: &'static str) -> Option<&'static str> {
    let file = path.strip_prefix(RECIPES).or_else(|| path.strip_prefix("pipelines/"))?;
    match file.split_once('/') {
        None => file.strip_suffix(".yaml"),
        // Tests of a pipeline stand in a folder `NAME.tests`.
        Some((folder, rest)) => {
            (folder != PROMPTS && !folder.contains('.') && !rest.contains('/')).then_some(folder)
        }
    }
}

impl ProjectTemplate {
    /// Whether it is a recipe, and none of the pipelines that a project has by default.
    pub(super) fn is_recipe(&self) -> bool {
        self.pipelines.iter().any(|(path, _)| path.starts_with(RECIPES))
    }

    /// Returns the argument of `synthmill run`: the pipeline, or the files of its folder.
    pub(super) fn argument(&self) -> String {
        let Some((path, _)) = self.pipelines.first() else { return String::new() };
        match path.rsplit_once('/') {
            Some((folder, _)) if folder.ends_with(&format!("/{}", self.name)) => format!("{folder}/*.yaml"),
            _ => (*path).to_owned(),
        }
    }

    /// Returns the names of its pipelines, which name their run directories.
    pub(super) fn runs(&self) -> Vec<&'static str> {
        self.pipelines.iter().filter_map(|(_, text)| setting(text, "name")).collect()
    }

    /// Returns what it makes, as its first pipeline describes it.
    pub(super) fn description(&self) -> &'static str {
        self.pipelines.first().and_then(|(_, text)| setting(text, "description")).unwrap_or_default()
    }

    /// Whether a file is a recipe's by its name, `NAME-...`: pipelines may put such a path together from a variable.
    fn owns(&self, path: &str) -> bool {
        let Some((folder, file)) = path.rsplit_once('/') else { return false };
        let rest = file.strip_prefix(self.name);
        self.is_recipe() && RECIPE_FILES.contains(&folder) && rest.is_some_and(|rest| rest.starts_with('-'))
    }

    /// Returns the other files that its pipelines need.
    pub(super) fn needs(&self) -> Vec<ShippedFile> {
        let mut needed: Vec<ShippedFile> = self.pipelines.clone();
        needed.extend(FILES.iter().filter(|file| self.owns(file.0)));
        let mut read = 0;
        while let Some((_, text)) = needed.get(read).copied() {
            read += 1;
            let further = FILES.iter().filter(|file| names(text, file.0) && !needed.contains(file));
            let further: Vec<ShippedFile> = further.copied().collect();
            needed.extend(further);
        }
        needed.retain(|file| !self.pipelines.contains(file));
        needed
    }
}

/// Whether a text names the shipped file `path`. Documents and schemas name examples, not what they need.
fn names(text: &str, path: &str) -> bool {
    if text.starts_with('{') || text.starts_with("# ") && !text.contains("stages:") {
        return false;
    }
    let by_folder =
        path.rsplit_once('/').is_some_and(|(folder, _)| FOLDERS.contains(&folder) && text.contains(folder));
    let by_stage = DEFAULTS.iter().any(|(stage, file)| *file == path && text.contains(stage));
    by_folder || by_stage || text.contains(path)
}

/// The value of a top-level setting that is written on one line.
fn setting(text: &'static str, key: &str) -> Option<&'static str> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.split(" #").next().unwrap_or(line).trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expected: &[&str]) {
        let templates = templates();
        let template = templates.iter().find(|one| one.name == template).unwrap();
        let found: Vec<&str> = template.needs().iter().map(|(path, _)| *path).collect();
        for path in expected {
            assert!(found.contains(path), "`{}` needs {path}: {found:?}", template.name);
        }
    }

    #[test]
    fn a_template_has_what_its_pipelines_name() {
        check(
            "docs-to-qa",
            &[
                "config/question_types.json",
                "config/source_mentions.yaml",
                "docs/pipeline.schema.json",
                "markdown_docs/tides.md",
                "pipelines/prompts/qa-user.j2",
            ],
        );
        check("user-inputs", &["config/context.txt", "config/injections/tone.json"]);
    }

    #[test]
    fn a_template_has_nothing_else() {
        let templates = templates();
        let inputs = templates.iter().find(|one| one.name == "user-inputs").unwrap();
        let found: Vec<&str> = inputs.needs().iter().map(|(path, _)| *path).collect();
        assert!(
            !found.iter().any(|path| path.contains("markdown_docs") || path.contains("qa-")),
            "{found:?}"
        );
    }

    #[test]
    fn recipes_are_templates_by_their_file_or_folder() {
        assert_eq!(template_of("pipelines/docs-to-qa.yaml"), Some("docs-to-qa"));
        assert_eq!(template_of("pipelines/recipes/rephrase.yaml"), Some("rephrase"));
        assert_eq!(template_of("pipelines/recipes/weak-to-strong/2-label.yaml"), Some("weak-to-strong"));
        assert_eq!(template_of("pipelines/recipes/rephrase.tests/a.yaml"), None);
        assert_eq!(template_of("config/aspects.yaml"), None);
    }
}
