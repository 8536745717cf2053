//! A long-lived program that answers lines, one at a time.
//!
//! What it writes to standard error is read while a line is answered; the end of it is part of the outcome when the
//! worker dies.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use super::output::ProgramOutput;
use super::running::{Pipes, Running};
use super::{ProgramLimits, ProgramOutcome, ProgramStatus, SandboxError};

/// Bytes of a pipe that are read at a time.
const BUFFER: usize = 64 << 10;
/// Bytes kept of the end of standard error.
const KEPT: usize = 8 << 10;
/// The time for a worker's first line beyond that for every other.
const LOADING: Duration = Duration::from_secs(30);
/// How long a worker that closed its output may take to end.
const ENDING: Duration = Duration::from_millis(500);

/// A running worker. Dropping it ends all its processes.
#[derive(Debug)]
pub struct Worker {
    running: Running,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: ChildStderr,
    limits: ProgramLimits,
    request: Vec<u8>,
    answer: Vec<u8>,
    errors: Vec<u8>,
    over: bool,
    /// Whether it was asked before.
    is_loaded: bool,
    /// The word of the report of a confined worker, and what it may read besides the system.
    confined: Option<(String, Vec<PathBuf>)>,
}

/// What came of sending a line.
enum LineReply {
    Answered,
    /// The line is longer than the limit.
    TooLong,
    /// The worker closed its output.
    Closed,
}

/// How a worker ended.
struct WorkerEnd {
    status: ProgramStatus,
    ended: Option<ExitStatus>,
    reported: Option<ReportedEnd>,
}

/// What was reported from inside a sandbox.
struct ReportedEnd {
    exit_code: Option<i32>,
    signal: Option<i32>,
    peak_memory: u64,
}

impl WorkerEnd {
    fn of(status: ProgramStatus) -> Self {
        Self { status, ended: None, reported: None }
    }
}

impl Worker {
    pub(super) fn new(
        running: Running,
        pipes: Pipes,
        limits: ProgramLimits,
        confined: Option<(String, Vec<PathBuf>)>,
    ) -> Self {
        Self {
            running,
            stdin: pipes.stdin,
            stdout: BufReader::with_capacity(BUFFER, pipes.stdout),
            stderr: pipes.stderr,
            limits,
            request: Vec::new(),
            answer: Vec::new(),
            errors: Vec::new(),
            over: false,
            is_loaded: false,
            confined,
        }
    }

    /// Whether it waits for a line: it still runs and has written nothing that nobody asked for. To be asked before each line: a worker that died
    /// while idle is to be replaced without blaming the next record.
    pub fn is_ready(&mut self) -> bool {
        !self.over && self.stdout.fill_buf().now_or_never().is_none()
    }

    /// Whether it has written something since its last answer.
    pub fn has_written_unasked(&mut self) -> bool {
        matches!(self.stdout.fill_buf().now_or_never(), Some(Ok(unasked)) if !unasked.is_empty())
    }

    /// Sends a line, without its line end, and waits for the answer: an outcome with status `finished` and the line as
    /// `stdout`. Any other outcome means that the worker died or was ended; it must be replaced.
    ///
    /// # Errors
    ///
    /// As for [`Sandbox::run`](super::Sandbox::run).
    pub async fn answer(&mut self, line: &[u8]) -> Result<ProgramOutcome, SandboxError> {
        let start = Instant::now();
        self.request.clear();
        self.request.extend_from_slice(line);
        self.request.push(b'\n');
        // A worker loads what it needs before it reads its first line.
        let loading = if self.is_loaded { Duration::ZERO } else { LOADING };
        let exchange = tokio::time::timeout(self.limits.timeout + loading, self.exchange()).await;
        self.is_loaded = true;
        let end = match exchange {
            Ok(LineReply::Answered) if self.stdout.buffer().is_empty() => {
                let output = ProgramOutput { stdout: self.answer.clone(), stderr: Vec::new() };
                return Ok(ProgramOutcome::new(ProgramStatus::Finished, None, start, output));
            }
            // Whatever it wrote beyond the line would be taken for the next answer.
            Ok(LineReply::Answered) => {
                self.errors.extend_from_slice(b"\nthe worker answered one line with more than one");
                WorkerEnd::of(ProgramStatus::Failed)
            }
            Err(_) => WorkerEnd::of(ProgramStatus::Timeout),
            Ok(LineReply::TooLong) => WorkerEnd::of(ProgramStatus::TooMuchOutput),
            Ok(LineReply::Closed) => self.wait_for_end().await?,
        };
        self.over = true;
        self.running.end();
        let (stdout, stderr) = (std::mem::take(&mut self.answer), std::mem::take(&mut self.errors));
        let outcome = ProgramOutcome::new(end.status, end.ended, start, ProgramOutput { stdout, stderr });
        Ok(match end.reported {
            None => outcome,
            Some(ReportedEnd { exit_code, signal, peak_memory }) => {
                ProgramOutcome { exit_code, signal, peak_memory, ..outcome }
            }
        })
    }

