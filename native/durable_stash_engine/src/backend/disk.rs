//! The store on a disk of this machine: a file per object, replaced whole.
//!
//! # What makes it safe
//! - A write holds the exclusive lock of its folder, which the system drops when the process dies. Under the lock the
//!   present content is read and hashed, compared with the precondition, and only then replaced: two engines, two VMs
//!   or two versions of a deploy on one directory arbitrate like two clients of S3 (fault 31). A file's inode, time
//!   and size are never taken for its version.
//! - New content goes to a temporary file, is synced, renamed over the object, and the folder is synced. A crash
//!   leaves the old object or the new one, never a mix. If only the last step fails or is slow, the outcome is unknown,
//!   and a read that would settle it syncs the folder itself: what a power cut could take back is not shown as saved.
//! - Since writers of a folder take turns, one name serves all their temporary files: what a crash leaves behind is
//!   overwritten by the next write and never piles up.
//!
//! The directory must be on a file system with working locks and renames: any local one. Files and folders are
//! readable by this system user only.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use durable_stash_machine::{ETag, GetOutcome, Precondition, PutOutcome};
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::backend::kept::Kept;
use crate::error::{Error, Failure};
use crate::retry;
use crate::store::{Cursor, DeleteOutcome, Listed, ObjectName, Page, Store, StoreError, content_etag};

/// A directory of this machine.
pub(crate) struct DiskStore {
    folders: Arc<Folders>,
    /// Blocking threads are few: a disk is not made faster by hundreds of them. Reads have their own, so that they do
    /// not queue behind syncs.
    readers: Arc<Semaphore>,
    writers: Arc<Semaphore>,
    /// One writer of a folder at a time waits on a thread; the others of this process wait here, without one.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    described: String,
}

impl DiskStore {
    /// Makes the directory and clears what crashes have left in it.
    pub(crate) fn open(path: &Path, prefix: &str, largest_body: usize) -> Result<Self, Error> {
        let root = path.join(prefix);
        let unusable = |error: io::Error| Failure::Directory { path: root.clone(), reason: error.to_string() };
        make_root(&root).map_err(unusable)?;
        fs::read_dir(&root).map_err(unusable)?;
        let described = format!("the disk store in `{}`", root.display());
        let kept = Kept::beside(path);
        let folders = Folders { root, largest_body, unsynced: Mutex::default(), trouble: Mutex::default(), kept };
        folders.clear_leftovers();
        Ok(Self {
            folders: Arc::new(folders),
            readers: Arc::new(Semaphore::new(BLOCKING_READERS)),
            writers: Arc::new(Semaphore::new(BLOCKING_WRITERS)),
            turns: Mutex::default(),
            described,
        })
    }

    /// Runs the reading `work` on a blocking thread. None if the thread could not be had or panicked.
    async fn read<T: Send + 'static>(&self, work: impl FnOnce(&Folders) -> T + Send + 'static) -> Option<T> {
        let permit = self.readers.clone().acquire_owned().await.ok()?;
        let folders = self.folders.clone();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&folders)
        })
        .await
        .ok()
    }

    /// Runs the writing `work` on a blocking thread, one at a time per folder.
    ///
    /// The turn goes along to the thread: if our caller gives up meanwhile, the work still ends before the next one
    /// begins.
    async fn write<T: Send + 'static>(
        &self,
        folder: &str,
        work: impl FnOnce(&Folders) -> T + Send + 'static,
    ) -> Option<T> {
        let turn = self.turns.lock().entry(folder.to_owned()).or_default().clone();
        let turn: OwnedMutexGuard<()> = turn.lock_owned().await;
        let permit: OwnedSemaphorePermit = self.writers.clone().acquire_owned().await.ok()?;
        let folders = self.folders.clone();
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let _permit = permit;
            work(&folders)
        })
        .await
        .ok()
    }
}

#[async_trait]
impl Store for DiskStore {
    async fn get(&self, name: &ObjectName, unless: Option<&ETag>) -> GetOutcome {
        let (name, unless) = (name.clone(), unless.cloned());
        let outcome = self.read(move |folders| folders.get(&name, unless.as_ref())).await;
        outcome.unwrap_or(GetOutcome::Unavailable { retry_after: None })
    }

    async fn put(&self, name: &ObjectName, body: Bytes, precondition: &Precondition) -> PutOutcome {
        let (key, precondition) = (name.clone(), precondition.clone());
        let outcome = self.write(name.folder(), move |folders| folders.put(&key, &body, &precondition)).await;
        outcome.unwrap_or(PutOutcome::Unknown { retry_after: None })
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let cursor = cursor.cloned();
        let page = self.read(move |folders| folders.list(cursor.as_ref(), limit)).await;
        match page {
            Some(Ok(page)) => Ok(page),
            Some(Err(error)) => Err(StoreError(error.to_string())),
            None => Err(StoreError("no thread to read it on".to_owned())),
        }
    }

