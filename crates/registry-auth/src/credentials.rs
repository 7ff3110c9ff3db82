use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderValue;

/// The longest `Authorization` header that is read.
pub const CREDENTIALS_BYTES_MAX: usize = 16 << 10;

/// What a client says to prove who it is. `Debug` shows neither passwords nor tokens.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing. Some clients say it as an empty user with an empty password.
    Anonymous,
    /// A user with a password, of which one may be empty.
    Basic {
        /// The user, which need not be a name that any user could have.
        user: String,
        /// The password, in whatever encoding.
        password: Vec<u8>,
    },
    /// A token, not looked into.
    Bearer {
        /// The token.
        token: String,
    },
    /// Something of another scheme.
    Other {
        /// The scheme's name.
        scheme: String,
    },
}

/// Why an `Authorization` header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseCredentialsError {
    /// It is too long.
    #[error("the credentials have {actual_bytes} bytes, more than {CREDENTIALS_BYTES_MAX}")]
    TooLong {
        /// How long.
        actual_bytes: usize,
    },
    /// It has bytes beyond printable ASCII.
    #[error("the credentials are not ASCII text")]
    NotText,
    /// There is a scheme and nothing after it.
    #[error("after the scheme of the credentials there is nothing")]
    NothingAfterScheme,
    /// The credentials of the scheme Basic are not base64.
    #[error("the credentials are not base64")]
    NotBase64,
    /// Those of the scheme Basic hold no colon.
    #[error("the credentials have no colon between user and password")]
    NoColon,
    /// The user is not UTF-8.
    #[error("the user's name is not UTF-8")]
    UserNotUtf8,
}

impl Credentials {
    /// Reads the header of a request; none is [`Credentials::Anonymous`].
    ///
    /// Spec: RFC 9110, section 11.4; RFC 7617; RFC 6750, section 2.1.
    ///
    /// # Errors
    /// What is wrong with it. None of the errors repeats any of it.
    pub fn parse(header: Option<&HeaderValue>) -> Result<Credentials, ParseCredentialsError> {
        let Some(header) = header else { return Ok(Credentials::Anonymous) };
        if header.len() > CREDENTIALS_BYTES_MAX {
            return Err(ParseCredentialsError::TooLong { actual_bytes: header.len() });
        }
        let text = header.to_str().map_err(|_| ParseCredentialsError::NotText)?.trim();
        if text.is_empty() {
            return Ok(Credentials::Anonymous);
        }
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim_start();
        let is = |name: &str| scheme.eq_ignore_ascii_case(name);
        match rest {
            "" if is("basic") || is("bearer") => Err(ParseCredentialsError::NothingAfterScheme),
            _ if is("basic") => basic(rest),
            _ if is("bearer") => Ok(Credentials::Bearer { token: rest.to_owned() }),
            _ => Ok(Credentials::Other { scheme: scheme.to_owned() }),
        }
    }
}

/// As clients send it: with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn basic(encoded: &str) -> Result<Credentials, ParseCredentialsError> {
    let mut user = BASE64.decode(encoded).map_err(|_| ParseCredentialsError::NotBase64)?;
    let colon = user.iter().position(|byte| *byte == b':').ok_or(ParseCredentialsError::NoColon)?;
    let password = user.split_off(colon + 1);
    user.truncate(colon);
    if user.is_empty() && password.is_empty() {
        return Ok(Credentials::Anonymous);
    }
    let user = String::from_utf8(user).map_err(|_| ParseCredentialsError::UserNotUtf8)?;
    Ok(Credentials::Basic { user, password })
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Anonymous => f.write_str("Anonymous"),
            Credentials::Basic { user, .. } => {
                f.debug_struct("Basic").field("user", user).finish_non_exhaustive()
            }
            Credentials::Bearer { .. } => f.debug_struct("Bearer").finish_non_exhaustive(),
            Credentials::Other { scheme } => f.debug_struct("Other").field("scheme", scheme).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Credentials, ParseCredentialsError> {
        Credentials::parse(Some(&HeaderValue::from_str(text).unwrap()))
    }

    fn user(user: &str, password: &str) -> Result<Credentials, ParseCredentialsError> {
        Ok(Credentials::Basic { user: user.into(), password: password.into() })
    }

    #[test]
    fn what_clients_send_is_read() {
        assert_eq!(Credentials::parse(None), Ok(Credentials::Anonymous));
        for (text, expected) in [
            ("", Ok(Credentials::Anonymous)),
            ("Basic Og==", Ok(Credentials::Anonymous)),
            ("Basic Og", Ok(Credentials::Anonymous)),
            ("Basic YWRhOnB3", user("ada", "pw")),
            ("basic YWRhOnB3", user("ada", "pw")),
            ("BASIC   YWRhOnB3 ", user("ada", "pw")),
            ("Basic YWRhOg==", user("ada", "")),
            ("Basic YWRhOg", user("ada", "")),
            ("Basic OnB3", user("", "pw")),
            ("Basic YTpiOmM=", user("a", "b:c")),
            ("Bearer a.b.c", Ok(Credentials::Bearer { token: "a.b.c".into() })),
            ("bearer x", Ok(Credentials::Bearer { token: "x".into() })),
            ("Negotiate abc", Ok(Credentials::Other { scheme: "Negotiate".into() })),
            ("abc", Ok(Credentials::Other { scheme: "abc".into() })),
            ("Basic", Err(ParseCredentialsError::NothingAfterScheme)),
            ("Bearer ", Err(ParseCredentialsError::NothingAfterScheme)),
            ("Basic a b", Err(ParseCredentialsError::NotBase64)),
            ("Basic YWRh!", Err(ParseCredentialsError::NotBase64)),
            ("Basic YWRh", Err(ParseCredentialsError::NoColon)),
            ("Basic /zpw", Err(ParseCredentialsError::UserNotUtf8)),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        let long = format!("Basic {}", "A".repeat(CREDENTIALS_BYTES_MAX));
        let actual_bytes = long.len();
        assert_eq!(parse(&long), Err(ParseCredentialsError::TooLong { actual_bytes }));
        let header = HeaderValue::from_bytes(b"Basic \xff").unwrap();
        assert_eq!(Credentials::parse(Some(&header)), Err(ParseCredentialsError::NotText));
    }

    #[test]
    fn secrets_are_not_shown() {
        for text in ["Basic YWRhOnNlY3JldA==", "Bearer secret"] {
            assert!(!format!("{:?}", parse(text)).contains("secret"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_nothing_panics_and_users_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(header) = HeaderValue::from_bytes(&bytes) {
                let _ = Credentials::parse(Some(&header));
            }
            let mut pair = b"u:".to_vec();
            pair.extend(&bytes);
            let header = format!("Basic {}", BASE64.encode(&pair));
            prop_assert_eq!(parse(&header), Ok(Credentials::Basic { user: "u".into(), password: bytes }));
        }
    }
}
