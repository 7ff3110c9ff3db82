//! The signatures of tokens: checked by ring, and over P-521 by the crate of that name, since ring does not know that curve.

use registry_types::SigningAlgorithm;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

use super::p521;

/// A public key by which signatures can be checked. Its kind says by which algorithms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The modulus and the exponent, big end first. Keys have 2,048 to 8,192 bits.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point of P-256, and so on.
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Key {
    /// Whether the signature of a message by this algorithm is the key's. An algorithm of another kind of key signs nothing.
    pub(super) fn has_signed(&self, algorithm: SigningAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        let by_ring = |algorithm: &'static dyn VerificationAlgorithm, point: &[u8]| {
            UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
        };
        match (self, algorithm) {
            (Key::P256(point), SigningAlgorithm::ES256) => by_ring(&ECDSA_P256_SHA256_FIXED, point),
            (Key::P384(point), SigningAlgorithm::ES384) => by_ring(&ECDSA_P384_SHA384_FIXED, point),
            (Key::P521(point), SigningAlgorithm::ES512) => p521::has_signed(point, message, signature),
            (Key::Ed25519(point), SigningAlgorithm::EdDSA) => by_ring(&ED25519, point),
            (Key::Rsa { n, e }, algorithm) => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }),
            _ => false,
        }
    }
}

fn rsa(algorithm: SigningAlgorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        SigningAlgorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        SigningAlgorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        SigningAlgorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        SigningAlgorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        SigningAlgorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        SigningAlgorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}
