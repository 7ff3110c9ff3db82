use std::{collections::HashMap, fs::File, io, sync::Arc};

use parking_lot::RwLock;
use rustix::{
    fs::{Mode, OFlags, mkdirat, openat},
    io::Errno,
};

use super::{
    disk::{Call, Disk},
    grouped::GroupedSync,
};

/// The group may read what we make, others may not.
const DIRECTORY_MODE: Mode = Mode::from_bits_retain(0o750);

/// The directories below a root that are known to be there, durably.
#[derive(Debug)]
pub(super) struct Directories {
    root: File,
    known: RwLock<HashMap<Box<str>, Arc<Directory>>>,
}

/// A directory that is there, durably. It is not held open: there are many, and a flush costs more than opening it.
#[derive(Debug)]
pub(super) struct Directory {
    path: Box<str>,
    flushes: GroupedSync<Result<(), Errno>>,
}

impl Directories {
    pub(super) fn new(root: File) -> Directories {
        Directories { root, known: RwLock::default() }
    }

    /// The root that all paths are relative to.
    pub(super) fn root(&self) -> &File {
        &self.root
    }

    /// The directory at `path`. Makes it and its parents if they are not known, durably.
    pub(super) fn create(&self, disk: &Disk, path: &str) -> io::Result<Arc<Directory>> {
        if let Some(directory) = self.known.read().get(path) {
            return Ok(directory.clone());
        }
        match path.rsplit_once('/') {
            Some((parent, name)) => self.create_below(disk, parent, [name])?,
            None => self.make(disk, &Directory::new(""), &[path.to_owned()])?,
        }
        self.create(disk, path)
    }

    /// Makes directories in `parent`, for which it is flushed once.
    pub(super) fn create_below(
        &self,
        disk: &Disk,
        parent: &str,
        names: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> io::Result<()> {
        let paths: Vec<String> =
            names.into_iter().map(|name| format!("{parent}/{}", name.as_ref())).collect();
        self.make(disk, &*self.create(disk, parent)?, &paths)
    }

    fn make(&self, disk: &Disk, parent: &Directory, paths: &[String]) -> io::Result<()> {
        for path in paths {
            disk.note(Call::Create(path))?;
            match mkdirat(&self.root, path, DIRECTORY_MODE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        // Also if they were there before: whoever made them may not have come to this.
        self.sync(disk, parent)?;
        let directories = paths.iter().map(|path| (path.as_str().into(), Arc::new(Directory::new(path))));
        self.known.write().extend(directories);
        Ok(())
    }

    /// Forgets a directory that turned out to be removed, and its parents.
    pub(super) fn forget(&self, path: &str) {
        let mut known = self.known.write();
        let mut path = Some(path);
        while let Some(removed) = path {
            known.remove(removed);
            path = removed.rsplit_once('/').map(|(parent, _)| parent);
        }
    }

    /// Returns when all names that are in a directory now are durable. Callers at the same time share one flush.
    pub(super) fn sync(&self, disk: &Disk, directory: &Directory) -> io::Result<()> {
        Ok(directory.flushes.run(|| {
            let path = if directory.path.is_empty() { "." } else { &directory.path };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let file = File::from(openat(&self.root, path, flags, Mode::empty())?);
            disk.sync_directory(&file, &directory.path)
        })?)
    }
}

impl Directory {
    fn new(path: &str) -> Directory {
        Directory { path: path.into(), flushes: GroupedSync::default() }
    }
}
