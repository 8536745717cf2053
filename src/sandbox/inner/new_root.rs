//! A new root for the program: the folders of the system and what it may read, read-only; empty folders in memory to
//! write to; and nothing else, so that a path that was forgotten in a rule does not exist.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::pivot_root;

use crate::sandbox::command::SYSTEM;
use crate::sandbox::job::Job;
use crate::sandbox::view::{DEVICES, NETWORK_FILES, SYSTEM_FILES, WRITABLE};

/// Files and folders that a program can make.
const INODES: u32 = 20_000;
/// Where the new root is made; it hides nothing, since the old one has moved by the time that anything is shown.
const BASE: &str = "/tmp";
/// Plain, for a file system that has neither devices nor programs of other users.
const PLAIN: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// Makes the new root and enters it.
pub(super) fn enter(job: &Job) -> Result<(), String> {
    mount_on("/", None, None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)?;
    mount_on(BASE, Some("tmpfs"), Some("tmpfs"), PLAIN, Some("mode=755,size=1m"))?;
    let base = Path::new(BASE);
    make_folder(&base.join("old"))?;
    make_folder(&base.join("new"))?;
    pivot_root(base, &base.join("old")).map_err(|error| format!("cannot leave the root: {error}"))?;
    mount_on("/new", Some("tmpfs"), Some("tmpfs"), PLAIN, Some("mode=755,size=4m"))?;
    show_system(job.network)?;
    show_devices()?;
    for folder in WRITABLE {
        make_writable(folder, job)?;
    }
    for path in &job.readable {
        show(path)?;
    }
    make_folder(Path::new("/new/proc"))?;
    mount_on("/new/proc", Some("proc"), Some("proc"), PLAIN | MsFlags::MS_NOEXEC, None)?;
    mount_on("/new", None, None, PLAIN | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY, None)?;
    let failed = |error| format!("cannot enter the new root: {error}");
    std::env::set_current_dir("/new").map_err(|error| format!("cannot enter the new root: {error}"))?;
    pivot_root(".", ".").map_err(failed)?;
    umount2(".", MntFlags::MNT_DETACH).map_err(failed)
}

/// Shows the folders of the system, and its files that every program may need.
fn show_system(network: bool) -> Result<(), String> {
    for folder in SYSTEM {
        let old = old(Path::new(folder));
        match old.read_link() {
            Ok(target) => symlink(target, new(Path::new(folder)))
                .map_err(|error| format!("cannot make the link `{folder}`: {error}"))?,
            Err(_) if old.is_dir() => show(Path::new(folder))?,
            Err(_) => {}
        }
    }
    let more: &[&str] = if network { &NETWORK_FILES } else { &[] };
    for path in SYSTEM_FILES.iter().chain(more) {
        if old(Path::new(path)).exists() {
            show(Path::new(path))?;
        }
    }
    Ok(())
}

/// Shows the devices that are harmless, and links to the program's own streams.
fn show_devices() -> Result<(), String> {
    for device in DEVICES {
        let target = new(Path::new(device));
        make_target(&target, false)?;
        bind(&old(Path::new(device)), &target)?;
    }
    let links = [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")];
    for (name, target) in links {
        symlink(target, Path::new("/new/dev").join(name))
            .map_err(|error| format!("cannot make the link `/dev/{name}`: {error}"))?;
    }
    Ok(())
}

/// Mounts an empty folder in memory.
fn make_writable(folder: &str, job: &Job) -> Result<(), String> {
    let target = new(Path::new(folder));
    make_folder(&target)?;
    let owner = job.uid.map(|uid| format!(",uid={uid},gid={uid}")).unwrap_or_default();
    let options = format!("mode=700,size={},nr_inodes={INODES}{owner}", job.limits.memory);
    mount_on(&target, Some("tmpfs"), Some("tmpfs"), PLAIN, Some(&options))
}

/// Shows a file or folder at its own path, read-only.
fn show(path: &Path) -> Result<(), String> {
    let (old, new) = (old(path), new(path));
    let metadata = fs::metadata(&old).map_err(|error| unreadable(path, &error.to_string()))?;
    make_target(&new, metadata.is_dir())?;
    bind(&old, &new).map_err(|error| unreadable(path, &error))?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | PLAIN | kept_flags(&new);
    mount_on(&new, None, None, flags, None)
}

fn unreadable(path: &Path, error: &str) -> String {
    format!(
        "cannot show `{}` to the program: {error}; hint: all users must be able to read it",
        path.display()
    )
}

fn bind(old: &Path, new: &Path) -> Result<(), String> {
    mount(Some(old), new, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .map_err(|error| format!("cannot mount: {error}"))
}

/// The flags of a mount that a user namespace may not take away.
fn kept_flags(path: &Path) -> MsFlags {
    let Ok(flags) = statvfs(path).map(|status| status.flags()) else { return MsFlags::empty() };
    let pairs = [
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    pairs.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, kept)| *kept).collect()
}

/// Makes an empty file or folder to mount on.
fn make_target(path: &Path, folder: bool) -> Result<(), String> {
    if path.exists() {
        return Ok(());
    }
    if folder {
        return make_folder(path);
    }
    make_folder(path.parent().unwrap_or(path))?;
    fs::File::create(path).map(drop).map_err(|error| format!("cannot make `{}`: {error}", path.display()))
}

fn make_folder(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| format!("cannot make `{}`: {error}", path.display()))
}

fn old(path: &Path) -> PathBuf {
    Path::new("/old").join(path.strip_prefix("/").unwrap_or(path))
}

fn new(path: &Path) -> PathBuf {
    Path::new("/new").join(path.strip_prefix("/").unwrap_or(path))
}

fn mount_on(
    target: impl AsRef<Path>,
    source: Option<&str>,
    kind: Option<&str>,
    flags: MsFlags,
    options: Option<&str>,
) -> Result<(), String> {
    let target = target.as_ref();
    mount(source, target, kind, flags, options)
        .map_err(|error| format!("cannot mount `{}`: {error}", target.display()))
}
