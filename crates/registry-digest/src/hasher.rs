use std::fmt;

use sha2::{
    Digest as _, Sha256, Sha512,
    digest::common::hazmat::{SerializableState, SerializedState},
};

use crate::{Algorithm, Digest, HasherState, RestoreError, state::Parts};

/// Hashes content piece by piece. The pieces may be cut anywhere.
///
/// [`save`](Self::save) and [`restore`](Self::restore) carry a half-hashed content over to another process or machine.
#[derive(Clone)]
pub struct Hasher {
    function: Function,
    bytes_hashed: u64,
}

#[derive(Clone)]
enum Function {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new(algorithm: Algorithm) -> Hasher {
        let function = match algorithm {
            Algorithm::Sha256 => Function::Sha256(Sha256::new()),
            Algorithm::Sha512 => Function::Sha512(Sha512::new()),
        };
        Hasher { function, bytes_hashed: 0 }
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.function {
            Function::Sha256(hash) => hash.update(bytes),
            Function::Sha512(hash) => hash.update(bytes),
        }
        self.bytes_hashed += bytes.len() as u64;
    }

    /// How many bytes were taken in since the content's beginning.
    pub fn bytes_hashed(&self) -> u64 {
        self.bytes_hashed
    }

    /// The algorithm that this hasher was made for.
    pub fn algorithm(&self) -> Algorithm {
        match self.function {
            Function::Sha256(_) => Algorithm::Sha256,
            Function::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The digest of everything taken in.
    pub fn finish(self) -> Digest {
        match self.function {
            Function::Sha256(hash) => Digest::from_sha256(hash.finalize().into()),
            Function::Sha512(hash) => Digest::from_sha512(hash.finalize().into()),
        }
    }

    /// The digest of everything taken in so far; more may follow.
    pub fn current(&self) -> Digest {
        self.clone().finish()
    }

    /// The state from which [`restore`](Self::restore) goes on, in this or another process.
    pub fn save(&self) -> HasherState {
        let algorithm = self.algorithm();
        match &self.function {
            Function::Sha256(hash) => HasherState::join(algorithm, self.bytes_hashed, &hash.serialize()),
            Function::Sha512(hash) => HasherState::join(algorithm, self.bytes_hashed, &hash.serialize()),
        }
    }

    /// A hasher that goes on where `state` was saved.
    ///
    /// # Errors
    /// [`RestoreError`] if the state can not be one of a hasher. A state that was altered but still has the form of one
    /// is not noticed here: it gives another digest in the end.
    pub fn restore(state: &HasherState) -> Result<Hasher, RestoreError> {
        let parts = state.parts();
        let function = match parts.algorithm {
            Algorithm::Sha256 => Function::Sha256(resume(&parts)?),
            Algorithm::Sha512 => Function::Sha512(resume(&parts)?),
        };
        Ok(Hasher { function, bytes_hashed: parts.bytes_hashed })
    }
}

/// Rebuilds a hash function of the sha2 crate from the parts of a saved state.
fn resume<F: SerializableState>(parts: &Parts<'_>) -> Result<F, RestoreError> {
    let mut foreign = SerializedState::<F>::default();
    parts.write_foreign(&mut foreign);
    F::deserialize(&foreign).map_err(|_| RestoreError::Refused)
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("algorithm", &self.algorithm())
            .field("bytes_hashed", &self.bytes_hashed)
            .finish_non_exhaustive()
    }
}
