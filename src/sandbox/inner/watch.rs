//! Watches the program until it ends or breaks a limit, and then ends all that it started.
//!
//! One thread waits for signals, with a time limit at which it looks at what the processes use.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::os::fd::AsFd;

use super::processes::{self, ProgramUsage};
use crate::sandbox::ProgramStatus;
use crate::sandbox::job::{Job, Place, ProgramReport};

/// When what is used is looked at first; most programs have ended by then.
const FIRST_LOOK: Duration = Duration::from_millis(10);
/// The longest time between two looks.
const LONGEST: Duration = Duration::from_millis(50);
/// Files that a program may make where they are in memory.
const MOST_FILES: u64 = 10_000;

/// Makes signals of ended children and of the end of our parent readable. To be called before the program starts.
pub(super) fn block_signals() -> Result<SignalFd, String> {
    let failed = |error| format!("cannot wait for signals: {error}");
    let signals: SigSet = [Signal::SIGCHLD, Signal::SIGTERM].into_iter().collect();
    signals.thread_block().map_err(failed)?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)
}

/// Follows the program to its end.
pub(super) fn watch(leader: Pid, signals: &SignalFd, job: &Job) -> ProgramReport {
    let start = Instant::now();
    let mut report = ProgramReport::default();
    let mut pause = FIRST_LOOK;
    let mut look = start + pause;
    let broken = loop {
        if reap(leader, &mut report) {
            break None;
        }
        let now = Instant::now();
        if job.limits.timeout.is_some_and(|timeout| now >= start + timeout) {
            break Some(ProgramStatus::Timeout);
        }
        if now >= look {
            if let Some(broken) = broken_limit(job, &mut report) {
                break Some(broken);
            }
            pause = (pause * 2).min(LONGEST);
            look = Instant::now() + pause;
        }
        let until = job.limits.timeout.map_or(look, |timeout| look.min(start + timeout));
        if wait_for_signal(signals, until) {
            // Nobody waits for the report any more.
            break None;
        }
    };
    report.seconds = start.elapsed().as_secs_f64();
    end_all(job.place, leader, &mut report);
    report.broken = broken;
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) {
        let largest = u64::try_from(usage.max_rss()).unwrap_or(0) << 10;
        report.peak_memory = report.peak_memory.max(largest);
        // Short programs end between two looks.
        if report.broken.is_none() && job.limits.cpu_seconds.is_some_and(|most| children_cpu() >= most as f64)
        {
            report.broken = Some(ProgramStatus::CpuTime);
        }
    }
    report
}

/// Waits for a signal until then; returns whether it told us to end.
fn wait_for_signal(signals: &SignalFd, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    // Rounded up, so that it is not polled again and again for the rest of a millisecond.
    let timeout = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
    let _ = poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], timeout);
    let mut ended = false;
    while let Ok(Some(signal)) = signals.read_signal() {
        ended |= signal.ssi_signo == Signal::SIGTERM as u32;
    }
    ended
}

/// Collects the processes that ended; returns whether the program's first one is among them.
fn reap(leader: Pid, report: &mut ProgramReport) -> bool {
    let mut ended = false;
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Ok(status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => {
                ended |= note_end(status, leader, report);
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return ended,
            Ok(_) | Err(_) => {}
        }
    }
}

/// Stores how the program ended, if this is its first process.
fn note_end(status: WaitStatus, leader: Pid, report: &mut ProgramReport) -> bool {
    match status {
        WaitStatus::Exited(process, code) if process == leader => report.exit_code = Some(code),
        WaitStatus::Signaled(process, signal, _) if process == leader => report.signal = Some(signal as i32),
        _ => return false,
    }
    true
}

/// Looks at what is used, and returns the limit that is broken.
fn broken_limit(job: &Job, report: &mut ProgramReport) -> Option<ProgramStatus> {
    let limits = &job.limits;
    let processes = processes::all(job.place);
    let ProgramUsage { tasks, memory, cpu, file_bytes, files } = processes::usage(&processes, job.place);
    let mut memory = memory + file_bytes;
    if memory > limits.memory && processes.len() > 1 {
        memory = processes::shared_once(&processes) + file_bytes;
    }
    report.peak_memory = report.peak_memory.max(memory);
    if memory > limits.memory {
        return Some(ProgramStatus::OutOfMemory);
    }
    if tasks > u64::from(limits.processes) {
        return Some(ProgramStatus::TooManyProcesses);
    }
    if files > MOST_FILES {
        return Some(ProgramStatus::TooMuchOutput);
    }
    let cpu = cpu + children_cpu();
    limits.cpu_seconds.filter(|most| cpu >= *most as f64).map(|_| ProgramStatus::CpuTime)
}

/// Seconds of processor time of the processes that we collected, and of those that they did.
fn children_cpu() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return 0.0 };
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}

/// Kills all processes of the program and waits until none is left.
fn end_all(place: Place, leader: Pid, report: &mut ProgramReport) {
    if place != Place::Plain {
        // All of the namespace but ourselves, at once, so that none can start another meanwhile.
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    }
    loop {
        if place == Place::Plain {
            end_descendants();
        }
        match waitpid(None::<Pid>, None) {
            Ok(status) => {
                note_end(status, leader, report);
            }
            Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// Stops all processes that descend from ours, until no new one shows up, and then kills them.
fn end_descendants() {
    let mut stopped = Vec::new();
    loop {
        let found: Vec<i32> =
            processes::all(Place::Plain).into_iter().filter(|process| !stopped.contains(process)).collect();
        if found.is_empty() {
            break;
        }
        for process in found {
            let _ = kill(Pid::from_raw(process), Signal::SIGSTOP);
            stopped.push(process);
        }
    }
    for process in stopped {
        let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
    }
}

/// Removes a work folder on a disk, however deep it is.
pub(super) fn remove(folder: &Path) {
    let _ = std::env::set_current_dir("/");
    if std::fs::remove_dir_all(folder).is_err() {
        // Ours opens each folder on the way down; this one does not.
        let _ = Command::new("/bin/rm").arg("-rf").arg(folder).env_clear().status();
    }
}
