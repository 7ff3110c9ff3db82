//! Where blobs lie while they are fetched, if the store can not be read meanwhile.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::task::spawn_blocking;

/// A folder for files without a name, which go with their last reader. Together they have a size.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    left: Arc<AtomicU64>,
}

/// A file of the spool.
#[derive(Debug)]
pub(crate) struct Spooled {
    file: File,
    size_bytes: u64,
    left: Arc<AtomicU64>,
}

impl Spool {
    pub(crate) fn new(folder: Option<PathBuf>, bytes_max: u64) -> Spool {
        let folder = folder.unwrap_or_else(std::env::temp_dir);
        Spool { folder, left: Arc::new(AtomicU64::new(bytes_max)) }
    }

    /// A file for so many bytes; nothing if there is no room for them.
    pub(crate) async fn file(&self, size_bytes: u64) -> io::Result<Option<Arc<Spooled>>> {
        let take = |left: u64| left.checked_sub(size_bytes);
        if self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_err() {
            return Ok(None);
        }
        let folder = self.folder.clone();
        let file =
            spawn_blocking(move || tempfile::tempfile_in(folder)).await.map_err(io::Error::other).flatten();
        match file {
            Ok(file) => Ok(Some(Arc::new(Spooled { file, size_bytes, left: self.left.clone() }))),
            Err(error) => {
                self.left.fetch_add(size_bytes, Ordering::AcqRel);
                Err(error)
            }
        }
    }
}

impl Spooled {
    pub(crate) async fn write(self: &Arc<Self>, offset: u64, bytes: Bytes) -> io::Result<()> {
        let file = self.clone();
        let write = spawn_blocking(move || file.file.write_all_at(&bytes, offset));
        write.await.map_err(io::Error::other).flatten()
    }

    pub(crate) async fn read(self: &Arc<Self>, range: Range<u64>) -> io::Result<Bytes> {
        let file = self.clone();
        let read = spawn_blocking(move || {
            let mut piece = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
            file.file.read_exact_at(&mut piece, range.start).map(|()| Bytes::from(piece))
        });
        read.await.map_err(io::Error::other).flatten()
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        self.left.fetch_add(self.size_bytes, Ordering::AcqRel);
    }
}
