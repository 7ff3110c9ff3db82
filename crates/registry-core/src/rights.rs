//! Started as root: take the data over, open what only root may open, then be somebody else.
//!
//! An image that says `USER` can not serve from a volume that root owns, as those of the Go registry's image are. So ours
//! starts as root, takes its folder over, and gives its rights up before it reads the first byte of a peer. Started as
//! anyone else it changes nothing.
//!
//! Rights are a thread's, and threads inherit them from the one that starts them: all of this must be done before there is
//! a second thread.

mod take_over;

use std::{fs, io, os::unix::fs::MetadataExt};

use registry_config::Config;
use rustix::{
    fs::{Gid, Uid},
    process::{DumpableBehavior, geteuid, set_dumpable_behavior},
    thread::{
        CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::{configured, error::OpenError};

/// The variable that names the user to become: `uid:gid`, both numbers.
pub const RUN_AS: &str = "REGISTRY_RUN_AS";

/// The user that a process becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's number, never root's.
    pub uid: u32,
    /// The number of its only group.
    pub gid: u32,
}

/// Why rights can not be given up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RightsError {
    /// The variable is not `uid:gid`.
    #[error("{RUN_AS} must be `uid:gid`, both numbers, not `{text}`")]
    NoUser {
        /// What it is.
        text: String,
    },
    /// The path leads over a link, which somebody else may have put there.
    #[error("{path} is a link, and {RUN_AS} follows none: name the folder that it leads to")]
    Link {
        /// Where the link is.
        path: String,
    },
    /// The folder for data is the root of the file system.
    #[error("the root of the file system is no folder for data")]
    Root,
    /// The folder for data can not be looked at or made.
    #[error("can not take over {path}")]
    Folder {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The folder holds the data of another registry.
    #[error(transparent)]
    Foreign(#[from] registry_storage::StorageError),
    /// There are threads, which would keep all rights.
    #[error("{count} threads run already, and would keep root's rights")]
    Threads {
        /// How many.
        count: usize,
    },
    /// The system refuses.
    #[error(
        "can not {operation} to become user {uid}: root needs the capabilities SETUID and SETGID for it; or start the \
         process as that user (`docker run --user {uid}:{gid}`)"
    )]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// The user.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Why not.
        source: io::Error,
    },
    /// The process can still become root.
    #[error("root's rights were given up, and can be had back")]
    Kept,
}

impl User {
    /// The user that a process of root's is told to become; none, if this process is not root's, or is told to stay root.
    ///
    /// # Errors
    /// [`RightsError::NoUser`].
    pub fn wanted(run_as: Option<&str>) -> Result<Option<User>, RightsError> {
        let Some(text) = run_as else { return Ok(None) };
        let user = parse(text).ok_or_else(|| RightsError::NoUser { text: text.to_owned() })?;
        Ok((geteuid().is_root() && user.uid != 0).then_some(user))
    }

    /// The user that a command becomes that works beside the process that serves: if it is root's, the user whose folder the data
    /// lies in, so that it leaves nothing there that the server can not read; else the one that is `wanted`.
    pub fn of_command(wanted: Option<User>, config: &Config) -> Option<User> {
        if !geteuid().is_root() {
            return None;
        }
        let folder = configured::data_folder(config).and_then(|folder| fs::metadata(folder).ok());
        let owner = folder.map(|folder| User { uid: folder.uid(), gid: folder.gid() });
        owner.filter(|owner| owner.uid != 0).or(wanted)
    }

    /// Makes what the registry writes to this user's, as far as it is root's. Looks at all of it before anything is changed,
    /// and logs what was changed and what was left.
    ///
    /// # Errors
    /// The folder for data is another registry's that is not to be imported, is reached over a link, or can not be made. Nothing was changed then.
    pub fn take_over(self, config: &Config) -> Result<(), RightsError> {
        // What is to be imported is another registry's, and keeps its owner.
        if let Some(root) = configured::store_root(config).filter(|_| !config.storage.import) {
            registry_storage::FilesystemStore::check_root(&root)?;
        }
        take_over::take_over(&configured::written_places(config), self)
    }

    /// Gives up all rights for good: this process and those that it starts are this user's.
    ///
    /// # Errors
    /// [`RightsError`]; the process should then end.
    pub fn become_it(self) -> Result<(), RightsError> {
        match fs::read_dir("/proc/self/task").map(Iterator::count) {
            Ok(count) if count > 1 => return Err(RightsError::Threads { count }),
            // Without /proc this cannot be told.
            Ok(_) | Err(_) => {}
        }
        let User { uid, gid } = self;
        let refused = |operation| {
            move |errno: rustix::io::Errno| RightsError::Refused { operation, uid, gid, source: errno.into() }
        };
        // A container may lack the right to do this; what is left to it counts for nothing once it can gain none.
        for capability in CapabilitySet::all() {
            if capability_is_in_bounding_set(capability) == Ok(true) {
                let _ = remove_capability_from_bounding_set(capability);
            }
        }
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
        set_thread_groups(&[group]).map_err(refused("leave root's groups"))?;
        set_thread_res_gid(group, group, group).map_err(refused("change the group"))?;
        set_thread_res_uid(user, user, user).map_err(refused("change the user"))?;
        let _ = clear_ambient_capability_set();
        let none = CapabilitySet::empty();
        let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
        set_capabilities(None, none).map_err(refused("give up its capabilities"))?;
        set_no_new_privs(true).map_err(refused("rule out new rights"))?;
        if set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_ok() {
            return Err(RightsError::Kept);
        }
        // The kernel hides /proc/self/fd from a process that changed its user; metrics count what is there.
        let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
        Ok(())
    }
}

impl From<RightsError> for OpenError {
    fn from(error: RightsError) -> Self {
        OpenError::Rights(error)
    }
}

fn parse(text: &str) -> Option<User> {
    let (uid, gid) = text.split_once(':')?;
    Some(User { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers() {
        assert_eq!(parse("65532:65533"), Some(User { uid: 65532, gid: 65533 }));
        for wrong in ["", "65532", "nobody:nogroup", "1:", "-1:1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
