//! Files into sockets without a copy, under a server that knows only bytes.
//!
//! HTTP libraries write [`Bytes`](bytes::Bytes); they have no place for a file descriptor. So [`map`] gives a part of a file as `Bytes`
//! over a mapping, which costs address space and nothing else as long as nobody reads it; and [`SendFile`], around the
//! connection, recognises their address among the slices that it is to write, and calls `sendfile` instead. Whoever does
//! read them (a library that copies after all) gets the right bytes, only slower.
//!
//! It is *not* for connections that look at the bytes, as TLS and HTTP/2 do: they would wait for the disk on a thread that
//! others need. And it is only for files that are never changed or cut short: see [`Immutable`].
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use std::{fs::File, sync::Arc};
//! use tokio::{io::AsyncWriteExt, net::TcpListener};
//!
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let (stream, _) = listener.accept().await?;
//! let layer = registry_sendfile::Immutable::promise(Arc::new(File::open("layer")?))?;
//! let layer = registry_sendfile::map(&layer, 0..1024)?;
//! registry_sendfile::SendFile::new(stream).write_all(&layer).await?;
//! # Ok(()) }
//! ```
//!
//! | Module | What |
//! |---|---|
//! | `system` | the calls that the compiler can not check: mapping a file, giving memory back; all unsafe code |
//! | `mapping` | parts of files as bytes, and which bytes are which part |
//! | `stream` | the connection that sends files |

mod mapping;
mod stream;
mod system;

pub use mapping::{map, mappings, mappings_max};
pub use stream::{SendFile, Socket};
pub use system::{Immutable, release_memory};
