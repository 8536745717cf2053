//! Lists the files that `synthmill init` copies into a new project, so that adding a pipeline, prompt or data file to the
//! repository adds it to the program. The list is included by `src/cli/init/shipped.rs`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The folders whose text files are shipped.
const FOLDERS: [&str; 3] = ["config", "markdown_docs", "pipelines"];
/// Shipped files elsewhere: the first line of each pipeline refers to the schema.
const FILES: [&str; 1] = ["docs/pipeline.schema.json"];

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let mut files: Vec<PathBuf> = FILES.iter().map(PathBuf::from).collect();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        list(&root, Path::new(folder), &mut files)?;
    }
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        // An absolute path: the table lies in Cargo's output folder.
        writeln!(table, "    ({:?}, include_str!({:?})),", file, root.join(&file))
            .map_err(io::Error::other)?;
    }
    table.push_str("]\n");
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("shipped_files.rs"), table)
}

fn list(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => list(root, &path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}
