//! Public keys, and the ids by which tokens name them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::asn1::UintRef;
use der::{Decode, Encode, Sequence};
use sha2::{Digest, Sha256};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::crypto::Key;
use super::jwk::Jwk;

/// The kinds of keys whose signatures can be checked, for the log.
pub(super) const KINDS: &str = "RSA, P-256, P-384, P-521 and Ed25519";

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// What an uncompressed point of a curve begins with.
const UNCOMPRESSED: u8 = 4;

/// The bytes of a hash that a libtrust fingerprint has.
const LIBTRUST_BYTES: usize = 30;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A public key of a kind whose signatures can be checked.
#[derive(Debug)]
pub(super) struct PublicKey {
    pub(super) key: Key,
    /// The ids by which tokens may name it.
    pub(super) ids: Vec<String>,
}

/// RFC 8017, appendix A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// A curve on which there are keys of ECDSA.
#[derive(Clone, Copy)]
struct Curve {
    name: &'static str,
    id: ObjectIdentifier,
    coordinate_bytes: usize,
    key: fn(Vec<u8>) -> Key,
}

const CURVES: [Curve; 3] = [
    Curve { name: "P-256", id: P256, coordinate_bytes: 32, key: Key::P256 },
    Curve { name: "P-384", id: P384, coordinate_bytes: 48, key: Key::P384 },
    Curve { name: "P-521", id: P521, coordinate_bytes: 66, key: Key::P521 },
];

impl PublicKey {
    /// The key of a certificate. `None` for a kind that is none of [`KINDS`].
    pub(super) fn of_certificate(info: &SubjectPublicKeyInfoRef<'_>) -> Option<PublicKey> {
        let bytes = info.subject_public_key.as_bytes()?;
        let (key, members) = match info.algorithm.oid {
            RSA => {
                let rsa = RsaPublicKey::from_der(bytes).ok()?;
                let (n, e) = (rsa.modulus.as_bytes(), rsa.exponent.as_bytes());
                (Key::Rsa { n: n.to_vec(), e: e.to_vec() }, rsa_members(&text(n), &text(e)))
            }
            EC => {
                let id = info.algorithm.parameters_oid().ok()?;
                let curve = CURVES.into_iter().find(|curve| curve.id == id)?;
                let (x, y) = coordinates(bytes, curve.coordinate_bytes)?;
                ((curve.key)(bytes.to_vec()), ec_members(curve.name, &text(x), &text(y)))
            }
            ED25519 => (Key::Ed25519(bytes.to_vec()), ed_members(&text(bytes))),
            _ => return None,
        };
        Some(PublicKey { key, ids: vec![thumbprint(&members), fingerprint(&info.to_der().ok()?)] })
    }

    /// A key of a set of keys: its own id, if it has one, and its thumbprint. `None` for secrets, which no registry should
    /// hold, and for kinds that are not known.
    pub(super) fn of_jwk(jwk: &Jwk) -> Option<PublicKey> {
        let (key, members) = match jwk.kty.as_deref()? {
            "RSA" => {
                let (n, e) = (jwk.n.as_deref()?, jwk.e.as_deref()?);
                (Key::Rsa { n: bytes(n)?, e: bytes(e)? }, rsa_members(n, e))
            }
            "EC" => {
                let curve = CURVES.into_iter().find(|curve| Some(curve.name) == jwk.crv.as_deref())?;
                let (x, y) = (jwk.x.as_deref()?, jwk.y.as_deref()?);
                (
                    (curve.key)(point(&bytes(x)?, &bytes(y)?, curve.coordinate_bytes)?),
                    ec_members(curve.name, x, y),
                )
            }
            "OKP" if jwk.crv.as_deref() == Some("Ed25519") => {
                let x = jwk.x.as_deref()?;
                (Key::Ed25519(bytes(x)?), ed_members(x))
            }
            _ => return None,
        };
        let ids = jwk.kid.clone().into_iter().chain([thumbprint(&members)]);
        Some(PublicKey { key, ids: ids.collect() })
    }
}

/// The uncompressed point of these coordinates.
fn point(x: &[u8], y: &[u8], coordinate_bytes: usize) -> Option<Vec<u8>> {
    let is_whole = x.len() == coordinate_bytes && y.len() == coordinate_bytes;
    is_whole.then(|| [&[UNCOMPRESSED], x, y].concat())
}

/// The coordinates of an uncompressed point.
fn coordinates(point: &[u8], bytes: usize) -> Option<(&[u8], &[u8])> {
    let (form, coordinates) = point.split_first()?;
    (*form == UNCOMPRESSED && coordinates.len() == 2 * bytes).then(|| coordinates.split_at(bytes))
}

/// Spec: RFC 7518, section 2.
fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// RFC 7638, section 3.2: the members that make the key, in order.
fn rsa_members(n: &str, e: &str) -> String {
    format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
}

fn ec_members(curve: &str, x: &str, y: &str) -> String {
    format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#)
}

fn ed_members(x: &str) -> String {
    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
}

/// RFC 7638, by SHA-256: how version 3 of the Go registry names keys.
fn thumbprint(members: &str) -> String {
    text(&Sha256::digest(members))
}

/// How libtrust names keys, and so version 2 of the Go registry and the servers that were written for it: 240 bits of the
/// hash of the key's encoding, in base 32, in twelve groups.
fn fingerprint(encoded: &[u8]) -> String {
    let hash = Sha256::digest(encoded);
    // Five bytes are eight letters.
    let letters = hash[..LIBTRUST_BYTES].chunks(5).flat_map(|chunk| {
        let bits = chunk.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        (0..8).rev().map(move |letter| char::from(BASE32[(bits >> (5 * letter)) as usize & 31]))
    });
    let letters: Vec<char> = letters.collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(":")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn thumbprints_are_those_of_the_specification() {
        // RFC 7638, section 3.1.
        let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let jwk = json!({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
        let key = PublicKey::of_jwk(&Jwk::of_value(&jwk)).unwrap();
        assert_eq!(key.ids, ["2011-04-29", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"]);
        // RFC 8037, appendix A.3.
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let key = PublicKey::of_jwk(&Jwk::of_value(&jwk)).unwrap();
        assert_eq!(key.ids, ["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]);
    }

    #[test]
    fn fingerprints_are_those_of_libtrust() {
        // Computed by `openssl` and `base32`, from the key of RFC 8037, appendix A.
        let key =
            hex("302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(fingerprint(&key), "A3R7:3D62:FG5W:BK2Z:KV66:MHW3:BLWN:WIYR:GS7D:BZ23:IVPY:4G3Z");
        let info = SubjectPublicKeyInfoRef::from_der(&key).unwrap();
        let ids = PublicKey::of_certificate(&info).unwrap().ids;
        assert_eq!(
            ids,
            [
                "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
                "A3R7:3D62:FG5W:BK2Z:KV66:MHW3:BLWN:WIYR:GS7D:BZ23:IVPY:4G3Z"
            ]
        );
    }

    #[test]
    fn secrets_and_other_curves_are_no_keys() {
        for jwk in [
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
            json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
            json!({"kty": "EC", "crv": 1}),
            json!({"kty": "OKP", "crv": "X25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            json!({"kty": "other"}),
            json!({}),
            json!([]),
        ] {
            assert!(PublicKey::of_jwk(&Jwk::of_value(&jwk)).is_none(), "{jwk}");
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16));
        bytes.collect::<Result<_, _>>().unwrap()
    }
}
