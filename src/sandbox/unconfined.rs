//! Programs that are trusted: only their time and output are limited, and they have a fresh work folder.
//!
//! All of the program's process group is killed at its end. A process that leaves the group, such as a daemon, is not
//! found: ending such processes is what a sandbox is for.

use std::process::Command;
use std::time::Instant;

use tokio::io::AsyncWriteExt;

use super::command::find;
use super::outcome::own_end;
use super::output::ProgramOutput;
use super::running::{Pipes, Running};
use super::worker::Worker;
use super::{PATH, Program, ProgramOutcome, ProgramStatus, SandboxError, work_folder};

/// Runs a program to its end.
pub(super) async fn run(program: &Program) -> Result<ProgramOutcome, SandboxError> {
    let start = Instant::now();
    let (mut running, Pipes { mut stdin, stdout, stderr }) = begin(program).await?;
    let limits = &program.limits;
    let mut output = ProgramOutput::default();
    let feed = async move {
        // A program need not read its input.
        let _ = stdin.write_all(&program.stdin).await;
        drop(stdin);
        std::future::pending::<std::io::Result<_>>().await
    };
    let follow = running.follow(stdout, stderr, &mut output, limits.output_bytes);
    let followed = tokio::time::timeout(limits.timeout, async {
        tokio::select! {
            never = feed => never,
            followed = follow => followed,
        }
    });
    let followed = followed.await;
    running.end();
    let (status, ended) = match followed {
        Err(_) => (ProgramStatus::Timeout, None),
        Ok(Ok(None)) => (ProgramStatus::TooMuchOutput, None),
        Ok(Ok(Some(ended))) => (own_end(ended), Some(ended)),
        Ok(Err(error)) => return Err(SandboxError::new(format!("cannot follow a program: {error}"))),
    };
    Ok(ProgramOutcome::new(status, ended, start, output))
}

/// Starts a worker.
pub(super) async fn start_worker(program: &Program) -> Result<Worker, SandboxError> {
    let (running, pipes) = begin(program).await?;
    Ok(Worker::new(running, pipes, program.limits, None))
}

/// Starts a program in a new work folder.
async fn begin(program: &Program) -> Result<(Running, Pipes), SandboxError> {
    let (name, arguments) = program
        .command
        .split_first()
        .ok_or_else(|| SandboxError::new("the command of a program is empty"))?;
    let folder = work_folder::create(&program.files)?;
    let mut command = Command::new(find(name)?);
    command.args(arguments).current_dir(folder.path()).env_clear();
    command.env("PATH", PATH).env("LANG", "C.UTF-8").env("HOME", folder.path()).env("TMPDIR", folder.path());
    command.envs(&program.env);
    Running::start(command, folder).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{ProgramLimits, Sandbox};
    use super::*;

    fn shell(script: &str) -> Program {
        let limits = ProgramLimits { output_bytes: 1000, ..ProgramLimits::default() };
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        Program { command, limits, ..Program::default() }
    }

    #[tokio::test]
    async fn programs_end_with_their_status() {
        let cases = [
            ("cat; echo error >&2", ProgramStatus::Finished, Some(0), None, "input", "error\n"),
            ("exit 3", ProgramStatus::Failed, Some(3), None, "", ""),
            ("kill -SEGV $$", ProgramStatus::Crashed, None, Some(11), "", ""),
            ("exec >&- 2>&-; exit 4", ProgramStatus::Failed, Some(4), None, "", ""),
            ("sleep 1000 & echo $#", ProgramStatus::Finished, Some(0), None, "0\n", ""),
            ("cat file; cat sub/file", ProgramStatus::Finished, Some(0), None, "onetwo", ""),
            (
                "env -u PWD -u OLDPWD -u SHLVL -u _ | cut -d= -f1 | sort | tr '\\n' ' '",
                ProgramStatus::Finished,
                Some(0),
                None,
                "HOME LANG OWN PATH TMPDIR ",
                "",
            ),
        ];
        for (script, status, exit_code, signal, stdout, stderr) in cases {
            let mut program = shell(script);
            program.stdin = b"input".to_vec();
            program.env.insert("OWN".to_owned(), "1".to_owned());
            program.files.insert("file".to_owned(), b"one".to_vec());
            program.files.insert("sub/file".to_owned(), b"two".to_vec());
            let outcome = Sandbox::Off.run(&program).await.unwrap();
            assert_eq!(outcome.status, status, "{script}: {outcome:?}");
            assert_eq!((outcome.exit_code, outcome.signal), (exit_code, signal), "{script}");
            assert_eq!((&*outcome.stdout, &*outcome.stderr), (stdout, stderr), "{script}");
        }
    }

    #[tokio::test]
    async fn endless_programs_are_ended() {
        let outcome = Sandbox::Off.run(&shell("yes")).await.unwrap();
        assert_eq!((outcome.status, outcome.stdout.len()), (ProgramStatus::TooMuchOutput, 1000));
        let mut program = shell("echo begun; sleep 1000");
        program.limits.timeout = Duration::from_millis(200);
        let outcome = Sandbox::Off.run(&program).await.unwrap();
        assert_eq!((outcome.status, &*outcome.stdout), (ProgramStatus::Timeout, "begun\n"));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_error() {
        for (name, message) in
            [("no-such-program", "in `/usr/local/bin"), ("/etc/passwd", "no program `/etc/passwd`")]
        {
            let program = Program { command: vec![name.to_owned()], ..Program::default() };
            let error = Sandbox::Off.run(&program).await.unwrap_err();
            assert!(error.message.contains(message), "{error}");
        }
    }

    #[tokio::test]
    async fn a_worker_answers_line_by_line_until_it_dies() {
        let script = "while read line; do case $line in die) echo gone >&2; exit 0;; two) printf '1\\n2\\n';; hang) sleep 1000;; *) echo got $line;; esac; done";
        let cases = [
            ("die", ProgramStatus::Failed, "", "gone\n"),
            ("two", ProgramStatus::Failed, "1", "\nthe worker answered one line with more than one"),
            ("hang", ProgramStatus::Timeout, "", ""),
        ];
        for (line, status, stdout, stderr) in cases {
            let mut program = shell(script);
            program.limits.timeout = Duration::from_secs(1);
            let mut worker = Sandbox::Off.start_worker(&program).await.unwrap();
            for number in 0..3 {
                assert!(worker.is_ready());
                let outcome = worker.answer(number.to_string().as_bytes()).await.unwrap();
                assert_eq!(
                    (outcome.status, &*outcome.stdout),
                    (ProgramStatus::Finished, &*format!("got {number}"))
                );
            }
            let outcome = worker.answer(line.as_bytes()).await.unwrap();
            assert_eq!((outcome.status, &*outcome.stdout, &*outcome.stderr), (status, stdout, stderr));
            assert!(!worker.is_ready());
        }
    }
}