    /// Writes the line and reads the answer at the same time, since both may be larger than a pipe.
    async fn exchange(&mut self) -> LineReply {
        self.answer.clear();
        let limit = self.limits.output_bytes;
        let write = self.stdin.write_all(&self.request);
        let read = read_line(&mut self.stdout, &mut self.answer, limit);
        let both = async { tokio::join!(write, read) };
        tokio::select! {
            biased;
            (written, read) = both => match (written, read) {
                (Ok(()), read) => read,
                // It answered without having read the line, or is gone.
                (Err(_), LineReply::TooLong) => LineReply::TooLong,
                (Err(_), _) => LineReply::Closed,
            },
            never = drain(&mut self.stderr, &mut self.errors) => never,
        }
    }

    /// Waits for a worker that closed its output. Ending is a failure, whatever its exit code: the line was not answered.
    async fn wait_for_end(&mut self) -> Result<WorkerEnd, SandboxError> {
        let ended = {
            let wait = self.running.wait();
            let drained = drain(&mut self.stderr, &mut self.errors);
            tokio::time::timeout(ENDING, async {
                tokio::select! {
                    ended = wait => ended.ok(),
                    never = drained => never,
                }
            })
            .await
        };
        let _ = drain::<()>(&mut self.stderr, &mut self.errors).now_or_never();
        #[cfg(target_os = "linux")]
        if let Some(end) = self.reported_end()? {
            return Ok(end);
        }
        Ok(match ended.ok().flatten() {
            Some(ended) if ended.code().is_none() => {
                WorkerEnd { ended: Some(ended), ..WorkerEnd::of(ProgramStatus::Crashed) }
            }
            ended => WorkerEnd { ended, ..WorkerEnd::of(ProgramStatus::Failed) },
        })
    }

    /// The end of a confined worker, as it was reported.
    #[cfg(target_os = "linux")]
    fn reported_end(&mut self) -> Result<Option<WorkerEnd>, SandboxError> {
        let Some((word, readable)) = &self.confined else { return Ok(None) };
        let (_, report) = super::job::take_report(&mut self.errors, word);
        if self.running.is_over_memory() {
            return Ok(Some(WorkerEnd::of(ProgramStatus::OutOfMemory)));
        }
        // The process that ended is ours.
        let Some(report) = report else { return Ok(Some(WorkerEnd::of(ProgramStatus::Crashed))) };
        if report.error.is_some() {
            return Err(super::confined::not_started(Some(report), &self.errors));
        }
        let status = match super::verdict::status(&report, &self.errors, readable) {
            ProgramStatus::Finished => ProgramStatus::Failed,
            status => status,
        };
        let own = report.broken.is_none();
        let reported = ReportedEnd {
            exit_code: report.exit_code.filter(|_| own),
            signal: report.signal.filter(|_| own),
            peak_memory: report.peak_memory,
        };
        Ok(Some(WorkerEnd { status, ended: None, reported: Some(reported) }))
    }
}

/// Reads a line of at most `limit` bytes, without its end.
async fn read_line(stdout: &mut BufReader<ChildStdout>, line: &mut Vec<u8>, limit: u64) -> LineReply {
    loop {
        let buffer = match stdout.fill_buf().await {
            Ok([]) | Err(_) => return LineReply::Closed,
            Ok(buffer) => buffer,
        };
        let end = memchr::memchr(b'\n', buffer);
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = limit.saturating_sub(line.len() as u64);
        let fits = (part.len() as u64).min(room) as usize;
        line.extend_from_slice(&part[..fits]);
        if fits < part.len() {
            return LineReply::TooLong;
        }
        let used = end.map_or(part.len(), |end| end + 1);
        stdout.consume(used);
        if end.is_some() {
            return LineReply::Answered;
        }
    }
}

/// Reads standard error and keeps its end. Never returns, so that the end of the stream ends nothing else.
async fn drain<T>(stderr: &mut ChildStderr, errors: &mut Vec<u8>) -> T {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        errors.extend_from_slice(&buffer[..read]);
        if errors.len() > 2 * KEPT {
            errors.drain(..errors.len() - KEPT);
        }
    }
    std::future::pending().await
}
