//! The disk backend: crashes, full disks, several processes on one directory (fault 31).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use durable_stash_engine::backend;
use durable_stash_engine::store::{DeleteOutcome, ObjectName, Store};
use durable_stash_engine::{Backend, ErrorKind, HealthState};
use durable_stash_machine::{ETag, GetOutcome, Precondition, PutOutcome};
use support::*;

fn open(path: &Path) -> Arc<dyn Store> {
    backend::open(&config(Backend::Disk { path: path.to_owned() })).unwrap()
}

fn name(n: u8) -> ObjectName {
    ObjectName::document(&[n; 32])
}

async fn create(store: &dyn Store, name: &ObjectName, body: &str) -> ETag {
    match store.put(name, Bytes::from(body.to_owned()), &Precondition::Absent).await {
        PutOutcome::Written(etag) => etag,
        other => panic!("{other:?}"),
    }
}

async fn read(store: &dyn Store, name: &ObjectName) -> (ETag, String) {
    match store.get(name, None).await {
        GetOutcome::Found { etag, body } => (etag, String::from_utf8(body.to_vec()).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn folder(directory: &Directory, name: &ObjectName) -> PathBuf {
    directory.path().join("durable_stash").join(name.folder())
}

#[tokio::test]
async fn fault_31_a_full_disk_keeps_the_old_object_and_says_that_it_is_full() {
    let directory = directory();
    let store = open(directory.path());
    let etag = create(&*store, &name(1), "old").await;
    // Every write to /dev/full ends in ENOSPC, and the temporary file is where the new content goes first.
    symlink("/dev/full", folder(&directory, &name(1)).join(".new")).unwrap();
    let outcome = store.put(&name(1), "new".into(), &Precondition::Matches(etag.clone())).await;
    assert_eq!(outcome, PutOutcome::Unknown { retry_after: None });
    assert!(store.trouble().unwrap().contains("No space"), "{:?}", store.trouble());
    assert_eq!(read(&*store, &name(1)).await.1, "old");
    // The disk has room again.
    assert!(matches!(store.put(&name(1), "new".into(), &Precondition::Matches(etag)).await, PutOutcome::Written(_)));
    assert_eq!(read(&*store, &name(1)).await.1, "new");
}

#[tokio::test]
async fn fault_31_a_disk_that_fails_keeps_the_old_object_and_is_never_taken_for_an_empty_one() {
    let directory = directory();
    let store = open(directory.path());
    let etag = create(&*store, &name(1), "old").await;
    // Every read and every write at the beginning of this file ends in EIO.
    let failing = "/proc/self/mem";
    symlink(failing, folder(&directory, &name(1)).join(".new")).unwrap();
    let outcome = store.put(&name(1), "new".into(), &Precondition::Matches(etag)).await;
    assert_eq!(outcome, PutOutcome::Unknown { retry_after: None });
    assert!(store.trouble().unwrap().contains("os error 5"), "{:?}", store.trouble());
    assert_eq!(read(&*store, &name(1)).await.1, "old");
    let path = folder(&directory, &name(1)).join(name(1).file());
    std::fs::remove_file(&path).unwrap();
    symlink(failing, &path).unwrap();
    assert_eq!(store.get(&name(1), None).await, GetOutcome::Unavailable { retry_after: None });
    assert!(store.trouble().unwrap().contains("os error 5"), "{:?}", store.trouble());
    let outcome = store.put(&name(1), "new".into(), &Precondition::Absent).await;
    assert_eq!(outcome, PutOutcome::Unknown { retry_after: None });
}

#[tokio::test]
async fn fault_31_a_store_whose_folders_are_not_there_makes_all_of_them() {
    let directory = directory();
    let path = directory.path().join("one/two");
    let store = open(&path);
    create(&*store, &name(1), "text").await;
    assert_eq!(read(&*open(&path), &name(1)).await.1, "text");
    for folder in [path.join("durable_stash"), path.clone(), directory.path().join("one")] {
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
    }
}

#[tokio::test]
async fn fault_31_a_write_waits_until_the_disk_has_room_again() {
    let directory = directory();
    let config = config(Backend::Disk { path: directory.path().to_owned() });
    let engine = start(config);
    health(&engine, HealthState::Ready).await;
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    let document = documents(directory.path()).remove(0);
    let temporary = document.parent().unwrap().join(".new");
    // Our remedy (removing what we had begun) would clear the way at once: a directory in the way stays.
    std::fs::create_dir(&temporary).unwrap();
    stash(&handle, "count", 2);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let status = handle.status();
    assert_eq!((status.saved, status.failures), (1, 0));
    std::fs::remove_dir(&temporary).unwrap();
    flush(&handle).await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, Some(2));
}

#[tokio::test]
async fn fault_31_an_unreadable_object_is_no_missing_object() {
    let directory = directory();
    let store = open(directory.path());
    create(&*store, &name(1), "one").await;
    let path = folder(&directory, &name(1)).join(name(1).file());
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap(); // EISDIR stands for EIO
    assert_eq!(store.get(&name(1), None).await, GetOutcome::Unavailable { retry_after: None });
    let outcome = store.put(&name(1), "two".into(), &Precondition::Absent).await;
    assert_eq!(outcome, PutOutcome::Unknown { retry_after: None });
}

#[tokio::test]
async fn fault_31_what_a_crash_left_behind_is_ignored_and_cleared() {
    let directory = directory();
    let store = open(directory.path());
    create(&*store, &name(1), "one").await;
    let temporary = folder(&directory, &name(1)).join(".new");
    std::fs::write(&temporary, "half of a docu").unwrap();
    let store = open(directory.path());
    assert!(!temporary.exists(), "cleared at start");
    std::fs::write(&temporary, "half of a docu").unwrap();
    assert_eq!(store.list(None, 100).await.unwrap().objects.len(), 1);
    assert_eq!(read(&*store, &name(1)).await.1, "one");
    create(&*store, &ObjectName::document(&[1; 32]).aside(b""), "x").await;
    let (etag, _) = read(&*store, &name(1)).await;
    assert!(matches!(store.put(&name(1), "two".into(), &Precondition::Matches(etag)).await, PutOutcome::Written(_)));
    assert!(!temporary.exists(), "overwritten and renamed by the next write");
}

#[tokio::test]
async fn a_version_is_the_content_and_not_the_file() {
    let directory = directory();
    let store = open(directory.path());
    let etag = create(&*store, &name(1), "one").await;
    let path = folder(&directory, &name(1)).join(name(1).file());
    // The same size, and a time that is put back: neither inode nor mtime may be the version (a restored backup).
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "two").unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let outcome = store.put(&name(1), "three".into(), &Precondition::Matches(etag)).await;
    assert_eq!(outcome, PutOutcome::Moved);
}

#[tokio::test]
async fn files_are_readable_by_their_owner_only() {
    let directory = directory();
    let store = open(directory.path());
    create(&*store, &name(1), "private").await;
    let folder = folder(&directory, &name(1));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join(name(1).file())), 0o600);
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_said_at_start() {
    let directory = directory();
    let file = directory.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let error = backend::open(&config(Backend::Disk { path: file.join("below") })).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.message.contains("a file/below/durable_stash") && error.message.contains("`path:`"), "{error}");
}

