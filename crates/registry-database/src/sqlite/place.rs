//! Where a database may lie, and its files.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::OpenError;

/// Makes the database's folder and file if they are not there, readable by nobody else, and refuses a place where SQLite
/// can not keep its promises.
///
/// # Errors
/// [`OpenError::NetworkFileSystem`], or what the system said.
pub fn prepare(path: &Path) -> Result<(), OpenError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        create_folders(folder).map_err(OpenError::system("create the database's folder"))?;
    }
    private().create(true).open(path).map_err(OpenError::system("open the database"))?;
    match network_file_system(path) {
        Some(kind) => Err(OpenError::NetworkFileSystem { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

/// Locks a database for the one process that serves from it, until the file is dropped. Other processes may read and
/// write beside it.
///
/// # Errors
/// [`OpenError::Served`] if another process serves, or what the system said.
pub fn lock(path: &Path) -> Result<File, OpenError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".serving");
    let lock = private().create(true).open(PathBuf::from(beside));
    let lock = lock.map_err(OpenError::system("open the database's lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Served { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::System { operation: "lock the database", source }),
    }
}

/// A folder that is new must be on the disk as well, or the database goes with it in a power cut. What is in the folder
/// itself is SQLite's business.
fn create_folders(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    create_folder(folder)?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(all(unix, not(portable)))]
fn create_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)
}

#[cfg(any(not(unix), portable))]
fn create_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// SQLite gives its other files the permissions of this one.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(all(unix, not(portable)))]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options
}

/// The name of the network file system that a file lies on, if it lies on one.
#[cfg(all(target_os = "linux", not(portable)))]
fn network_file_system(path: &Path) -> Option<String> {
    // A file system that does not tell what it is gets the benefit of the doubt.
    let kind = rustix::fs::statfs(path).ok()?.f_type as u64 & 0xffff_ffff;
    if kind == FUSE {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        return network_fuse(&mounts, &path.canonicalize().ok()?);
    }
    NETWORK.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| (*name).to_owned())
}

#[cfg(any(not(target_os = "linux"), portable))]
fn network_file_system(_path: &Path) -> Option<String> {
    None
}

/// What `statfs` says of file systems whose locks or mappings are not those of one machine.
#[cfg(all(target_os = "linux", not(portable)))]
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xfe53_4d42, "smb2"),
    (0xff53_4d42, "cifs"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "afs"),
    (0x7375_7245, "coda"),
    (0x564c, "ncp"),
    (0x00c3_6400, "ceph"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0xaad7_aaea, "panfs"),
    (0x786f_4256, "vboxsf"),
];

#[cfg(all(target_os = "linux", not(portable)))]
const FUSE: u64 = 0x6573_5546;

/// Behind FUSE there may be a disk or a network; the mount's type names the program.
#[cfg(all(target_os = "linux", not(portable)))]
fn network_fuse(mounts: &str, path: &Path) -> Option<String> {
    const PROGRAMS: &[&str] = &[
        "sshfs",
        "s3fs",
        "gcsfuse",
        "rclone",
        "goofys",
        "glusterfs",
        "ceph",
        "mount-s3",
        "mountpoint-s3",
        "juicefs",
        "blobfuse",
        "blobfuse2",
        "mfs",
        "lizardfs",
        "seaweedfs",
        "davfs",
        "smbnetfs",
        "nfs",
    ];
    let mounted = mounts.lines().filter_map(mount).filter(|(at, _)| path.starts_with(at));
    // Of mounts on the same place the last one is on top.
    let (_, kind) = mounted.max_by_key(|(at, _)| at.as_os_str().len())?;
    let program = kind.strip_prefix("fuse.")?;
    PROGRAMS.contains(&program).then(|| kind.to_owned())
}

/// Where something is mounted and of which type it is: fields 5 and 9 of a line such as
/// `36 35 0:41 / /mnt rw,noatime shared:1 - fuse.sshfs host: rw`. The number of those before the dash varies.
#[cfg(all(target_os = "linux", not(portable)))]
fn mount(line: &str) -> Option<(&Path, &str)> {
    let (before, after) = line.split_once(" - ")?;
    Some((Path::new(before.split(' ').nth(4)?), after.split(' ').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_os = "linux", not(portable)))]
    const MOUNTS: &str = "\
22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
36 22 0:41 / /mnt/far rw,noatime shared:2 - fuse.sshfs host:/srv rw
37 22 0:42 / /mnt/near rw,noatime - fuse.fuse-overlayfs overlay rw
38 36 253:0 / /mnt/far/disk rw shared:3 master:4 - ext4 /dev/vdb rw";

    #[cfg(all(target_os = "linux", not(portable)))]
    #[test]
    fn a_fuse_mount_is_judged_by_its_program() {
        let kind = |path: &str| network_fuse(MOUNTS, Path::new(path));
        assert_eq!(kind("/mnt/far/db"), Some("fuse.sshfs".to_owned()));
        assert_eq!(kind("/mnt/near/db"), None);
        assert_eq!(kind("/mnt/far/disk/db"), None);
        assert_eq!(kind("/mnt/farther/db"), None);
    }

    #[test]
    fn one_process_locks_a_database_for_serving() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        let held = lock(&path).unwrap();
        assert!(matches!(lock(&path), Err(OpenError::Served { .. })));
        drop(held);
        lock(&path).unwrap();
    }
}
