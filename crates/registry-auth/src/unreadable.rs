//! Why a file can not be read, in words that help.

use std::{io, path::Path};

/// What keeps this process from reading a file that is there, and what to do about it, to be put behind the file's name;
/// empty for any other error than a lack of permission.
#[cfg(all(unix, not(portable)))]
pub fn why_unreadable(path: &Path, error: &io::Error) -> String {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    if error.kind() != io::ErrorKind::PermissionDenied {
        return String::new();
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let is_ours = format!("this process is user {uid} of group {gid}");
    match std::fs::metadata(path) {
        Ok(found) => format!(
            " (it belongs to user {} and group {} with mode {:04o}, and {is_ours}: `chgrp {gid}` and `chmod 0640` let it \
             read the file; a registry that is started as root reads it at its start)",
            found.uid(),
            found.gid(),
            found.permissions().mode() & 0o7777
        ),
        Err(_) => format!(
            " ({is_ours}, and may not enter one of the folders above the file; a registry that is started as root reads \
             it at its start)"
        ),
    }
}

/// Nothing is known here.
#[cfg(any(not(unix), portable))]
pub fn why_unreadable(_path: &Path, _error: &io::Error) -> String {
    String::new()
}
