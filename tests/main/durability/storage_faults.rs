//! A run whose disk fails at any operation and in any way: the failure is reported, and the next start ends with the same
//! outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use synthmill::engine::{RunEnd, RunReport};
use synthmill::journal::{OpenError, RetryReport};
use synthmill::llm::carry_batches;
use synthmill::llm::scripted::{Reply, Scripted};
use tempfile::TempDir;

use crate::harness::faulty_disk::{Fault, FaultyDisk};
use crate::harness::{Run, decompressed, rows_pipeline};

const ITEMS: usize = 14;

/// Makes a small run on a faulty disk, with two model stages, so that an item has answers to lose.
struct Bench {
    _dir: TempDir,
    yaml: String,
    golden: BTreeMap<PathBuf, Vec<String>>,
    operations: usize,
}

/// Answers with a delay, so that a run has several commits.
fn model() -> Arc<Scripted> {
    Arc::new(Scripted::new(|question| {
        Reply::text(json!({"answer": question.prompt}).to_string()).after(Duration::from_millis(30))
    }))
}

/// Runs one start on a disk; returns the outcome, or why it could not start.
async fn start(yaml: &str, disk: &FaultyDisk, model: &Arc<Scripted>) -> Result<RunReport, OpenError> {
    let mut run = Run::new(yaml, Path::new("/run"), Scripted::new(|_| Reply::Never));
    run.model = Arc::clone(model);
    run.disk = Arc::new(disk.clone());
    run.sync = true;
    run.try_run().await
}

fn lines(disk: &FaultyDisk) -> BTreeMap<PathBuf, Vec<String>> {
    let outputs = disk.paths().into_iter().filter(|path| {
        path.extension().is_some_and(|end| ["jsonl", "zst"].iter().any(|output| end == *output))
    });
    let sorted = outputs.map(|path| {
        let bytes = disk.content(&path).unwrap();
        let text = match path.extension().is_some_and(|end| end == "zst") {
            true => decompressed(bytes),
            false => bytes,
        };
        let text = String::from_utf8(text).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{} ends in half a line", path.display());
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        (path, lines)
    });
    sorted.collect()
}

impl Bench {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let second = "  - prompt: {id: second, user: \"And {{ answer }}\", output: again}\n  \
                      - llm: {id: llm-2, model: teacher, input: again, output: more}\n  - split:";
        let yaml = rows_pipeline(dir.path(), ITEMS, 4).replace("  - split:", second);
        let disk = FaultyDisk::default();
        let model = model();
        let report = start(&yaml, &disk, &model).await.unwrap();
        assert!(matches!(report.end, RunEnd::Complete), "{report:?}");
        assert_eq!(model.questions(), 2 * ITEMS as u64);
        Self { golden: lines(&disk), operations: disk.operations().len(), yaml, _dir: dir }
    }

    /// Resumes until the run is complete, and checks its outputs.
    async fn must_complete(&self, disk: &FaultyDisk, model: &Arc<Scripted>, what: &str) {
        let report = start(&self.yaml, disk, model).await;
        let report = report.unwrap_or_else(|error| panic!("{what}: the next start does not begin: {error}"));
        assert!(matches!(report.end, RunEnd::Complete), "{what}: {report:?}");
        let snapshot = &report.snapshot;
        assert_eq!((snapshot.ok, snapshot.in_flight), (ITEMS as u64, 0), "{what}");
        assert!(lines(disk) == self.golden, "{what}: outputs differ from a run without faults");
    }
}

