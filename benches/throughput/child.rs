//! A measured child process: its time, its CPU time and its peak memory, as Linux counts them.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often the memory of a running child is read.
const INTERVAL: Duration = Duration::from_millis(5);
/// Ticks of `/proc/*/stat` per second, the same on every Linux.
const TICKS: f64 = 100.0;

/// What a child used from its start to its end.
pub(crate) struct Usage {
    pub(crate) seconds: f64,
    /// User and system time in seconds, of all its threads.
    pub(crate) cpu: f64,
    /// Its peak resident memory in MB.
    pub(crate) peak: f64,
}

/// Runs a command to its end, which must be a success.
pub(crate) fn measure(command: &mut Command) -> Usage {
    let (before, begun) = (reaped(), Instant::now());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let mut peak = 0.0_f64;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak = peak.max(resident(&child).unwrap_or_default());
        std::thread::sleep(INTERVAL);
    };
    assert!(status.success(), "{command:?}: {status}");
    Usage { seconds: begun.elapsed().as_secs_f64(), cpu: reaped() - before, peak }
}

/// Returns the CPU time in seconds of all children of this process that have ended.
fn reaped() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(13).take(2).map(|field| field.parse::<f64>().unwrap());
    ticks.sum::<f64>() / TICKS
}

/// Returns the peak resident memory of a child in MB; `None` once it has ended.
fn resident(child: &Child) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}
