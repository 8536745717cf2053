//! Programs in a sandbox, as our process sees them: it starts one of our own inside, gives it the job, and reads output
//! and report.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::job::{Job, JobLimits, Place, ProgramReport, start_line, take_report};
use super::memory_group::MemoryGroup;
use super::output::ProgramOutput;
use super::running::{KeptForProgram, Pipes, Running};
use super::view::WORK_FOLDER;
use super::worker::Worker;
use super::{
    HIDDEN_COMMAND, PATH, Program, ProgramOutcome, ProgramStatus, Sandbox, SandboxError, bubblewrap, command,
    detect, unused_user, verdict,
};

/// How much longer than its timeout we wait for a program whose sandbox should have ended it.
const GRACE: Duration = Duration::from_secs(10);
/// Bytes of standard error that are ours: the lines of the report.
const REPORT_BYTES: u64 = 4096;

/// The executable that is started inside; ours unless it was set.
static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();

/// Has sandboxes start this executable inside, which must be a `synthmill`. For programs that use the library: by
/// default it is the running program itself.
pub fn use_executable(path: PathBuf) {
    // The first one stays, since programs may run already.
    let _ = EXECUTABLE.set(path);
}

/// The executable that is started inside.
pub(super) fn executable() -> &'static Path {
    EXECUTABLE.get_or_init(|| std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe")))
}

/// The sandbox of this machine.
pub(super) fn detect() -> Result<Sandbox, SandboxError> {
    Ok(detect::detect()?.sandbox)
}

/// One line about a sandbox.
pub(super) fn describe(sandbox: &Sandbox) -> String {
    detect::describe(sandbox)
}

/// Everything to start a program.
pub(super) struct PreparedProgram {
    pub(super) command: Command,
    pub(super) input: Vec<u8>,
    pub(super) word: String,
    /// What it may read besides the system.
    readable: Vec<PathBuf>,
    /// Its work folder, if that is on a disk.
    folder: Option<TempDir>,
    /// The group in which its memory is counted, where there can be one.
    group: Option<MemoryGroup>,
    /// Whether its first process can be killed: all others then die with it.
    killable: bool,
}

/// Describes to the sandbox what to run.
pub(super) fn prepare(
    sandbox: &Sandbox,
    place: Place,
    program: &Program,
    is_worker: bool,
) -> Result<PreparedProgram, SandboxError> {
    let (name, arguments) = program
        .command
        .split_first()
        .ok_or_else(|| SandboxError::new("the command of a program is empty"))?;
    let path = command::find(name)?;
    for name in program.files.keys() {
        super::work_folder::check_name(name)?;
    }
    let (folder, work) = match place {
        Place::Plain => {
            let folder = super::work_folder::create(&std::collections::BTreeMap::new())?;
            let path = folder.path().canonicalize().unwrap_or_else(|_| folder.path().to_owned());
            (Some(folder), path)
        }
        Place::Prepared | Place::Namespaces { .. } => (None, PathBuf::from(WORK_FOLDER)),
    };
    let job = Job {
        word: format!("{:032x}", rand::random::<u128>()),
        command: std::iter::once(path.to_string_lossy().into_owned())
            .chain(arguments.iter().cloned())
            .collect(),
        env: environment(program, &work),
        files: program.files.iter().map(|(name, content)| (name.clone(), content.len() as u64)).collect(),
        readable: readable(program, &path)?,
        folder: work,
        network: program.network,
        uid: unused_user::next(),
        place,
        limits: limits(program, is_worker),
    };
    let mut input = job
        .encode(program.files.values().map(Vec::as_slice))
        .map_err(|error| SandboxError::new(format!("cannot describe a program: {error}")))?;
    if !is_worker {
        input.extend_from_slice(&program.stdin);
    }
    let command = match (sandbox, place) {
        (Sandbox::Bubblewrap(path), _) => bubblewrap::command(path, &job),
        (_, Place::Namespaces { user }) => {
            let options = [(":network", program.network), (":user", user)];
            let options: String = options.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
            own(&format!("enter{options}"))
        }
        _ => own("program"),
    };
    let group = MemoryGroup::new(job.limits.memory);
    let command = group.as_ref().map(|group| group.join(&command)).unwrap_or(command);
    let (word, readable) = (job.word, job.readable);
    Ok(PreparedProgram { command, input, word, readable, folder, group, killable: place != Place::Plain })
}

/// The command that starts our own program as a step of the sandbox.
fn own(steps: &str) -> Command {
    let mut command = Command::new(executable());
    command.arg(format!("{HIDDEN_COMMAND}{steps}")).env_clear().envs(inner_environment());
    command
}

/// The environment of our own program inside: its allocator must not reserve more than the program may have.
pub(super) fn inner_environment() -> [(&'static str, &'static str); 1] {
    [("MIMALLOC_ARENA_EAGER_COMMIT", "0")]
}

