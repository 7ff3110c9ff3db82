#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod check;
mod error;
mod file;
mod key;
mod keys;
mod rotate;
mod schema;
mod seal;
mod secrets;

pub use check::CheckError;
pub use error::{KeyFileError, OpenError, ParseKeyError, SealError, Unsafe};
pub use file::{KEY_FILE_BYTES_MAX, add_to_file, find_or_make, read_file};
pub use key::{KEY_BYTES, Key, KeyId};
pub use keys::{KEYS_MAX, Keys};
pub use registry_database::Statement;
pub use rotate::{Sealable, Sealed};
pub use schema::SCHEMA;
pub use seal::{PLAIN_BYTES_MAX, Place, SEALED_OVERHEAD_BYTES, sealed_under};
pub use secrets::Secrets;
pub use zeroize::Zeroizing;

#[cfg(test)]
mod tests;
