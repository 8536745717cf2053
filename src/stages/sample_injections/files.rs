//! The folder of injection files: which of its files are read, and the attribute in each.
//!
//! A file's name is its attribute's name, so a new file in the folder is a new attribute without any other edit.
//! `entries` parses and checks a single file.

use std::collections::BTreeMap;
use std::path::Path;

use super::entries;
use super::weighted::WeightedValues;

/// The extensions of injection files.
const ENDINGS: [&str; 4] = ["json", "yaml", "yml", "csv"];

/// The contents of a folder.
#[derive(Debug, Default)]
pub(super) struct InjectionFolder {
    /// The attributes by name, each with its file.
    pub(super) attributes: BTreeMap<String, (String, WeightedValues)>,
    /// The injection files, valid or not.
    pub(super) files: Vec<String>,
    /// Files that are not injection files.
    pub(super) left_out: Vec<String>,
    /// The problems, one message per file.
    pub(super) problems: Vec<String>,
}

impl InjectionFolder {
    /// Reads every injection file of `folder`.
    pub(super) fn read(folder: &str) -> Self {
        let mut read = Self::default();
        let names = match names(folder) {
            Ok(names) => names,
            Err(error) => {
                read.problems.push(format!("cannot read the folder `{folder}`: {error}"));
                return read;
            }
        };
        for name in names {
            let path = format!("{}/{name}", folder.trim_end_matches('/'));
            match stem(&path, &name) {
                Some(stem) => read.add(&path, stem),
                None => read.left_out.push(path),
            }
        }
        if read.files.is_empty() {
            read.problems.push(format!("`{folder}` has no injection file (`.json`, `.yaml` or `.csv`)"));
        }
        read
    }

    fn add(&mut self, path: &str, stem: &str) {
        self.files.push(path.to_owned());
        let (name, values) = match entries::read(path, stem) {
            Ok(attribute) => attribute,
            Err(problem) => {
                self.problems.push(problem);
                return;
            }
        };
        if let Some((other, _)) = self.attributes.get(&name) {
            let message = format!("`{other}` and `{path}` are two files of one name, `{name}`");
            self.problems.push(message);
            return;
        }
        self.attributes.insert(name, (path.to_owned(), values));
    }
}

/// The sorted names in a folder, so that the order of listing does not matter.
fn names(folder: &str) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The name of an injection file without its extension; `None` for other files.
fn stem<'n>(path: &str, name: &'n str) -> Option<&'n str> {
    let (stem, ending) = name.rsplit_once('.')?;
    let ending = ending.to_lowercase();
    let fits = ENDINGS.contains(&ending.as_str()) && !name.starts_with('.') && Path::new(path).is_file();
    fits.then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The folder made of these files, with its path shown as `@`.
    fn read(files: &[(&str, &str)]) -> InjectionFolder {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = dir.path().to_str().unwrap();
        let mut folder = InjectionFolder::read(&format!("{root}/"));
        for text in folder.files.iter_mut().chain(&mut folder.left_out).chain(&mut folder.problems) {
            *text = text.replace(root, "@");
        }
        folder
    }

    const TONE: &str = r#"[{"tone": "calm", "frequency score": 2}, {"tone": "", "frequency score": 1}]"#;

    #[test]
    fn every_injection_file_is_an_attribute_and_others_are_named() {
        let folder = read(&[
            ("tone.json", TONE),
            ("mood.yaml", "- {mood: glad, frequency score: 1}\n- mood: sad\n  frequency score: 0.5\n"),
            ("place.csv", "place,frequency score\nat home,3\n\"on the road, late\",1\n"),
            (".hidden.json", TONE),
            ("notes.txt", "not read"),
            ("README", "not read"),
            ("old/tone.json", TONE),
        ]);
        assert_eq!(folder.problems, Vec::<String>::new());
        let names: Vec<&str> = folder.attributes.keys().map(String::as_str).collect();
        assert_eq!(names, ["mood", "place", "tone"]);
        assert_eq!(folder.attributes["place"].1.texts(), ["at home", "on the road, late"]);
        assert_eq!(folder.attributes["mood"].1.scores().shares(), [2.0 / 3.0, 1.0 / 3.0]);
        assert_eq!(folder.files, ["@/mood.yaml", "@/place.csv", "@/tone.json"]);
        assert_eq!(folder.left_out, ["@/.hidden.json", "@/README", "@/notes.txt", "@/old"]);
    }

    #[test]
    fn the_layout_of_the_original_is_understood() {
        let entry = |key: &str| format!(r#"[{{"{key}": "x", "frequency score": 1}}]"#);
        let folder = read(&[
            ("topics.json", &entry("topic")),
            ("tones.json", &entry("tone")),
            ("languages.json", &entry("language")),
            ("additional_instructions.json", &entry("additional instruction")),
        ]);
        assert_eq!(folder.problems, Vec::<String>::new());
        let names: Vec<&str> = folder.attributes.keys().map(String::as_str).collect();
        assert_eq!(names, ["additional_instruction", "language", "tone", "topic"]);
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        for other in ["tone.yaml", "tones.json"] {
            let folder = read(&[("tone.json", TONE), (other, TONE)]);
            let expected = format!("`@/tone.json` and `@/{other}` are two files of one name, `tone`");
            assert_eq!(folder.problems, [expected]);
        }
    }

    #[test]
    fn a_folder_without_injection_files_is_refused() {
        assert_eq!(
            read(&[("a.txt", "")]).problems,
            ["`@/` has no injection file (`.json`, `.yaml` or `.csv`)"]
        );
        assert!(InjectionFolder::read("no/such/folder").problems[0].starts_with("cannot read the folder"));
    }
}
