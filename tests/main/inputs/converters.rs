//! `ingest: {convert: ...}`: files that a program makes Markdown of, from the file to the line of a sink, over several
//! starts of a run.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use synthmill::engine::RunEnd;
use synthmill::llm::scripted::{Reply, Scripted};
use tempfile::TempDir;

use crate::harness::faulty_disk::{Fault, FaultyDisk};
use crate::harness::{Run, outputs, program, stderr, stdout, synthmill};

/// A folder with these files and a pipeline that converts some of them.
fn folder(files: &[(&str, &[u8])], convert: &Value) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let pipeline = format!(
        "name: t\nstages:\n  - ingest: {{paths: [\"docs/**/*\"], convert: {convert}}}\n  - section: {{}}\n  \
         - sink: {{path: out.jsonl, format: raw, fields: [document, section, source]}}\n"
    );
    std::fs::write(dir.path().join("p.yaml"), pipeline).unwrap();
    dir
}

/// A converter that runs a shell script with the file as `$1`, and notes each call in the file `calls` of the folder.
fn shell(dir: &str, script: &str) -> Value {
    let script = format!("echo \"$1\" >> {dir}/calls; {script}");
    json!({"command": ["sh", "-c", script, "sh", "{path}"], "sandbox": "off"})
}

/// The names of the files that were converted, in order.
fn calls(dir: &Path) -> Vec<String> {
    let calls = std::fs::read_to_string(dir.join("calls")).unwrap_or_default();
    calls.lines().map(|line| line.rsplit('/').next().unwrap().to_owned()).collect()
}

/// The title of the document, the path of the section and the name of the file of each line.
fn sections(dir: &Path) -> Vec<Value> {
    let mut lines: Vec<String> = outputs(&dir.join("output/t")).remove("out.jsonl").unwrap();
    lines.sort();
    let parsed = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found: Vec<Value> = parsed
        .map(|line| json!([line["source"]["path"], line["document"]["title"], line["section"]["text"]]))
        .collect();
    found.sort_by_key(ToString::to_string);
    found
}

#[test]
fn each_file_is_converted_by_the_first_converter_whose_glob_matches_it() {
    let dir = folder(
        &[
            ("docs/a.rst", b"A paragraph of the first document, long enough."),
            ("docs/deep/b.rst", b"A paragraph of the second document, long enough."),
            ("docs/deep/c.md", b"# Plain\n\nA paragraph of Markdown, which nobody converts."),
            ("docs/d.pdf", b"%PDF-1.7"),
        ],
        &json!({}),
    );
    let here = dir.path().to_str().unwrap().to_owned();
    let convert = json!({
        "docs/deep/*.rst": shell(&here, "printf -- '---\\ntitle: From deep\\n---\\n\\n'; cat \"$1\""),
        "*.rst": shell(&here, "printf '# Found by name\\r\\n\\r\\n'; cat \"$1\""),
        "*.tex": shell(&here, "cat"),
    });
    std::fs::write(
        dir.path().join("p.yaml"),
        std::fs::read_to_string(dir.path().join("p.yaml"))
            .unwrap()
            .replace("{}}\n  - section", &format!("{convert}}}\n  - section")),
    )
    .unwrap();
    let told = synthmill(dir.path(), &["validate", "p.yaml"], 0);
    assert!(
        stderr(&told).contains("`*.tex` converts no file: no file of `paths` matches it"),
        "{}",
        stderr(&told)
    );
    assert!(stderr(&told).contains("read 3 files, left out 1: 1 .pdf"), "{}", stderr(&told));
    assert!(calls(dir.path()).is_empty(), "`validate` converts nothing");
    let shown = synthmill(dir.path(), &["preview", "p.yaml", "-n", "1"], 0);
    assert!(stdout(&shown).contains("A paragraph of the first document"), "{}", stdout(&shown));
    synthmill(dir.path(), &["plan", "p.yaml"], 0);
    assert!(!dir.path().join("output").exists(), "they keep nothing");
    std::fs::remove_file(dir.path().join("calls")).unwrap();
    synthmill(dir.path(), &["run", "p.yaml"], 0);
    assert_eq!(calls(dir.path()), ["a.rst", "b.rst"]);
    assert_eq!(
        sections(dir.path()),
        [
            json!(["docs/a.rst", "Found by name", "A paragraph of the first document, long enough."]),
            json!(["docs/deep/b.rst", "From deep", "A paragraph of the second document, long enough."]),
            json!(["docs/deep/c.md", "Plain", "A paragraph of Markdown, which nobody converts."]),
        ]
    );
}

