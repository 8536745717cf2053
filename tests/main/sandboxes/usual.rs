//! What programs must be able to do in a sandbox, and how sandboxes fail.

use std::path::Path;

use synthmill::sandbox::{Program, ProgramStatus};

use super::{program, sandboxes};

fn shell(script: &str) -> Program {
    program(&["bash", "-c", script])
}

#[tokio::test(flavor = "multi_thread")]
async fn usual_programs_run() {
    let python = |code: &str| program(&["python3", "-c", code]);
    let mut cases = vec![
        (shell("cat; echo $HOME $TMPDIR > /dev/null; cat file dir/file"), "inputonetwo"),
        (python("import sys; print(sys.stdin.read(), open('file').read())"), "input one\n"),
        (shell("seq 200000 | sort -r -S 1M | head -1"), "99999\n"),
        (
            python("import subprocess as s; print(s.run(['echo', 'a'], capture_output=True).stdout)"),
            "b'a\\n'\n",
        ),
        (
            python(
                "import threading as t; a = [t.Thread(target=print, args=('x',)) for _ in range(8)]; [b.start() for b in a]",
            ),
            "x\nx\nx\nx\nx\nx\nx\nx\n",
        ),
        (
            python("import tempfile as t; f = t.TemporaryFile(); f.write(b'a'); print(t.gettempdir() != '')"),
            "True\n",
        ),
        (
            python("import multiprocessing as m\nif __name__ == '__main__': print(m.Queue() is not None)"),
            "True\n",
        ),
        (python("print('ä', __import__('locale').getpreferredencoding())"), "ä UTF-8\n"),
        (python("import asyncio; asyncio.run(asyncio.sleep(0)); print(1)"), "1\n"),
        (shell("printf 'int main() { return 7; }' > a.c && gcc a.c -o a && ./a; echo $?"), "7\n"),
        (shell("mkfifo f; (echo a > f &); cat f"), "a\n"),
        (shell("echo a > /dev/stdout; echo b | cat /dev/stdin"), "a\nb\n"),
        (shell("kill -TERM $BASHPID & wait $!; echo $?"), "143\n"),
    ];
    if Path::new("/usr/bin/node").exists() {
        cases.push((program(&["node", "-e", "console.log([1, 2].map(x => x * 2).join())"]), "2,4\n"));
    }
    for sandbox in sandboxes() {
        let has_shared_memory = !sandbox.describe().contains("without namespaces");
        for (case, expected) in &cases {
            if !has_shared_memory && case.command.iter().any(|part| part.contains("multiprocessing")) {
                continue;
            }
            let mut case = case.clone();
            case.stdin = b"input".to_vec();
            case.files.insert("file".to_owned(), b"one".to_vec());
            case.files.insert("dir/file".to_owned(), b"two".to_vec());
            let outcome = sandbox.run(&case).await.unwrap();
            let what = format!("{:?} under {sandbox:?}: {outcome:?}", case.command);
            assert_eq!((outcome.status, &*outcome.stdout), (ProgramStatus::Finished, *expected), "{what}");
            assert!(outcome.peak_memory > 0 && outcome.seconds > 0.0, "{what}");
        }
    }
}
