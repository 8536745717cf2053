//! Finds a program, and what it needs to read of where it is installed.

use std::path::{Path, PathBuf};

use super::{PATH, SandboxError};

/// The folders of the system, which every program may read. A link is one inside as well.
pub(super) const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Finds the file of a program. A name without `/` is looked up in [`PATH`].
pub(super) fn find(name: &str) -> Result<PathBuf, SandboxError> {
    if name.contains('/') {
        let path = std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name));
        return match is_program(&path) {
            true => Ok(path),
            false => Err(SandboxError::new(format!("there is no program `{}`", path.display()))),
        };
    }
    search(name).ok_or_else(|| {
        SandboxError::new(format!(
            "there is no program `{name}` in `{PATH}`; hint: give its path, or install it"
        ))
    })
}

/// Looks a name up in [`PATH`].
pub(super) fn search(name: &str) -> Option<PathBuf> {
    PATH.split(':').map(|folder| Path::new(folder).join(name)).find(|path| is_program(path))
}

/// Whether this is a file that may be executed.
fn is_program(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 == 0 {
        return false;
    }
    metadata.is_file()
}

/// Whether a path lies in a folder of the system.
#[cfg(target_os = "linux")]
pub(super) fn is_of_system(path: &Path) -> bool {
    SYSTEM.iter().any(|folder| path.starts_with(folder))
}

/// What a program reads of where it is installed: its file and, if that is in a folder `bin`, the neighbours with
/// libraries, so that the Python of a virtual environment finds its packages. Links are followed one by one, since each
/// may lie in an installation of its own.
#[cfg(target_os = "linux")]
pub(super) fn installation(program: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut file = program.to_owned();
    for _ in 0..8 {
        if !is_of_system(&file) {
            paths.push(file.clone());
            if let Some(prefix) =
                file.parent().filter(|folder| folder.ends_with("bin")).and_then(Path::parent)
            {
                let neighbours = ["bin", "lib", "lib64", "libexec", "include", "pyvenv.cfg"];
                paths.extend(
                    neighbours.map(|name| prefix.join(name)).into_iter().filter(|path| path.exists()),
                );
            }
        }
        let Ok(target) = file.read_link() else { break };
        file = normal(&file.parent().unwrap_or(Path::new("/")).join(target));
    }
    if let Ok(path) = program.canonicalize()
        && !is_of_system(&path)
        && !paths.contains(&path)
    {
        paths.extend(installation(&path));
    }
    paths
}

/// Resolves `..` by name, so that the path can be made in a new root.
#[cfg(target_os = "linux")]
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            std::path::Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_its_installation() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["venv/bin", "venv/lib", "base/bin", "base/lib", "base/share", "alone"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in ["base/bin/python3.1", "alone/script", "alone/secret"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("python3", root.join("venv/bin/python")).unwrap();
        std::os::unix::fs::symlink("../../base/bin/python3.1", root.join("venv/bin/python3")).unwrap();
        let found = |name: &str| {
            let mut found: Vec<String> = installation(&root.join(name))
                .iter()
                .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
                .collect();
            found.sort();
            found.dedup();
            found
        };
        let expected = [
            "base/bin",
            "base/bin/python3.1",
            "base/lib",
            "venv/bin",
            "venv/bin/python",
            "venv/bin/python3",
            "venv/lib",
        ];
        assert_eq!(found("venv/bin/python"), expected);
        assert_eq!(found("alone/script"), ["alone/script"]);
        assert!(installation(Path::new("/usr/bin/env")).is_empty());
    }
}
