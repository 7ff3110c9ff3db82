//! Making files another user's, as root, in folders that others may write to.
//!
//! What such a folder holds may have been put there by a user that wants another file to change its owner. So no link is
//! followed: each folder on the way is opened by itself and then looked into through what was opened, and what is changed is
//! what was looked at, not what has its name by then. Only what is root's changes hands, only if it has no second name, and
//! nothing below a folder that is the user's already: what lies there is the user's own business.

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fstat, mkdirat, open, openat, statat,
    },
    io::Errno,
};

use super::{RightsError, User};
use crate::configured::Place;

/// How deep the folders of a registry nest at most, with some to spare.
const DEPTH_MAX: usize = 16;

/// How many of those that were left are named in the log.
const NAMED_MAX: usize = 10;

/// An open folder, of which nothing is known but where it is.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const LOOK_AT_FOLDER: OFlags = LOOK.union(OFlags::DIRECTORY);
const READ_FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The folders that a registry makes below the folder for its data, and the one that a file system of its own has.
const KNOWN_FOLDERS: [&str; 3] = ["store", "certificate", "lost+found"];

/// What tells that a folder is a registry's.
const MARKS: [&str; 2] = ["store", "metadata.sqlite"];

pub(super) fn take_over(places: &[Place], user: User) -> Result<(), RightsError> {
    let mut top = None;
    for place in places {
        if let Place::Folder(path) = place {
            top = Some((path, look_at_top(path, user)?));
        }
    }
    for place in places {
        let Place::Tree(path) = place else { continue };
        let is_below_what_stays = top.as_ref().is_some_and(|(folder, found)| {
            path.starts_with(folder) && !matches!(found, Top::ToBeTaken { .. })
        });
        if is_below_what_stays {
            continue;
        }
        match find(path, user, false)? {
            Found::Theirs | Found::Absent => {}
            Found::Entry { folder, name } => {
                let mut report = Report::default();
                take_tree(&folder, &name, path, user, None, 0, &mut report);
                report.log(path, user);
            }
        }
    }
    // The folder itself last: a walk that was interrupted is then begun again.
    match top {
        Some((path, Top::ToBeTaken { opened })) => {
            let mut report = Report::default();
            report.give(&opened, path, user);
            report.log(path, user);
        }
        Some((path, Top::Left(why))) => tracing::warn!(
            "left {} as it is: {why}. If the registry can not write there, give it an empty folder, or give this one to \
             it: `chown -R {}:{}`",
            path.display(),
            user.uid,
            user.gid
        ),
        Some((_, Top::Theirs)) | None => {}
    }
    Ok(())
}

/// What is to become of the folder for data.
enum Top {
    Theirs,
    ToBeTaken { opened: OwnedFd },
    Left(Left),
}

/// Why something stays whose it is.
enum Left {
    Link,
    HardLinks(u64),
    OtherDevice,
    OtherUser(u32),
    NoFile,
    TooDeep,
    NotARegistrys(OsString),
    Failed(Errno),
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Left::Link => f.write_str("it is a link"),
            Left::HardLinks(count) => write!(f, "it has {count} names, some of which may be elsewhere"),
            Left::OtherDevice => f.write_str("it is on another file system"),
            Left::OtherUser(uid) => write!(f, "it belongs to user {uid}"),
            Left::NoFile => f.write_str("it is neither a file nor a folder"),
            Left::TooDeep => f.write_str("it lies deeper than a registry nests folders"),
            Left::NotARegistrys(name) => {
                write!(f, "it holds the folder {}, which is none of a registry's", name.display())
            }
            Left::Failed(errno) => write!(f, "{errno}"),
        }
    }
}

/// Opens the folder for data, which is made if it is absent, and looks whether it may be taken.
fn look_at_top(path: &Path, user: User) -> Result<Top, RightsError> {
    let failed = |source: Errno| folder_error(path, source);
    let Found::Entry { folder, name } = find(path, user, true)? else { return Ok(Top::Theirs) };
    let opened = match openat(&folder, &name, READ_FOLDER, Mode::empty()) {
        Err(Errno::NOENT) => {
            mkdirat(&folder, &name, NEW_FOLDER).map_err(failed)?;
            openat(&folder, &name, READ_FOLDER, Mode::empty()).map_err(failed)?
        }
        Err(Errno::NOTDIR | Errno::LOOP) if is_link(&folder, &name) => {
            return Err(RightsError::Link { path: path.display().to_string() });
        }
        opened => opened.map_err(failed)?,
    };
    let owner = fstat(&opened).map_err(failed)?.st_uid;
    if owner == user.uid {
        return Ok(Top::Theirs);
    }
    let entries = entries(&opened).map_err(failed)?;
    // Nothing is lost to the owner of an empty folder.
    if owner != 0 && !entries.is_empty() {
        return Ok(Top::Left(Left::OtherUser(owner)));
    }
    if !entries.iter().any(|name| MARKS.iter().any(|mark| name == mark)) {
        let is_foreign = |name: &&OsString| {
            let stat = statat(&opened, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW);
            stat.is_ok_and(|stat| is_folder(&stat)) && !KNOWN_FOLDERS.iter().any(|known| *name == known)
        };
        if let Some(foreign) = entries.iter().find(is_foreign) {
            return Ok(Top::Left(Left::NotARegistrys(foreign.clone())));
        }
    }
    Ok(Top::ToBeTaken { opened })
}

