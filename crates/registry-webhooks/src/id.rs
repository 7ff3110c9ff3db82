use std::{fmt, str::FromStr};

use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;

/// What a message's id begins with.
const PREFIX: &str = "msg_";

/// How many random bytes an id has.
const RANDOM_BYTES: usize = 16;

/// The id of a message: `msg_` and 32 hexadecimal digits. A receiver knows by it what it has had before: it stays the same at each
/// attempt, and when a person sends the message again. It can not be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId([u8; RANDOM_BYTES]);

/// A text is no id of a message.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a message's id is msg_ and 32 hexadecimal digits")]
pub struct ParseMessageIdError;

/// The system gave no random bytes.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

impl MessageId {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate() -> Result<MessageId, NoRandomness> {
        random().map(MessageId)
    }

    /// So many new ones, of one call to the system.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub(crate) fn generate_many(count: usize) -> Result<Vec<MessageId>, NoRandomness> {
        let mut bytes = vec![[0; RANDOM_BYTES]; count];
        SystemRandom::new().fill(bytes.as_flattened_mut()).map_err(|_| NoRandomness)?;
        Ok(bytes.into_iter().map(MessageId).collect())
    }

    /// The same as a UUID of version 4, for the format that has one.
    pub fn to_uuid(self) -> String {
        uuid(self.0)
    }
}

/// Writes random bytes as a UUID of version 4.
pub(crate) fn uuid(mut bytes: [u8; RANDOM_BYTES]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", hex::encode(self.0))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MessageId {
    type Err = ParseMessageIdError;

    fn from_str(text: &str) -> Result<MessageId, ParseMessageIdError> {
        let digits = text.strip_prefix(PREFIX).ok_or(ParseMessageIdError)?;
        let mut bytes = [0; RANDOM_BYTES];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| ParseMessageIdError)?;
        Ok(MessageId(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_is_a_uuid_as_well() {
        let text = "msg_00112233445566778899aabbccddeeff";
        let id: MessageId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.to_uuid(), "00112233-4455-4677-8899-aabbccddeeff");
        for wrong in
            ["", "msg_", "msg_00", "00112233445566778899aabbccddeeff", "msg_00112233445566778899aabbccddeefg"]
        {
            assert!(wrong.parse::<MessageId>().is_err(), "{wrong}");
        }
        assert_ne!(MessageId::generate(), MessageId::generate());
    }
}
