//! Hostile programs, from `tests/cases/attacks.yaml`: each is stopped under every sandbox and reported under its own status,
//! leaves no process, changes nothing outside of its work folder, and sees no secret.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use synthmill::sandbox::{ProgramOutcome, ProgramStatus, Sandbox};
use tempfile::TempDir;

use super::{program, sandboxes};

const SECRET: &str = "secret-that-no-program-may-see";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attack {
    name: String,
    python: Option<String>,
    bash: Option<String>,
    command: Option<Vec<String>>,
    /// A program that may be missing.
    needs: Option<String>,
    only_on: Option<String>,
    /// Whether it needs a work folder in memory, which is bounded.
    #[serde(default)]
    in_memory: bool,
    /// Whether it ignores that it fails.
    #[serde(default)]
    silent: bool,
    status: Vec<ProgramStatus>,
}

/// What attacks go for.
struct Target {
    folder: TempDir,
    mark: String,
    tcp: std::net::TcpListener,
    udp: std::net::UdpSocket,
    sockets: [UnixListener; 2],
    /// A process with a secret in its environment and arguments.
    other: Child,
    home: PathBuf,
}

impl Target {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mark = format!("attack-{:016x}", rand::random::<u64>());
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let canary = folder.path().join("canary");
        std::fs::write(&canary, SECRET).unwrap();
        std::fs::set_permissions(&canary, PermissionsExt::from_mode(0o666)).unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let udp = std::net::UdpSocket::bind(tcp.local_addr().unwrap()).unwrap();
        udp.set_nonblocking(true).unwrap();
        let path = folder.path().join("socket");
        let sockets = [
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&mark).unwrap()).unwrap(),
            UnixListener::bind(&path).unwrap(),
        ];
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        for socket in &sockets {
            socket.set_nonblocking(true).unwrap();
        }
        let mut other = Command::new("sh");
        other.args(["-c", "read line", SECRET]).env("SECRET", SECRET);
        let other = other.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        std::fs::write(home.join(&mark), SECRET).unwrap();
        std::fs::set_permissions(home.join(&mark), PermissionsExt::from_mode(0o644)).unwrap();
        Self { folder, mark, tcp, udp, sockets, other, home }
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{GUARD}", &self.folder.path().display().to_string())
            .replace("{MARK}", &self.mark)
            .replace("{HOME}", &self.home.display().to_string())
            .replace("{PORT}", &self.tcp.local_addr().unwrap().port().to_string())
            .replace("{PID}", &std::process::id().to_string())
            .replace("{OTHER}", &self.other.id().to_string())
    }

    /// Checks that nothing came of an attack.
    fn check(&mut self, what: &str, outcome: &ProgramOutcome) {
        let (stdout, stderr) = (&outcome.stdout, &outcome.stderr);
        assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET), "{what}: sees a secret: {outcome:?}");
        assert!(!stdout.contains("descriptor"), "{what}: {stdout}");
        // Known to this process, to no program.
        assert!(!stdout.contains(env!("CARGO_MANIFEST_DIR")), "{what}: sees our environment: {stdout}");
        let canary = std::fs::read_to_string(self.folder.path().join("canary")).unwrap();
        assert_eq!(canary, SECRET, "{what}");
        assert_eq!(std::fs::read_dir(self.folder.path()).unwrap().count(), 2, "{what}");
        for folder in ["/tmp", "/var/tmp", "/dev/shm", "/run", "/usr", "/etc"] {
            assert!(!Path::new(folder).join(&self.mark).exists(), "{what}: wrote to {folder}");
        }
        assert!(self.tcp.accept().is_err(), "{what}: connected");
        assert!(self.udp.recv(&mut [0; 8]).is_err(), "{what}: sent");
        assert!(self.sockets.iter().all(|socket| socket.accept().is_err()), "{what}: connected");
        assert!(self.other.try_wait().unwrap().is_none(), "{what}: killed another process");
        let left = marked_processes(&self.mark);
        assert!(left.is_empty(), "{what}: left {left:?}");
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.other.kill();
        let _ = self.other.wait();
        let _ = std::fs::remove_file(self.home.join(&self.mark));
    }
}

/// All processes of the machine with this word in their environment.
fn marked_processes(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        if memchr::memmem::find(&environment, mark.as_bytes()).is_some() {
            found.push(std::fs::read_to_string(path.join("cmdline")).unwrap_or_default());
        }
    }
    found
}

fn attacks() -> Vec<Attack> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/attacks.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

impl Attack {
    fn command(&self) -> Vec<&str> {
        match (&self.python, &self.bash, &self.command) {
            (Some(_), None, None) => vec!["python3", "attack.py"],
            (None, Some(_), None) => vec!["bash", "attack.sh"],
            (None, None, Some(command)) => command.iter().map(String::as_str).collect(),
            _ => panic!("{} is one of python, bash and command", self.name),
        }
    }

    async fn run(&self, sandbox: &Sandbox, target: &mut Target) -> Option<String> {
        let mut program = program(&self.command());
        for (file, text) in [("attack.py", &self.python), ("attack.sh", &self.bash)] {
            program.files.extend(text.as_ref().map(|text| (file.to_owned(), target.fill(text).into_bytes())));
        }
        program.env.insert("MARK".to_owned(), target.mark.clone());
        if self.status.contains(&ProgramStatus::Timeout) {
            program.limits.timeout = Duration::from_secs(2);
        } else {
            // A machine with other work gives little processor time.
            program.limits.timeout = Duration::from_secs(60);
        }
        if self.status.contains(&ProgramStatus::CpuTime) {
            program.limits.cpu_seconds = Some(1);
        }
        let outcome = sandbox.run(&program).await.unwrap();
        let what = format!("{} under {sandbox:?}", self.name);
        target.check(&what, &outcome);
        (!self.status.contains(&outcome.status)).then(|| format!("{what}: {outcome:?}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attack_is_stopped_and_reported() {
    let attacks = attacks();
    assert!(attacks.iter().filter(|attack| !attack.silent).count() >= 40, "{}", attacks.len());
    let under = sandboxes().into_iter().map(|sandbox| attacks_under(sandbox, &attacks));
    let wrong = futures::future::join_all(under).await.concat();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Returns what went wrong.
async fn attacks_under(sandbox: Sandbox, attacks: &[Attack]) -> Vec<String> {
    let only = std::env::var("SYNTHMILL_ATTACK").ok();
    let without_namespaces = sandbox.describe().contains("without namespaces");
    let mut wrong = Vec::new();
    let mut target = Target::new();
    for attack in attacks {
        let missing = attack.needs.as_ref().is_some_and(|name| !Path::new("/usr/bin").join(name).exists());
        let elsewhere = attack.only_on.as_ref().is_some_and(|arch| arch != std::env::consts::ARCH);
        let left_out = only.as_ref().is_some_and(|only| !attack.name.contains(only));
        if missing || elsewhere || left_out || attack.in_memory && without_namespaces {
            continue;
        }
        wrong.extend(attack.run(&sandbox, &mut target).await);
    }
    wrong
}
