//! What another registry keeps below the same root.

use std::{
    fs::{self, DirEntry},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use registry_types::Location;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{FilesystemStore, blocking};
use crate::{OtherKeys, OtherObject, StorageError, other::check_other};

/// How many objects a page has.
const PAGE: usize = 1000;

/// How many pages are read ahead.
const PAGES_AHEAD: usize = 2;

const READ: &str = "read what another registry has";
const WRITE: &str = "write for another registry";

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    let path = path.display().to_string();
    move |error| StorageError::io(operation, io::Error::new(error.kind(), format!("{path}: {error}")))
}

/// One that is not there is empty.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, StorageError> {
    match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(failed(READ, folder)(error)),
        Ok(entries) => entries.collect::<io::Result<_>>().map_err(failed(READ, folder)),
    }
}

/// Follows a link: a folder may lie on another disk.
fn is_folder(entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => entry.path().is_dir(),
        kind => kind.is_ok_and(|kind| kind.is_dir()),
    }
}

/// A walk over a folder, which sends what it finds.
struct Walk {
    root: PathBuf,
    passes_over: fn(&str) -> bool,
    page: Vec<OtherObject>,
    to: mpsc::Sender<Result<Vec<OtherObject>, StorageError>>,
}

impl Walk {
    /// Nothing, once the reader of the walk is gone.
    fn run(mut self, folder: String) {
        let walked = self.folders(folder);
        let page = std::mem::take(&mut self.page);
        let _ = match walked {
            Ok(true) => self.to.blocking_send(Ok(page)),
            Ok(false) => return,
            Err(error) => self.to.blocking_send(Err(error)),
        };
    }

    /// Looks into a folder and all below it, the deepest first that was found last. Says whether the reader of the walk is still there.
    fn folders(&mut self, first: String) -> Result<bool, StorageError> {
        let mut waiting = vec![first];
        while let Some(folder) = waiting.pop() {
            let mut below = Vec::new();
            for entry in entries(&self.root.join(&folder))? {
                let name = entry.file_name();
                let key = format!("{folder}{}", name.to_string_lossy());
                if is_folder(&entry) {
                    below.push(key + "/");
                } else if !self.found(key, &entry)? {
                    return Ok(false);
                }
            }
            below.retain(|key| !(self.passes_over)(key));
            below.sort_unstable_by(|one, other| other.cmp(one));
            waiting.append(&mut below);
        }
        Ok(true)
    }

    fn found(&mut self, key: String, entry: &DirEntry) -> Result<bool, StorageError> {
        let path = entry.path();
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            // It went meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(failed(READ, &path)(error)),
        };
        let modified = metadata.modified().map_err(failed(READ, &path))?;
        self.page.push(OtherObject { key, size_bytes: metadata.len(), modified });
        if self.page.len() < PAGE {
            return Ok(true);
        }
        let page = std::mem::replace(&mut self.page, Vec::with_capacity(PAGE));
        Ok(self.to.blocking_send(Ok(page)).is_ok())
    }
}

#[async_trait]
impl OtherKeys for FilesystemStore {
    async fn folders(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        let path = self.root.path().join(folder);
        blocking(READ, move || {
            let folders = entries(&path)?.into_iter().filter(is_folder);
            let mut names: Vec<String> =
                folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    fn walk(
        &self,
        folder: &str,
        passes_over: fn(&str) -> bool,
    ) -> BoxStream<'static, Result<Vec<OtherObject>, StorageError>> {
        let (to, from) = mpsc::channel(PAGES_AHEAD);
        let walk = Walk { root: self.root.path().to_owned(), passes_over, page: Vec::new(), to };
        let folder = folder.to_owned();
        spawn_blocking(move || walk.run(folder));
        stream::unfold(from, |mut from| async move { from.recv().await.map(|page| (page, from)) }).boxed()
    }

    async fn read(&self, key: &Location, bytes_max: u64) -> Result<Option<Bytes>, StorageError> {
        let path = self.root.path().join(key.as_str());
        blocking(READ, move || read_file(&path, bytes_max)).await
    }

    fn is_near(&self) -> bool {
        true
    }

    async fn put(&self, key: &Location, bytes: Bytes) -> Result<(), StorageError> {
        check_other(key)?;
        let path = self.root.path().join(key.as_str());
        blocking(WRITE, move || write_file(&path, &bytes).map_err(failed(WRITE, &path))).await
    }

    async fn share(&self, from: &Location, key: &Location) -> Result<bool, StorageError> {
        check_other(key)?;
        let (ours, theirs) = (self.root.path().join(from.as_str()), self.root.path().join(key.as_str()));
        let from = from.clone();
        blocking(WRITE, move || match share_file(&ours, &theirs) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StorageError::Missing { location: from })
            }
            shared => shared.map_err(failed(WRITE, &theirs)),
        })
        .await
    }

    async fn remove_other(&self, key: &Location) -> Result<(), StorageError> {
        check_other(key)?;
        let path = self.root.path().join(key.as_str());
        let root = self.root.path().to_owned();
        blocking(WRITE, move || match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(WRITE, &path)(error)),
            _ => {
                remove_empty(&root, &path);
                Ok(())
            }
        })
        .await
    }

    async fn can_remove(&self, folder: &str) -> bool {
        use rustix::fs::{Access, access};
        let path = self.root.path().join(folder);
        let look = move || Ok(access(&path, Access::WRITE_OK | Access::EXEC_OK).is_ok());
        blocking(READ, look).await.unwrap_or(false)
    }
}

/// Removes the folders above a file that are empty now: the Go registry takes the folder of a tag for a tag.
fn remove_empty(root: &Path, file: &Path) {
    let above = file.ancestors().skip(1).take_while(|folder| *folder != root);
    for folder in above {
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

fn read_file(path: &Path, bytes_max: u64) -> Result<Option<Bytes>, StorageError> {
    let file = match fs::File::open(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        opened => opened.map_err(failed(READ, path))?,
    };
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed(READ, path))?;
    if bytes.len() as u64 > bytes_max {
        let source = format!("{} has more than {bytes_max} bytes", path.display()).into();
        return Err(StorageError::Backend { operation: READ, source });
    }
    Ok(Some(bytes.into()))
}

/// Makes the folder of a file, and answers the name of a file beside it that no other process uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{number}.tmp", std::process::id()));
    Ok(name.into())
}

/// Writes aside and renames, as version 3 of the Go registry does, so that there is never half of a file.
fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = beside(path)?;
    let written = fs::File::create(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&aside, path)?;
        sync_folder(path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}

/// Whether there was nothing yet.
fn share_file(ours: &Path, theirs: &Path) -> io::Result<bool> {
    if theirs.try_exists()? {
        return Ok(false);
    }
    let aside = beside(theirs)?;
    match fs::hard_link(ours, theirs) {
        Ok(()) => return sync_folder(theirs).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
        // Another disk, or a file system without hard links.
        Err(_) => {}
    }
    let copied = fs::copy(ours, &aside).and_then(|_| {
        fs::File::open(&aside)?.sync_data()?;
        fs::rename(&aside, theirs)?;
        sync_folder(theirs)
    });
    if copied.is_err() {
        let _ = fs::remove_file(&aside);
    }
    copied.map(|()| true)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}
