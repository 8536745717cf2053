//! What our process tells the one of ours inside the sandbox, and what that one reports.
//!
//! The job is the first thing on its standard input; the program's own input follows. The report is the last line of
//! standard error, the only other stream that leads out. Its lines begin with a word that was drawn for this job and
//! that the program cannot know, so that it can neither forge a report nor hide one.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ProgramStatus;

/// The first bytes of a job.
const MARK: &[u8; 4] = b"SMJ1";
/// The largest header and the largest file that are read.
const LARGEST: u64 = 1 << 32;

/// What to run, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    /// The word that begins the lines of the report.
    pub(super) word: String,
    /// The program's path and its arguments.
    pub(super) command: Vec<String>,
    /// Its whole environment.
    pub(super) env: BTreeMap<String, String>,
    /// The names and sizes of the files; their contents follow the header.
    pub(super) files: Vec<(String, u64)>,
    /// What it may read besides the system's folders.
    pub(super) readable: Vec<PathBuf>,
    /// Its work folder.
    pub(super) folder: PathBuf,
    pub(super) network: bool,
    /// The user it becomes, if we are root.
    pub(super) uid: Option<u32>,
    /// Where it runs.
    pub(super) place: Place,
    pub(super) limits: JobLimits,
}

/// What was made for the program before the job is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// Namespaces with a new root that bubblewrap made.
    Prepared,
    /// Namespaces in which the new root is yet to be made; a user namespace among them or not.
    Namespaces { user: bool },
    /// Nothing: only what a process can do to itself.
    Plain,
}

/// The limits that are watched inside.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct JobLimits {
    /// `None` for a worker, whose lines are timed outside.
    pub(super) timeout: Option<Duration>,
    pub(super) cpu_seconds: Option<u64>,
    pub(super) memory: u64,
    pub(super) processes: u32,
    /// Bytes of each file.
    pub(super) file_bytes: u64,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct ProgramReport {
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    /// The limit that it was ended for.
    pub(super) broken: Option<ProgramStatus>,
    pub(super) seconds: f64,
    pub(super) peak_memory: u64,
    /// The version of landlock that restricts it.
    pub(super) landlock: i32,
    /// It could not be started.
    pub(super) error: Option<String>,
}

impl Job {
    /// The bytes of the job, with the contents of the files in the order of `files`.
    pub(super) fn encode<'a>(
        &self,
        contents: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<u8>, serde_json::Error> {
        let header = serde_json::to_vec(self)?;
        let mut bytes = Vec::with_capacity(header.len() + 64);
        bytes.extend_from_slice(MARK);
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&header);
        for content in contents {
            bytes.extend_from_slice(content);
        }
        Ok(bytes)
    }

    /// Reads a job and the contents of its files, and nothing beyond them.
    pub(super) fn read(from: &mut impl Read) -> Result<(Self, Vec<Vec<u8>>), String> {
        let mut start = [0; 12];
        from.read_exact(&mut start).map_err(|error| format!("no job was given: {error}"))?;
        let (mark, length) = start.split_at(4);
        if mark != MARK {
            return Err("this is not a job".to_owned());
        }
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        let header = read_bytes(from, length)?;
        let job: Self = serde_json::from_slice(&header).map_err(|error| format!("not a job: {error}"))?;
        let contents =
            job.files.iter().map(|(_, size)| read_bytes(from, *size)).collect::<Result<Vec<_>, String>>()?;
        Ok((job, contents))
    }
}

/// Reads exactly this many bytes, without trusting the number with memory.
fn read_bytes(from: &mut impl Read, length: u64) -> Result<Vec<u8>, String> {
    if length > LARGEST {
        return Err(format!("a part of the job has {length} bytes, {LARGEST} is the most"));
    }
    let mut bytes = Vec::new();
    let read = from.by_ref().take(length).read_to_end(&mut bytes);
    match read {
        Ok(read) if read as u64 == length => Ok(bytes),
        Ok(read) => Err(format!("the job ends after {read} of {length} bytes")),
        Err(error) => Err(format!("cannot read the job: {error}")),
    }
}

