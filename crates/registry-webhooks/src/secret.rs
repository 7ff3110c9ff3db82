use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::id::{NoRandomness, random};

/// What the text of a secret begins with.
pub const SECRET_PREFIX: &str = "whsec_";

/// The shortest secret, in bytes.
pub const SECRET_BYTES_MIN: usize = 24;

/// The longest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 64;

/// How many bytes a secret has that the registry makes.
const SECRET_BYTES: usize = 32;

/// What messages are signed with: `whsec_` and the base64 of 24 to 64 bytes. `Debug` does not show it.
///
/// Source: Standard Webhooks, "Signature scheme".
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret {
    text: Zeroizing<String>,
    bytes: Zeroizing<Vec<u8>>,
}

/// Why a text is no secret. Nothing of the text is in it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseSecretError {
    /// Another beginning, or no base64.
    #[error(
        "a webhook's secret is {SECRET_PREFIX} and base64: `echo whsec_$(openssl rand -base64 32)` makes one"
    )]
    Syntax,
    /// Too short, or too long.
    #[error("a webhook's secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, and this has {0}")]
    Length(usize),
}

impl WebhookSecret {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate() -> Result<WebhookSecret, NoRandomness> {
        let bytes: Zeroizing<[u8; SECRET_BYTES]> = Zeroizing::new(random()?);
        Ok(WebhookSecret {
            text: Zeroizing::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes.as_slice()))),
            bytes: Zeroizing::new(bytes.to_vec()),
        })
    }

    /// As people enter it in the receiver.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What the text stands for.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl FromStr for WebhookSecret {
    type Err = ParseSecretError;

    fn from_str(text: &str) -> Result<WebhookSecret, ParseSecretError> {
        let base64 = text.strip_prefix(SECRET_PREFIX).ok_or(ParseSecretError::Syntax)?;
        let bytes = STANDARD.decode(base64).map_err(|_| ParseSecretError::Syntax)?;
        let bytes = Zeroizing::new(bytes);
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) {
            return Err(ParseSecretError::Length(bytes.len()));
        }
        Ok(WebhookSecret { text: Zeroizing::new(text.to_owned()), bytes })
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: usize) -> String {
        format!("whsec_{}", STANDARD.encode(vec![7; bytes]))
    }

    #[test]
    fn a_secret_has_24_to_64_bytes() {
        for bytes in [24, 32, 64] {
            let secret: WebhookSecret = of(bytes).parse().unwrap();
            assert_eq!((secret.expose(), secret.bytes().len()), (of(bytes).as_str(), bytes));
        }
        for bytes in [0, 23, 65] {
            assert_eq!(of(bytes).parse::<WebhookSecret>(), Err(ParseSecretError::Length(bytes)));
        }
        for text in ["", "secret", &of(32)[6..], "whsec_not base64", "WHSEC_AAAA"] {
            assert_eq!(text.parse::<WebhookSecret>(), Err(ParseSecretError::Syntax), "{text}");
        }
    }

    #[test]
    fn a_new_secret_is_one_and_does_not_show_itself() {
        let secret = WebhookSecret::generate().unwrap();
        assert_eq!(secret.expose().parse(), Ok(secret.clone()));
        assert_ne!(WebhookSecret::generate(), Ok(secret.clone()));
        assert_eq!(format!("{secret:?}"), "WebhookSecret(redacted)");
    }
}
