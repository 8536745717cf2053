//! The recipes in `pipelines/recipes/`: each runs without a server, in a new project too, and does what its method says.
//!
//! A module for each recipe asserts the counts and the lineage of its method; here is what holds for all of them.

mod aligned_judge;
mod backtranslation;
mod bootstrap_demos;
mod constitution;
mod conversation;
mod evol_instruct;
mod execution_feedback;
mod inverted_labels;
mod killed;
mod made;
mod magpie;
mod math_checked;
mod own_step;
mod personas;
mod polish;
mod preferences;
mod rephrase;
mod self_instruct_challenge;
mod step_labels;
mod trajectories;
mod ultrafeedback;
mod verified_code;
mod weak_to_strong;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use synthmill::config::{Overrides, Plan};

use crate::harness::{assert_same_outputs, outputs, project, stderr, stdout, synthmill};

/// A recipe: its name, and its pipelines in the order in which they run.
struct Recipe {
    name: String,
    pipelines: Vec<PathBuf>,
}

/// Every recipe of the repository.
fn recipes() -> Vec<Recipe> {
    let folder = Path::new("pipelines/recipes");
    let mut recipes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".yaml") {
            recipes.push(Recipe { name: name.to_owned(), pipelines: vec![path] });
        } else if name != "prompts" && !name.contains('.') {
            let mut pipelines: Vec<PathBuf> =
                std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            pipelines.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
            pipelines.sort();
            recipes.push(Recipe { name, pipelines });
        }
    }
    recipes.sort_by(|a, b| a.name.cmp(&b.name));
    recipes
}

impl Recipe {
    fn plans(&self) -> Vec<Plan> {
        let mut coming = Vec::new();
        let mut plans = Vec::new();
        for path in &self.pipelines {
            let plan = Plan::load_after(path, &Overrides::default(), &coming)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            coming.push(Path::new("output").join(&plan.name));
            plans.push(plan);
        }
        plans
    }

    /// Runs it in `dir` with the scripts of its models, at this many requests at a time.
    fn run(&self, dir: &Path, concurrency: u32) {
        let mut arguments = vec!["run".to_owned()];
        arguments.extend(self.pipelines.iter().map(|path| path.to_string_lossy().into_owned()));
        arguments.extend(["--mock", "--fresh"].map(str::to_owned));
        let models: BTreeSet<String> =
            self.plans().iter().flat_map(|plan| plan.models.keys().cloned()).collect();
        for model in models {
            arguments.extend(["--set".to_owned(), format!("models.{model}.concurrency={concurrency}")]);
        }
        synthmill(dir, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), 0);
    }
}

/// Calls `check` for every recipe, several at a time.
fn for_each_recipe(check: impl Fn(&Recipe) + Sync) {
    let recipes = recipes();
    std::thread::scope(|scope| {
        let running: Vec<_> = recipes.iter().map(|recipe| scope.spawn(|| check(recipe))).collect();
        for one in running {
            one.join().unwrap();
        }
    });
}

/// The lines that a run wrote to a file, in the order of their ids.
pub(crate) fn lines(run: &Path, file: &str) -> Vec<Value> {
    let files = outputs(run);
    let text =
        files.get(file).unwrap_or_else(|| panic!("no {file} in {}: {:?}", run.display(), files.keys()));
    let mut lines: Vec<Value> = text.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["id"].as_str().unwrap_or_default().to_owned());
    lines
}

#[test]
fn every_recipe_makes_the_same_lines_at_any_concurrency() {
    for_each_recipe(|recipe| {
        let (one, many) = (project(), project());
        recipe.run(one.path(), 1);
        recipe.run(many.path(), 64);
        for plan in recipe.plans() {
            let run = Path::new("output").join(&plan.name);
            assert_same_outputs(&one.path().join(&run), &many.path().join(&run));
            for (file, lines) in outputs(&one.path().join(&run)) {
                let empty = lines.is_empty() && file != "rejected.jsonl";
                assert!(!empty, "{}: nothing in {file}", recipe.name);
            }
        }
    });
}

#[test]
fn every_recipe_starts_a_project() {
    for_each_recipe(|recipe| {
        let parent = tempfile::tempdir().unwrap();
        let made = stdout(&synthmill(parent.path(), &["init", "demo", "--template", &recipe.name], 0));
        let demo = parent.path().join("demo");
        let command = made.lines().find_map(|line| line.trim().strip_prefix("synthmill ")).expect(&made);
        // The shell of the user puts in the files of a folder.
        let mut arguments = vec!["run"];
        let files: Vec<String> =
            recipe.pipelines.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        assert!(command.starts_with("run pipelines/recipes/"), "{command}");
        arguments.extend(files.iter().map(String::as_str));
        let output = synthmill(&demo, &arguments, 0);
        assert!(stderr(&output).contains("complete"), "{}", recipe.name);
        synthmill(&demo, &[&["validate"], &arguments[1..]].concat(), 0);
    });
}

#[test]
fn every_recipe_has_a_plan_and_a_page() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    for_each_recipe(|recipe| {
        let dir = project();
        let first = recipe.pipelines[0].to_string_lossy().into_owned();
        synthmill(dir.path(), &["plan", &first, "--mock"], 0);
        let page = format!("docs/recipes/{}.md", recipe.name);
        assert!(Path::new(&page).exists(), "no {page}");
        assert!(readme.contains(&format!("({page})")), "README.md does not link {page}");
        for path in &recipe.pipelines {
            let text = std::fs::read_to_string(path).unwrap();
            assert!(text.lines().count() <= 110, "{}: longer than a screen", path.display());
            assert!(text.contains("\ndescription: "), "{}: no description", path.display());
        }
    });
}