#[test]
fn a_file_that_cannot_be_converted_is_reported_and_the_others_are_read() {
    let cases: &[(&str, &str)] = &[
        (
            "echo half; echo first >&2; echo 'line 3: bad role' >&2; exit 7",
            "the converter `sh` ended with exit code 7: line 3: bad role",
        ),
        ("kill -SEGV $$", "the converter `sh` was ended by signal 11"),
        ("printf 'caf\\351'", "what the converter `sh` wrote is not UTF-8"),
        ("printf ' \\n'", "the converter `sh` wrote nothing"),
        ("echo '<!DOCTYPE html><p>A page'", "what the converter `sh` wrote: an HTML page, no Markdown"),
        ("yes | head -c 20000000", "what the converter `sh` wrote: larger than `limit_bytes` (16777216)"),
    ];
    for (script, expected) in cases {
        let text = "A paragraph that is long enough to be a section of its own.";
        let files = ["a", "b", "c"].map(|name| format!("docs/{name}.rst"));
        let files: Vec<(&str, &[u8])> = files.iter().map(|name| (name.as_str(), text.as_bytes())).collect();
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().to_str().unwrap();
        let script = format!("case $1 in */b.rst) {script};; *) cat \"$1\";; esac");
        let made = folder(&files, &json!({"*.rst": shell(here, &script)}));
        let ran = synthmill(made.path(), &["run", "p.yaml"], 0);
        let told = stderr(&ran);
        assert!(told.contains(&format!("cannot read `docs/b.rst`: {expected}")), "{script}: {told}");
        assert_eq!(sections(made.path()).len(), 2, "{script}");
        let status: Value =
            serde_json::from_str(&stdout(&synthmill(made.path(), &["status", "output/t", "--json"], 0)))
                .unwrap();
        assert_eq!(status["source_failures"], 1, "{status:#}");
    }
}

#[test]
fn a_run_goes_on_with_the_text_that_it_began_with() {
    let text: String = (0..40)
        .map(|n| format!("# Heading {n}\n\nA paragraph about the number {n}, which is long enough.\n\n"))
        .collect();
    let files: &[(&str, &[u8])] =
        &[("docs/a.rst", text.as_bytes()), ("docs/b.rst", b"fails"), ("docs/c.rst", text.as_bytes())];
    let converter = |here: &str| {
        // Another text and another outcome each time, and what decides is in no file that the run knows of.
        let script =
            format!("if grep -q fails \"$1\"; then cat {here}/mended; else cat \"$1\" {here}/version; fi");
        json!({"*.rst": shell(here, &script)})
    };
    let prepare = |version: &str| {
        let dir = tempfile::tempdir().unwrap();
        let made = folder(files, &converter(dir.path().to_str().unwrap()));
        std::fs::write(dir.path().join("version"), version).unwrap();
        (dir, made)
    };
    let (_kept, whole) = prepare("# One\n\nThe first version of the last paragraph.\n");
    synthmill(whole.path(), &["run", "p.yaml"], 0);
    for point in
        ["rename commits-0001 1", "written out.jsonl 1", "written commits-0001 2", "renamed manifest 2"]
    {
        let (dir, made) = prepare("# One\n\nThe first version of the last paragraph.\n");
        let status = program(made.path(), &["run", "p.yaml", "-q"])
            .env("SYNTHMILL_ABORT", point)
            .output()
            .unwrap()
            .status;
        assert!(!status.success(), "{point}: nothing was aborted");
        let before = calls(dir.path());
        std::fs::write(dir.path().join("version"), "# Two\n\n# Three\n\nAnother version of it.\n").unwrap();
        std::fs::write(dir.path().join("mended"), "A document that could not be converted before.").unwrap();
        // What was converted before the end of the first start is not converted again.
        synthmill(made.path(), &["run", "p.yaml", "-q"], 0);
        let all = calls(dir.path());
        let mut once = all.clone();
        once.sort();
        once.dedup();
        assert_eq!((all.len(), once.len()), (3, 3), "{point}: {before:?}, then {all:?}");
        if before.len() == 3 {
            assert_eq!(sections(made.path()), sections(whole.path()), "{point}");
        }
    }
}

