use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256, Sha512};

use crate::{Algorithm, DigestLengthError, ParseDigestError};

/// The longest text of a digest, in bytes: `sha512:` and 128 hex digits.
pub const DIGEST_TEXT_BYTES_MAX: usize = 7 + 128;

/// The address of content: an algorithm and the hash of the bytes.
///
/// Copied freely, never allocated. The text form is `sha256:` with 64 or `sha512:` with 128 lower-case hex digits, and
/// digests are ordered as their texts are.
///
/// Spec: image-spec v1.1.1, "Digests".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Hash);

// The order of the variants, then of the bytes, is the order of the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Hash {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
        match algorithm {
            Algorithm::Sha256 => Digest::from_sha256(Sha256::digest(bytes).into()),
            Algorithm::Sha512 => Digest::from_sha512(Sha512::digest(bytes).into()),
        }
    }

    /// A digest from the bytes of a hash, as [`as_bytes`](Self::as_bytes) gives them.
    ///
    /// # Errors
    /// [`DigestLengthError`] if there are not exactly [`Algorithm::digest_len`] bytes.
    pub fn from_bytes(algorithm: Algorithm, hash: &[u8]) -> Result<Digest, DigestLengthError> {
        let digest = match algorithm {
            Algorithm::Sha256 => hash.try_into().map(Digest::from_sha256),
            Algorithm::Sha512 => hash.try_into().map(Digest::from_sha512),
        };
        digest.map_err(|_| DigestLengthError {
            algorithm,
            expected_bytes: algorithm.digest_len(),
            actual_bytes: hash.len(),
        })
    }

    pub(crate) const fn from_sha256(hash: [u8; 32]) -> Digest {
        Digest(Hash::Sha256(hash))
    }

    pub(crate) const fn from_sha512(hash: [u8; 64]) -> Digest {
        Digest(Hash::Sha512(hash))
    }

    /// The algorithm before the colon.
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            Hash::Sha256(_) => Algorithm::Sha256,
            Hash::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The bytes of the hash: 32 or 64.
    pub const fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Hash::Sha256(hash) => hash,
            Hash::Sha512(hash) => hash,
        }
    }

    /// The hex digits after the colon.
    pub fn hex(&self) -> String {
        hex::encode(self.as_bytes())
    }

    /// What [`digest!`](crate::digest!) stands on.
    #[doc(hidden)]
    pub const fn parse_or_panic(text: &str) -> Digest {
        match scan(text.as_bytes()) {
            Ok(digest) => digest,
            Err(_) => panic!("not a digest"),
        }
    }

    /// Writes the text into `buffer` and returns it: what formatting and serialising have in common.
    fn text<'b>(&self, buffer: &'b mut [u8; DIGEST_TEXT_BYTES_MAX]) -> &'b str {
        let name = self.algorithm().as_str().as_bytes();
        let hash = self.as_bytes();
        let hex_at = name.len() + 1;
        let text = &mut buffer[..hex_at + 2 * hash.len()];
        text[..name.len()].copy_from_slice(name);
        text[name.len()] = b':';
        hex::encode_to_slice(hash, &mut text[hex_at..]).expect("the buffer has two places for each byte");
        std::str::from_utf8(text).expect("names and hex digits are ASCII")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text(&mut [0; DIGEST_TEXT_BYTES_MAX]))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; DIGEST_TEXT_BYTES_MAX]))
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        scan(text.as_bytes()).map_err(|fault| fault.explain(text))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(&mut [0; DIGEST_TEXT_BYTES_MAX]))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

/// Reads a digest without making a `String` of it first.
struct TextVisitor;

impl de::Visitor<'_> for TextVisitor {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a digest such as sha256:<64 hex digits>")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
        text.parse().map_err(E::custom)
    }
}

/// What is wrong with a text, without the text: so that scanning is possible in constants.
#[derive(Clone, Copy)]
enum Fault {
    Algorithm,
    Length(Algorithm),
    Hex { index: usize },
}

impl Fault {
    #[cold]
    fn explain(self, text: &str) -> ParseDigestError {
        let Some((name, hex)) = text.split_once(':') else { return ParseDigestError::MissingColon };
        match self {
            Fault::Algorithm => ParseDigestError::unsupported_algorithm(name),
            Fault::Length(algorithm) => ParseDigestError::WrongLength {
                algorithm,
                expected: 2 * algorithm.digest_len(),
                actual: hex.len(),
            },
            Fault::Hex { index } => ParseDigestError::NotLowerHex { position: name.len() + 1 + index },
        }
    }
}

const fn scan(text: &[u8]) -> Result<Digest, Fault> {
    match text {
        [b's', b'h', b'a', b'2', b'5', b'6', b':', hex @ ..] => match decode(hex, Algorithm::Sha256) {
            Ok(hash) => Ok(Digest::from_sha256(hash)),
            Err(fault) => Err(fault),
        },
        [b's', b'h', b'a', b'5', b'1', b'2', b':', hex @ ..] => match decode(hex, Algorithm::Sha512) {
            Ok(hash) => Ok(Digest::from_sha512(hash)),
            Err(fault) => Err(fault),
        },
        _ => Err(Fault::Algorithm),
    }
}

