//! Signatures over P-521, of tokens and of certificates.

use p521::ecdsa::signature::Verifier;
use p521::ecdsa::signature::hazmat::PrehashVerifier;
use p521::ecdsa::{DerSignature, Signature, VerifyingKey};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Whether a token's signature, two numbers of 66 bytes, is of this point's key, by SHA-512.
pub(super) fn has_signed(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_sec1_bytes(point), Signature::from_slice(signature))
    else {
        return false;
    };
    key.verify(message, &signature).is_ok()
}

/// How certificates are signed by keys of P-521.
pub(super) const CERTIFICATES: &[&dyn SignatureVerificationAlgorithm] = &[
    &P521 { hash: Hash::Sha256, id: alg_id::ECDSA_SHA256 },
    &P521 { hash: Hash::Sha384, id: alg_id::ECDSA_SHA384 },
    &P521 { hash: Hash::Sha512, id: alg_id::ECDSA_SHA512 },
];

#[derive(Debug)]
struct P521 {
    hash: Hash,
    id: AlgorithmIdentifier,
}

#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// The bytes of the longest hash, to which shorter ones are filled up: the curve's crate takes none that is shorter than half a number.
const HASH_BYTES: usize = 64;

impl Hash {
    /// The hash as a number, big end first.
    fn of(self, message: &[u8]) -> [u8; HASH_BYTES] {
        let mut number = [0; HASH_BYTES];
        match self {
            Hash::Sha256 => number[HASH_BYTES - 32..].copy_from_slice(&Sha256::digest(message)),
            Hash::Sha384 => number[HASH_BYTES - 48..].copy_from_slice(&Sha384::digest(message)),
            Hash::Sha512 => number.copy_from_slice(&Sha512::digest(message)),
        }
        number
    }
}

impl SignatureVerificationAlgorithm for P521 {
    fn verify_signature(
        &self,
        point: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(point).map_err(|_| InvalidSignature)?;
        let signature = DerSignature::from_bytes(signature).map_err(|_| InvalidSignature)?;
        key.verify_prehash(&self.hash.of(message), &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.id
    }
}
