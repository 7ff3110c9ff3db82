//! Started as root in a container: make the data folder ours, then be somebody else.
//!
//! An image that says `USER` can not serve from a volume that root owns, as those of the Go registry's image are. So ours
//! starts as root, takes its folder over, and drops its privileges before it listens. Started as anyone else, or without
//! `REGISTRY_RUN_AS`, it changes nothing.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use rustix::{
    fs::{Gid, Uid},
    process::geteuid,
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

/// The variable that names whom to become: `uid:gid`, both numbers.
pub(crate) const VARIABLE: &str = "REGISTRY_RUN_AS";

/// How deep folders may nest below the root, in folders of ours and of other registries alike.
const DEPTH_MAX: usize = 300;

/// Becomes the user that the variable names, if this is root. Must be called before there are threads: privileges are
/// a thread's, and only threads that start later inherit them.
pub(crate) fn drop_to(
    run_as: Option<&str>,
    data_folder: Option<&Path>,
    paths: &[PathBuf],
) -> anyhow::Result<()> {
    let Some(run_as) = run_as else { return Ok(()) };
    let (uid, gid) =
        parse(run_as).with_context(|| format!("{VARIABLE} must be `uid:gid`, not `{run_as}`"))?;
    if !geteuid().is_root() || uid == 0 {
        return Ok(());
    }
    if let Some(folder) = data_folder {
        fs::create_dir_all(folder).with_context(|| format!("can not make {}", folder.display()))?;
    }
    for path in paths {
        take_over(path, uid, gid).with_context(|| format!("can not take over {}", path.display()))?;
    }
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    set_thread_groups(&[group]).context("can not leave root's groups")?;
    set_thread_res_gid(group, group, group).context("can not change the group")?;
    set_thread_res_uid(user, user, user).context("can not change the user")?;
    Ok(())
}

fn parse(text: &str) -> Option<(u32, u32)> {
    let (uid, gid) = text.split_once(':')?;
    Some((uid.parse().ok()?, gid.parse().ok()?))
}

/// Makes a file, or a folder and all in it, ours; what is not there yet is left to whoever makes it. A folder that is ours
/// already is taken to be so all the way down, so that a start does not walk a large store.
fn take_over(path: &Path, uid: u32, gid: u32) -> anyhow::Result<()> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    if metadata.uid() == uid {
        return Ok(());
    }
    if fs::canonicalize(path)? == Path::new("/") {
        bail!("the root of the file system is no folder for data");
    }
    // The folder itself last: an interrupted walk is then begun again.
    if metadata.is_dir() {
        chown_below(path, uid, gid, 0)?;
    }
    Ok(std::os::unix::fs::chown(path, Some(uid), Some(gid))?)
}

fn chown_below(folder: &Path, uid: u32, gid: u32, depth: usize) -> anyhow::Result<()> {
    if depth > DEPTH_MAX {
        bail!("{} lies too deep", folder.display());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            chown_below(&entry.path(), uid, gid, depth + 1)?;
        }
        match std::os::unix::fs::lchown(entry.path(), Some(uid), Some(gid)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers() {
        assert_eq!(parse("65532:65533"), Some((65532, 65533)));
        for wrong in ["", "65532", "nobody:nogroup", "1:", "-1:1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