#[test]
fn a_run_killed_by_its_last_conversion_keeps_the_outcomes_before() {
    let text: &[u8] = b"A paragraph of the document, which is long enough for a section.\n\n";
    let files: &[(&str, &[u8])] = &[("docs/a.rst", text), ("docs/b.rst", text), ("docs/c.rst", text)];
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().to_str().unwrap();
    let script = format!(
        "case $1 in */c.rst) if test -e {here}/kill; then rm {here}/kill; kill -9 $PPID; fi;; esac; \
         case $1 in */b.rst) test -e {here}/mended || exit 1;; esac; cat \"$1\" {here}/version"
    );
    let made = folder(files, &json!({"*.rst": shell(here, &script)}));
    std::fs::write(dir.path().join("kill"), "").unwrap();
    std::fs::write(dir.path().join("version"), "The first version.").unwrap();
    let killed = program(made.path(), &["run", "p.yaml", "-q"]).output().unwrap().status;
    assert_eq!(killed.code(), None);
    std::fs::write(dir.path().join("version"), "The second version.").unwrap();
    std::fs::write(dir.path().join("mended"), "").unwrap();
    let ran = synthmill(made.path(), &["run", "p.yaml"], 0);
    assert_eq!(calls(dir.path()), ["a.rst", "b.rst", "c.rst", "c.rst"]);
    assert!(stderr(&ran).contains("cannot read `docs/b.rst`: the converter `sh` ended with exit code 1"));
    let text = |version: &str| {
        format!("A paragraph of the document, which is long enough for a section.\n\nThe {version} version.")
    };
    let found: Vec<Value> = sections(made.path()).iter().map(|line| line[2].clone()).collect();
    assert_eq!(found, [text("first"), text("second")]);
}

#[test]
fn a_converter_that_cannot_be_run_any_more_ends_the_run_and_no_number_moves() {
    let files: &[(&str, &[u8])] = &[
        ("docs/a.rst", b"The first document, which is long enough for a section."),
        ("docs/b.rst", b"The second document, which is long enough for a section."),
        ("docs/c.md", b"The third document, which is long enough for a section."),
    ];
    let made = folder(files, &json!({"*.rst": {"command": ["./convert", "{path}"], "sandbox": "off"}}));
    let path = made.path().join("convert");
    // It removes itself, so that the second file finds no converter.
    let install = || {
        std::fs::write(&path, format!("#!/bin/sh\ncat \"$1\"\nrm {}\n", path.display())).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
    };
    install();
    let ran = synthmill(made.path(), &["run", "p.yaml"], 4);
    assert!(stderr(&ran).contains("no program `"), "{}", stderr(&ran));
    let status = stdout(&synthmill(made.path(), &["status", "output/t", "--json"], 0));
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["source_failures"], 0, "{status:#}");
    install();
    synthmill(made.path(), &["run", "p.yaml"], 0);
    let names: Vec<Value> = sections(made.path()).into_iter().map(|line| line[0].clone()).collect();
    assert_eq!(names, ["docs/a.rst", "docs/b.rst", "docs/c.md"]);
}

