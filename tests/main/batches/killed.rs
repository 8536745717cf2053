//! Batches with kills at any moment, and a disk that fails or loses power at any operation. Whatever happens, the provider
//! answers each question once, and the data is that of an undisturbed run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use synthmill::engine::{RunEnd, RunReport};
use synthmill::journal::OpenError;
use synthmill::llm::Batch;
use synthmill::llm::scripted::{Reply, Scripted};

use crate::batches::runs::{RUN, folder};
use crate::harness::batch_script::{Fault as CallFault, Script};
use crate::harness::batch_server::BatchServer;
use crate::harness::child::{Running, ids};
use crate::harness::faulty_disk::{Fault, FaultyDisk};
use crate::harness::{Run, assert_same_outputs, rows_pipeline, synthmill};

const SECOND: &str = "  - prompt: {id: second, user: \"And {{ answer }}\", output: again}\n  \
                      - llm: {id: llm-2, model: teacher, input: again, output: more}\n  - split:";

/// Makes a folder whose items need two answers; the second question contains the first answer.
fn two_stages(rows: usize, url: &str) -> tempfile::TempDir {
    let dir = folder(rows, "requests: 7", url);
    let path = dir.path().join("p.yaml");
    let yaml = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, yaml.replace("  - split:", SECOND)).unwrap();
    dir
}

#[test]
fn a_run_killed_again_and_again_has_no_question_answered_twice() {
    const ROWS: usize = 60;
    let kills: usize = std::env::var("SYNTHMILL_KILLS").map_or(40, |kills| kills.parse().unwrap());
    let server = BatchServer::start(Script::default());
    let undisturbed = two_stages(ROWS, &server.url);
    synthmill(undisturbed.path(), RUN, 0);
    assert_eq!(server.answered().len(), 2 * ROWS);

    let seed = rand::random::<u64>();
    let mut random = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
    let mut killed = 0;
    while killed < kills {
        // Some responses are lost, so that a kill may come before the provider was asked what it created.
        let call_fault = |call: &str, before: usize| {
            (call == "POST /batches" && before % 3 == 1).then_some(CallFault::DoneThenCut)
        };
        let server =
            BatchServer::start(Script { call_fault: Box::new(call_fault), looks: 3, ..Script::default() });
        let dir = two_stages(ROWS, &server.url);
        for _ in 0..8 {
            let mut run = Running::start(dir.path(), RUN);
            let calls = server.all_calls() + random.random_range(0..40);
            if !run.runs_until("some calls came", || server.all_calls() >= calls) {
                break;
            }
            run.kill();
            killed += 1;
        }
        synthmill(dir.path(), RUN, 0);
        let twice: BTreeMap<_, _> = server.paid().into_iter().filter(|(_, times)| *times > 1).collect();
        assert_eq!(twice, BTreeMap::new(), "seed {seed}");
        assert_eq!((server.answered().len(), ids(&dir.path().join("out"))), (2 * ROWS, ROWS), "seed {seed}");
        assert_same_outputs(&dir.path().join("out"), &undisturbed.path().join("out"));
    }
    eprintln!("kills among batches: {killed} (seed {seed}), no question was worked on twice");
}

const ITEMS: usize = 3;

async fn start(server: &BatchServer, disk: &FaultyDisk, dir: &Path) -> Result<RunReport, OpenError> {
    let yaml = rows_pipeline(dir, ITEMS, 8).replace("  - split:", SECOND);
    let mode = "mode: batch\n    batch: {linger: 0.01, poll: 0.003, requests: 2}\n    model: scripted";
    let yaml = yaml.replace("model: scripted", mode).replace("http://127.0.0.1:9/v1", &server.url);
    let mut run = Run::new(&yaml, Path::new("/run"), Scripted::new(|_| Reply::Never));
    run.connected = Some(Arc::new(Batch::new("teacher", &run.plan.models["teacher"]).unwrap()));
    run.disk = Arc::new(disk.clone());
    run.sync = true;
    run.try_run().await
}

#[tokio::test]
async fn with_the_disk_failing_at_every_operation_each_question_is_paid_for_once() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut struck = 0;
    for fault in [Fault::Io, Fault::Power] {
        for count in 0.. {
            let server = BatchServer::start(Script { looks: 0, ..Script::default() });
            let disk = FaultyDisk::default();
            disk.strike(count, fault);
            let outcome = start(&server, &disk, dir.path()).await;
            if !disk.was_struck() {
                break;
            }
            struck += 1;
            let what = format!("{fault:?} at {count}, {}", disk.operations()[count]);
            match outcome {
                // The last result file is read again and deleted once all answers are delivered; the run may have ended by
                // then.
                Ok(report) if matches!(report.end, RunEnd::Complete) => {
                    assert!(what.contains(".answers.jsonl"), "{what}: {:?}", report.end);
                    assert_eq!(report.snapshot.ok, ITEMS as u64, "{what}");
                }
                Ok(report) => {
                    assert!(matches!(report.end, RunEnd::Storage(_)), "{what}: {:?}", report.end);
                }
                Err(OpenError::Storage(_)) => {}
                Err(error) => panic!("{what}: {error}"),
            }
            let disk = if fault == Fault::Power { disk.after_power_loss(count as u64) } else { disk };
            disk.calm();
            let report = start(&server, &disk, dir.path()).await;
            let report =
                report.unwrap_or_else(|error| panic!("{what}: the next start does not begin: {error}"));
            assert!(matches!(report.end, RunEnd::Complete), "{what}: {report:?}");
            assert_eq!(report.snapshot.ok, ITEMS as u64, "{what}");
            let paid = server.paid();
            assert!(paid.len() == 2 * ITEMS && paid.values().all(|times| *times == 1), "{what}: {paid:?}");
        }
    }
    eprintln!("storage faults among batches: {struck}");
    assert!(struck > 150, "only {struck} operations were struck");
}
