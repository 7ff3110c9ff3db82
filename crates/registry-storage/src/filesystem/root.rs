use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use registry_types::Location;
use rustix::{
    fs::{
        AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, StatVfsMountFlags, flock, fstatvfs, linkat,
        openat, renameat, statat, unlinkat,
    },
    io::Errno,
};

use super::{
    Access, FilesystemOptions,
    directory::Directories,
    disk::{Call, Disk},
    layout,
    reserve::Reserve,
    tenure::Tenures,
};
use crate::{FreeSpace, StorageError, StoreIdentity};

/// More than any identity has.
const IDENTITY_BYTES_MAX: u64 = 1024;

pub(super) const FILE_MODE: Mode = Mode::from_bits_retain(0o640);

/// An opened root: what all uploads and reads share.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    access: Access,
    pub(super) disk: Disk,
    pub(super) directories: Directories,
    pub(super) tenures: Tenures,
    reserve: Reserve,
    /// Whether looking a file up takes no way over a network: then any thread may do it.
    is_local: bool,
    /// Locked as long as it is open.
    _lock: Option<File>,
}

impl Root {
    pub(super) fn open(options: &FilesystemOptions) -> Result<Root, StorageError> {
        let path = &options.root;
        let failed = |source| root_error(path, source);
        if !options.access.is_beside() {
            fs::create_dir_all(path).map_err(failed)?;
        }
        let directory = File::open(path).map_err(failed)?;
        if !directory.metadata().map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        let is_local = is_local(&directory);
        let mut root = Root {
            path: path.clone(),
            access: options.access,
            disk: Disk::new(options.durability),
            directories: Directories::new(directory),
            tenures: Tenures::default(),
            reserve: Reserve::new(options.reserve_bytes),
            is_local,
            _lock: None,
        };
        root.check_not_foreign()?;
        if !options.access.is_beside() {
            root.check_writable()?;
            root._lock = Some(root.lock()?);
            root.remember_shards().map_err(failed)?;
        }
        Ok(root)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// That uploads are allowed, and to this key.
    pub(super) fn check_upload(&self, location: &Location) -> Result<(), StorageError> {
        if self.access.is_beside() {
            return Err(StorageError::NotServing { root: self.path.clone() });
        }
        match layout::split(location) {
            Some(_) => Ok(()),
            None => Err(StorageError::NotForUploads { location: location.clone() }),
        }
    }

    /// That the root is still the one that was opened, and can be written to.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        let failed = |source| root_error(&self.path, source);
        let found = fs::metadata(&self.path).map_err(failed)?;
        let opened = self.directories.root().metadata().map_err(failed)?;
        if (found.dev(), found.ino()) != (opened.dev(), opened.ino()) {
            return Err(failed(io::Error::other("another directory was put in its place")));
        }
        if self.access.is_beside() { Ok(()) } else { self.check_writable() }
    }

    /// Refuses an upload to write so much, if too little space would be left. `begins`: it has written nothing yet.
    pub(super) fn admit(&self, bytes: usize, begins: bool) -> Result<(), StorageError> {
        self.reserve.admit(self.directories.root(), bytes, begins)
    }

    pub(super) fn free_space(&self) -> Option<FreeSpace> {
        self.reserve.free_space(self.directories.root())
    }