#[test]
fn what_cannot_convert_is_refused_before_anything_runs() {
    for (convert, expected) in [
        (
            json!({"*.rst": ["no-such-converter", "{path}"]}),
            "`no-such-converter` is in none of `/usr/local/bin",
        ),
        (json!({"*.rst": ["no-such-converter", "{path}"]}), "install it, or write its path"),
        (json!({"*.rst": ["tools/convert.py", "{path}"]}), "`tools/convert.py` does not exist"),
        (json!({"*.rst": []}), "the command is empty"),
        (json!({"*.rst": ["cat"]}), "no argument names the file that is converted"),
        (json!({"a**b": ["cat", "{path}"]}), "`a**b` is no glob"),
        (json!({"*.rst": {"command": ["cat", "{path}"], "timeout": 0}}), "found the number `0`"),
        (json!({"*.rst": {"command": ["cat", "{path}"], "sandbox": "of"}}), "`required`, `off`"),
        (json!({"*.rst": ["cat", "{path}", "{{ text }}"]}), "`text` cannot be used here"),
    ] {
        let made = folder(&[("docs/a.rst", b"Text.")], &convert);
        for command in ["validate", "run"] {
            let refused = synthmill(made.path(), &[command, "p.yaml"], 2);
            assert!(stderr(&refused).contains(expected), "{convert}: {}", stderr(&refused));
        }
        assert!(!made.path().join("output").exists());
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_that_cannot_be_kept_ends_the_run() {
    let files: &[(&str, &[u8])] = &[
        ("a.rst", b"The first document, which is long enough for a section."),
        ("b.rst", b"The second document, which is long enough for a section."),
    ];
    let dir = folder(files, &json!({}));
    let here = dir.path().to_str().unwrap();
    let convert = json!({"*.rst": shell(here, "cat \"$1\"")});
    let yaml = format!(
        "name: t\nstages:\n  - ingest: {{paths: [\"{here}/*.rst\"], convert: {convert}}}\n  \
         - sink: {{path: out.jsonl, format: raw, fields: [text]}}\n"
    );
    let disk = FaultyDisk::default();
    disk.strike_nth(2, "sync_dir converted", Fault::Full);
    let start = async || {
        let mut run = Run::new(&yaml, Path::new("/run"), Scripted::new(|_| Reply::Never));
        (run.disk, run.sync) = (Arc::new(disk.clone()), true);
        run.run().await
    };
    let report = start().await;
    assert!(disk.was_struck(), "{:?}", disk.operations());
    assert!(matches!(report.end, RunEnd::Storage(_)), "{:?}", report.end);
    disk.calm();
    let report = start().await;
    assert!(matches!(report.end, RunEnd::Complete), "{:?}", report.end);
    assert_eq!((report.snapshot.source_failures, report.snapshot.ok), (0, 2));
}

/// Where the machine has a sandbox, converters run in it unless they are trusted.
#[test]
fn a_converter_reads_its_file_and_no_other() {
    if crate::harness::sandbox().is_err() {
        return;
    }
    let script = b"import pathlib, sys\n\
        print('# ' + pathlib.Path(sys.argv[1]).read_text())\n\
        for path in sys.argv[2:]:\n    print(pathlib.Path(path).read_text())\n";
    let files: &[(&str, &[u8])] = &[
        ("docs/a.rst", b"Title\n\nThe document, which is long enough for a section of its own."),
        ("secret.txt", b"not for converters"),
        ("tools/convert.py", script),
    ];
    let made = folder(files, &json!({"*.rst": ["python3", "tools/convert.py", "{path}"]}));
    let told = stdout(&synthmill(made.path(), &["validate", "p.yaml"], 0));
    assert!(told.contains("sandbox of programs: "), "{told}");
    synthmill(made.path(), &["run", "p.yaml"], 0);
    let found = sections(made.path());
    assert_eq!(
        found,
        [json!(["docs/a.rst", "Title", "The document, which is long enough for a section of its own."])]
    );
    // The same with a path that no argument names as a whole.
    let secret = made.path().join("secret.txt");
    let command = format!("python3 - \"$1\" {} < \"$2\"", secret.display());
    let made_again =
        folder(files, &json!({"*.rst": ["sh", "-c", command, "sh", "{path}", "tools/convert.py"]}));
    let ran = synthmill(made_again.path(), &["run", "p.yaml"], 5);
    let told = stderr(&ran);
    assert!(told.contains("cannot read `docs/a.rst`: the converter `sh`"), "{told}");
    assert!(told.contains("secret.txt"), "{told}");
}
