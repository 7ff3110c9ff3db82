use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use zeroize::Zeroizing;

use crate::{Key, KeyId, Keys, OpenError, SealError};

/// The most that is sealed at once.
pub const PLAIN_BYTES_MAX: usize = 64 * 1024;

/// What a sealed value has beside what was sealed.
pub const SEALED_OVERHEAD_BYTES: usize = HEADER_BYTES + NONCE_LEN + MAX_TAG_LEN;

/// The version, which is the first byte.
const VERSION: u8 = 1;

/// Version and key id.
const HEADER_BYTES: usize = 5;

/// Where a sealed value stands. It opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The table. Neither name holds a NUL.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The identity of the row: a number that is never used for another.
    pub row: i64,
}

impl Place {
    /// What is authenticated beside the value: its header, then table and column, each closed by a NUL, then the row.
    fn associated(&self, header: &[u8]) -> Vec<u8> {
        let parts = [header, self.table.as_bytes(), &[0], self.column.as_bytes(), &[0]];
        [parts.concat(), self.row.to_be_bytes().to_vec()].concat()
    }
}

/// Seals under a key.
pub(crate) fn seal(key: &Key, place: &Place, plain: &[u8]) -> Result<Vec<u8>, SealError> {
    if plain.len() > PLAIN_BYTES_MAX {
        return Err(SealError::Long { bytes: plain.len(), max: PLAIN_BYTES_MAX });
    }
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Randomness)?;
    let mut sealed = Vec::with_capacity(plain.len() + SEALED_OVERHEAD_BYTES);
    sealed.push(VERSION);
    sealed.extend(key.id().as_bytes());
    let associated = Aad::from(place.associated(&sealed));
    sealed.extend(nonce);
    sealed.extend(plain);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = cipher(key)
        .and_then(|cipher| {
            cipher.seal_in_place_separate_tag(nonce, associated, &mut sealed[HEADER_BYTES + NONCE_LEN..])
        })
        // ring fails only for what is longer than any of ours.
        .map_err(|_| SealError::Long { bytes: plain.len(), max: PLAIN_BYTES_MAX })?;
    sealed.extend(tag.as_ref());
    Ok(sealed)
}

/// Under which key a value was sealed, as far as its first bytes say.
///
/// # Errors
/// [`OpenError::Format`].
pub fn sealed_under(sealed: &[u8]) -> Result<KeyId, OpenError> {
    match sealed {
        [VERSION, a, b, c, d, rest @ ..] if rest.len() >= NONCE_LEN + MAX_TAG_LEN => {
            Ok(KeyId([*a, *b, *c, *d]))
        }
        _ => Err(OpenError::Format),
    }
}

/// Opens with whichever of the keys it was sealed under.
pub(crate) fn open(keys: &Keys, place: &Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let id = sealed_under(sealed)?;
    let (header, rest) = sealed.split_at(HEADER_BYTES);
    let (nonce, ciphertext) = rest.split_at(NONCE_LEN);
    let mut failure = OpenError::UnknownKey { key: id };
    for key in keys.with_id(id) {
        match open_with(key, place.associated(header), nonce, ciphertext) {
            Some(plain) => return Ok(plain),
            None => failure = OpenError::Broken { key: id },
        }
    }
    Err(failure)
}

fn open_with(key: &Key, associated: Vec<u8>, nonce: &[u8], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut plain = Zeroizing::new(ciphertext.to_vec());
    let length = cipher(key).ok()?.open_in_place(nonce, Aad::from(associated), &mut plain).ok()?.len();
    plain.truncate(length);
    Some(plain)
}

fn cipher(key: &Key) -> Result<LessSafeKey, ring::error::Unspecified> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.bytes())?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLACE: Place = Place { table: "webhooks", column: "secret", row: 7 };

    fn keys(byte: u8) -> Keys {
        Keys::new(Key::from([byte; 32]))
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        seal(keys(1).current(), &PLACE, plain).unwrap()
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(plain in prop::collection::vec(any::<u8>(), 0..512), row: i64) {
            let place = Place { row, ..PLACE };
            let sealed = seal(keys(1).current(), &place, &plain).unwrap();
            prop_assert_eq!(sealed.len(), plain.len() + SEALED_OVERHEAD_BYTES);
            prop_assert_eq!(&open(&keys(1), &place, &sealed).unwrap()[..], &plain[..]);
        }

        #[test]
        fn arbitrary_bytes_open_nowhere(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(open(&keys(1), &PLACE, &bytes).is_err());
        }
    }

    #[test]
    fn every_byte_counts() {
        let sealed = sealed(b"secret");
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert!(open(&keys(1), &PLACE, &changed).is_err(), "byte {at}, bit {bit}");
            }
            assert!(open(&keys(1), &PLACE, &sealed[..at]).is_err(), "the first {at} bytes");
        }
        assert!(open(&keys(1), &PLACE, &[&sealed[..], &[0]].concat()).is_err());
        assert_eq!(&open(&keys(1), &PLACE, &sealed).unwrap()[..], b"secret");
    }

    #[test]
    fn a_value_opens_in_its_place_alone() {
        let sealed = sealed(b"secret");
        for place in [
            Place { row: 8, ..PLACE },
            Place { column: "headers", ..PLACE },
            Place { table: "sources", ..PLACE },
            // What moves from one name to the other is another place.
            Place { table: "webhook", column: "ssecret", ..PLACE },
        ] {
            let error = open(&keys(1), &place, &sealed).unwrap_err();
            assert!(matches!(error, OpenError::Broken { .. }), "{place:?}: {error}");
        }
    }

    #[test]
    fn another_key_opens_nothing_and_the_error_names_the_one_that_would() {
        let (id, sealed) = (keys(1).current().id(), sealed(b"secret"));
        match open(&keys(2), &PLACE, &sealed) {
            Err(OpenError::UnknownKey { key }) => assert_eq!(key, id),
            other => panic!("{other:?}"),
        }
        let both = keys(1).with_current(Key::from([2; 32])).unwrap();
        assert_eq!(&open(&both, &PLACE, &sealed).unwrap()[..], b"secret");
        // The bytes say another key of ours: that is no way in either.
        let renamed = [&[VERSION], &both.current().id().as_bytes()[..], &sealed[HEADER_BYTES..]].concat();
        assert!(matches!(open(&both, &PLACE, &renamed), Err(OpenError::Broken { .. })));
    }

    #[test]
    fn two_seals_of_one_value_differ() {
        assert_ne!(sealed(b"secret"), sealed(b"secret"));
    }

    #[test]
    fn what_is_sealed_is_bounded() {
        let long = vec![0; PLAIN_BYTES_MAX + 1];
        assert!(matches!(seal(keys(1).current(), &PLACE, &long), Err(SealError::Long { .. })));
        assert_eq!(sealed(&long[1..]).len(), PLAIN_BYTES_MAX + SEALED_OVERHEAD_BYTES);
    }

    /// What an earlier program sealed opens: the layout is for ever. Made by Python's `cryptography`.
    #[test]
    fn the_layout_stays() {
        let sealed = hex::decode(KNOWN).unwrap();
        assert_eq!(&open(&keys(7), &PLACE, &sealed).unwrap()[..], b"whsec_");
    }

    const KNOWN: &str = "014bb06f8e000102030405060708090a0b6fe99a157e565d930368d9eff59d61eb54844b238c28";
}