#[tokio::test(start_paused = true)]
async fn every_operation_fails_once_and_the_next_start_completes_the_run() {
    let bench = Bench::new().await;
    let mut covered: BTreeMap<String, usize> = BTreeMap::new();
    let mut kinds = BTreeSet::new();
    for fault in [Fault::Io, Fault::Full, Fault::LostPages] {
        // Until a start has fewer operations: then every one has failed once.
        for count in 0.. {
            let disk = FaultyDisk::default();
            let model = model();
            disk.strike(count, fault);
            let outcome = start(&bench.yaml, &disk, &model).await;
            if !disk.was_struck() {
                break;
            }
            let what = format!("{fault:?} at {count}, {}", disk.operations()[count]);
            match outcome {
                Ok(report) => {
                    assert!(matches!(report.end, RunEnd::Storage(_)), "{what}: {:?}", report.end)
                }
                Err(OpenError::Storage(_)) => {}
                Err(error) => panic!("{what}: {error}"),
            }
            let kind = disk.operations()[count].split(' ').next().unwrap().to_owned();
            kinds.insert(kind.clone());
            *covered.entry(format!("{fault:?} at {kind}")).or_default() += 1;
            bench.must_complete(&disk, &model, &what).await;
            // Asked again at most what was in flight in the four slots of the model, and after a sync that lost writes,
            // the answers since the last successful one.
            let again = if fault == Fault::LostPages { 32 } else { 4 };
            assert!(model.questions() <= 2 * ITEMS as u64 + again, "{what}: {} questions", model.questions());
        }
    }
    let total: usize = covered.values().sum();
    eprintln!("storage faults: {total} faults over {} operations: {covered:?}", bench.operations);
    for kind in ["make", "open", "write", "sync", "sync_dir", "rename", "look"] {
        assert!(kinds.contains(kind), "no fault met a `{kind}`");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_in_which_nothing_ends_learns_of_a_storage_failure() {
    let dir = TempDir::new().unwrap();
    let yaml = rows_pipeline(dir.path(), ITEMS, 4);
    let silent = Arc::new(Scripted::new(|_| Reply::Never));
    // A later one, when the source has been read to its end and nothing else is written.
    let disk = FaultyDisk::default();
    disk.strike_nth(4, "rename status.json", Fault::Io);
    let run = tokio::time::timeout(Duration::from_hours(24), start(&yaml, &disk, &silent));
    let report = run.await.expect("the run goes on").unwrap();
    assert!(disk.was_struck());
    assert!(matches!(report.end, RunEnd::Storage(_)), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn power_lost_at_every_operation_loses_no_committed_item() {
    let bench = Bench::new().await;
    let mut losses = 0;
    'sweep: for count in 0.. {
        for seed in 0..5 {
            let disk = FaultyDisk::default();
            let model = model();
            disk.strike(count, Fault::Power);
            let outcome = start(&bench.yaml, &disk, &model).await;
            if !disk.was_struck() {
                break 'sweep;
            }
            losses += 1;
            let committed = outcome.map_or(0, |report| report.snapshot.ok);
            let what = format!("power lost before {count}, seed {seed}, {}", disk.operations()[count]);
            let mut left = disk.after_power_loss(seed);
            if seed % 2 == 1 {
                // And once more while the next start recovers.
                left.strike(count % 40, Fault::Power);
                let _ = start(&bench.yaml, &left, &self::model()).await;
                left = left.after_power_loss(seed + 7);
            }
            let again = self::model();
            bench.must_complete(&left, &again, &what).await;
            // Committed items are not asked again.
            assert!(
                again.questions() <= 2 * (ITEMS as u64 - committed),
                "{what}: {committed} were committed"
            );
        }
    }
    eprintln!("power: {losses} losses over {} operations", bench.operations);
    assert!(losses > 100, "the sweep hardly struck: {losses}");
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_tampering_with_outputs_has_its_message() {
    let bench = Bench::new().await;
    // Slow enough for several commits: a bad one at the end of a log would pass for a torn one.
    let slow = || {
        Arc::new(Scripted::new(|question| {
            Reply::text(json!({"answer": question.prompt}).to_string()).after(Duration::from_millis(120))
        }))
    };
    let check = async |tamper: &dyn Fn(&FaultyDisk), expected: &str| {
        let disk = FaultyDisk::default();
        start(&bench.yaml, &disk, &slow()).await.unwrap();
        tamper(&disk);
        let error = match start(&bench.yaml, &disk, &model()).await {
            Ok(report) => format!("{:?}", report.end),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(expected), "expected `{expected}`, got: {error}");
    };
    let train = Path::new("/run/train.jsonl");
    check(&|disk| disk.lose(train), "is missing").await;
    check(&|disk| disk.overwrite(train, disk.content(train).unwrap()[..40].to_vec()), "was cut or replaced")
        .await;
    let edit = |disk: &FaultyDisk| {
        let mut bytes = disk.content(train).unwrap();
        bytes[10] ^= 1;
        disk.overwrite(train, bytes);
    };
    check(&edit, "is not what was committed").await;
    let manifest = Path::new("/run/manifest.json");
    check(&|disk| disk.overwrite(manifest, b"{".to_vec()), "is damaged").await;
    let newer = |disk: &FaultyDisk| {
        let mut value: Value = serde_json::from_slice(&disk.content(manifest).unwrap()).unwrap();
        value["format"] = json!(9);
        disk.overwrite(manifest, value.to_string().into_bytes());
    };
    check(&newer, "has format 9").await;
    for log in ["commits-0001.log", "answers-0001.log"] {
        let path = Path::new("/run/journal").join(log);
        let flip = |disk: &FaultyDisk| {
            let mut bytes = disk.content(&path).unwrap();
            bytes[44] ^= 1;
            disk.overwrite(&path, bytes);
        };
        if log.starts_with("commits") {
            check(&flip, "damaged at byte 40").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn repair_removes_invalid_items_and_the_next_start_makes_them_again() {
    let bench = Bench::new().await;
    let train = PathBuf::from("/run/train.jsonl");
    let commits = PathBuf::from("/run/journal/commits-0001.log");
    let provenance = PathBuf::from("/run/provenance/records-0001.jsonl.zst");
    let places =
        [(&train, 30), (&train, 400), (&commits, 40), (&commits, 16), (&provenance, 30), (&provenance, 400)];
    for (path, at) in places {
        let disk = FaultyDisk::default();
        let model = model();
        start(&bench.yaml, &disk, &model).await.unwrap();
        let mut bytes = disk.content(path).unwrap();
        // The fewer commits there are, the shorter is what is compressed.
        let at = at.min(bytes.len() - 20);
        bytes[at] ^= 1;
        disk.overwrite(path, bytes);
        let what = format!("{} flipped at {at}", path.display());
        let repaired =
            synthmill::journal::repair(Arc::new(disk.clone()), Path::new("/run"), carry_batches).unwrap();
        assert_eq!(repaired.found.len(), 1, "{what}: {:?}", repaired.found);
        let asked = model.questions();
        bench.must_complete(&disk, &model, &what).await;
        assert_eq!(model.questions(), asked, "{what}: the answers are still in the journal");
        let again =
            synthmill::journal::repair(Arc::new(disk.clone()), Path::new("/run"), carry_batches).unwrap();
        assert!(again.found.is_empty(), "{what}: {:?}", again.found);
    }
}

#[tokio::test(start_paused = true)]
async fn a_repair_that_loses_power_anywhere_can_be_restarted() {
    let bench = Bench::new().await;
    let (root, train) = (Path::new("/run"), Path::new("/run/train.jsonl"));
    for count in 0.. {
        let disk = FaultyDisk::default();
        let model = model();
        start(&bench.yaml, &disk, &model).await.unwrap();
        let mut bytes = disk.content(train).unwrap();
        bytes[30] ^= 1;
        let edited = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap().to_vec();
        disk.overwrite(train, bytes);
        disk.strike(count, Fault::Power);
        let outcome = synthmill::journal::repair(Arc::new(disk.clone()), root, carry_batches);
        let struck = disk.was_struck();
        let left = if struck { disk.after_power_loss(count as u64) } else { disk };
        left.calm();
        if struck {
            synthmill::journal::repair(Arc::new(left.clone()), root, carry_batches).unwrap();
        } else {
            assert!(!outcome.unwrap().kept.is_empty());
        }
        let what = format!("repaired, power lost at {count}");
        bench.must_complete(&left, &model, &what).await;
        let kept =
            left.paths().into_iter().filter(|path| path.to_string_lossy().ends_with("train.jsonl.removed"));
        let kept: Vec<Vec<u8>> = kept.filter_map(|path| left.content(&path)).collect();
        assert!(kept.iter().any(|kept| kept.starts_with(&edited)), "{what}: what was taken out is lost");
        if !struck {
            assert!(count > 20, "only {count} losses struck");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_items_are_retried_even_if_power_is_lost_meanwhile() {
    let bench = Bench::new().await;
    let ill = || {
        Arc::new(Scripted::new(|question| match question.prompt.contains("topic 3") {
            true => Reply::error("content_filter", "refused"),
            false => Reply::text(json!({"answer": question.prompt}).to_string()),
        }))
    };
    let root = Path::new("/run");
    let mut losses = 0;
    for count in 0.. {
        let disk = FaultyDisk::default();
        let report = start(&bench.yaml, &disk, &ill()).await.unwrap();
        assert_eq!((report.snapshot.ok, report.snapshot.rejected), (ITEMS as u64 - 1, 1));
        let classes = ["content_filter".to_owned()];
        assert_eq!(
            synthmill::journal::retry_rejected(
                Arc::new(disk.clone()),
                root,
                &["json".to_owned()],
                carry_batches
            )
            .unwrap(),
            RetryReport { items: 0, is_pending: false }
        );
        disk.strike(count, Fault::Power);
        let outcome =
            synthmill::journal::retry_rejected(Arc::new(disk.clone()), root, &classes, carry_batches);
        let struck = disk.was_struck();
        let left = if struck {
            losses += 1;
            let left = disk.after_power_loss(count as u64);
            // Either nothing had happened yet, or the move is complete and there is nothing left to retry.
            let retried =
                synthmill::journal::retry_rejected(Arc::new(left.clone()), root, &classes, carry_batches)
                    .unwrap();
            assert!(retried.items == 1 || retried.is_pending, "{retried:?}");
            left
        } else {
            assert_eq!(outcome.unwrap(), RetryReport { items: 1, is_pending: false });
            disk.calm();
            disk
        };
        bench.must_complete(&left, &model(), &format!("retried, power lost at {count}")).await;
        if !struck {
            break;
        }
    }
    assert!(losses > 20, "only {losses} losses struck");
}
