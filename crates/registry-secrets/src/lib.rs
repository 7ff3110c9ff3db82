#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod file;
mod key;
mod keys;
mod seal;
mod secrets;

pub use error::{KeyFileError, OpenError, ParseKeyError, SealError, Unsafe};
pub use file::{KEY_FILE_BYTES_MAX, add_to_file, find_or_make, read_file};
pub use key::{KEY_BYTES, Key, KeyId};
pub use keys::{KEYS_MAX, Keys};
pub use seal::{PLAIN_BYTES_MAX, Place, SEALED_OVERHEAD_BYTES, sealed_under};
pub use secrets::Secrets;
pub use zeroize::Zeroizing;