/// The line that says that the program starts.
pub(super) fn start_line(word: &str) -> String {
    format!("{word} starts\n")
}

impl ProgramReport {
    /// The line of the report.
    pub(super) fn line(&self, word: &str) -> String {
        let report = serde_json::to_string(self).unwrap_or_default();
        format!("\n{word} {report}\n")
    }
}

/// Takes the lines of the report out of what was read of standard error: whether the program was started, and the report.
pub(super) fn take_report(stderr: &mut Vec<u8>, word: &str) -> (bool, Option<ProgramReport>) {
    let start = start_line(word);
    let started = stderr.starts_with(start.as_bytes());
    if started {
        stderr.drain(..start.len());
    }
    let mark = format!("\n{word} ");
    let Some(at) = memchr::memmem::rfind(stderr, mark.as_bytes()) else { return (started, None) };
    let report = serde_json::from_slice(&stderr[at + mark.len()..]).ok();
    if report.is_some() {
        stderr.truncate(at);
    }
    (started, report)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job(files: Vec<(String, u64)>) -> Job {
        Job {
            word: "word".to_owned(),
            command: vec!["/bin/sh".to_owned()],
            env: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
            files,
            readable: vec!["/data".into()],
            folder: "/exec".into(),
            network: false,
            uid: Some(7),
            place: Place::Namespaces { user: true },
            limits: JobLimits {
                timeout: Some(Duration::from_millis(1500)),
                cpu_seconds: None,
                memory: 1,
                processes: 2,
                file_bytes: 3,
            },
        }
    }

    #[test]
    fn a_report_is_cut_off() {
        let report = ProgramReport { exit_code: Some(3), peak_memory: 9, ..ProgramReport::default() };
        let forged = r#"other {"exit_code":0}"#;
        let cases = [
            (format!("w starts\nerror{}", report.line("w")), true, true, "error"),
            (format!("w starts\n{}", report.line("w")), true, true, ""),
            (
                format!("w starts\nerror\n{forged}\n{}", report.line("w")),
                true,
                true,
                "error\nother {\"exit_code\":0}\n",
            ),
            (format!("w starts\nerror\n{forged}\n"), true, false, "error\nother {\"exit_code\":0}\n"),
            ("cannot start".to_owned(), false, false, "cannot start"),
        ];
        for (text, started, reported, left) in cases {
            let mut stderr = text.clone().into_bytes();
            let taken = take_report(&mut stderr, "w");
            assert_eq!(taken, (started, reported.then(|| report.clone())), "{text}");
            assert_eq!(String::from_utf8(stderr).unwrap(), left);
        }
    }

    proptest! {
        #[test]
        fn a_job_is_read_as_written_and_nothing_beyond(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..4),
            rest in prop::collection::vec(any::<u8>(), 0..20),
            cut in 0_usize..1000,
        ) {
            let files = contents.iter().enumerate().map(|(at, file)| (format!("f{at}"), file.len() as u64)).collect();
            let job = job(files);
            let mut bytes = job.encode(contents.iter().map(Vec::as_slice)).unwrap();
            let length = bytes.len();
            bytes.extend_from_slice(&rest);
            let mut left = &bytes[..];
            prop_assert_eq!(Job::read(&mut left).unwrap(), (job, contents));
            prop_assert_eq!(left, &rest[..]);
            prop_assert!(Job::read(&mut &bytes[..cut.min(length - 1)]).is_err());
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".*") {
            let _ = Job::read(&mut &bytes[..]);
            let _ = Job::read(&mut [&MARK[..], &(bytes.len() as u64).to_le_bytes(), &bytes].concat().as_slice());
            let mut stderr = format!("w starts\n{text}\nw {text}").into_bytes();
            prop_assert!(take_report(&mut stderr, "w").0);
        }
    }
}