const NEW_FOLDER: Mode = Mode::from_bits_retain(0o755);

/// Where a path leads without a link.
enum Found {
    /// Into a folder that is the user's.
    Theirs,
    /// Nowhere.
    Absent,
    /// To this name, there or not, in a folder that is not the user's.
    Entry { folder: OwnedFd, name: OsString },
}

/// Goes to a path's last folder, which is made with those above it if `makes`.
fn find(path: &Path, user: User, makes: bool) -> Result<Found, RightsError> {
    let failed = |source: io::Error| RightsError::Folder { path: path.display().to_string(), source };
    let absolute = std::path::absolute(path).map_err(failed)?;
    let mut names: Vec<&OsStr> = absolute
        .components()
        .filter(|component| !matches!(component, Component::RootDir | Component::Prefix(_)))
        .map(Component::as_os_str)
        .collect();
    let last = names.pop().ok_or(RightsError::Root)?;
    let mut folder = open("/", LOOK_AT_FOLDER, Mode::empty()).map_err(|errno| failed(errno.into()))?;
    let mut gone = PathBuf::from("/");
    for name in names {
        gone.push(name);
        let next = match openat(&folder, name, LOOK_AT_FOLDER, Mode::empty()) {
            Err(Errno::NOENT) if makes => mkdirat(&folder, name, NEW_FOLDER)
                .and_then(|()| openat(&folder, name, LOOK_AT_FOLDER, Mode::empty())),
            Err(Errno::NOENT) => return Ok(Found::Absent),
            Err(Errno::NOTDIR | Errno::LOOP) if is_link(&folder, name) => {
                return Err(RightsError::Link { path: gone.display().to_string() });
            }
            next => next,
        };
        folder = next.map_err(|errno| failed(errno.into()))?;
        if fstat(&folder).map_err(|errno| failed(errno.into()))?.st_uid == user.uid {
            return Ok(Found::Theirs);
        }
    }
    Ok(Found::Entry { folder, name: last.to_owned() })
}

/// Gives a file, or a folder with all that is in it.
fn take_tree(
    folder: &OwnedFd,
    name: &OsStr,
    path: &Path,
    user: User,
    device: Option<u64>,
    depth: usize,
    report: &mut Report,
) {
    let taken = (|| {
        let entry = match openat(folder, name, LOOK, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            entry => entry.map_err(Left::Failed)?,
        };
        let stat = fstat(&entry).map_err(Left::Failed)?;
        if stat.st_uid == user.uid {
            return Ok(());
        }
        check(&stat, device)?;
        if is_folder(&stat) {
            if depth >= DEPTH_MAX {
                return Err(Left::TooDeep);
            }
            let opened = openat(&entry, ".", READ_FOLDER, Mode::empty()).map_err(Left::Failed)?;
            for name in entries(&opened).map_err(Left::Failed)? {
                let path = path.join(&name);
                take_tree(&opened, &name, &path, user, Some(stat.st_dev), depth + 1, report);
            }
        }
        report.give(&entry, path, user);
        Ok(())
    })();
    if let Err(left) = taken {
        report.leave(path, &left);
    }
}

/// Whether something may be given away.
fn check(stat: &Stat, device: Option<u64>) -> Result<(), Left> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => return Err(Left::Link),
        FileType::RegularFile if stat.st_nlink > 1 => return Err(Left::HardLinks(stat.st_nlink)),
        FileType::RegularFile | FileType::Directory => {}
        _ => return Err(Left::NoFile),
    }
    if device.is_some_and(|device| device != stat.st_dev) {
        return Err(Left::OtherDevice);
    }
    if stat.st_uid != 0 { Err(Left::OtherUser(stat.st_uid)) } else { Ok(()) }
}

/// What became of a tree.
#[derive(Default)]
struct Report {
    taken: u64,
    left: u64,
    named: Vec<String>,
}

impl Report {
    /// A file system may know better than root, as those of other machines do.
    fn give(&mut self, entry: &OwnedFd, path: &Path, user: User) {
        let (uid, gid) = (Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)));
        match chownat(entry, c"", uid, gid, AtFlags::EMPTY_PATH) {
            Ok(()) => self.taken += 1,
            Err(errno) => self.leave(path, &Left::Failed(errno)),
        }
    }

    fn leave(&mut self, path: &Path, why: &Left) {
        self.left += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(format!("{}: {why}", path.display()));
        }
    }

    fn log(&self, path: &Path, user: User) {
        let (path, User { uid, gid }) = (path.display(), user);
        if self.taken > 0 {
            tracing::info!("took over {path} for user {uid}: {} files and folders", self.taken);
        }
        if self.left > 0 {
            tracing::warn!(
                "did not take over {} files and folders in {path}, which {uid}:{gid} may not be able to use: {}",
                self.left,
                self.named.join("; ")
            );
        }
    }
}

fn entries(folder: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn is_link(folder: &OwnedFd, name: &OsStr) -> bool {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

fn folder_error(path: &Path, errno: Errno) -> RightsError {
    RightsError::Folder { path: path.display().to_string(), source: errno.into() }
}
