//! The links of the pages for users resolve, and their lists are complete.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use synthmill::stages::STAGES;

use crate::docs::commands::commands;
use crate::docs::pages::{Page, pages};

/// `folder/../a.md` as `a.md`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// The file that a link of a page leads to, and the heading there; none for a link that leaves the repository.
fn target(page: &Page, link: &str) -> Option<(PathBuf, String)> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let from = Path::new(&page.name);
    let path = if file.is_empty() { from.to_owned() } else { plain(&from.parent().unwrap().join(file)) };
    Some((path, heading.to_owned()))
}

#[test]
fn every_link_resolves_to_a_file_and_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut read = pages();
    read.extend(["CONTRIBUTING.md", "CHANGELOG.md"].map(Page::read));
    let mut wrong = Vec::new();
    let mut followed = 0;
    for page in &read {
        for link in page.links() {
            let Some((path, heading)) = target(page, &link) else { continue };
            followed += 1;
            let is_there = match heading.is_empty() {
                true => root.join(&path).exists(),
                false => read
                    .iter()
                    .any(|other| Path::new(&other.name) == path && other.anchors().contains(&heading)),
            };
            if !is_there {
                wrong.push(format!("{}: `{link}`", page.name));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
    assert!(followed > 60, "{followed}");
}

#[test]
fn the_readme_links_to_every_page() {
    let linked: BTreeSet<PathBuf> = ["README.md", "docs/recipes/README.md"]
        .map(Page::read)
        .iter()
        .flat_map(|page| page.links().into_iter().filter_map(|link| target(page, &link)).collect::<Vec<_>>())
        .map(|(path, _)| path)
        .collect();
    let missing: Vec<String> =
        pages().into_iter().map(|page| page.name).filter(|name| !linked.contains(Path::new(name))).collect();
    assert_eq!(missing, ["README.md"]);
}

#[test]
fn every_page_links_to_another() {
    for page in pages() {
        let leads = page
            .links()
            .iter()
            .filter_map(|link| target(&page, link))
            .any(|(path, _)| path != Path::new(&page.name));
        assert!(leads || page.name == "docs/architecture.md", "{} has no link", page.name);
    }
}

#[test]
fn the_readme_has_a_row_for_every_stage() {
    let readme = Page::read("README.md").text;
    for stage in STAGES {
        let row = format!("\n| [`{0}`](docs/stages.md#{0}) | ", stage.name);
        assert!(readme.contains(&row), "README.md has no row for the stage `{}`", stage.name);
    }
}

#[test]
fn the_page_of_commands_has_a_row_for_every_command() {
    let page = Page::read("docs/commands.md").text;
    for (command, _) in commands() {
        let has_row = page.lines().any(|line| {
            line.strip_prefix("| `").is_some_and(|rest| rest.split([' ', '`']).next() == Some(&*command))
        });
        assert!(has_row, "docs/commands.md has no row for `{command}`");
    }
}