#[tokio::test]
async fn a_folder_that_another_process_holds_is_busy_and_not_waited_for_without_end() {
    let directory = directory();
    let store = open(directory.path());
    let etag = create(&*store, &name(1), "one").await;
    let lock = std::fs::File::options().write(true).open(folder(&directory, &name(1)).join(".lock")).unwrap();
    lock.lock().unwrap(); // a second open file: as another process
    let outcome = store.put(&name(1), "two".into(), &Precondition::Matches(etag.clone())).await;
    assert_eq!(outcome, PutOutcome::Busy);
    assert_eq!(read(&*store, &name(1)).await.1, "one", "reads need no lock");
    drop(lock);
    assert!(matches!(store.put(&name(1), "two".into(), &Precondition::Matches(etag)).await, PutOutcome::Written(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_31_two_processes_on_one_directory_lose_no_increment() {
    const INCREMENTS: u64 = 200;
    let directory = directory();
    let store = open(directory.path());
    create(&*store, &name(1), "0 by nobody").await;
    let children: Vec<_> = (0..2).map(|n| Writer::start(directory.path(), n, INCREMENTS)).collect();
    increment(&*store, "parent", INCREMENTS, |_| ()).await;
    for child in children {
        child.finish();
    }
    let (_, last) = read(&*store, &name(1)).await;
    assert!(last.starts_with(&format!("{} by ", 3 * INCREMENTS)), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_33_a_process_killed_in_mid_write_leaves_the_old_object_or_the_new_one() {
    let directory = directory();
    let store = open(directory.path());
    create(&*store, &name(1), "0 by nobody").await;
    let mut told = 0;
    for round in 0..12 {
        let mut writer = Writer::start(directory.path(), round, u64::MAX);
        // At a point in its writes that differs from round to round.
        for _ in 0..=round * 3 {
            told = writer.next_told();
        }
        std::thread::sleep(Duration::from_micros(u64::from(round) * 137));
        told = told.max(writer.kill());
        let (etag, body) = read(&*store, &name(1)).await;
        let count: u64 = body.split(' ').next().unwrap().parse().unwrap();
        assert!(body.ends_with(&padding()), "never a mix: {} bytes", body.len());
        assert!(count == told || count == told + 1, "stored {count}, told {told}");
        // Its lock died with it.
        let next = format!("{} by parent {}", count + 1, padding());
        let outcome = store.put(&name(1), next.into(), &Precondition::Matches(etag)).await;
        assert!(matches!(outcome, PutOutcome::Written(_)), "{outcome:?}");
        told = count + 1;
    }
}

#[tokio::test]
async fn fault_32_an_engine_killed_with_open_writes_leaves_whole_documents() {
    let directory = directory();
    let config = config(Backend::Disk { path: directory.path().to_owned() });
    for round in 0..5_u64 {
        let engine = start(config.clone());
        health(&engine, HealthState::Ready).await;
        let handles: Vec<_> = (0..30).map(|n| fresh(&engine, &format!("sid {n}"))).collect();
        for handle in &handles {
            for n in 1..=10 {
                stash(handle, "count", round * 100 + n);
            }
        }
        tokio::time::sleep(Duration::from_millis(10 * round)).await;
        let saved: Vec<_> = handles.iter().map(|handle| handle.status().saved).collect();
        drop((handles, engine)); // no drain
        let next = start(config.clone());
        for (n, saved) in saved.into_iter().enumerate() {
            let stored = stored(&next, &format!("sid {n}"), "count").await.unwrap_or(0);
            assert!(saved == 0 || stored >= round * 100 + saved, "{stored} stored, {saved} told");
        }
    }
}

/// Every document below the directory.
fn documents(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            found.extend(documents(&entry.path()));
        } else if entry.file_name().len() == 64 {
            found.push(entry.path());
        }
    }
    found
}

/// Bodies long enough that a torn write would show.
fn padding() -> String {
    "x".repeat(100_000)
}

/// Compare-and-swap increments; calls `told` with each count that the store has acknowledged.
async fn increment(store: &dyn Store, who: &str, times: u64, mut told: impl FnMut(u64)) {
    let mut done = 0;
    while done < times {
        let (etag, body) = read(store, &name(1)).await;
        let count: u64 = body.split(' ').next().unwrap().parse().unwrap();
        let next = format!("{} by {who} {}", count + 1, padding());
        match store.put(&name(1), next.into(), &Precondition::Matches(etag)).await {
            PutOutcome::Written(_) => {
                done += 1;
                told(count + 1);
            }
            PutOutcome::Moved | PutOutcome::Busy => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A second process: this test binary, running [`writes_as_a_process_of_its_own`].
struct Writer {
    child: Child,
    told: BufReader<std::process::ChildStdout>,
}

impl Writer {
    fn start(path: &Path, who: u8, times: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "writes_as_a_process_of_its_own", "--nocapture"])
            .env(PATH, path)
            .env(WHO, format!("child {who}"))
            .env(TIMES, times.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        Self { child, told }
    }

    /// The next count that the child was told to be written.
    fn next_told(&mut self) -> u64 {
        loop {
            let mut line = String::new();
            assert_ne!(self.told.read_line(&mut line).unwrap(), 0, "the child ended");
            if let Some(count) = line.trim().strip_prefix("told ") {
                return count.parse().unwrap();
            }
        }
    }

    /// SIGKILL. Returns the last count that the child was told; 0 if it had not read one since.
    fn kill(mut self) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let lines = self.told.lines().map(Result::unwrap);
        lines.filter_map(|line| line.strip_prefix("told ")?.parse().ok()).last().unwrap_or(0)
    }

    fn finish(mut self) {
        assert!(self.told.by_ref().lines().map(Result::unwrap).any(|line| line.contains("1 passed")));
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
#[ignore = "run as a process of its own by other tests"]
fn writes_as_a_process_of_its_own() {
    let (path, who) = (std::env::var(PATH).unwrap(), std::env::var(WHO).unwrap());
    let times: u64 = std::env::var(TIMES).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = open(Path::new(&path));
    // One write call per line, so that what is read is what was told, whenever we are killed.
    runtime.block_on(increment(&*store, &who, times, |count| println!("\ntold {count}")));
}

const PATH: &str = "DURABLE_STASH_TEST_PATH";
const WHO: &str = "DURABLE_STASH_TEST_WHO";
const TIMES: &str = "DURABLE_STASH_TEST_TIMES";

#[tokio::test]
async fn where_a_test_asks_for_it_no_version_is_forgotten() {
    let directory = directory();
    let kept = directory.path().join("kept");
    std::fs::create_dir_all(&kept).unwrap();
    let store = open(directory.path());
    let first = create(&*store, &name(1), "first").await;
    let second = match store.put(&name(1), "second".into(), &Precondition::Matches(first.clone())).await {
        PutOutcome::Written(etag) => etag,
        other => panic!("{other:?}"),
    };
    assert_eq!(store.put(&name(1), "lost".into(), &Precondition::Matches(first.clone())).await, PutOutcome::Moved);
    assert_eq!(store.delete_if(&name(1), &second).await, DeleteOutcome::Deleted);
    let flat = name(1).as_str().replace('/', "_");
    let content = |etag: &ETag| std::fs::read_to_string(kept.join(format!("{flat}.{}", etag.as_str()))).unwrap();
    assert_eq!((content(&first), content(&second)), ("first".into(), "second".into()));
    let log = std::fs::read_to_string(kept.join("log")).unwrap();
    let mut times = Vec::new();
    let lines: Vec<String> = log
        .lines()
        .map(|line| {
            let (what, rest) = line.split_once(' ').unwrap();
            let (time, rest) = rest.split_once(' ').unwrap();
            times.push(time.parse::<u64>().unwrap());
            format!("{what} {rest}")
        })
        .collect();
    let (first, second) = (first.as_str(), second.as_str());
    let expected = [
        format!("before {flat} - {first}"),
        format!("after {flat} {first}"),
        format!("before {flat} {first} {second}"),
        format!("after {flat} {second}"),
        format!("before {flat} {second} -"),
        format!("after {flat} -"),
    ];
    assert_eq!(lines, expected);
    assert!(times.is_sorted());
}
