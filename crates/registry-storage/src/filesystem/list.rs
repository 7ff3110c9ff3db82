use std::{
    collections::BinaryHeap,
    time::{Duration, SystemTime},
};

use registry_types::Location;
use rustix::{
    fs::{Dir, Mode, OFlags, Stat, openat},
    io::Errno,
};

use super::{layout, root::Root, root::is_file};
use crate::ObjectInfo;

impl Root {
    /// The objects that came of uploads, in order, strictly after `after`. Reads one shard at a time and keeps no more
    /// of its names than are asked for.
    pub(super) fn list(&self, after: Option<&Location>, limit: usize) -> Result<Vec<ObjectInfo>, Errno> {
        let after = after.map_or("", |after| after.as_str());
        let mut objects = Vec::new();
        let shards = self.names(layout::BLOBS, "", usize::MAX, layout::is_shard)?;
        for shard in shards {
            let prefix = format!("{}{shard}/", Location::BLOBS_PREFIX);
            let after_name = match after.strip_prefix(&prefix) {
                Some(name) => name,
                None if after < prefix.as_str() => "",
                None => continue,
            };
            let mut after_name = after_name.to_owned();
            // Some names may be gone when they are looked at, so that one round may not be enough.
            while objects.len() < limit {
                let names = self.names(&prefix, &after_name, limit - objects.len(), |_| true)?;
                let Some(last) = names.last() else { break };
                after_name.clone_from(last);
                for name in &names {
                    objects.extend(self.object(&format!("{prefix}{name}"))?);
                }
            }
        }
        Ok(objects)
    }

    /// The names in a directory that are greater than `after` and wanted: the first `limit`, in order.
    pub(super) fn names(
        &self,
        path: &str,
        after: &str,
        limit: usize,
        is_wanted: fn(&str) -> bool,
    ) -> Result<Vec<String>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match openat(self.directories.root(), path, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
            opened => opened?,
        };
        let mut first = BinaryHeap::new();
        for entry in Dir::new(directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name > after
                && is_wanted(name)
                && first.peek().is_none_or(|last: &String| first.len() < limit || name < last.as_str())
            {
                first.push(name.to_owned());
                if first.len() > limit {
                    first.pop();
                }
            }
        }
        Ok(first.into_sorted_vec())
    }

    fn object(&self, path: &str) -> Result<Option<ObjectInfo>, Errno> {
        let Ok(location) = path.parse() else { return Ok(None) };
        let stat = self.stat(path)?.filter(is_file);
        Ok(stat.map(|stat| ObjectInfo {
            location,
            size_bytes: stat.st_size as u64,
            modified: modified(&stat),
        }))
    }
}

/// When a file was written to last; times before 1970 count as that.
pub(super) fn modified(stat: &Stat) -> SystemTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
