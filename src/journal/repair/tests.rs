//! How repairs and retries treat items that gates dropped in favour of others.

use std::io::Read;

use tempfile::TempDir;

use super::*;
use crate::journal::decision::{GateRecord, LostTo};
use crate::journal::disk::RealDisk;
use crate::journal::{
    ItemCommit, OpenedRun, PROVENANCE, RunDirectory, RunSpec, SINKS, StartedRun, StorageOptions,
    WriterCommand,
};

#[test]
fn rejects_are_chosen_by_class() {
    let lines = b"{\"class\":\"json\"}\n{\"class\":\"timeout\"}\n";
    assert!(has_class(lines, &[]));
    assert!(has_class(lines, &["timeout".into()]));
    assert!(!has_class(lines, &["schema".into()]));
    assert!(!has_class(b"", &[]));
}

fn open(root: &Path) -> OpenedRun {
    let wanted = RunSpec {
        pipeline: "test".into(),
        fingerprint: Default::default(),
        explained: Vec::new(),
        sinks: vec!["train.jsonl".into()],
        pipeline_yaml: String::new(),
        now: "2026-01-31_12-00-00".into(),
        fresh: false,
        reuse_moved: false,
        reuse: None,
    };
    RunDirectory::open(Arc::new(RealDisk), root, wanted).unwrap()
}

/// An item with one line in each file that an item of this outcome writes to.
fn item(item: u64, outcome: ItemOutcome, keys: &[u8], lost_to: LostTo) -> ItemCommit {
    let line = |file| (file, format!("{{\"class\":\"json\",\"id\":{item}}}\n").into_bytes());
    let lines = match outcome {
        ItemOutcome::Ok => vec![line(PROVENANCE), line(SINKS)],
        ItemOutcome::Dropped => vec![line(PROVENANCE)],
        ItemOutcome::Rejected => vec![line(PROVENANCE), line(REJECTED)],
    };
    let decision = GateRecord { keys: keys.to_vec(), lost_to };
    ItemCommit { item, outcome, decision, lines, spent: Default::default(), answers_from: 0 }
}

/// Runs one start that commits these groups.
fn commit(root: &Path, groups: Vec<Vec<ItemCommit>>) {
    commit_in(open(root), groups);
}

/// As `commit`, in a directory that is open.
fn commit_in(opened: OpenedRun, groups: Vec<Vec<ItemCommit>>) {
    let OpenedRun { mut directory, done, .. } = opened;
    let how = StorageOptions { sync: false, pack: false };
    let started = directory.start(&done, None, how, |notes, _| notes.to_vec()).unwrap();
    let StartedRun { writer, answers, collector, answers_thread, notes, notes_thread, .. } = started;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for group in groups {
        for item in group {
            assert!(runtime.block_on(writer.send(WriterCommand::Commit(vec![item]))));
        }
        assert!(runtime.block_on(writer.send(WriterCommand::Flush)));
    }
    writer.finish().1.unwrap();
    drop((answers, collector, notes));
    notes_thread.finish();
    answers_thread.finish().unwrap();
    directory.close(|_| {}).unwrap();
}

/// 2 lost to 1, and so did a record of 3; for 5 there was no more room, 6 lost to 0, and 7 to one in flight.
fn decided() -> TempDir {
    use ItemOutcome::{Dropped, Ok, Rejected};
    let folder = tempfile::tempdir().unwrap();
    let lost = |item: u64| LostTo::Items(vec![item]);
    let groups = vec![
        vec![item(0, Ok, b"a", LostTo::Nobody)],
        vec![item(1, Ok, b"b", LostTo::Nobody)],
        vec![
            item(3, Ok, b"", lost(1)),
            item(2, Dropped, b"", lost(1)),
            item(4, Rejected, b"d", LostTo::Nobody),
        ],
        vec![
            item(5, Dropped, b"", LostTo::EveryKept),
            item(6, Dropped, b"", lost(0)),
            item(7, Dropped, b"", lost(8)),
        ],
    ];
    commit(folder.path(), groups);
    folder
}

