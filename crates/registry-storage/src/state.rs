use registry_digest::{HASHER_STATE_BYTES_MAX, Hasher, HasherState};

use crate::UploadStateError;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 3;

/// What is needed to go on with an upload, on this or another node: how far it is durable and hashed.
///
/// Its bytes are opaque to whoever keeps them. Layout: version (1), length of the hash state (2 bytes, little endian),
/// hash state, then what the store itself needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadState {
    hasher: HasherState,
    backend: Vec<u8>,
}

impl UploadState {
    /// The state after everything that `hasher` has seen. `backend` is for the store that makes it: what it needs
    /// besides.
    pub fn new(hasher: &Hasher, backend: Vec<u8>) -> UploadState {
        UploadState { hasher: hasher.save(), backend }
    }

    /// How many bytes are durable, from the object's beginning.
    pub fn offset(&self) -> u64 {
        self.hasher.bytes_hashed()
    }

    /// A hasher that has seen these bytes.
    ///
    /// # Errors
    /// [`UploadStateError::Hasher`] if the hash state can not be taken up.
    pub fn hasher(&self) -> Result<Hasher, UploadStateError> {
        Ok(Hasher::restore(&self.hasher)?)
    }

    /// What the store that made this needs besides. Empty for a file system.
    pub fn backend(&self) -> &[u8] {
        &self.backend
    }

    /// The bytes to keep: less than 300 for a file system.
    pub fn to_bytes(&self) -> Vec<u8> {
        let hasher = self.hasher.to_bytes();
        debug_assert!(hasher.len() <= HASHER_STATE_BYTES_MAX);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + hasher.len() + self.backend.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&(hasher.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&hasher);
        bytes.extend_from_slice(&self.backend);
        bytes
    }

    /// A state from bytes that [`to_bytes`](Self::to_bytes) gave, in this or an earlier version.
    ///
    /// # Errors
    /// [`UploadStateError`] if the bytes can not be a state.
    pub fn from_bytes(bytes: &[u8]) -> Result<UploadState, UploadStateError> {
        let cut_off = || UploadStateError::CutOff { actual_bytes: bytes.len() };
        let version = *bytes.first().ok_or_else(cut_off)?;
        if version != VERSION {
            return Err(UploadStateError::UnknownVersion { version });
        }
        let ([_, length @ ..], rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or_else(cut_off)?;
        let hasher_bytes = usize::from(u16::from_le_bytes(*length));
        let (hasher, backend) = rest.split_at_checked(hasher_bytes).ok_or_else(cut_off)?;
        Ok(UploadState { hasher: HasherState::from_bytes(hasher)?, backend: backend.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use registry_digest::Algorithm;

    use super::*;

    fn state(backend: &[u8]) -> UploadState {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(&[7; 1000]);
        UploadState::new(&hasher, backend.to_vec())
    }

    #[test]
    fn survives_its_bytes() {
        for backend in [&b""[..], b"part 1, part 2"] {
            let bytes = state(backend).to_bytes();
            let read = UploadState::from_bytes(&bytes).unwrap();
            assert_eq!(read, state(backend));
            assert_eq!((read.offset(), read.backend()), (1000, backend));
        }
    }

    #[test]
    fn refuses_what_is_none() {
        let bytes = state(b"").to_bytes();
        for length in 0..bytes.len() {
            assert!(UploadState::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(UploadState::from_bytes(&[9]), Err(UploadStateError::UnknownVersion { version: 9 }));
        assert_eq!(UploadState::from_bytes(&[1]), Err(UploadStateError::CutOff { actual_bytes: 1 }));
    }
}