    async fn delete_if(&self, name: &ObjectName, etag: &ETag) -> DeleteOutcome {
        let (key, etag) = (name.clone(), etag.clone());
        let outcome = self.write(name.folder(), move |folders| folders.delete_if(&key, &etag)).await;
        outcome.unwrap_or(DeleteOutcome::Failed)
    }

    async fn put_aside(&self, name: &ObjectName, body: Bytes) -> bool {
        // Under this name only this content is ever written, so that "it was there already" is as good.
        match self.put(name, body, &Precondition::Absent).await {
            PutOutcome::Written(_) | PutOutcome::Moved => true,
            PutOutcome::Gone | PutOutcome::Busy | PutOutcome::Refused(_) | PutOutcome::Unknown { .. } => false,
        }
    }

    async fn remove_scratch(&self, name: &ObjectName) {
        let key = name.clone();
        self.write(name.folder(), move |folders| folders.remove(&key)).await;
    }

    fn trouble(&self) -> Option<String> {
        self.folders.trouble.lock().clone()
    }

    fn describe(&self) -> String {
        self.described.clone()
    }
}

/// The files. Everything here blocks.
struct Folders {
    root: PathBuf,
    largest_body: usize,
    /// Folders in which a rename may not be durable yet: from before a rename until a sync after it has gone through.
    unsynced: Mutex<HashSet<PathBuf>>,
    trouble: Mutex<Option<String>>,
    kept: Kept,
}

impl Folders {
    fn get(&self, name: &ObjectName, unless: Option<&ETag>) -> GetOutcome {
        let body = match read_whole(&self.path(name), self.largest_body) {
            Ok(Some(body)) => body,
            Ok(None) => return GetOutcome::TooLarge,
            Err(error) => return self.read_failure(&error),
        };
        let folder = self.folder(name);
        // After the read, so that the rename that brought this content is among what is synced.
        if self.unsynced.lock().contains(&folder)
            && let Err(error) = sync_folder(&folder)
        {
            return self.read_failure(&error);
        }
        let etag = content_etag(&body);
        if unless == Some(&etag) { GetOutcome::NotModified } else { GetOutcome::Found { etag, body: body.into() } }
    }

    fn put(&self, name: &ObjectName, body: &[u8], precondition: &Precondition) -> PutOutcome {
        let folder = self.folder(name);
        let _lock = match lock(&folder) {
            Ok(Some(lock)) => lock,
            Ok(None) => return PutOutcome::Busy,
            Err(error) => return self.write_failure(&error),
        };
        let present = match read_whole(&self.path(name), self.largest_body) {
            Ok(Some(body)) => Some(content_etag(&body)),
            // Larger than anything of ours, so that no etag of ours matches it.
            Ok(None) => Some(ETag::new("")),
            Err(error) if retry::is_absent(&error) => None,
            Err(error) => return self.write_failure(&error),
        };
        match (&present, precondition) {
            (None, Precondition::Absent) => {}
            (Some(etag), Precondition::Matches(expected)) if etag == expected => {}
            (None, Precondition::Matches(_)) => return PutOutcome::Gone,
            (Some(_), Precondition::Absent | Precondition::Matches(_)) => return PutOutcome::Moved,
        }
        let temporary = folder.join(TEMPORARY);
        let give_up = |error: io::Error| {
            // The bytes of a full disk are worth having back; if even this fails, the next write overwrites them.
            let _ = fs::remove_file(&temporary);
            self.write_failure(&error)
        };
        if let Err(error) = write_synced(&temporary, body) {
            return give_up(error);
        }
        let (path, etag) = (self.path(name), content_etag(body));
        if let Err(error) = self.kept.before(name, &path, present.as_ref(), Some(&etag)) {
            return give_up(error);
        }
        self.unsynced.lock().insert(folder.clone());
        if let Err(error) = fs::rename(&temporary, &path) {
            return give_up(error);
        }
        self.kept.after(name, Some(&etag));
        if let Err(error) = sync_folder(&folder) {
            self.note(&error);
            return PutOutcome::Unknown { retry_after: None };
        }
        self.unsynced.lock().remove(&folder);
        PutOutcome::Written(etag)
    }

    fn delete_if(&self, name: &ObjectName, etag: &ETag) -> DeleteOutcome {
        let folder = self.folder(name);
        let Ok(Some(_lock)) = lock(&folder) else { return DeleteOutcome::Failed };
        let path = self.path(name);
        match read_whole(&path, self.largest_body) {
            Ok(Some(body)) if content_etag(&body) == *etag => {}
            Ok(_) => return DeleteOutcome::Changed,
            Err(error) if retry::is_absent(&error) => return DeleteOutcome::Missing,
            Err(_) => return DeleteOutcome::Failed,
        }
        let removed = self
            .kept
            .before(name, &path, Some(etag), None)
            .and_then(|()| fs::remove_file(&path))
            .inspect(|()| self.kept.after(name, None))
            .and_then(|()| sync_folder(&folder));
        match removed {
            Ok(()) => DeleteOutcome::Deleted,
            Err(_) => DeleteOutcome::Failed,
        }
    }