/// The items that are done, and those with keys.
fn found(root: &Path) -> (Vec<u64>, Vec<(u64, Vec<u8>)>) {
    let opened = open(root);
    let keys = opened.keys.iter().map(|(item, keys)| (*item, keys.to_vec())).collect();
    (opened.done.iter().collect(), keys)
}

fn keys(keys: &[(u64, &[u8])]) -> Vec<(u64, Vec<u8>)> {
    keys.iter().map(|(item, keys)| (*item, keys.to_vec())).collect()
}

fn flip(path: &Path, at: u64) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at as usize] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn repaired(root: &Path) -> RepairReport {
    repair(Arc::new(RealDisk), root, |notes, _| notes.to_vec()).unwrap()
}

#[test]
fn items_that_lost_to_an_undone_item_are_undone_too() {
    let folder = decided();
    let root = folder.path();
    let whole = repaired(root);
    assert!(whole.found.is_empty() && whole.dependents.is_empty(), "{whole:?}");
    assert_eq!(found(root), ((0..8).collect(), keys(&[(0, b"a"), (1, b"b"), (4, b"d")])));

    let train = root.join("train.jsonl");
    let first = std::fs::read(&train).unwrap().iter().position(|byte| *byte == b'\n').unwrap();
    flip(&train, first as u64 + 3);
    let harmed = repaired(root);
    assert_eq!((&harmed.items[..], &harmed.dependents[..]), (&[1][..], &[2, 3, 5][..]), "{:?}", harmed.found);
    assert_eq!(found(root), (vec![0, 4, 6, 7], keys(&[(0, b"a"), (4, b"d")])));
    let kept = harmed.kept.iter().find(|path| path.ends_with("train.jsonl.removed")).unwrap();
    let kept = std::fs::read_to_string(kept).unwrap();
    assert!(kept.contains("\"id\":3}\n"), "its line held, and is not lost: {kept}");
    assert_eq!(std::fs::read_to_string(&train).unwrap(), "{\"class\":\"json\",\"id\":0}\n");

    // They are made again, and decided as before.
    let lost = |item: u64| LostTo::Items(vec![item]);
    let again = vec![
        item(1, ItemOutcome::Ok, b"b", LostTo::Nobody),
        item(2, ItemOutcome::Dropped, b"", lost(1)),
        item(3, ItemOutcome::Ok, b"", lost(1)),
        item(5, ItemOutcome::Dropped, b"", LostTo::EveryKept),
    ];
    commit(root, vec![again]);
    assert_eq!(found(root), ((0..8).collect(), keys(&[(0, b"a"), (1, b"b"), (4, b"d")])));
    assert!(repaired(root).found.is_empty());
}

#[test]
fn items_that_may_have_lost_to_one_with_a_missing_commit_are_undone_too() {
    let folder = decided();
    let root = folder.path();
    let path = recover::commits_path(root, 1);
    let log = std::fs::read(&path).unwrap();
    let mut offsets = Vec::new();
    frames::for_each(&log, frames::HEADER, |offset, _| offsets.push(offset)).unwrap();
    // The record of item 1: only its lines show that there was one.
    flip(&path, offsets[1] + 12);
    let harmed = repaired(root);
    assert_eq!(
        (&harmed.items[..], &harmed.dependents[..]),
        (&[][..], &[2, 3, 5, 7][..]),
        "{:?}",
        harmed.found
    );
    assert_eq!(found(root), (vec![0, 4, 6], keys(&[(0, b"a"), (4, b"d")])));
}