/// Lower-case hex only: the hex crate would take upper case too, and then one content had two addresses.
const fn decode<const N: usize>(hex: &[u8], algorithm: Algorithm) -> Result<[u8; N], Fault> {
    if hex.len() != 2 * N {
        return Err(Fault::Length(algorithm));
    }
    let mut hash = [0; N];
    let mut index = 0;
    while index < N {
        let (high, low) = (NIBBLES[hex[2 * index] as usize], NIBBLES[hex[2 * index + 1] as usize]);
        if high | low > 0xf {
            return Err(Fault::Hex { index: if high > 0xf { 2 * index } else { 2 * index + 1 } });
        }
        hash[index] = high << 4 | low;
        index += 1;
    }
    Ok(hash)
}

/// The value of each lower-case hex digit; 0xff for every other byte.
const NIBBLES: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest;

    const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    const EMPTY_SHA512: Digest = digest!(
        "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
         47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
    );

    #[test]
    fn known_hashes() {
        assert_eq!(Digest::of(Algorithm::Sha256, b"hello").to_string(), HELLO);
        assert_eq!(Digest::of(Algorithm::Sha512, b""), EMPTY_SHA512);
        assert_eq!(HELLO.parse::<Digest>().unwrap().hex(), HELLO["sha256:".len()..]);
    }

    #[test]
    fn mistakes_are_told_apart() {
        let hex = "0".repeat(64);
        let wrong_length =
            |actual| ParseDigestError::WrongLength { algorithm: Algorithm::Sha256, expected: 64, actual };
        let unsupported = |name: &str| ParseDigestError::UnsupportedAlgorithm { name: name.into() };
        let cases = [
            ("", ParseDigestError::MissingColon),
            ("latest", ParseDigestError::MissingColon),
            ("sha256", ParseDigestError::MissingColon),
            (":", unsupported("")),
            (&format!("sha384:{hex}"), unsupported("sha384")),
            (&format!("SHA256:{hex}"), unsupported("SHA256")),
            (&format!("sha256 :{hex}"), unsupported("sha256 ")),
            ("sha256:", wrong_length(0)),
            (&format!("sha256:{hex}0"), wrong_length(65)),
            (&format!("sha256:{}", &hex[1..]), wrong_length(63)),
            (&format!("sha256:{}A", &hex[1..]), ParseDigestError::NotLowerHex { position: 70 }),
            (&format!("sha256:g{}", &hex[1..]), ParseDigestError::NotLowerHex { position: 7 }),
            (&format!("sha256:00{}", "é".repeat(31)), ParseDigestError::NotLowerHex { position: 9 }),
            (
                &format!("sha512:{hex}{}:{}", &hex[..31], &hex[..32]),
                ParseDigestError::NotLowerHex { position: 102 },
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Digest>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn an_error_repeats_little_of_a_long_name() {
        let error = format!("{}:00", "é".repeat(1000)).parse::<Digest>().unwrap_err();
        assert_eq!(error, ParseDigestError::UnsupportedAlgorithm { name: "é".repeat(16) });
    }

    #[test]
    fn bytes_of_another_length_are_refused() {
        let digest = digest!(HELLO);
        assert_eq!(Digest::from_bytes(Algorithm::Sha256, digest.as_bytes()), Ok(digest));
        let error = Digest::from_bytes(Algorithm::Sha512, digest.as_bytes()).unwrap_err();
        assert_eq!((error.expected_bytes, error.actual_bytes), (64, 32));
    }

    #[test]
    fn serde_goes_through_the_text() {
        let digest = digest!(HELLO);
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{HELLO}\""));
        assert_eq!(serde_json::from_str::<Digest>(&format!("\"{HELLO}\"")).unwrap(), digest);
        let error = serde_json::from_str::<Digest>("\"sha384:00\"").unwrap_err().to_string();
        assert!(error.contains("\"sha384\" is not supported"), "{error}");
    }

    #[test]
    #[should_panic(expected = "not a digest")]
    fn the_macro_panics() {
        digest!(String::from("sha256:").as_str());
    }

    #[test]
    fn formatting_pads() {
        assert_eq!(format!("{:>73}", digest!(HELLO)), format!("  {HELLO}"));
        assert_eq!(format!("{:.10}", digest!(HELLO)), "sha256:2cf");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_refused_or_comes_back(text in "(sha256|sha512|sha384|x)?:?[0-9a-f]{0,130}") {
            if let Ok(digest) = text.parse::<Digest>() {
                proptest::prop_assert_eq!(digest.to_string(), text);
            }
        }

        #[test]
        fn the_order_is_that_of_the_text(a: Vec<u8>, b: Vec<u8>, wide_a: bool, wide_b: bool) {
            let digest = |bytes: &[u8], wide| Digest::of(Algorithm::ALL[usize::from(wide)], bytes);
            let (a, b) = (digest(&a, wide_a), digest(&b, wide_b));
            proptest::prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            proptest::prop_assert_eq!(a.to_string().parse(), Ok(a));
        }
    }
}
