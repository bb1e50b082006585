//! Every version of every object, for tests that judge histories: a directory forgets what is replaced. Where the store's
//! directory has a folder `kept`, what is about to be replaced is linked into it first, as `<object>.<etag>`, and its
//! file `log` says what replaced what, a line each:
//!
//! ```text
//! before <µs since the epoch> <object> <etag that stands there, or -> <etag that replaces it, or ->
//! after <µs since the epoch> <object> <etag that stands there now, or ->
//! ```
//!
//! All of it happens under the lock of the object's folder. A process that is killed in the midst of it leaves out no
//! version: one that is not linked yet still stands in its place. One that was announced and is in neither was never there.
//!
//! Without the feature `test-util` nothing of it is left.

use std::io;
use std::path::Path;

use durable_stash_machine::ETag;

use crate::store::ObjectName;

/// Where the versions go, if anywhere.
pub(super) struct Kept {
    #[cfg(feature = "test-util")]
    folder: Option<std::path::PathBuf>,
}

impl Kept {
    pub(super) fn beside(path: &Path) -> Self {
        #[cfg(feature = "test-util")]
        return Self { folder: Some(path.join("kept")).filter(|folder| folder.is_dir()) };
        #[cfg(not(feature = "test-util"))]
        {
            let _ = path;
            Self {}
        }
    }

    /// The object in the file `path` is about to change.
    pub(super) fn before(
        &self,
        name: &ObjectName,
        path: &Path,
        present: Option<&ETag>,
        next: Option<&ETag>,
    ) -> io::Result<()> {
        #[cfg(feature = "test-util")]
        if let Some(folder) = &self.folder {
            if let Some(present) = present {
                link(path, &folder.join(format!("{}.{}", flat(name), present.as_str())))?;
            }
            log(folder, &format!("before {} {} {} {}", now_us(), flat(name), shown(present), shown(next)))?;
        }
        let _ = (name, path, present, next);
        Ok(())
    }

    /// It has changed.
    pub(super) fn after(&self, name: &ObjectName, now: Option<&ETag>) {
        #[cfg(feature = "test-util")]
        if let Some(folder) = &self.folder {
            // Without it is only less known when.
            let _ = log(folder, &format!("after {} {} {}", now_us(), flat(name), shown(now)));
        }
        let _ = (name, now);
    }
}

#[cfg(feature = "test-util")]
fn link(path: &Path, kept: &Path) -> io::Result<()> {
    match std::fs::hard_link(path, kept) {
        // Another writer was killed, or gave up, after it had come this far.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

/// One write at the file's end, so that the lines of several processes do not mix.
#[cfg(feature = "test-util")]
fn log(folder: &Path, line: &str) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(folder.join("log"))?;
    io::Write::write_all(&mut file, format!("{line}\n").as_bytes())
}

#[cfg(feature = "test-util")]
fn flat(name: &ObjectName) -> String {
    name.as_str().replace('/', "_")
}

#[cfg(feature = "test-util")]
fn shown(etag: Option<&ETag>) -> &str {
    etag.map_or("-", ETag::as_str)
}

#[cfg(feature = "test-util")]
fn now_us() -> u128 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros()
}
