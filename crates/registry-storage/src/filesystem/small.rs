//! Small objects as files of one directory, each written aside and then given its name.

use std::{
    collections::BinaryHeap,
    fs::File,
    io::{self, Read, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use registry_types::Location;
use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat},
    io::Errno,
};

use super::{
    FilesystemStore, layout,
    list::modified,
    root::{FILE_MODE, Root, is_file},
};
use crate::{
    Creation, ObjectInfo, SMALL_OBJECT_BYTES_MAX, SmallObjects, StorageError,
    small::{check_name, check_size},
};

/// What a file's name may have.
const FILE_NAME_BYTES_MAX: usize = 255;

/// What the names of files that have none yet begin with. No object's does.
const ASIDE: &str = "%new";

#[async_trait]
impl SmallObjects for FilesystemStore {
    async fn create(&self, name: &Location, bytes: Bytes) -> Result<Creation, StorageError> {
        check_size(name, bytes.len() as u64)?;
        let file = file_name(name)?;
        self.run("create a small object", move |root| {
            root.create_small(&file, &bytes).map_err(|error| StorageError::io("create a small object", error))
        })
        .await
    }

    async fn read(&self, name: &Location) -> Result<Option<Bytes>, StorageError> {
        let (name, file) = (name.clone(), file_name(name)?);
        self.run("read a small object", move |root| {
            let bytes =
                root.read_small(&file).map_err(|error| StorageError::io("read a small object", error))?;
            check_size(&name, bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))?;
            Ok(bytes)
        })
        .await
    }

    async fn list_small(
        &self,
        folder: &Location,
        after: Option<&Location>,
        limit: usize,
    ) -> Result<Vec<ObjectInfo>, StorageError> {
        check_name(folder)?;
        let (prefix, after) = (format!("{folder}/"), after.cloned());
        self.run("list small objects", move |root| {
            root.list_small(&prefix, after.as_ref(), limit)
                .map_err(|errno| StorageError::io("list small objects", errno))
        })
        .await
    }

    async fn remove(&self, name: &Location) -> Result<(), StorageError> {
        let file = file_name(name)?;
        self.run("remove a small object", move |root| {
            match unlinkat(root.directories.root(), path(&file), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
                Err(errno) => Err(StorageError::io("remove a small object", errno)),
            }
        })
        .await
    }
}

impl Root {
    fn create_small(&self, file: &str, bytes: &[u8]) -> io::Result<Creation> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let directory = self.directories.create(&self.disk, layout::SMALL)?;
        // What is there is not written once more: a journal asks again when an answer was lost.
        if self.stat(&path(file))?.is_some() {
            self.directories.sync(&self.disk, &directory)?;
            return Ok(Creation::Exists);
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let aside = path(&format!("{ASIDE}-{}-{number}", std::process::id()));
        let root = self.directories.root();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let opened = openat(root, &aside, flags, FILE_MODE).map(File::from);
        let named = opened.map_err(io::Error::from).and_then(|mut opened| {
            opened.write_all(bytes)?;
            self.disk.sync_data(&opened)?;
            self.name(&aside, &path(file))
        });
        let _ = unlinkat(root, &aside, AtFlags::empty());
        let creation = match named {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Creation::Exists,
            named => named.map(|()| Creation::Created)?,
        };
        // Also for what is there already: whoever made it may not have come to this.
        self.directories.sync(&self.disk, &directory)?;
        Ok(creation)
    }

    fn read_small(&self, file: &str) -> io::Result<Option<Bytes>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = match openat(self.directories.root(), path(file), flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            opened => File::from(opened?),
        };
        let mut bytes = Vec::new();
        opened.take(SMALL_OBJECT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes.into()))
    }

    /// Reads the whole directory, and keeps no more of it than is asked for.
    fn list_small(
        &self,
        prefix: &str,
        after: Option<&Location>,
        limit: usize,
    ) -> Result<Vec<ObjectInfo>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match openat(self.directories.root(), layout::SMALL, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
            opened => opened?,
        };
        let mut first: BinaryHeap<Location> = BinaryHeap::new();
        for entry in Dir::new(directory)? {
            let name = entry?.file_name().to_str().ok().and_then(object_name);
            let wanted = name
                .filter(|name| name.as_str().starts_with(prefix) && after.is_none_or(|after| name > after));
            if let Some(name) = wanted {
                first.push(name);
                if first.len() > limit {
                    first.pop();
                }
            }
        }
        let mut objects = Vec::with_capacity(first.len());
        for location in first.into_sorted_vec() {
            let stat = match file_name(&location) {
                Ok(file) => self.stat(&path(&file))?.filter(is_file),
                Err(_) => None,
            };
            // One that was removed in the meantime is listed, as if this had been a moment earlier.
            let (size_bytes, modified) = stat.map_or((0, std::time::SystemTime::UNIX_EPOCH), |stat| {
                (stat.st_size as u64, modified(&stat))
            });
            objects.push(ObjectInfo { location, size_bytes, modified });
        }
        Ok(objects)
    }
}

fn path(file: &str) -> String {
    format!("{}/{file}", layout::SMALL)
}

/// The name of an object's file: what comes after our prefix, with the slashes escaped, since one object's name can be
/// a folder in another's.
fn file_name(name: &Location) -> Result<String, StorageError> {
    check_name(name)?;
    let below = &name.as_str()[Location::PREFIX.len()..];
    let file = below.replace('%', "%25").replace('/', "%2F");
    match file.len() <= FILE_NAME_BYTES_MAX {
        true => Ok(file),
        false => Err(StorageError::NotForSmallObjects { name: name.clone() }),
    }
}

/// The object of a file, if it is one's.
fn object_name(file: &str) -> Option<Location> {
    if file.starts_with(ASIDE) {
        return None;
    }
    let below = file.replace("%2F", "/").replace("%25", "%");
    format!("{}{below}", Location::PREFIX).parse().ok()
}