fn environment(program: &Program, folder: &Path) -> std::collections::BTreeMap<String, String> {
    let folder = folder.to_string_lossy().into_owned();
    let own = [
        ("PATH", PATH.to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("HOME", folder.clone()),
        ("TMPDIR", folder),
    ];
    let mut environment: std::collections::BTreeMap<_, _> =
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    environment.extend(program.env.clone());
    environment
}

/// All that the program may read besides the system: what it was allowed, and where it is installed.
fn readable(program: &Program, path: &Path) -> Result<Vec<PathBuf>, SandboxError> {
    let mut readable = command::installation(path);
    for path in &program.readable {
        let wrong = |reason: &str| {
            Err(SandboxError::new(format!(
                "a program cannot be given `{}` to read: {reason}",
                path.display()
            )))
        };
        if !path.is_absolute() {
            return wrong("the path is not absolute");
        }
        if ["/", "/proc", "/dev", "/sys", WORK_FOLDER].iter().any(|folder| path == Path::new(folder)) {
            return wrong("this would open what the sandbox closes");
        }
        let Ok(canonical) = path.canonicalize() else { return wrong("it is not there") };
        readable.push(canonical);
        readable.push(path.clone());
    }
    readable.retain(|path| !command::is_of_system(path));
    // What lies in a folder is shown with it.
    readable.sort();
    readable.dedup_by(|path, before| path == before || (before.is_dir() && path.starts_with(before)));
    Ok(readable)
}

fn limits(program: &Program, is_worker: bool) -> JobLimits {
    let limits = &program.limits;
    JobLimits {
        timeout: (!is_worker).then_some(limits.timeout),
        cpu_seconds: limits.cpu_seconds,
        memory: limits.memory,
        processes: limits.processes,
        file_bytes: limits.output_bytes,
    }
}

/// Runs a program to its end.
pub(super) async fn run(sandbox: &Sandbox, program: &Program) -> Result<ProgramOutcome, SandboxError> {
    let start = Instant::now();
    let prepared = prepare(sandbox, detect::place(sandbox)?, program, false)?;
    let limits = &program.limits;
    let keeping = KeptForProgram { folder: prepared.folder, group: prepared.group };
    let (mut running, pipes) = Running::start_confined(prepared.command, keeping, prepared.killable).await?;
    let Pipes { mut stdin, stdout, stderr } = pipes;
    let mut output = ProgramOutput::default();
    let (input, readable) = (prepared.input, prepared.readable);
    let feed = async move {
        // The program need not read its input.
        let _ = stdin.write_all(&input).await;
        drop((stdin, input));
        std::future::pending::<std::io::Result<_>>().await
    };
    let follow =
        running.follow(stdout, stderr, &mut output, limits.output_bytes.saturating_add(REPORT_BYTES));
    let followed = tokio::time::timeout(limits.timeout + GRACE, async {
        tokio::select! {
            never = feed => never,
            followed = follow => followed,
        }
    });
    let followed = followed.await;
    running.end_all().await;
    let (started, report) = take_report(&mut output.stderr, &prepared.word);
    let too_much = (output.stdout.len() + output.stderr.len()) as u64 > limits.output_bytes;
    let over_memory = running.is_over_memory();
    let (status, report) = match (followed, report) {
        (Ok(Err(error)), _) => return Err(SandboxError::new(format!("cannot follow a program: {error}"))),
        (_, report) if !started || report.as_ref().is_some_and(|report| report.error.is_some()) => {
            return Err(not_started(report, &output.stderr));
        }
        _ if over_memory => (ProgramStatus::OutOfMemory, ProgramReport::default()),
        _ if too_much => {
            output.cut(limits.output_bytes);
            (ProgramStatus::TooMuchOutput, ProgramReport::default())
        }
        (Err(_), _) => (ProgramStatus::Timeout, ProgramReport::default()),
        // Whatever ended the sandbox, the program was running.
        (Ok(Ok(_)), None) => (ProgramStatus::Crashed, ProgramReport::default()),
        (Ok(Ok(_)), Some(report)) => (verdict::status(&report, &output.stderr, &readable), report),
    };
    Ok(verdict::outcome(status, &report, start, output))
}

/// Starts a worker and waits until it has the job.
pub(super) async fn start_worker(sandbox: &Sandbox, program: &Program) -> Result<Worker, SandboxError> {
    let prepared = prepare(sandbox, detect::place(sandbox)?, program, true)?;
    let keeping = KeptForProgram { folder: prepared.folder, group: prepared.group };
    let (running, mut pipes) = Running::start_confined(prepared.command, keeping, prepared.killable).await?;
    let input = prepared.input;
    let start = start_line(&prepared.word);
    let mut begun = Vec::new();
    let starting = async {
        let given = pipes.stdin.write_all(&input);
        let read = read_line(&mut pipes.stderr, &mut begun, start.len());
        tokio::join!(given, read)
    };
    let in_time = tokio::time::timeout(GRACE, starting).await.is_ok();
    if begun != start.as_bytes() {
        let more = async { tokio::io::AsyncReadExt::read_to_end(&mut pipes.stderr, &mut begun).await };
        let _ = tokio::time::timeout(Duration::from_secs(1), more).await;
        let (_, report) = take_report(&mut begun, &prepared.word);
        return Err(match in_time {
            true => not_started(report, &begun),
            false => SandboxError::new("the sandbox of a worker did not start in time"),
        });
    }
    Ok(Worker::new(running, pipes, program.limits, Some((prepared.word, prepared.readable))))
}

/// Reads as many bytes as the expected line has, or up to the end of another.
async fn read_line(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    line: &mut Vec<u8>,
    length: usize,
) -> std::io::Result<()> {
    let mut buffer = [0; 64];
    while line.len() < length {
        let room = (length - line.len()).min(buffer.len());
        let read = tokio::io::AsyncReadExt::read(stream, &mut buffer[..room]).await?;
        if read == 0 {
            return Ok(());
        }
        line.extend_from_slice(&buffer[..read]);
    }
    Ok(())
}

/// What to say of a program that did not start.
pub(super) fn not_started(report: Option<ProgramReport>, stderr: &[u8]) -> SandboxError {
    let reported = report.and_then(|report| report.error);
    let message = reported.unwrap_or_else(|| String::from_utf8_lossy(stderr).trim().to_owned());
    SandboxError::new(match message.is_empty() {
        true => "the sandbox ended before the program started".to_owned(),
        false => format!("the sandbox could not start the program: {message}"),
    })
}

/// The argument with which our own program is started inside.
pub(super) fn inner_argument() -> String {
    format!("{HIDDEN_COMMAND}program")
}