    /// Opens an object to be read.
    pub(super) fn open_file(&self, location: &Location) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        openat(self.directories.root(), location.as_str(), flags, Mode::empty()).map(File::from)
    }

    /// Opens an object to be read, if that takes no waiting for the disk, so that an asynchronous thread can do it.
    #[cfg(all(target_os = "linux", not(portable)))]
    pub(super) fn open_cached(&self, location: &Location) -> Option<Result<File, Errno>> {
        use rustix::fs::{ResolveFlags, openat2};
        let (flags, root) = (OFlags::RDONLY | OFlags::CLOEXEC, self.directories.root());
        match openat2(root, location.as_str(), flags, Mode::empty(), ResolveFlags::CACHED) {
            // Not known without the disk; or a kernel or a sandbox that does not know the call or the flag.
            Err(Errno::AGAIN | Errno::NOSYS | Errno::INVAL | Errno::PERM) => None,
            opened => Some(opened.map(File::from)),
        }
    }

    /// Nothing: this system has no way to tell.
    #[cfg(any(not(target_os = "linux"), portable))]
    pub(super) fn open_cached(&self, _location: &Location) -> Option<Result<File, Errno>> {
        None
    }

    /// The size of an object, or nothing if there is none; by one system call. Nothing at all on a file system that may
    /// let an asynchronous thread wait for a server.
    pub(super) fn size_now(&self, location: &Location) -> Option<Result<Option<u64>, Errno>> {
        let size_bytes = |stat: Stat| is_file(&stat).then(|| stat.st_size.try_into().unwrap_or_default());
        self.is_local.then(|| Ok(self.stat(location.as_str())?.and_then(size_bytes)))
    }

    /// Removes an object, if there is one.
    pub(super) fn remove(&self, location: &Location) -> Result<(), StorageError> {
        let path = location.as_str();
        self.disk.note(Call::Remove(path)).map_err(|errno| StorageError::io("remove an object", errno))?;
        match unlinkat(self.directories.root(), path, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(errno) => Err(StorageError::io("remove an object", errno)),
        }
    }

    pub(super) fn read_identity(&self) -> Result<Option<StoreIdentity>, StorageError> {
        let failed = |error| StorageError::io("read the store's identity", error);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match openat(self.directories.root(), layout::IDENTITY, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => File::from(opened.map_err(|errno| failed(errno.into()))?),
        };
        let mut bytes = Vec::new();
        file.take(IDENTITY_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
        StoreIdentity::from_bytes(&bytes).map(Some)
    }

    /// Writes the identity aside and then gives it its name, so that there is never half of one.
    pub(super) fn create_identity(&self, identity: &StoreIdentity) -> Result<(), StorageError> {
        let failed = |error| StorageError::io("write the store's identity", error);
        let ours = self.directories.create(&self.disk, layout::OURS).map_err(failed)?;
        let aside = format!("{}.{identity}", layout::IDENTITY);
        let root = self.directories.root();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = openat(root, &aside, flags, FILE_MODE).map(File::from);
        let named = file.map_err(io::Error::from).and_then(|mut file| {
            file.write_all(&identity.to_bytes())?;
            self.disk.sync_data(&file)?;
            self.name(&aside, layout::IDENTITY)
        });
        let _ = unlinkat(root, &aside, AtFlags::empty());
        match named {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(StorageError::IdentityExists),
            named => named.and_then(|()| self.directories.sync(&self.disk, &ours)).map_err(failed),
        }
    }

    pub(super) fn read_mark(&self) -> Result<Option<i64>, StorageError> {
        let path = self.path.join(layout::MARK);
        let failed = |error: io::Error| {
            let named = io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            StorageError::io("read the store's mark", named)
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match openat(self.directories.root(), layout::MARK, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            // Left by a command that another user ran. What it says is lost; the next mark replaces it.
            Err(Errno::ACCESS) if self.owns(layout::OURS) => {
                tracing::warn!(
                    "{} can not be read: it belongs to another user, and is replaced",
                    path.display()
                );
                return Ok(None);
            }
            opened => File::from(opened.map_err(|errno| failed(errno.into()))?),
        };
        let mut text = String::new();
        file.take(IDENTITY_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        text.trim().parse().map(Some).map_err(|_| failed(io::ErrorKind::InvalidData.into()))
    }

    /// Whether a directory below the root is this process's user's, so that files in it can be replaced whatever user made them.
    fn owns(&self, path: &str) -> bool {
        let owner = self.stat(path).ok().flatten().map(|stat| stat.st_uid);
        owner == Some(rustix::process::geteuid().as_raw())
    }

    /// Writes the mark aside, under a name that nobody else uses at the same time, and then puts it in place.
    pub(super) fn write_mark(&self, mark: i64) -> Result<(), StorageError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let failed = |error| StorageError::io("write the store's mark", error);
        let ours = self.directories.create(&self.disk, layout::OURS).map_err(failed)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let aside = format!("{}.{}.{number}", layout::MARK, std::process::id());
        let root = self.directories.root();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let written = openat(root, &aside, flags, FILE_MODE).map_err(io::Error::from).and_then(|file| {
            let mut file = File::from(file);
            writeln!(file, "{mark}")?;
            self.disk.sync_data(&file)?;
            Ok(renameat(root, &aside, root, layout::MARK)?)
        });
        if written.is_err() {
            let _ = unlinkat(root, &aside, AtFlags::empty());
        }
        written.and_then(|()| self.directories.sync(&self.disk, &ours)).map_err(failed)
    }

    /// Gives a file that was written aside its name, unless that is taken.
    pub(super) fn name(&self, aside: &str, name: &str) -> io::Result<()> {
        let root = self.directories.root();
        match linkat(root, aside, root, name, AtFlags::empty()) {
            // A file system without hard links. Two at once could both succeed here, but only one process serves.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => match self.stat(name)? {
                Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
                None => Ok(renameat(root, aside, root, name)?),
            },
            linked => Ok(linked?),
        }
    }

    /// What is at `path` below the root.
    pub(super) fn stat(&self, path: &str) -> Result<Option<Stat>, Errno> {
        stat_below(self.directories.root(), path)
    }

    fn check_writable(&self) -> Result<(), StorageError> {
        let state =
            fstatvfs(self.directories.root()).map_err(|errno| root_error(&self.path, errno.into()))?;
        if state.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(StorageError::ReadOnly { root: self.path.clone() });
        }
        Ok(())
    }

    fn check_not_foreign(&self) -> Result<(), StorageError> {
        if matches!(self.access, Access::Adopt | Access::Look) {
            return Ok(());
        }
        check_not_foreign(&self.path, self.directories.root())
    }

    /// Looks at a root without opening it as one.
    pub(super) fn check_root(path: &Path) -> Result<(), StorageError> {
        match File::open(path) {
            Ok(directory) => check_not_foreign(path, &directory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(root_error(path, error)),
        }
    }

    /// Makes sure of all the directories that are there with one flush, so that later uploads need none for that.
    fn remember_shards(&self) -> io::Result<()> {
        let shards = self.names(layout::BLOBS, "", usize::MAX, layout::is_shard)?;
        self.directories.create_below(&self.disk, layout::BLOBS, shards)
    }

    /// Takes the lock that keeps a second server away, and notes in it who holds it.
    fn lock(&self) -> Result<File, StorageError> {
        let failed = |source| root_error(&self.path, source);
        self.directories.create(&self.disk, layout::OURS).map_err(failed)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let opened = openat(self.directories.root(), layout::LOCK, flags, FILE_MODE);
        let mut file = opened.map(File::from).map_err(|errno| failed(errno.into()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(StorageError::Locked { root: self.path.clone(), pid: holder(&mut file) });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        let note = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        note.map_err(failed)?;
        Ok(file)
    }
}

fn stat_below(directory: &File, path: &str) -> Result<Option<Stat>, Errno> {
    match statat(directory, path, AtFlags::empty()) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn check_not_foreign(path: &Path, directory: &File) -> Result<(), StorageError> {
    let is_there = |path| stat_below(directory, path).map(|stat| stat.is_some());
    let is_foreign = || Ok(is_there(layout::FOREIGN)? && !is_there(layout::IDENTITY)?);
    match is_foreign().map_err(|errno: Errno| root_error(path, errno.into()))? {
        true => Err(StorageError::ForeignStore { root: path.to_path_buf() }),
        false => Ok(()),
    }
}

/// Whether a directory is on a disk of this machine, as far as is known.
#[cfg(all(target_os = "linux", not(portable)))]
fn is_local(directory: &File) -> bool {
    // ext2 to ext4, XFS, Btrfs, tmpfs, overlayfs, F2FS, ZFS, bcachefs: `f_type` in statfs(2).
    const LOCAL: [u64; 8] =
        [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0xf2f5_2010, 0x2fc1_2fc1, 0xca45_1a4e];
    // The field's type and sign differ between architectures; the numbers have 32 bits.
    #[expect(clippy::cast_sign_loss, reason = "only the bits matter")]
    rustix::fs::fstatfs(directory).is_ok_and(|found| LOCAL.contains(&(found.f_type as u64 & 0xffff_ffff)))
}

/// Nothing is known.
#[cfg(any(not(target_os = "linux"), portable))]
fn is_local(_directory: &File) -> bool {
    false
}

/// Whether this is what an object can be.
pub(super) fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(IDENTITY_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn root_error(root: &Path, source: io::Error) -> StorageError {
    let root = root.to_path_buf();
    match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem => StorageError::ReadOnly { root },
        _ => StorageError::Root { root, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_root_is_told_from_other_trouble() {
        let error = |errno: Errno| root_error(Path::new("/data"), errno.into());
        assert!(matches!(error(Errno::ROFS), StorageError::ReadOnly { .. }));
        assert!(matches!(error(Errno::ACCESS), StorageError::Root { .. }));
        assert_eq!(error(Errno::ROFS).to_string(), "/data is on a read-only file system");
    }
}