    fn remove(&self, name: &ObjectName) {
        // Best effort: the sweeper comes by again.
        let _ = fs::remove_file(self.path(name));
    }

    /// Folder by folder in name order; a page ends inside one folder or at the end of one.
    fn list(&self, cursor: Option<&Cursor>, limit: usize) -> io::Result<Page> {
        let (from, after) = cursor.map_or(("", ""), |Cursor(at)| at.split_once('/').unwrap_or((at, "")));
        let mut objects = Vec::new();
        for folder in sorted_names(&self.root)?.into_iter().filter(|folder| folder.as_str() >= from) {
            let path = self.root.join(&folder);
            if !path.is_dir() {
                continue;
            }
            let skip = if folder == from { after } else { "" };
            for file in sorted_names(&path)?.into_iter().filter(|file| file.as_str() > skip) {
                let Some(name) = ObjectName::parse(&format!("{folder}/{file}")) else { continue };
                if objects.len() >= limit {
                    let next = objects.last().map(|listed: &Listed| Cursor(listed.name.as_str().to_owned()));
                    return Ok(Page { objects, next });
                }
                // It may have been deleted since the folder was read.
                let Ok(metadata) = fs::metadata(path.join(&file)) else { continue };
                let last_modified_ms = metadata.modified().map_or(0, epoch_ms);
                objects.push(Listed { name, last_modified_ms, bytes: metadata.len() });
            }
        }
        Ok(Page { objects, next: None })
    }

    /// Removes temporary files whose writers are gone: whoever holds no lock is not writing.
    fn clear_leftovers(&self) {
        for folder in sorted_names(&self.root).unwrap_or_default() {
            let temporary = self.root.join(&folder).join(TEMPORARY);
            if temporary.exists() && matches!(try_lock(&self.root.join(&folder)), Ok(Some(_))) {
                let _ = fs::remove_file(temporary);
            }
        }
    }

    fn read_failure(&self, error: &io::Error) -> GetOutcome {
        if !retry::is_absent(error) {
            self.note(error);
        }
        retry::disk_read_failure(error)
    }

    fn write_failure(&self, error: &io::Error) -> PutOutcome {
        self.note(error);
        retry::disk_write_failure(error)
    }

    fn note(&self, error: &io::Error) {
        *self.trouble.lock() = Some(error.to_string());
    }

    fn folder(&self, name: &ObjectName) -> PathBuf {
        self.root.join(name.folder())
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.folder(name).join(name.file())
    }
}

/// Takes the folder's lock, making the folder if need be. None if others held it for too long.
///
/// Whoever waits polls and gives up: a writer that was stopped in its tracks (SIGSTOP) must not take our threads along.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let deadline = Instant::now() + LONGEST_LOCK_WAIT;
    let mut pause = Duration::from_micros(100);
    loop {
        match try_lock(folder) {
            Err(error) if retry::is_absent(&error) => {
                make_folder(folder)?;
                if let Some(parent) = folder.parent() {
                    sync_folder(parent)?;
                }
            }
            Ok(None) if Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(10));
            }
            settled => return settled,
        }
    }
}

/// The lock is `flock` on a file that is never removed: a removed lock file would be two locks.
fn try_lock(folder: &Path) -> io::Result<Option<File>> {
    let file = private_file().create(true).truncate(false).open(folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn write_synced(path: &Path, body: &[u8]) -> io::Result<()> {
    let mut file = private_file().create(true).truncate(true).open(path)?;
    file.write_all(body)?;
    file.sync_all()
}

/// Makes the entries of a folder durable: without it a rename may be undone by a power cut.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The file's content; none if it is larger than `limit`.
fn read_whole(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let expected = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if expected > limit {
        return Ok(None);
    }
    let mut body = Vec::with_capacity(expected);
    file.take(limit as u64 + 1).read_to_end(&mut body)?;
    Ok((body.len() <= limit).then_some(body))
}

fn sorted_names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    // A name that is not UTF-8 is none of ours.
    let mut names: Vec<String> = entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

fn private_file() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the folder and those above it, each durable in its parent: a power cut must not take them back with all that
/// was saved in them since.
fn make_root(root: &Path) -> io::Result<()> {
    let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let made: Vec<&Path> = root.ancestors().take_while(missing).collect();
    make_folder(root)?;
    for parent in made.into_iter().filter_map(Path::parent) {
        sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn epoch_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

const LOCK: &str = ".lock";
const TEMPORARY: &str = ".new";
const BLOCKING_READERS: usize = 16;
const BLOCKING_WRITERS: usize = 32;
/// Below the default time that a request may take (5 s), so that "busy" is told while someone listens.
const LONGEST_LOCK_WAIT: Duration = Duration::from_secs(4);