#[test]
fn nothing_is_undone_with_a_retried_item() {
    let folder = decided();
    let root = folder.path();
    commit(root, vec![vec![item(8, ItemOutcome::Dropped, b"", LostTo::Items(vec![4]))]]);
    let retried =
        retry_rejected(Arc::new(RealDisk), root, &["json".to_owned()], |notes, _| notes.to_vec()).unwrap();
    assert_eq!(retried, RetryReport { items: 1, is_pending: false });
    assert_eq!(found(root), (vec![0, 1, 2, 3, 5, 6, 7, 8], keys(&[(0, b"a"), (1, b"b")])));
    // The decisions on the others are still known: 4, which came late, is undone with 8, and with that 7.
    commit(root, vec![vec![item(4, ItemOutcome::Ok, b"d", LostTo::Nobody)]]);
    let train = root.join("train.jsonl");
    let last = std::fs::metadata(&train).unwrap().len() - 2;
    flip(&train, last);
    let harmed = repaired(root);
    assert_eq!((&harmed.items[..], &harmed.dependents[..]), (&[4][..], &[5, 7, 8][..]), "{:?}", harmed.found);
    assert_eq!(found(root), (vec![0, 1, 2, 3, 6], keys(&[(0, b"a"), (1, b"b")])));
}

/// Returns the lines of an output, decompressed if it is compressed.
fn lines_of(path: &Path) -> Vec<String> {
    let mut text = String::new();
    crate::journal::line_reader(path, false).unwrap().read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn line_of(item: u64) -> String {
    format!("{{\"class\":\"json\",\"id\":{item}}}")
}

#[test]
fn a_damaged_frame_takes_its_own_commit_out_and_no_other() {
    let folder = decided();
    let root = folder.path();
    let path = root.join("provenance/records-0001.jsonl.zst");
    assert_eq!(lines_of(&path), [0, 1, 3, 2, 4, 5, 6, 7].map(line_of));
    let frame = recover::commits(&RealDisk, root, open(root).directory.manifest()).unwrap();
    let last = frame.files[PROVENANCE].offset - 2;
    flip(&path, last);
    let harmed = repaired(root);
    assert_eq!((&harmed.items[..], harmed.dependents.len()), (&[5, 6, 7][..], 0), "{:?}", harmed.found);
    // What was left has become one commit, and one frame.
    assert_eq!(lines_of(&path), [0, 1, 3, 2, 4].map(line_of));
    let lost = |item: u64| LostTo::Items(vec![item]);
    commit(root, vec![vec![item(6, ItemOutcome::Dropped, b"", lost(0))]]);
    assert_eq!(lines_of(&path), [0, 1, 3, 2, 4, 6].map(line_of));
    assert!(repaired(root).found.is_empty());
}

#[test]
fn lines_taken_out_of_a_compressed_output_are_kept_compressed() {
    let folder = decided();
    let root = folder.path();
    flip(&root.join("train.jsonl"), 3);
    let harmed = repaired(root);
    assert_eq!((&harmed.items[..], &harmed.dependents[..]), (&[0][..], &[5, 6][..]), "{:?}", harmed.found);
    let kept = harmed.kept.iter().find(|path| path.ends_with("records-0001.jsonl.zst.removed")).unwrap();
    let kept = zstd::stream::decode_all(&*std::fs::read(kept).unwrap()).unwrap();
    assert_eq!(String::from_utf8(kept).unwrap().lines().collect::<Vec<_>>(), [0, 5, 6].map(line_of));
}

#[test]
fn a_run_of_format_3_goes_on_with_provenance_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut opened = open(root);
    opened.directory.manifest.format = 3;
    opened.directory.manifest.files[PROVENANCE] = "provenance/records.jsonl".into();
    let [first, second, third] = [0, 1, 2].map(|number| item(number, ItemOutcome::Ok, b"", LostTo::Nobody));
    commit_in(opened, vec![vec![first], vec![second]]);
    commit(root, vec![vec![third]]);
    let path = root.join("provenance/records.jsonl");
    assert_eq!(lines_of(&path), [0, 1, 2].map(line_of));
    flip(&path, 3);
    assert_eq!(repaired(root).items, [0]);
    assert_eq!(lines_of(&path), [1, 2].map(line_of));
    assert_eq!(open(root).directory.manifest.format, 3);
    assert_eq!(std::fs::read_dir(root.join("provenance")).unwrap().count(), 1);
}
