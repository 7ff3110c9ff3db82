use std::{fmt, fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::task::spawn_blocking;

use crate::StorageError;

/// How much of a file is read at once.
const READ_BYTES: usize = 256 * 1024;

/// The bytes of an opened object.
pub enum Body {
    /// A file of the local file system, so that a server can choose its fastest route.
    File {
        /// The open file. It stays readable when its name is removed.
        file: Arc<File>,
        /// Which bytes of it were asked for. They are there.
        range: Range<u64>,
    },
    /// Anything else.
    Stream(BoxStream<'static, Result<Bytes, StorageError>>),
}

impl Body {
    /// The bytes in order, in pieces of at most 256 KiB if they come from a file. Reads on the blocking threads.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, StorageError>> {
        match self {
            Body::File { file, range } => stream::try_unfold((file, range), next_piece).boxed(),
            Body::Stream(stream) => stream,
        }
    }
}

type Remaining = (Arc<File>, Range<u64>);

async fn next_piece((file, range): Remaining) -> Result<Option<(Bytes, Remaining)>, StorageError> {
    if range.is_empty() {
        return Ok(None);
    }
    let end = range.end.min(range.start + READ_BYTES as u64);
    let (file, piece) = spawn_blocking(move || {
        let mut piece = vec![0; (end - range.start) as usize];
        file.read_exact_at(&mut piece, range.start).map(|()| (file, piece))
    })
    .await
    .map_err(io::Error::other)
    .flatten()
    .map_err(|error| StorageError::io("read an object", error))?;
    Ok(Some((piece.into(), (file, end..range.end))))
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::File { range, .. } => f.debug_struct("File").field("range", range).finish_non_exhaustive(),
            Body::Stream(_) => f.debug_tuple("Stream").finish_non_exhaustive(),
        }
    }
}
